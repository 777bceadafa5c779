"""The command: verbs, options, mistakes in them, and what a dry run says."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace

import pytest

from motion_jax import __version__, cli, events
from motion_jax.cli import train as command
from motion_jax.cli.completion import options_of
from motion_jax.cli.environment import quiet_without_tpu
from motion_jax.config import config_names, flatten, load_config, to_json
from motion_jax.errors import UserError
from motion_jax.parsing import documented

TINY = """
from motion_jax.config import Config
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes import everybody_dance_now as edn

config = Config(
    recipe=edn.EverybodyDanceNow(
        generator=edn.Generator(ngf=4, n_downsampling=1, n_blocks=1),
        discriminator=edn.Discriminator(ndf=4, n_layers=1),
        losses=edn.Losses(perceptual="none", l1=10.0),
        pose_style=PoseStyle(face_points=0, hands=False),
        global_stage=edn.Stage(steps=2, height=16, width=16, num_D=1),
    )
)
"""


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    """Settings of the process that the command makes are not for the tests' process."""
    monkeypatch.setattr("motion_jax.cli.environment.settle", lambda: None)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.py"
    path.write_text(TINY)
    return str(path)


def run(*arguments):
    """Exit status of the command."""
    try:
        cli.main(list(arguments))
    except SystemExit as end:
        return end.code or 0
    return 0


def test_help_and_version(capsys):
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert all(verb in text and what in text for verb, what in cli.VERBS.items())
    assert set(cli._HANDLERS) == set(cli.VERBS)
    assert run() == 2
    capsys.readouterr()
    assert run("--version") == 0
    assert capsys.readouterr().out == f"motion-jax {__version__}\n"


@pytest.mark.parametrize("verb", [verb for verb in cli.VERBS if verb != "train"])
def test_help_of_a_verb_mentions_every_option(verb, capsys):
    assert run(verb, "--help") == 0
    text = capsys.readouterr().out
    for field in dataclasses.fields(options_of(verb)):
        name = field.name.replace("_", "-")
        positional = "Positional" in str(field.type)
        assert positional or f"--{name}" in text, name
        assert not positional or "positional arguments" in text
    assert "(default: None)" not in text and "(default: )" not in text


def test_help_is_paragraphs_whatever_the_lines_of_the_source(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "4000")
    assert run("compare", "--help") == 0
    text = documented(options_of("compare"))["budget"]
    assert "\n" in text and " ".join(text.split()) in capsys.readouterr().out


def untold(kind: object, path: str) -> list[str]:
    """The fields without a text of a dataclass or an instance of one, and of those in it."""
    texts, found = documented(kind if isinstance(kind, type) else type(kind)), []
    for field in dataclasses.fields(kind):
        inner, name = getattr(kind, field.name, None), f"{path}.{field.name}"
        if dataclasses.is_dataclass(inner):
            found += untold(inner, name)
        elif not texts.get(field.name):
            found.append(name)
    return found


def test_every_option_and_every_setting_has_a_text():
    assert not [name for verb in cli.VERBS for name in untold(options_of(verb), verb)]
    assert not [each for name in config_names() for each in untold(load_config(name), name)]


def test_help_of_animate_shows_its_three_ways_and_both_forms(capsys):
    ways = ("--photo PHOTO --driving VIDEO", "--character 1 --source VIDEO", "--method rig")
    for words, option, other in (
        ((), "--best-frame", "animate --source --help"),
        (("--photo",), "--best-frame", "animate --source --help"),
        (("--source",), "--shadow", "animate --photo --help"),
        (("--method", "rig"), "--shadow", "animate --photo --help"),
    ):
        assert run("animate", *words, "--help") == 0
        head, _, options = capsys.readouterr().out.partition("-h, --help")
        assert all(way in head for way in ways) and other in head and option in options
        assert all(len(line) <= 80 for line in head.splitlines()[:12])


def test_help_of_train_explains_every_setting(capsys):
    assert run("train", "--help") == 0
    text = capsys.readouterr().out
    assert "CONFIG" in text and "--data" in text and "small" in text
    assert run("train", "demo", "--help") == 0
    text = capsys.readouterr().out
    for name in ("data", "run", "vgg", "width", "blocks", "downsamplings", "dry-run"):
        assert f"--{name}" in text
    for name in flatten(to_json(load_config("demo"))):
        if name != "recipe.type":
            assert f"--{name.replace('_', '-')}" in text, name


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("trian",), "no verb 'trian'; did you mean 'train'"),
        (("qqq",), "no verb 'qqq'; use one of prepare, import-data"),
        (("train",), "wants a config first"),
        (("train", "--data", "x"), "wants a config first"),
        (("train", "demo", "--data", "x"), "needs --run"),
        (("train", "demo", "--run", "x"), "needs --data"),
        (("train", "demo", "extra"), "'extra' is one argument too many"),
        (("train", "dmo"), "no config dmo: .*did you mean demo"),
        (
            ("train", "demo", "--recipe.global-stage.stps", "5"),
            "no option --recipe.global-stage.stps; did you mean --recipe.global-stage.steps",
        ),
        (("train", "demo", "--learning-rate=1"), "did you mean --recipe.*-stage.learning-rate"),
        (("demo", "--ot", "x"), "no option --ot; did you mean --out"),
        (("demo", "small", "more"), "'more' is one argument too many"),
        (("train", "demo", "--data", "nowhere", "--run", "r"), "nowhere"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(arguments, sentence, capsys, tmp_path, monkeypatch):
    import re

    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(f"motion-jax: error: .*{sentence}", err)
    assert len(err.strip().splitlines()) == 1 and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_value_is_explained(capsys):
    assert run("train", "demo", "--recipe.losses.perceptual", "vgg16") == 2
    assert "vgg16" in capsys.readouterr().err
    assert run("train", "demo", "--seed", "many") == 2
    assert "--seed" in capsys.readouterr().err


def test_overrides_change_the_config():
    base = load_config("demo")
    options, config = command.parse(
        base, "demo",
        ["--data", "d", "--recipe.global-stage.steps", "7", "--recipe.rematerialise",
         "--data.augment.flip", "--seed=3", "--run", "r", "--dry-run"],
    )  # fmt: skip
    assert (str(options.data), str(options.run), options.dry_run) == ("d", "r", True)
    assert config.recipe.global_stage.steps == 7 and config.recipe.rematerialise
    assert config.data.augment.flip and config.seed == 3
    expected = dataclasses.replace(
        base,
        seed=3,
        recipe=dataclasses.replace(
            base.recipe,
            rematerialise=True,
            global_stage=dataclasses.replace(base.recipe.global_stage, steps=7),
        ),
        data=dataclasses.replace(
            base.data, augment=dataclasses.replace(base.data.augment, flip=True)
        ),
    )
    assert config == expected
    assert command.parse(base, "demo", [])[1] == base


def test_the_networks_size_has_short_options():
    base = load_config("demo")  # ngf 24, ndf 16
    _, config = command.parse(
        base, "demo", ["--width", "12", "--blocks=1", "--downsamplings", "2", "--seed", "3"]
    )
    recipe = replace(
        base.recipe,
        generator=replace(base.recipe.generator, ngf=12, n_blocks=1, n_downsampling=2),
        discriminator=replace(base.recipe.discriminator, ndf=8),
    )
    assert config == replace(base, seed=3, recipe=recipe)
    # The long options say the same, and the discriminator's width may be given by itself.
    arguments = [
        "--recipe.generator.ngf", "12", "--recipe.generator.n-blocks", "1",
        "--recipe.generator.n-downsampling", "2", "--recipe.discriminator.ndf", "8", "--seed", "3",
    ]  # fmt: skip
    assert command.parse(base, "demo", arguments)[1] == config
    for option in ("--recipe.discriminator.ndf", "--recipe.discriminator.ndf=5"):
        words = [option] if "=" in option else [option, "5"]
        _, config = command.parse(base, "demo", ["--width", "12", *words])
        assert (config.recipe.generator.ngf, config.recipe.discriminator.ndf) == (12, 5)
    assert command.parse(base, "demo", ["--width", "24"])[1] == base


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--width", "0"), "recipe.generator.ngf = 0 is no size of a network; use 1 or more"),
        (("--width", "-3"), "recipe.generator.ngf = -3"),
        (("--blocks", "-1"), "recipe.generator.n_blocks = -1 is no size of a network; use 0"),
        (("--downsamplings", "-1"), "recipe.generator.n_downsampling = -1"),
        (("--downsamplings", "8"), "global_stage.height = 64 is not divisible by 256"),
        (("--downsamplings", "6"), "global_stage.height = 64 leaves a single row"),
        (("--width", "25"), "ngf = 25 cannot be halved 1 time, .*: 24 and 26"),
        (("--width", "8", "--recipe.generator.ngf=9"), "--width and --recipe.generator.ngf set"),
        (
            ("--blocks", "8", "--recipe.generator.n_blocks", "9"),
            "--blocks and --recipe.generator.n-blocks set the same",
        ),
        (("--recipe.generator.n-local-enhancers", "0"), "leaves the local stage nothing to add"),
    ],
)
def test_sizes_that_cannot_be_are_one_sentence(arguments, sentence, capsys):
    import re

    assert run("train", "demo", "--dry-run", *arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and re.search(f"motion-jax: error: .*{sentence}", err)
    assert len(err.strip().splitlines()) == 1


def test_interruptions_end_with_their_status(monkeypatch, capsys):
    def interrupted(*_, **__):
        events.emit(events.Stoppable(1))
        signal.raise_signal(sent)
        assert events.stop_token().reason == sent.name
        raise events.Interrupted(f"Stopped by {sent.name}; saved.", sent.name)

    monkeypatch.setattr("motion_jax.train.loop.train", interrupted)
    for sent, status in ((signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)):
        handler = signal.getsignal(sent)
        words = "train", "demo", "--data", "d", "--run", "r", "--preempted-status", "75"
        assert run(*words) == status
        assert signal.getsignal(sent) is handler
        assert capsys.readouterr().err.endswith(f"Stopped by {sent.name}; saved.\n")

    def pressed(_):
        raise KeyboardInterrupt

    monkeypatch.setitem(cli._HANDLERS, "fetch", pressed)
    assert run("fetch", "vgg19") == 130


@pytest.mark.parametrize("verb", sorted(cli.VERBS))
def test_sigterm_ends_what_loads_and_servers_quietly(monkeypatch, capsys, verb):
    """jaxlib takes the signal where nobody else does, and prints a stack trace."""

    def loading(_):
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("it went on")

    monkeypatch.setitem(cli._HANDLERS, verb, loading)
    assert run(verb) == 143
    assert capsys.readouterr().err == "motion-jax: ended by SIGTERM\n"


def test_a_dry_run_prints_what_it_would_cost(tiny, capsys):
    assert run("train", tiny, "--dry-run", "--json", "--recipe.global-stage.batch-size", "2") == 0
    out, err = capsys.readouterr()
    assert "Compiling the global stage" in err
    said = json.loads(out)
    assert said["config"]["recipe"]["global_stage"]["batch_size"] == 2
    stage = said["stages"]["global"]
    assert set(said["stages"]) == {"global"}
    # first 7x7 6->4, down 4->8, block 2 of 8->8, up 8->4, last 7x7 4->3, each with its biases
    generator = 49 * 6 * 4 + 4 + 9 * 32 + 8 + 2 * (9 * 64 + 8) + 9 * 32 + 4 + 49 * 12 + 3
    discriminator = 16 * (12 * 4 + 4 * 8 + 8) + 4 + 8 + 1
    assert stage["parameters"] == {"generator": generator, "discriminator": discriminator}
    # Parameters and Adam's two moments, in float32; counters besides.
    assert stage["state_mb"] == pytest.approx(12 * (generator + discriminator) / 1e6, rel=0.01)
    # Forward: 2 windows of 2 frames.
    forward = 2 * 16 * 16 * (49 * 24 + 49 * 12) + 2 * 8 * 8 * (9 * 32 * 2 + 2 * 9 * 64)
    assert 2 < stage["gflop_per_step"] * 1e9 / (4 * forward) < 8
    assert stage["temporary_mb"] > 0 and stage["devices"] == 1
    assert stage["trained"] == ["discriminator", "generator"]
    assert 1e-5 < stage["seconds_per_step"] < 10
    assert said["hours"] == pytest.approx(1.1 * 2 * stage["seconds_per_step"] / 3600)
    assert "All steps of this config together: about 1 minute" in err
    assert "suggestion" not in said


def test_a_dry_run_refuses_what_training_would(tiny, capsys):
    assert run("train", tiny, "--dry-run", "--recipe.global-stage.height", "17") == 2
    assert "16 and 18" in capsys.readouterr().err


def test_options_of_a_small_verb():
    @dataclass(frozen=True)
    class Options:
        count: int = 1

    assert cli.parse(Options, "x", ["--count", "3"]) == Options(3)
    with pytest.raises(UserError, match="--cout; did you mean --count"):
        cli.parse(Options, "x", ["--cout", "3"])


def test_the_help_is_quick_to_import():
    """Usage and version need no jax."""
    code = (
        "import sys\nfrom motion_jax.cli import main\nmain(['--version'])\n"
        "assert 'jax' not in sys.modules and 'mediapipe' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"motion-jax {__version__}\n"


def test_what_may_be_left_out_is_shown_as_what_it_takes(capsys):
    assert run("transfer", "--help") == 0
    text = capsys.readouterr().out
    assert "--run PATH" in text and "--method {nearest,nearest-angle}" in text
    assert "{None}" not in text and "None," not in text
    assert run("train", "demo", "--help") == 0
    text = capsys.readouterr().out
    assert "--width INT" in text and "{None}" not in text


def test_libtpu_is_told_what_it_would_complain_of(tmp_path, monkeypatch):
    for name in ("TPU_ACCELERATOR_TYPE", "TPU_WORKER_HOSTNAMES", "TPU_SKIP_MDS_QUERY",
                 "ALLOW_MULTIPLE_LIBTPU_LOAD"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "accel0").touch()
    quiet_without_tpu(tmp_path)
    assert "TPU_ACCELERATOR_TYPE" not in os.environ
    (tmp_path / "accel0").unlink()
    quiet_without_tpu(tmp_path)
    # As monkeypatch does not know of it, it is taken away again here.
    assert os.environ.pop("TPU_ACCELERATOR_TYPE") and os.environ.pop("TPU_WORKER_HOSTNAMES")
    del os.environ["TPU_SKIP_MDS_QUERY"], os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"]


@pytest.mark.parametrize("module", ["motion_jax", "motion_jax.start", "motion_jax.cli"])
def test_python_finds_the_command_where_its_script_is_not_on_the_path(module):
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and __version__ in done.stdout, done.stderr
