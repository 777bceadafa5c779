"""The verbs inspect and parity: files, folders and runs; what differs, and where it begins."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from motion_jax import cli
from motion_jax.config import to_json
from motion_jax.errors import UserError
from motion_jax.nets.initial import initialise
from motion_jax.nets.pix2pix import UnetGenerator
from motion_jax.nets.pix2pixhd import GlobalGenerator
from motion_jax.port import load_network
from motion_jax.port.contents import look_into
from motion_jax.port.import_run import import_run
from motion_jax.port.inspect import difference
from motion_jax.port.network import Network, save_torch
from motion_jax.port.options import ImportOptions
from motion_jax.port.parity import compare
from motion_jax.port.reference import reference_description
from motion_jax.train import imported
from motion_jax.train.run import read_config
from motion_jax.weights import architecture
from motion_jax.weights.safetensors import write_safetensors
from motion_jax.weights.torch import write_pth

GENERATOR = {"class": "GlobalGenerator", "input_nc": 6, "output_nc": 3, "ngf": 2,
             "n_downsampling": 1, "n_blocks": 1}  # fmt: skip
DISCRIMINATOR = {"class": "MultiscaleDiscriminator", "input_nc": 12, "ndf": 2, "n_layers": 1,
                 "num_D": 1, "intermediate_features": True}  # fmt: skip
FACE = {"class": "NLayerDiscriminator", "input_nc": 6, "ndf": 2, "n_layers": 1, "norm": "batch",
        "intermediate_features": False, "prefix": "facemodel"}  # fmt: skip


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    """Settings of the process that the command makes are not for the tests' process."""
    monkeypatch.setattr("motion_jax.cli.environment.settle", lambda: None)


def weights_of(description, seed=0):
    generator = np.random.default_rng(seed)
    weights = {}
    for layer in architecture.layers(description):
        for key, shape in layer.keys().items():
            weights[key] = generator.standard_normal(shape).astype(np.float32)
            if key.endswith("num_batches_tracked"):
                weights[key] = np.array(3, np.int64)
    return weights


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    folder.mkdir()
    for seed, epoch in enumerate(("latest", "20")):
        write_pth(folder / f"{epoch}_net_G.pth", weights_of(GENERATOR, seed))
        write_pth(folder / f"{epoch}_net_D.pth", weights_of(DISCRIMINATOR, seed))
    return folder


@pytest.fixture(scope="module")
def run_folder(experiment, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    return import_run(ImportOptions(source=experiment, run=folder, size="32x32"))


def command(capsys, *arguments):
    """Standard output of the command, which must end well."""
    cli.main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def refused(capsys, *arguments):
    """The sentence with which the command refuses."""
    with pytest.raises(SystemExit) as end:
        cli.main([str(argument) for argument in arguments])
    assert end.value.code == 2
    out, err = capsys.readouterr()
    assert not out and err.count("motion-jax: error:") == 1
    return err


# --- inspect --------------------------------------------------------------------------------------


def test_a_file_and_the_run_made_of_it_have_one_hash(experiment, run_folder, capsys):
    folder = json.loads(command(capsys, "inspect", experiment, "--json"))
    run = json.loads(command(capsys, "inspect", run_folder, "--json"))
    assert folder["kind"] == "checkpoints" and run["kind"] == "run"
    assert (folder["epoch"], folder["other epochs"]) == ("latest", ["20"])
    assert (run["recipe"], run["stage"]) == ("everybody_dance_now", "global")
    assert (run["step"], run["step in stage"]) == (0, 0)
    for theirs, ours, description in (
        ("G", "generator", GENERATOR), ("D", "discriminator", DISCRIMINATOR),
    ):  # fmt: skip
        one, two = folder["networks"][theirs], run["networks"][ours]
        assert one["architecture"] == two["architecture"] == description
        assert one["sha256"] == two["sha256"] and len(one["sha256"]) == 64
        count = sum(value.size for value in weights_of(description).values())
        assert one["parameters"] == two["parameters"] == count
        assert one["layers"] == two["layers"]
    assert folder["networks"]["G"]["sha256"] != folder["networks"]["D"]["sha256"]
    # What identifies a run comes ahead of the layers.
    assert list(run).index("step") < list(run).index("networks")
    assert all(list(network)[-2:] == ["sha256", "layers"] for network in run["networks"].values())


def test_averaged_parameters_are_networks_of_their_own(run_folder, experiment, tmp_path, capsys):
    config = read_config(run_folder)
    config = replace(config, recipe=replace(config.recipe, averaging=0.5))
    state = imported.fresh_state(config, "global")
    params = load_network(experiment / "latest_net_G.pth").params
    state = state.replace(averaged={"generator": params})
    (tmp_path / "config.json").write_text(json.dumps(to_json(config)))
    imported.save(tmp_path, config, "global", state, {"from": "a test"})
    networks = json.loads(command(capsys, "inspect", tmp_path, "--json"))["networks"]
    assert list(networks) == ["discriminator", "generator", "generator (averaged)"]
    file = json.loads(command(capsys, "inspect", experiment, "--json"))["networks"]["G"]
    assert networks["generator (averaged)"]["sha256"] == file["sha256"]
    assert networks["generator"]["sha256"] != file["sha256"]
    # Against an experiment's files, and in parity, the averaged ones count, as in transfer.
    found = json.loads(command(capsys, "inspect", tmp_path, experiment, "--json"))
    assert found["networks"]["generator (averaged) | G"]["identical"]
    assert not found["networks"]["discriminator | D"]["identical"]
    assert found["only in A"] == ["generator"]


def test_figures_of_a_file(tmp_path, capsys):
    weights = weights_of(FACE)
    weights["facemodel.2.bias"][1:3] = np.nan, np.inf
    weights["facemodel.0.weight"] = np.full((2, 6, 4, 4), -7, np.float32)
    write_safetensors(tmp_path / "face.safetensors", weights)
    found = json.loads(command(capsys, "inspect", tmp_path / "face.safetensors", "--json"))
    network = found["networks"]["face.safetensors"]
    layers = {layer["name"]: layer for layer in network["layers"]}
    assert network["nan"] == layers["facemodel.2.bias"]["nan"] == 1
    assert network["infinite"] == layers["facemodel.2.bias"]["infinite"] == 1
    assert network["min"] == -7 and network["dtype"] == "float32"
    trained = {k: v for k, v in weights.items() if not k.endswith(architecture.STATISTICS)}
    values = np.concatenate([value.ravel() for value in trained.values()])
    assert network["parameters"] == values.size and network["tensors"] == len(weights)
    assert network["mean"] == pytest.approx(values[np.isfinite(values)].mean(), abs=1e-6)
    assert network["max"] == pytest.approx(values[np.isfinite(values)].max())
    assert layers["facemodel.3.running_mean"]["parameters"] == 0
    text = command(capsys, "inspect", tmp_path / "face.safetensors", "--layers")
    assert "facemodel.3.num_batches_tracked" in text and "scalar" in text
    assert "NLayerDiscriminator (6 channels in, width 2, 1 strided layers, padding 2, " in text
    assert network["sha256"] in text


def test_an_unknown_network_is_shown_and_said(tmp_path, capsys):
    write_pth(tmp_path / "w.pt", {"fc.weight": np.zeros((2, 3), np.float16), "n": np.array(3)})
    (tmp_path / "opt.txt").write_text("not asked for")
    text = command(capsys, "inspect", tmp_path / "w.pt", "--layers")
    assert "float16" in text and "2 x 3" in text and "not the weights of a network that" in text
    found = json.loads(command(capsys, "inspect", tmp_path, "--json"))
    assert found["networks"]["w.pt"]["architecture"] is None
    assert found["networks"]["w.pt"]["parameters"] == 6


def test_the_encoder_of_instance_features_is_no_generator(tmp_path, capsys):
    write_pth(tmp_path / "latest_net_E.pth", weights_of({**GENERATOR, "n_blocks": 0}))
    assert "encoder of instance features" in command(capsys, "inspect", tmp_path)
    with pytest.raises(UserError, match="encoder of instance features"):
        load_network(tmp_path / "latest_net_E.pth")


def test_what_differs_is_shown(experiment, tmp_path, capsys):
    one = experiment / "latest_net_G.pth"
    text = command(capsys, "inspect", one, one)
    assert "identical, all 12 tensors bit for bit" in text
    text = command(capsys, "inspect", one, experiment / "latest_net_D.pth")
    assert "no common tensors\n" in text and "0 of 0" not in text
    other = weights_of(GENERATOR)
    other["model.4.weight"][0, 0, 0, 0] += 0.5
    del other["model.12.bias"], other["model.12.weight"]
    wide = {**GENERATOR, "ngf": 4}
    write_pth(tmp_path / "a.pth", {f"module.{key}": value for key, value in other.items()})
    write_pth(tmp_path / "b.pth", weights_of(wide))
    found = json.loads(command(capsys, "inspect", one, tmp_path / "b.pth", "--json"))
    (network,) = found["networks"].values()
    assert not found["identical"] and network["architecture"] == {"ngf": [2, 4]}
    assert network["shapes"]["model.1.weight"] == [[2, 6, 7, 7], [4, 6, 7, 7]]
    # Both networks unknown or damaged: the files' own keys.
    found = json.loads(command(capsys, "inspect", tmp_path / "a.pth", one, "--json"))
    (network,) = found["networks"].values()
    assert "module.model.4.weight" in network["only in A"]
    changed = weights_of(GENERATOR)
    changed["model.4.weight"][0, 0, 0, 0] += 0.5
    changed["model.1.bias"][0] = np.nan
    write_pth(tmp_path / "a.pth", {f"module.{key}": value for key, value in changed.items()})
    text = command(capsys, "inspect", one, tmp_path / "a.pth")
    assert "2 of 12 common tensors differ" in text
    assert text.index("model.1.bias") < text.index("model.4.weight") and "NaN" in text


def test_a_run_is_compared_with_its_experiment(experiment, run_folder, capsys):
    found = json.loads(command(capsys, "inspect", experiment, run_folder, "--json"))
    assert found["identical"] and set(found["networks"]) == {"G | generator", "D | discriminator"}
    assert found["only in A"] == found["only in B"] == []


def test_differences():
    assert difference(np.array([1.0, 2]), np.array([1.0, 2.5])) == 0.5
    assert difference(np.array([np.nan, np.inf]), np.array([np.nan, np.inf])) == 0
    assert difference(np.array([np.nan, 1]), np.array([1, 1])) is None
    assert difference(np.array([np.inf, 1]), np.array([-np.inf, 1])) is None
    assert difference(np.zeros((0, 2)), np.zeros((0, 2))) == 0


def test_inspect_refuses_in_one_sentence(tmp_path, experiment, capsys):
    assert "There is no" in refused(capsys, "inspect", tmp_path / "absent")
    assert "neither a run" in refused(capsys, "inspect", tmp_path)
    (tmp_path / "w.bin").write_bytes(b"x")
    assert "is no weight file" in refused(capsys, "inspect", tmp_path / "w.bin")
    (tmp_path / "w.pth").write_bytes(b"x")
    assert "cannot be read as PyTorch weights" in refused(capsys, "inspect", tmp_path / "w.pth")
    (tmp_path / "w.pth").unlink()
    write_pth(tmp_path / "40_net_E.pth", {"a": np.zeros(1, np.float32)})
    write_pth(tmp_path / "40_net_Gface.pth", {"a": np.zeros(1, np.float32)})
    assert "no network in common" in refused(capsys, "inspect", tmp_path, experiment)


# --- parity ---------------------------------------------------------------------------------------


def test_the_first_layer_that_differs_is_named(experiment, tmp_path, capsys):
    one = experiment / "latest_net_G.pth"
    changed = weights_of(GENERATOR)
    changed["model.7.conv_block.5.weight"][0, 0, 0, 0] += 1
    write_pth(tmp_path / "b.pth", changed)
    arguments = ("--input", "random:1", "--size", "16x8")
    found = json.loads(command(capsys, "parity", one, tmp_path / "b.pth", *arguments, "--json"))
    layers = {layer["name"]: layer for layer in found["layers"]}
    assert list(layers) == [
        "model.1", "model.4", "model.7.conv_block.1", "model.7.conv_block.5", "model.7", "model.8",
        "model.12", "output",
    ]  # fmt: skip
    assert found["first"] == "model.7.conv_block.5"
    assert layers["model.4"]["shape"] == [1, 4, 4, 8]
    assert layers["model.4"]["max_difference"] == 0 < layers["model.4"]["largest"]
    assert layers["output"]["max_difference"] > 1e-4


def test_a_run_and_its_file_are_equal_on_a_picture(experiment, run_folder, tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "pose.png")
    one = experiment / "latest_net_G.pth"
    found = json.loads(
        command(capsys, "parity", run_folder, one, "--input", tmp_path / "pose.png", "--json")
    )
    assert found["first"] is None and len(found["layers"]) == 8
    assert {layer["max_difference"] for layer in found["layers"]} == {0.0}
    x = np.concatenate([pixels / 127.5 - 1] * 2, axis=-1)[None].astype(np.float32)
    np.save(tmp_path / "pose.npy", x)
    layers = {"input": x.transpose(0, 3, 1, 2), "model.1": np.zeros((1, 2, 8, 8))}
    np.savez(tmp_path / "layers.npz", **layers)
    extra = ("--input", tmp_path / "pose.npy", "--tolerance", "0.1")
    text = command(capsys, "parity", one, tmp_path / "layers.npz", *extra)
    assert "The first layer that differs is model.1." in text
    assert "only in A, not compared: model.4" in text
    text = command(capsys, "parity", one, tmp_path / "layers.npz", "--tolerance", "1000")
    assert "No layer differs by more than 1000." in text


def test_outputs_are_compared_in_the_order_of_the_first():
    one = {"a": np.zeros((1, 2)), "b": np.ones((1, 2)), "c": np.ones((1, 2))}
    two = {"c": np.zeros((1, 2)), "b": np.full((1, 2), np.nan), "a": np.zeros((1, 2))}
    found = compare(one, two, 0.0)
    assert found["first"] == "b"
    assert [layer["max_difference"] for layer in found["layers"]] == [0, None, 1]
    # Rounding grows with the values.
    big = {"a": np.array([1000.0, np.inf])}
    assert compare(big, {"a": np.array([1000.05, np.inf])}, 1e-4)["first"] is None
    assert compare(big, {"a": np.array([1000.2, np.inf])}, 1e-4)["first"] == "a"
    with pytest.raises(UserError, match=r"The layer a gives \[1, 2\] in A and \[1, 3\] in B"):
        compare(one, {"a": np.zeros((1, 3))}, 0.0)


def test_parity_refuses_in_one_sentence(experiment, run_folder, tmp_path, capsys):
    one, judge = experiment / "latest_net_G.pth", experiment / "latest_net_D.pth"

    def said(*arguments):
        return refused(capsys, "parity", *arguments).replace("\n", " ")

    assert "needs --input" in said(one, one)
    assert "seed is no whole number" in said(one, one, "--input", "random:x")
    assert "There is no input" in said(one, one, "--input", tmp_path / "absent.png")
    (tmp_path / "bad.png").write_bytes(b"x")
    assert "cannot be read as a picture" in said(one, one, "--input", tmp_path / "bad.png")
    (tmp_path / "bad.npy").write_bytes(b"x")
    assert "as an array of numbers" in said(one, one, "--input", tmp_path / "bad.npy")
    (tmp_path / "bad.txt").write_bytes(b"x")
    assert "neither a picture" in said(one, one, "--input", tmp_path / "bad.txt")
    np.save(tmp_path / "few.npy", np.zeros((1, 8, 8, 3)))
    assert "6 input channels" in said(one, one, "--input", tmp_path / "few.npy")
    assert "divisible by 2" in said(one, one, "--input", "random:0", "--size", "9x8")
    assert "12 input channels" in said(one, judge, "--input", "random:0", "--size", "8x8")
    (tmp_path / "bad.npz").write_bytes(b"x")
    assert "cannot be read as an .npz" in said(one, tmp_path / "bad.npz", "--input", "random:0")
    np.savez(tmp_path / "other.npz", input=np.zeros((1, 6, 8, 8)), encoder=np.zeros((1, 1)))
    assert "no layer in common" in said(one, tmp_path / "other.npz")
    assert "folder of weight files" in said(experiment, one, "--input", "random:0")
    arguments = ("--input", "random:0", "--network", "face_generator")
    assert "no network 'face_generator'" in said(run_folder, one, *arguments)
    assert "give --network generator" in said(run_folder, one, *arguments)
    assert "not a number of 0 or more" in said(one, one, "--tolerance", "-1")


def test_parity_of_two_architectures_is_refused(tmp_path, capsys):
    """A U-Net and a generator of residual blocks have their output in common, and no layer."""
    paths = []
    modules = UnetGenerator(num_downs=5, ngf=2), GlobalGenerator(ngf=2, n_downsampling=1)
    for module in modules:
        params = initialise(module, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
        paths.append(tmp_path / f"{type(module).__name__}.pth")
        description = reference_description(module, 3)
        save_torch(Network(description["class"], module, params, description), paths[-1])
    text = refused(capsys, "parity", *paths, "--input", "random:0", "--size", "32x32")
    said = text.replace("\n", " ")
    assert "different architectures (a U-Net and a generator of residual blocks)" in said


def test_contents_of_a_run_without_checkpoint(tmp_path, run_folder):
    (tmp_path / "config.json").write_text((run_folder / "config.json").read_text())
    with pytest.raises(UserError, match="has no checkpoint yet"):
        look_into(tmp_path)
