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
from motion_jax.compare.options import CompareOptions
from motion_jax.config import flatten, load_config, to_json
from motion_jax.data.import_options import ImportOptions as FolderOptions
from motion_jax.errors import UserError
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.pairing.options import PairOptions
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
    monkeypatch.setattr(cli, "_settle", lambda: None)
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


def options_of(verb):
    from motion_jax.cli.completion import CompletionOptions
    from motion_jax.compare.options import CompareOptions
    from motion_jax.data.export_data import ExportOptions as DataExportOptions
    from motion_jax.data.import_data import ImportOptions as DataImportOptions
    from motion_jax.data.prepare_options import PrepareOptions
    from motion_jax.demo_options import DemoOptions
    from motion_jax.evaluate.options import EvaluateOptions
    from motion_jax.fetch import FetchOptions
    from motion_jax.pairing.options import PairOptions
    from motion_jax.port.options import ExportOptions, ImportOptions, InspectOptions, ParityOptions
    from motion_jax.profiling.options import CompileOptions, ProfileOptions
    from motion_jax.transfer.options import TransferOptions

    return {
        "prepare": PrepareOptions, "transfer": TransferOptions, "evaluate": EvaluateOptions,
        "profile": ProfileOptions, "fetch": FetchOptions, "demo": DemoOptions,
        "import": ImportOptions, "export": ExportOptions, "inspect": InspectOptions,
        "parity": ParityOptions, "import-data": DataImportOptions,
        "export-data": DataExportOptions, "compile": CompileOptions,
        "pair": PairOptions, "compare": CompareOptions, "completion": CompletionOptions,
    }[verb]  # fmt: skip


@pytest.mark.parametrize("verb", [verb for verb in cli.VERBS if verb != "train"])
def test_help_of_a_verb_mentions_every_option(verb, capsys):
    assert run(verb, "--help") == 0
    text = capsys.readouterr().out
    for field in dataclasses.fields(options_of(verb)):
        name = field.name.replace("_", "-")
        positional = "Positional" in str(field.type)
        assert positional or f"--{name}" in text, name
        assert not positional or "positional arguments" in text


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
    cli._quiet_without_tpu(tmp_path)
    assert "TPU_ACCELERATOR_TYPE" not in os.environ
    (tmp_path / "accel0").unlink()
    cli._quiet_without_tpu(tmp_path)
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
    assert next_command("inspect", None) == ""
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
        verb, *words = shlex.split(line)[1:]
        kind = {"transfer": TransferOptions, "compare": CompareOptions}[verb]
        cli.parse(kind, verb, words)
