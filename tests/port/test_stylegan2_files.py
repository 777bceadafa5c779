"""StyleGAN2's checkpoints in and out: both layouts, NVIDIA's .pkl, Adam's averages, refusals."""

import io
import json
import pickle
import struct
import sys
import types
from collections import OrderedDict

import jax
import numpy as np
import pytest

from motion_jax.cli import main
from motion_jax.errors import UserError
from motion_jax.nets import stylegan2 as nets
from motion_jax.nets.stylegan2_discriminator import Discriminator
from motion_jax.port import stylegan2
from motion_jax.port.import_stylegan2 import plan
from motion_jax.weights import stylegan2 as keys
from motion_jax.weights.nvidia_pickle import read_nvidia_pickle
from motion_jax.weights.torch import read_tree, write_nested, write_pth

GENERATOR = nets.Generator((4, 3, 2), latent=4, style=4, mapping_layers=2)
JUDGE = Discriminator((4, 3, 2))


def drawn(module, *inputs):
    """(settings, variables) with every number random."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    random = np.random.default_rng(len(jax.tree.leaves(shapes)))
    fill = lambda leaf: random.standard_normal(leaf.shape).astype(np.float32)  # noqa: E731
    return keys.described(module), jax.tree.map(fill, shapes)


@pytest.fixture(scope="module")
def networks():
    return {
        "g": drawn(GENERATOR, np.zeros((1, 4), np.float32)),
        "d": drawn(JUDGE, np.zeros((1, 16, 16, 3), np.float32)),
    }


@pytest.fixture(scope="module")
def checkpoint(networks, tmp_path_factory):
    """As rosinality's training writes it, but for the program's arguments and the optimisers."""
    states = {n: keys.state_dict(tree, s, "rosinality") for n, (s, tree) in networks.items()}
    path = tmp_path_factory.mktemp("style") / "000100.pt"
    averaged = dict(states["g"])
    averaged["conv1.conv.weight"] = averaged["conv1.conv.weight"] * np.float32(0.5)
    write_nested(path, {**states, "g_ema": averaged, "latent_avg": np.arange(4, dtype=np.float32)})
    return path


def same(a, b):
    assert set(a) == set(b)
    for key, value in a.items():
        np.testing.assert_array_equal(value, b[key], err_msg=key)


def test_imported_and_exported_it_is_the_same_file(checkpoint, tmp_path, capsys):
    run = tmp_path / "run"
    main(["import", str(checkpoint), "--run", str(run)])
    assert "recipe stylegan2, stage main, 16x16" in capsys.readouterr().err
    for layout in ("rosinality", "nvlabs"):
        main(["export", "--run", str(run), "--layout", layout, "--out", str(tmp_path)])
    before, after = read_tree(checkpoint), read_tree(tmp_path / "stylegan2.rosinality.pt")
    for name in ("g", "g_ema", "d"):
        same(before[name], after[name])
    np.testing.assert_array_equal(before["latent_avg"], after["latent_avg"])
    # NVIDIA's layout of the same, made a file of rosinality's again.
    main(["export", str(tmp_path / "stylegan2.nvlabs.pt"), "--out", str(tmp_path)])
    back = read_tree(tmp_path / "stylegan2.nvlabs.rosinality.pt")
    for name in ("g", "g_ema", "d"):
        same(before[name], back[name])
    capsys.readouterr()
    main(["inspect", str(checkpoint), str(run), "--json"])
    assert json.loads(capsys.readouterr().out)["identical"]
    main(["inspect", str(checkpoint)])
    said = capsys.readouterr().out
    assert "StyleGAN2 generator (rosinality): 16x16, skip, channels from 4x4 on 4, 3, 2" in said
    main(["parity", str(checkpoint), str(tmp_path / "stylegan2.nvlabs.pt"), "--json"])
    result = json.loads(capsys.readouterr().out)
    assert result["first"] is None and len(result["layers"]) > 10
    # In order of execution: mapping first, sizes ascending, the picture last.
    order = [layer["name"] for layer in result["layers"]]
    ours = [name for name in order if name in ("mapping", "synthesis", "output")]
    assert order[0].startswith("mapping") and ours == ["mapping", "synthesis", "output"]
    sizes = [int(name.split("level_")[1].split("_")[0]) for name in order if "level_" in name]
    assert sizes == sorted(sizes) and {4, 8, 16} == set(sizes)


def test_the_published_optimisers_come_along(shared, tmp_path, capsys):
    path = shared / "fixtures" / "stylegan2" / "train_rosinality.final.pt"
    if not path.is_file():
        pytest.skip("no fixtures of StyleGAN2 beside the project")
    found = stylegan2.read(path)
    assert found.facts["arguments"]["lr"] == 0.002 and found.facts["augment_p"] == 0.0
    made = plan(found)
    assert set(made.steps) == {"generator", "discriminator"} and min(made.steps.values()) > 6
    optimiser, state = read_tree(path)["g_optim"]["state"], read_tree(path)["g"]
    order = [key for key in state if not key.endswith("kernel") and "noises" not in key]
    index = order.index("convs.3.conv.weight")
    mean, square = made.moments["generator"]
    for tree, part in ((mean, "exp_avg"), (square, "exp_avg_sq")):
        ours = tree["synthesis"]["level_16_conv_1"]["weight"]
        theirs = optimiser[index][part][0].transpose(2, 3, 1, 0)
        np.testing.assert_array_equal(np.asarray(ours), theirs)


# --- NVIDIA's .pkl -----------------------------------------------------------------------------


def storage(array):
    """As torch.save writes one storage in its older format."""

    class Place:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, Place):
                kind = module("torch").FloatStorage
                return ("storage", kind, "0", "cuda:0", array.size, None)
            return None

    file = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(value, file, protocol=2)
    Pickler(file, protocol=2).dump(Place())
    pickle.dump(["0"], file, protocol=2)
    return file.getvalue() + struct.pack("<q", array.size) + array.astype("<f4").tobytes()


_MODULES: dict[str, types.ModuleType] = {}


def module(name):
    return _MODULES[name]


@pytest.fixture
def programs(monkeypatch):
    """Names that the pickles refer to, so that Python can write them; reading needs none."""
    _MODULES.clear()
    for name in ("torch", "torch._utils", "torch.storage", "torch_utils",
                 "torch_utils.persistence", "dnnlib", "dnnlib.util"):  # fmt: skip
        _MODULES[name] = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, _MODULES[name])

    def named(place, function):
        function.__module__, function.__qualname__ = place, function.__name__
        setattr(_MODULES[place], function.__name__, function)

    def _reconstruct_persistent_obj(meta): ...
    def _load_from_bytes(data): ...
    def _rebuild_tensor_v2(*arguments): ...
    def _rebuild_parameter(*arguments): ...

    named("torch_utils.persistence", _reconstruct_persistent_obj)
    named("torch.storage", _load_from_bytes)
    named("torch._utils", _rebuild_tensor_v2)
    named("torch._utils", _rebuild_parameter)
    named("torch", type("FloatStorage", (), {}))
    named("dnnlib.util", type("EasyDict", (dict,), {}))


class Called:
    """Pickled as a call."""

    def __init__(self, place, name, *arguments):
        self.call = getattr(module(place), name), arguments

    def __reduce__(self):
        return self.call


def tensor(array, parameter):
    strides = tuple(stride // 4 for stride in np.asarray(array, order="C").strides)
    block = Called("torch.storage", "_load_from_bytes", storage(array))
    made = Called(
        "torch._utils", "_rebuild_tensor_v2", block, 0, array.shape, strides, False, OrderedDict()
    )
    if not parameter:
        return made
    return Called("torch._utils", "_rebuild_parameter", made, True, OrderedDict())


def network(name, state, **arguments):
    """A stored network, with those inside of it, of a state_dict."""
    inner: dict = {}
    parts: dict = {"_parameters": OrderedDict(), "_buffers": OrderedDict()}
    for key, array in state.items():
        first, _, rest = key.partition(".")
        if rest:
            inner.setdefault(first, {})[rest] = array
        else:
            buffer = first in ("resample_filter", "noise_const", "w_avg")
            where = "_buffers" if buffer else "_parameters"
            parts[where][first] = tensor(array, not buffer)
    easy = module("dnnlib.util").EasyDict
    modules = OrderedDict((key, network("Inner", each)) for key, each in inner.items())
    meta = {
        "type": "class",
        "version": 6,
        "module_src": "raise SystemExit('run')",
        "class_name": name,
        "state": {
            **parts,
            "training": False,
            "_backward_hooks": OrderedDict(),
            "_non_persistent_buffers_set": set(),
            "_modules": modules,
            "_init_kwargs": easy(arguments),
        },
    }
    return Called("torch_utils.persistence", "_reconstruct_persistent_obj", easy(meta))


@pytest.mark.parametrize("protocol", [3, 4])
def test_a_snapshot_of_nvidia_is_read_and_nothing_in_it_run(
    programs, networks, tmp_path, protocol, capsys
):
    states = {n: keys.state_dict(tree, s, "nvlabs") for n, (s, tree) in networks.items()}
    made = network("Generator", states["g"], synthesis_kwargs={"conv_clamp": 256})
    judge = network("Discriminator", states["d"], conv_clamp=256, epilogue_kwargs={})
    path = tmp_path / "network-snapshot.pkl"
    content = {"G_ema": made, "D": judge, "augment_pipe": None, "training_set_kwargs": {"a": 1}}
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    found = read_nvidia_pickle(path)
    same(found["G_ema"].arrays, states["g"])
    same(found["D"].arrays, states["d"])
    published = stylegan2.read(path)
    assert published.generator.settings["clamp"] == 256
    settings, variables = stylegan2.networks_of_file(published)["generator (averaged)"]
    jax.tree.map(np.testing.assert_array_equal, variables, networks["g"][1])
    assert plan(published).config.recipe.generator.clamp == 256


class Harm:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (pickle.dumps({"G": Harm()}), "refers to builtins.print.*nothing in it was run"),
        (pickle.dumps({"a": 1}), "holds no networks, but a"),
        (pickle.dumps([1]), "no dictionary of networks|not a dictionary"),
        (b"", "is empty"),
        (pickle.dumps({"G": 1})[:-4], "cut short"),
    ],
)
def test_other_pickles_are_refused(content, sentence, tmp_path, capsys):
    path = tmp_path / "w.pkl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        stylegan2.read(path)
    assert "run" not in capsys.readouterr().out


def test_what_cannot_be_taken_is_said(networks, tmp_path):
    state = keys.state_dict(networks["g"][1], networks["g"][0], "nvlabs")
    third = {"synthesis.input.freqs": np.zeros((4, 2), np.float32), **state}
    del third["synthesis.b4.const"]
    write_pth(tmp_path / "third.pt", third)
    with pytest.raises(UserError, match=r"third.pt: This is a generator of StyleGAN3"):
        stylegan2.read(tmp_path / "third.pt")
    short = {key: value for key, value in state.items() if key != "synthesis.b8.conv1.bias"}
    write_pth(tmp_path / "short.pt", short)
    with pytest.raises(UserError, match="synthesis.b8.conv1.bias is missing"):
        stylegan2.networks_of_file(stylegan2.read(tmp_path / "short.pt"))
    write_pth(tmp_path / "more.pt", {**state, "odd": np.zeros(3, np.float32)})
    with pytest.raises(UserError, match="holds odd, which"):
        stylegan2.networks_of_file(stylegan2.read(tmp_path / "more.pt"))
    told = nets.Generator((4, 3), latent=4, style=4, mapping_layers=1, labels=3)
    settings, tree = drawn(told, np.zeros((1, 4), np.float32), np.zeros((1, 3), np.float32))
    write_pth(tmp_path / "told.pt", keys.state_dict(tree, settings, "nvlabs"))
    with pytest.raises(UserError, match="pictures of 3 classes"):
        plan(stylegan2.read(tmp_path / "told.pt"))
    with pytest.raises(UserError, match="write the layout nvlabs"):
        keys.state_dict(tree, settings, "rosinality")
