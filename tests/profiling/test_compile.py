"""motion-jax compile: the real step compiled for TPU chips that are not here, and its file."""

import contextlib
import importlib.util
import json
import sys
import zipfile
from dataclasses import replace

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from motion_jax import cli
from motion_jax.config import Devices, load_config
from motion_jax.devices import mesh as meshes
from motion_jax.errors import UserError
from motion_jax.profiling import saved, topology
from motion_jax.profiling.compile import compile_config, lines
from motion_jax.profiling.options import CompileOptions
from motion_jax.train.step import compiled_step, step_inputs

CONFIG = """
from motion_jax.config import Config
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes import pix2pixhd as hd

config = Config(
    recipe=hd.Pix2PixHD(
        generator=hd.Generator(ngf=4, n_downsampling=1, n_blocks=1),
        discriminator=hd.Discriminator(ndf=4, n_layers=1),
        losses=hd.Losses(perceptual="none", l1=10.0),
        global_stage=hd.Stage(steps=4, height=32, width=32, batch_size=4, num_D=1),
        local_stage=hd.Stage(steps=0, height=32, width=32, batch_size=4, num_D=1),
        pose_style=PoseStyle(face_points=0, hands=False),
        dtype="bfloat16",
    )
)
"""
# Tensors of 96 x 96 channels are worth sharing.
WIDE = ["--recipe.generator.ngf", "48"]

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed (the extra tpu)"
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("compile") / "tiny.py"
    path.write_text(CONFIG)
    return str(path)


@pytest.fixture(scope="module")
def compiled(tiny):
    """What the verb says for four chips: batch shared, optimiser's state too, height shared.

    One after the other and with the compiler's usual effort: with the least, which other tests are
    content with, and in several threads, the first once had another message between its chips.
    """
    file = f"{tiny}.zip"
    options = CompileOptions(tiny, "v5e:2x2", stage="global")
    jobs = {
        "data": (replace(options, save=saved.Path(file)), []),
        "sharded": (replace(options, shard_optimizer=True), WIDE),
        "space": (replace(options, mesh="data=2,space=2", batch_per_chip=1), []),
    }
    topology.topology_devices("v5e:2x2")
    programs, compile_step = [], topology.compile_step

    def keeping(config, stage, mesh):
        programs.append(compile_step(config, stage, mesh))
        return programs[-1]

    with pytest.MonkeyPatch.context() as patch, usual_effort():
        patch.setattr(topology, "compile_step", keeping)
        found = {name: compile_config(*job) for name, job in jobs.items()}
    return found | {"programs": programs}


@contextlib.contextmanager
def usual_effort():
    """The compiler optimises as it does for users."""
    before = jax.config.jax_exec_time_optimization_effort
    jax.config.update("jax_exec_time_optimization_effort", 0.0)
    try:
        yield
    finally:
        jax.config.update("jax_exec_time_optimization_effort", before)


def stage_of(result):
    return result["stages"]["global"]


def messages(result):
    return {kind["kind"]: kind for kind in stage_of(result)["collectives"]}


def weights(*settings):
    """Bytes of the trained parameters."""
    config = load_config_with(settings)
    state, _, _ = step_inputs(config, "global")
    return sum(4 * leaf.size for leaf in jax.tree.leaves(state.params))


def load_config_with(settings):
    scope = {}
    exec(CONFIG, scope)
    if settings:
        recipe = scope["config"].recipe
        recipe = replace(recipe, generator=replace(recipe.generator, ngf=int(settings[1])))
        return replace(scope["config"], recipe=recipe)
    return scope["config"]


@needs_libtpu
def test_the_gradients_alone_are_summed_where_the_batch_is_shared(compiled):
    found = messages(compiled["data"])
    assert set(found) == {"all-reduce"}, found
    assert weights() / 2 <= found["all-reduce"]["bytes"] < 1.5 * weights()
    stage = stage_of(compiled["data"])
    assert 0 < stage["communication_seconds"] == found["all-reduce"]["seconds"]
    assert stage["seconds_beside"] <= stage["seconds_after"]
    assert stage["seconds"] > stage["flop_limit_seconds"] > 0
    assert stage["batch_per_chip"] == 1


def test_the_cache_is_back_after_the_last_has_left(tmp_path):
    """Programs for chips that are elsewhere could be written there, and not be read again."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_enable_compilation_cache": True,
    }
    before = {name: jax.config.values[name] for name in settings}

    def compile_named(name):
        def function(x):
            return x + 1

        function.__name__ = name
        jax.jit(function).lower(jax.ShapeDtypeStruct((3,), np.float32)).compile()

    try:
        for name, value in settings.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        compile_named("before")
        with topology.no_compilation_cache():
            with topology.no_compilation_cache():
                compile_named("inside")
            compile_named("between")
        compile_named("after")
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
    names = {path.name.split("-")[0] for path in tmp_path.iterdir()}
    assert names == {"jit_before", "jit_after"}


@needs_libtpu
def test_the_estimate_is_of_the_real_step(compiled):
    for program in compiled["programs"]:
        said = topology.estimate(program)
        assert said["chip"] == "v5e"
        assert said["cycles"] == sum(each.total_cycles for each in said["instructions"])
        assert said["uncosted_seconds"] < 0.05 * said["seconds"]
        scopes = {scope.network for scope, _, _ in topology.by_scope(said["instructions"])}
        assert {"generator", "discriminator"} <= scopes
        assert sorted(device.id for device in topology.devices_of(program)) == list(range(4))


@needs_libtpu
@pytest.mark.parametrize("case", ["data", "sharded", "space"])
def test_the_whole_state_is_changed_in_place_and_memory_adds_up(compiled, case):
    stage = stage_of(compiled[case])
    assert stage["fits"]
    assert stage["donated"]["tensors"] == stage["donated"]["of"] > 50
    # The padding of small tensors to tiles is named; nothing is counted twice.
    assert sum(stage["memory_by_kind"].values()) == stage["memory"]["peak"]
    assert stage["memory"]["donated"] >= stage["memory"]["output"] - 4096


@needs_libtpu
def test_a_sharded_optimiser_takes_a_share_of_the_memory(compiled):
    kinds = stage_of(compiled["sharded"])["memory_by_kind"]
    # Two moments of each parameter, of which the large tensors are cut in four.
    assert kinds["parameters"] == weights(*WIDE)
    assert kinds["optimiser"] < 0.6 * 2 * weights(*WIDE)
    assert (
        kinds["parameters"] + kinds["optimiser"] < stage_of(compiled["sharded"])["memory"]["peak"]
    )
    # The parameters' changes are gathered from the chips that work them out.
    found = messages(compiled["sharded"])
    assert "all-gather" in found
    assert compiled["sharded"]["shard_optimizer"]
    assert stage_of(compiled["data"])["memory_by_kind"]["optimiser"] >= 2 * weights()


@needs_libtpu
def test_neighbours_exchange_rows_where_the_height_is_shared(compiled):
    found = messages(compiled["space"])
    assert compiled["space"]["mesh"] == {"data": 2, "space": 2}
    rows = found["collective-permute"]
    assert rows["count"] == rows["beside"] > 10
    assert {"all-reduce", "collective-permute"} <= set(found)


@needs_libtpu
def test_what_is_printed_says_what_a_person_asks(compiled, tiny):
    text = "\n".join(lines(compiled["data"]))
    for part in ("4 chips (data 4 x space 1)", "fits", "all-reduce", "of the state", "FLOP limit"):
        assert part in text
    assert f"Saved to {tiny}.zip" in text
    assert "optimiser's state shared" in "\n".join(lines(compiled["sharded"]))
    assert "collective-permute" in "\n".join(lines(compiled["space"]))
    again = json.loads(json.dumps(compiled["data"]))
    assert again["stages"]["global"]["collectives"][0]["kind"] == "all-reduce"


@needs_libtpu
def test_a_saved_step_says_what_it_was_made_for(compiled, tiny):
    with zipfile.ZipFile(f"{tiny}.zip") as archive:
        about = json.loads(archive.read("about.json"))
        assert len(archive.read("global.bin")) > 100_000
    assert about["stages"]["global"]["devices"] == 4
    with pytest.raises(UserError, match="compiled for 4 x TPU v5 lite, and here is 1 x cpu"):
        saved.load_step(f"{tiny}.zip", "global", jax.devices()[:1])


@needs_libtpu
def test_a_program_that_is_too_large_is_an_answer_and_no_crash(monkeypatch, tiny, capsys):
    def refuse(config, stage, mesh):
        raise topology.TooLarge("Ran out of memory on HBM")

    monkeypatch.setattr(topology, "compile_step", refuse)
    with pytest.raises(SystemExit) as ended:
        cli.main(["compile", tiny, "--topology", "v5e:2x2"])
    assert ended.value.code == 1
    assert "does not fit    Ran out of memory on HBM" in capsys.readouterr().out


@needs_libtpu
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--mesh", "space=3"], "devices.space = 3 does not divide the 4 devices"),
        (["--mesh", "data=2"], "leaves 2 of the 4 chips of v5e:2x2 without work"),
        (["--recipe.global-stage.batch-size", "3"], "batch_size = 3 cannot be shared among the 4"),
        (["--mesh", "data=8"], "needs 8 chips, and v5e:2x2 has 4; make it data 4 x space 1, or na"),
        (["--mesh", "data=3", "--topology", "v5e:4x4"], "also --batch-per-chip 1), or name a sma"),
        (["--topology", "v5e:4x4"], "--recipe.global-stage.batch-size 16 (with motion-jax comp"),
        (["--topology", "v5e:3x7"], "2x4, 4x4, 4x8, 8x8, 8x16 or 16x16 (its reason: it is not"),
    ],
)
def test_a_layout_that_cannot_be_is_refused_in_a_sentence(tiny, words, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["compile", tiny, "--topology", "v5e:2x2", *words])
    assert ended.value.code == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(errors) == 1 and sentence in errors[0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "--topology, for example"),
        (["--topology", "v9:2x2"], "'v9:2x2' is no TPU topology"),
        (["--topology", "v5e:2x2", "--mesh", "4x4"], "--mesh 4x4 is no mesh"),
        (["--topology", "v5e:2x2", "--batch-per-chip", "-1"], "--batch-per-chip -1 gives a chip"),
        (["--topology", "v5e:2x2", "--batch-per-chip", "0"], "--batch-per-chip 0 gives a chip"),
        (["--topology", "v5e:2x2", "--safe", "x"], "did you mean --save?"),
    ],
)
def test_options_that_cannot_be_are_refused_in_a_sentence(tiny, words, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["compile", tiny, *words])
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]


def test_without_libtpu_the_extra_is_named(monkeypatch, tiny, capsys):
    from jax.experimental import topologies

    def absent(*words, **options):
        raise RuntimeError("no TPU library")

    monkeypatch.setattr(topologies, "get_topology_desc", absent)
    monkeypatch.setitem(sys.modules, "libtpu", None)
    with pytest.raises(SystemExit) as ended:
        cli.main(["compile", tiny, "--topology", "v5e:2x2"])
    assert ended.value.code == 2
    assert "needs the package libtpu; pip install 'motion-jax[tpu]'" in capsys.readouterr().err


def test_a_saved_step_runs_as_the_one_it_was_made_from(tiny, tmp_path):
    """On the CPU: a TPU's needs a TPU."""
    config = load_config(tiny)
    mesh = meshes.of_stage(
        config.devices, config.recipe.stages()["global"], "global", jax.devices()[:1]
    )
    inputs = step_inputs(config, "global", mesh)
    # As the command compiles: a CPU's program out of the cache cannot be saved again.
    with topology.no_compilation_cache():
        step = compiled_step(config, "global", mesh).lower(*inputs).compile()
    path = tmp_path / "steps.zip"
    saved.save(path, {"global": (config, step)})
    again_config, again = saved.load_step(path, "global", jax.devices()[:1])
    assert again_config == config

    def arguments():
        state = config.recipe.init(jax.random.key(0), "global")
        batch = {name: np.ones(leaf.shape, leaf.dtype) for name, leaf in inputs[1].items()}
        return state, meshes.place(batch, mesh), {}

    expected, found = step(*arguments())[1], again(*arguments())[1]
    assert expected.keys() == found.keys()
    assert all(expected[name] == found[name] for name in expected)
    with pytest.raises(UserError, match="has no compiled stage 'face'; it has global"):
        saved.load_step(path, "face")
    with zipfile.ZipFile(path, "a") as archive:
        about = json.loads(archive.read("about.json"))
    about["versions"]["jax"] = "0.1"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("about.json", json.dumps(about))
        archive.writestr("global.bin", b"")
    with pytest.raises(UserError, match=r"was compiled with jax 0\.1.*compile it again"):
        saved.load_step(path, "global")
    path.write_text("nothing")
    with pytest.raises(UserError, match="cannot be read as compiled steps"):
        saved.load_step(path, "global")


@needs_libtpu
def test_chips_that_are_no_box_still_make_a_mesh():
    chips = topology.topology_devices("v5e:2x2")
    assert meshes.make_mesh(Devices(), 3, chips).shape == {"data": 3, "space": 1}
