"""The command: verbs, options, mistakes in them, and what a dry run says."""

import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from motion_jax import __version__, cli, events
from motion_jax.cli import train as command
from motion_jax.cli.after import next_command
from motion_jax.cli.completion import options_of
from motion_jax.cli.environment import quiet_without_tpu
from motion_jax.compare.options import CompareOptions
from motion_jax.config import config_names, flatten, load_config, to_json
from motion_jax.data.import_options import ImportOptions as FolderOptions
from motion_jax.errors import UserError
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.pairing.options import PairOptions
from motion_jax.parsing import documented
from motion_jax.port.options import ImportOptions
from motion_jax.profiling.arithmetic import count_parameters, flops
from motion_jax.transfer.options import TransferOptions

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


@pytest.mark.parametrize("verb", ["serve", "studio", "transfer"])
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


def test_flops_of_known_programs():
    x, kernel = jnp.zeros((2, 8, 8, 3)), jnp.zeros((3, 3, 3, 5))
    settings = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "padding": "SAME"}

    def conv(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), **settings)

    one = 2 * (2 * 8 * 8 * 5) * (3 * 3 * 3)
    assert flops(jax.make_jaxpr(conv)(x, kernel).jaxpr) == one
    # Jitted, twice; and the gradients: as much again for each argument.
    twice = jax.make_jaxpr(lambda x, k: jax.jit(conv)(x, k) + conv(x, k))(x, kernel)
    assert flops(twice.jaxpr) == 2 * one
    both = jax.grad(lambda x, k: conv(x, k).sum(), argnums=(0, 1))
    assert flops(jax.make_jaxpr(both)(x, kernel).jaxpr) == 3 * one

    def matrices(a, b):
        return jnp.einsum("bij,bjk->bik", a, b)

    a, b = jnp.zeros((4, 5, 6)), jnp.zeros((4, 6, 7))
    assert flops(jax.make_jaxpr(matrices)(a, b).jaxpr) == 2 * 4 * 5 * 6 * 7

    def scanned(x):
        return jax.lax.scan(lambda c, _: (c @ c, None), x, length=9)[0]

    assert flops(jax.make_jaxpr(scanned)(jnp.zeros((6, 6))).jaxpr) == 9 * 2 * 6**3


def test_transposed_convolutions_cost_no_multiplication_by_zeros():
    from motion_jax.nets.conv import conv_down, conv_up, target_platform

    x, kernel = jnp.zeros((1, 8, 8, 3)), jnp.zeros((3, 3, 3, 5))
    with target_platform("gpu"):
        up = flops(jax.make_jaxpr(lambda x: conv_up(x, kernel))(x).jaxpr)
        down = flops(jax.make_jaxpr(lambda x: conv_down(x, kernel))(x).jaxpr)
    assert up == 2 * 8 * 8 * 9 * 3 * 5  # each input meets the whole kernel once
    assert down == 2 * 4 * 4 * 9 * 3 * 5


def test_parameters_are_counted():
    assert count_parameters({"a": jnp.zeros((2, 3)), "b": [jnp.zeros(4), jnp.zeros(())]}) == 11


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


def test_every_verb_that_makes_something_names_the_next_command():
    run_, out, film = Path("my run"), Path("o"), Path("s.mp4")
    trained = command.TrainOptions(run=run_)
    assert next_command("train", trained) == "motion-jax evaluate --run 'my run'"
    pairs = PairOptions(out, out, out, kind="pics2pics")
    assert next_command("pair", pairs) == "motion-jax train pics2pics --data o --run RUN"
    assert "--run 'my run'" in next_command("evaluate", EvaluateOptions(run=run_))
    imported = ImportOptions(Path("x"), run_)
    assert next_command("import", imported).endswith("--run 'my run' --source VIDEO --out OUT.mp4 "
                                                     "--normalize none")  # fmt: skip
    assert "--data o" in next_command("import-data", FolderOptions(Path("x"), out))
    drawn = TransferOptions(source=film, out=out, run=run_)
    shown = TransferOptions(source=film, out=out, data=Path("d"), method="nearest")
    assert "evaluate --run 'my run' --source s.mp4" in next_command("transfer", drawn)
    assert "compare --target d" in next_command("transfer", shown)
    compared = CompareOptions(target=Path("d"), source=film, out=out)
    table = {"methods": {"nearest": {}, "pose2pics": {"run": "out/runs/pose2pics"}}}
    for best, said in (("nearest", "--method nearest --data d"), ("pose2pics", "--run out/runs")):
        table["recommendation"] = {"pose": [best], "person": []}
        assert said in next_command("compare", compared, table)
    # What is said can be typed: every option that is named exists.
    for line in (next_command("transfer", shown), next_command("compare", compared, table)):
        typed(line)


def test_what_follows_is_what_the_run_can_do(tmp_path):
    """Without a true frame nothing is measured; a photo is animated; noise has no film."""
    after = {"stylegan2": "factors", "cyclegan": "transfer", "first_order": "animate",
             "pose_stylegan": "animate", "face_style": "stylise"}  # fmt: skip
    for name, shown in after.items():
        (tmp_path / name).mkdir()
        text = json.dumps(to_json(load_config(name)))
        (tmp_path / name / "config.json").write_text(text)
        run_ = tmp_path / name
        trained = typed(next_command("train", command.TrainOptions(run=run_)))
        measured = name in ("first_order", "face_style")
        assert trained == ("evaluate" if measured else shown)
        assert typed(next_command("evaluate", EvaluateOptions(run=run_))) == shown
        assert typed(next_command("import", ImportOptions(Path("x"), run_))) == shown


def test_after_an_evaluation_that_recognises_nobody(tmp_path):
    run_ = tmp_path / "run"
    run_.mkdir()
    (run_ / "config.json").write_text(json.dumps(to_json(load_config("pose2pics"))))
    poor = {"methods": {"trained": {"person_found": 0.0}}, "data": "d",
            "reestimated_real": {"person_found": 1.0}}  # fmt: skip
    evaluated = EvaluateOptions(run=run_)
    line = next_command("evaluate", evaluated, poor)
    assert "--method nearest --data d" in line and typed(line) == "transfer"
    early = poor | {"go_on": f"motion-jax train --data d --run {run_}"}
    assert next_command("evaluate", evaluated, early).startswith("motion-jax train --data d")
    # Where the detector finds nobody in true frames it is not the run's fault.
    blind = poor | {"reestimated_real": {"person_found": 0.0}}
    good = poor | {"methods": {"trained": {"person_found": 1.0}}}
    for result in (blind, good):
        assert f"--run {run_}" in next_command("evaluate", evaluated, result)


def typed(line: str) -> str:
    """The verb of a line that is said after another one; its options exist."""
    verb, *words = shlex.split(line.partition("   (")[0])[1:]
    # The config of train is read before its options are.
    kind = options_of(verb, words)
    cli.parse(kind, verb, words[1:] if verb == "train" else words)
    return verb


# The options of a verb, and the verb of the command that is named after it: one for each row.
FOLLOWED = {
    "export-data d --out o": ({}, "import"),
    "animate --run r --photo p.png --driving d.mp4 --out o.mp4": ({}, "animate"),
    "distill --teacher r --run s": ({}, "live"),
    "live --run r": ({"left_out": []}, "live"),
    "live --run r --record o.mp4": ({"left_out": [[1.0, "out", "pose"]]}, "distill"),
    "export --run r --out o": ([Path("o/latest_net_G.pth")], "parity"),
    "export a.pth --format safetensors --out o": ([Path("o/a.safetensors")], "inspect"),
    "inspect r": ({"kind": "run"}, "export"),
    "inspect a.pth": ({"kind": "file", "networks": {"a": {"architecture": {}}}}, ""),
    "inspect b.pth": ({"kind": "file", "networks": {"b": {"architecture": {"a": 1}}}}, "import"),
    "inspect a.pth.tar": ({"kind": "file", "networks": {"a": {"architecture": None}}}, "import"),
    "inspect a.pth b.pth": ({"identical": False}, "parity"),
    "inspect a.pth a.pth": ({"identical": True}, ""),
    "parity a.pth b.pth": ({"first": "model.1"}, "inspect"),
    "parity a.pth b.npz": ({"first": None}, "import"),
    "profile demo": ({"folder": "out/profile/demo-global"}, "profile"),
    "profile --compare a b": ({}, ""),
    "compile demo --topology h200": ({"stages": {"global": {"fits": True}}}, "train"),
    "compile small --topology h200": ({"stages": {"global": {"fits": False}}}, "compile"),
    "blend a b --out o": (Path("o"), "pair-faces"),
    "blend a b --out o --method swap": (Path("o"), ""),
    "project p.png --run r --out o": (Path("o"), "factors"),
    "factors r --out o": (Path("o"), "project"),
    "pair-faces a o --out d": (Path("d"), "train"),
    "one-style p.png --run r --out o": (Path("o"), "pair-faces"),
    "frechet r --data d": ({}, "factors"),
    "stylise --run r --source s.mp4 --out o.mp4": (None, "export"),
    "fetch vgg19": (None, "train"),
    "demo": (None, "prepare"),
}


def test_what_is_named_after_files_is_taken(tmp_path):
    """Suggestions name files where folders are refused, and a dataset where the run has none."""

    def after(line, result):
        verb, *words = shlex.split(line)
        said = next_command(verb, cli.parse(options_of(verb), verb, words), result)
        typed(said)
        return said.partition("   (")[0]

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for file in ("20_net_G.pth", "latest_net_D.pth", "latest_net_G.pth"):
            (tmp_path / name / file).touch()
    one, two = tmp_path / "one", tmp_path / "two"
    said = after(f"inspect {one} {two}", {"identical": False})
    assert f"parity {one}/latest_net_G.pth {two}/latest_net_G.pth --input" in said
    run_ = tmp_path / "run"
    run_.mkdir()
    (run_ / "config.json").write_text(json.dumps(to_json(load_config("demo"))))
    assert after(f"parity {run_} a.pth", {"first": None}).endswith(f"{run_} --data DATASET")
    (run_ / "dataset.json").touch()
    assert after(f"parity {run_} a.pth", {"first": None}).endswith(f"evaluate --run {run_}")
    wrote = [Path("o/latest_net_G_A.pth")]
    assert after("export --run r --out o", wrote).endswith("random:0 --network generator_A")
    wrote = [Path("o/00000000-checkpoint.pth.tar")]
    assert after("export --run r --out o", wrote).endswith("r --input random:0")
    networks = {"a.pt: generator": {"architecture": {"class": "x"}}, "b": {"architecture": None}}
    found = {"kind": "checkpoints", "networks": networks}
    assert after(f"inspect {one}", found) == f"motion-jax import {one}/a.pt --run RUN"


@pytest.mark.parametrize("line", FOLLOWED)
def test_every_other_verb_names_the_next_command_too(line):
    verb, *words = shlex.split(line)
    result, following = FOLLOWED[line]
    said = next_command(verb, cli.parse(options_of(verb), verb, words), result)
    assert (said and typed(said)) == following


def test_after_people_who_are_unsure_comes_looking(tmp_path):
    """With the corrections that would not be refused, and the stretch of the film that was asked
    for."""
    words = ["d.mp4", "--out", str(tmp_path), "--end", "2.5"]
    options = cli.parse(options_of("people"), "people", words)
    prepare = "motion-jax prepare d.mp4 --person A --end 2.5 --out DATASET"
    assert next_command("people", options, ("A", "B", "C")) == prepare
    seen = {"A": [[0.0, 1.0]], "B": [[0.0, 2.4]], "C": [[1.2, 2.4]]}
    people = [{"name": name, "seen_seconds": spans} for name, spans in seen.items()]
    report = {"people": people, "unsure": []}
    (tmp_path / "people.json").write_text(json.dumps(report))
    assert next_command("people", options, ("A", "B", "C")) == prepare
    report["unsure"] = [
        {"seconds": 1.2, "people": ["A", "C"], "why": ""},
        {"seconds": 1.2, "people": ["B", "C"], "why": ""},
    ]
    (tmp_path / "people.json").write_text(json.dumps(report))
    said = next_command("people", options, ("A", "B", "C"))
    assert said.startswith(f"look at {tmp_path}/people.png;") and prepare in said
    assert "--same A,C " in said and "--at C=1.20s,X,Y " in said
    assert "--same B,C" not in said, "they are seen together"
    assert typed(said[said.index("motion-jax") :]) == "prepare"


def test_no_verb_was_forgotten():
    """See next_command for those that have none."""
    named = {"train", "pair", "evaluate", "import", "import-data", "transfer", "compare", "people"}
    named |= {"adapt"}
    named |= {shlex.split(line)[0] for line in FOLLOWED}
    own = {"prepare", "suggest", "serve", "studio", "completion", "jobs", "check"}
    assert named == set(cli.VERBS) - own


@pytest.mark.parametrize("format", ["onnx", "stablehlo", "orbax"])
def test_an_exported_program_is_run_elsewhere(format):
    options = cli.parse(options_of("export"), "export", ["--run", "r", "--format", format])
    assert next_command("export", options, [Path("o/a")]).startswith("docs/export.md")
    said = next_command("export", options, [Path("o/a"), Path("o/a.json")])
    assert said == "o/a.json says how it is called, without motion_jax."
