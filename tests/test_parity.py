"""The published PyTorch code and ours, over every fixture: outputs, gradients, training
trajectories.

Fixtures are folders of NAME.json with NAME.npz and .pth beside it: all folders under parity/ and
fixtures/ of the shared folder, and another one where MOTION_JAX_PARITY names it. A system with
kinds of fixtures of its own has a package in tests/parity: `knows(description)` says whether a json
is one of its own, `check(path, description, vgg)` compares; vgg: gives the seeded VGG-19.
"""

import functools
import importlib
import json
import os
import pkgutil
from pathlib import Path

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from empty_state import zeros

from motion_jax.nets.vgg import LAYERS, VGG19
from motion_jax.port.reference import network_from_description
from motion_jax.recipes import cyclegan, pix2pix
from motion_jax.recipes import everybody_dance_now as edn
from motion_jax.recipes.schedule import Stage
from motion_jax.recipes.state import State
from motion_jax.weights import names
from motion_jax.weights.torch import read_pth

OUTPUT_TOLERANCE = 1e-4  # absolute, of tanh pictures and of logits of order 1
# Relative, of the losses at a step; the reference against itself drifts by more after the fourth.
LOSS_TOLERANCE = (1e-4, 1e-3, 2e-2, 2e-2)

HERE = Path(__file__).resolve().parent
SYSTEMS = [
    importlib.import_module(f"parity.{module.name}")
    for module in pkgutil.iter_modules([str(HERE / "parity")])
]


def fixtures() -> list[Path]:
    shared = Path(os.environ.get("MOTION_JAX_SHARED", HERE.parents[1] / "shared"))
    found = sorted((shared / "parity").glob("*/*.json"))
    found += sorted((shared / "fixtures").glob("*/*.json"))
    if folder := os.environ.get("MOTION_JAX_PARITY"):
        found += sorted(Path(folder).glob("*.json"))
    return found


def nhwc(array: np.ndarray) -> jax.Array:
    return jnp.asarray(array.transpose(0, 2, 3, 1))


def nchw(array: jax.Array) -> np.ndarray:
    return np.asarray(array).transpose(0, 3, 1, 2)


@functools.cache
def seeded_vgg() -> dict:
    """The weights that the fixtures were made with (parity README): He-scaled, no bias."""
    generator, params, channels, index = np.random.default_rng(19), {}, 3, 0
    for features in LAYERS:
        if features == "M":
            continue
        weight = generator.standard_normal((features, channels, 3, 3))
        weight = (weight * np.sqrt(2 / (channels * 9))).astype(np.float32)
        params[f"conv_{index}"] = {
            "kernel": jnp.asarray(weight.transpose(2, 3, 1, 0)),
            "bias": jnp.zeros(features),
        }
        channels, index = features, index + 1
    return {"params": params}


@pytest.mark.skipif(not fixtures(), reason="no parity fixtures beside the project")
@pytest.mark.parametrize("path", fixtures(), ids=lambda path: path.stem)
def test_parity(path: Path) -> None:
    description = json.loads(path.read_text())
    for system in SYSTEMS:
        if system.knows(description):
            system.check(path, description, seeded_vgg)
            return
    if path.parents[1].name == "fixtures":
        pytest.skip(f"no system here is that of {path.parent.name}")
    arrays = dict(np.load(path.with_suffix(".npz")))
    if description["kind"] == "network":
        check_network(path, description["network"], arrays)
    else:
        check_trajectory(path, description, arrays)


def check_network(path: Path, description: dict, arrays: dict[str, np.ndarray]) -> None:
    if description["class"] == "VGG19 slices":
        outputs = jax.jit(VGG19().apply)(seeded_vgg(), nhwc(arrays["input"]))
        for i, output in enumerate(outputs):
            expected = arrays[f"slice{i + 1}"]
            scale = np.abs(expected).max()
            np.testing.assert_allclose(
                nchw(output) / scale, expected / scale, atol=OUTPUT_TOLERANCE
            )
        return
    module, entries = network_from_description(description)
    params = names.from_torch(read_pth(path.with_suffix(".pth")), entries(), path.name)
    x = nhwc(arrays["input"])
    if "output_running_statistics" in arrays:
        check_both_statistics(module, params, x, arrays)
        return
    output = jax.jit(module.apply)(params, x)
    if "output" in arrays:
        output = output[-1] if isinstance(output, list) else output
        np.testing.assert_allclose(nchw(output), arrays["output"], atol=OUTPUT_TOLERANCE)
    else:
        checked = 0
        for i, scale in enumerate(output):
            if f"scale{i}" in arrays:  # made without intermediate features
                scale_outputs = {f"scale{i}": scale[-1]}
            else:
                scale_outputs = {f"scale{i}_layer{j}": value for j, value in enumerate(scale)}
            for name, value in scale_outputs.items():
                np.testing.assert_allclose(nchw(value), arrays[name], atol=OUTPUT_TOLERANCE)
                checked += 1
        assert checked == len(arrays) - 1, "an output of the fixture was not compared"
    if "input_grad_of_mean_square" in arrays:

        def mean_square(params, x):
            return jnp.mean(jnp.square(module.apply(params, x)))

        by_params, by_input = jax.jit(jax.grad(mean_square, argnums=(0, 1)))(params, x)
        by_conv = np.asarray(by_params["params"]["first"]["kernel"]).transpose(3, 2, 0, 1)
        for ours, theirs in (
            (nchw(by_input), arrays["input_grad_of_mean_square"]),
            (by_conv, arrays["grad_first_conv"]),
        ):
            scale = np.abs(theirs).max()
            np.testing.assert_allclose(ours / scale, theirs / scale, atol=OUTPUT_TOLERANCE)


def check_both_statistics(module, params, x, arrays) -> None:
    """Batch norm by the batch's statistics, and by the running ones, which hold that batch."""

    @jax.jit
    def both(params, x):
        batch, changed = module.apply(params, x, mutable=["batch_stats"])
        return batch, module.clone(running=True).apply(params, x), changed["batch_stats"]

    batch, running, changed = both(params, x)
    for name, output in (("batch", batch), ("running", running)):
        output = output[-1] if isinstance(output, list) else output
        expected = arrays[f"output_{name}_statistics"]
        np.testing.assert_allclose(nchw(output), expected, atol=OUTPUT_TOLERANCE)
    # The file holds 0.9 of PyTorch's beginning and 0.1 of this batch; another update makes 0.81 of
    # the beginning and 0.19 of the batch.
    before, after = (flax.traverse_util.flatten_dict(t) for t in (params["batch_stats"], changed))
    for key, value in after.items():
        if key[-1] == "count":
            assert value == before[key] + 1
            continue
        start = 1.0 if key[-1] == "var" else 0.0
        ours, theirs = (value - 0.81 * start) / 0.19, (before[key] - 0.9 * start) / 0.1
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4, err_msg=str(key))


def recipe_of(description: dict) -> edn.EverybodyDanceNow:
    g, d, batch = description["generator"], description["discriminator"], description["batch"]
    stage = edn.Stage(
        steps=description["steps"],
        height=batch["height"],
        width=batch["width"],
        batch_size=batch["size"],
        num_D=d["num_D"],
    )
    local = g["class"] == "LocalEnhancer"
    enhancers = g.get("n_local_enhancers", 0)
    face = description.get("face_generator", {})
    return edn.EverybodyDanceNow(
        generator=edn.Generator(
            ngf=g["ngf"] * 2**enhancers,
            n_downsampling=g["n_downsample_global"] if local else g["n_downsampling"],
            n_blocks=g["n_blocks_global"] if local else g["n_blocks"],
            n_local_enhancers=enhancers,
            n_blocks_local=g.get("n_blocks_local", 0),
        ),
        discriminator=edn.Discriminator(d["ndf"], d["n_layers"]),
        face=edn.Face(
            size=description["face_box"][1] - description["face_box"][0],
            ngf=face["ngf"],
            n_downsampling=face["n_downsampling"],
            n_blocks=face["n_blocks"],
            ndf=description["face_discriminator"]["ndf"],
            n_layers=description["face_discriminator"]["n_layers"],
        )
        if face
        else edn.Face(),
        global_stage=stage if description["stage"] != "local" else edn.Stage(),
        local_stage=stage if description["stage"] == "local" else edn.Stage(),
        face_stage=stage if description["stage"] == "face" else edn.Stage(),
    )


def check_trajectory(path: Path, description: dict, arrays: dict[str, np.ndarray]) -> None:
    check = {"pix2pix": check_pix2pix, "cyclegan": check_cyclegan, None: check_two_frames}
    check[description.get("recipe")](path, description, arrays)


def settings_of(description: dict) -> tuple[pix2pix.Generator, pix2pix.Discriminator, Stage]:
    g, d, batch = description["generator"], description["discriminator"], description["batch"]
    generator = pix2pix.Generator(
        kind={"UnetGenerator": "unet", "ResnetGenerator": "resnet"}[g["class"]],
        ngf=g["ngf"],
        n_downsampling=g.get("num_downs", 8),
        n_blocks=g.get("n_blocks", 9),
        norm=g["norm"],
        dropout=g["dropout"],
    )
    discriminator = pix2pix.Discriminator("patch", d["ndf"], d["n_layers"], d["norm"])
    stage = Stage(description["steps"], 0, batch["height"], batch["width"], batch["size"])
    return generator, discriminator, stage


def loaded(path: Path, description: dict, networks: dict[str, str], state: State) -> State:
    """The state with the fixture's networks; networks: {ours: theirs}."""
    params = {}
    for ours, theirs in networks.items():
        file = path.with_name(f"{path.stem}.initial_net_{theirs}.pth")
        _, entries = network_from_description(description[ours.split("_")[0]])
        params[ours] = names.from_torch(read_pth(file), entries(), file.name)
    assert jax.tree.structure(params) == jax.tree.structure(state.params)
    return state.replace(params=params)


def check_steps(recipe, state: State, description: dict, arrays: dict[str, np.ndarray]) -> State:
    batch = description["batch"]
    step = jax.jit(lambda state, a, b: recipe.step(state, a, b, "main"))
    for s in range(description["steps"]):
        generator = np.random.default_rng(batch["seed_of_step_0"] + s)
        shape = (batch["size"], 3, batch["height"], batch["width"])
        a, b = (nhwc((generator.random(shape) * 2 - 1).astype(np.float32)) for _ in range(2))
        state, metrics = step(state, a, b)
        compare_losses(arrays, metrics, s)
    return state


def compare_losses(arrays: dict[str, np.ndarray], metrics: dict, s: int) -> None:
    tolerance = LOSS_TOLERANCE[s] if s < len(LOSS_TOLERANCE) else 0.1
    for column, expected in zip(arrays["loss_names"], arrays["losses"][s], strict=True):
        ours = float(metrics.get(str(column), 0.0))
        assert ours == pytest.approx(expected, rel=tolerance, abs=1e-6), (
            f"{column} at step {s}: {ours}, the reference has {expected}"
        )


def check_pix2pix(path: Path, description: dict, arrays: dict[str, np.ndarray]) -> None:
    generator, discriminator, stage = settings_of(description)
    losses = pix2pix.Losses(description["gan"], description["lambda_L1"])
    recipe = pix2pix.Pix2Pix(generator, discriminator, losses, stage)
    recipe.validate()
    state = zeros(recipe, "main")
    networks = {"generator": "G", "discriminator": "D"}
    state = loaded(path, description, networks, state)
    state = check_steps(recipe, state, description, arrays)
    # Running statistics, by which networks and how often, as in the files after the last step.
    for ours, theirs in networks.items():
        file = path.with_name(f"{path.stem}.final_net_{theirs}.pth")
        _, entries = network_from_description(description[ours])
        expected = flax.traverse_util.flatten_dict(
            names.from_torch(read_pth(file), entries(), file.name)["batch_stats"]
        )
        for key, value in flax.traverse_util.flatten_dict(
            state.params[ours]["batch_stats"]
        ).items():
            if key[-1] == "count":
                assert value == expected[key]
            else:
                scale = np.abs(expected[key]).max()
                np.testing.assert_allclose(value / scale, expected[key] / scale, atol=0.02)


def check_cyclegan(path: Path, description: dict, arrays: dict[str, np.ndarray]) -> None:
    generator, discriminator, stage = settings_of(description)
    weights = (description[f"lambda_{name}"] for name in ("A", "B", "identity"))
    losses = cyclegan.Losses(description["gan"], *weights)
    recipe = cyclegan.CycleGAN(
        generator, discriminator, losses, stage, pool_size=description["pool_size"]
    )
    recipe.validate()
    state = zeros(recipe, "main")
    networks = {
        f"{network}_{side}": f"{network[0].upper()}_{side}"
        for network in ("generator", "discriminator")
        for side in "AB"
    }
    check_steps(recipe, loaded(path, description, networks, state), description, arrays)


def check_two_frames(path: Path, description: dict, arrays: dict[str, np.ndarray]) -> None:
    recipe, name, batch = recipe_of(description), description["stage"], description["batch"]
    state = zeros(recipe, name)
    params = dict(state.params)
    for network, suffix in (
        ("generator", "G"),
        ("discriminator", "D"),
        ("face_generator", "Gface"),
        ("face_discriminator", "Dface"),
    ):
        if network in description:
            file = path.with_name(f"{path.stem}.initial_net_{suffix}.pth")
            _, entries = network_from_description(description[network])
            read = names.from_torch(read_pth(file), entries(), file.name)
            # Everybody Dance Now keeps no running statistics of its face discriminator.
            params[network] = {"params": read["params"]}
    state = state.replace(params=params)
    step = jax.jit(lambda state, clip: recipe.step(state, clip, name))
    frozen = {"vgg19": seeded_vgg()}
    # (top, bottom, left, right) there, (top, left, bottom, right) here.
    top, bottom, left, right = description.get("face_box", (0, 0, 0, 0))
    size = batch["size"]
    boxes = jnp.tile(jnp.array([top, left, bottom, right], jnp.float32), (size, 2, 1))
    for s in range(description["steps"]):
        generator = np.random.default_rng(batch["seed_of_step_0"] + s)
        shape = (size, 3, batch["height"], batch["width"])
        label, next_label, image, next_image = (
            nhwc((generator.random(shape) * 2 - 1).astype(np.float32)) for _ in range(4)
        )
        poses, images = jnp.stack([label, next_label], 1), jnp.stack([image, next_image], 1)
        clip = edn.Scene(poses, images, boxes, frozen)
        if s == 0:
            check_generated(recipe, state, clip, name, arrays["first_generated"], OUTPUT_TOLERANCE)
        state, metrics = step(state, clip)
        compare_losses(arrays, metrics, s)


def check_generated(recipe, state, clip, name, expected, tolerance) -> None:
    images = jax.jit(lambda params: recipe.generated(params, clip, name))(state.params)
    side_by_side = jnp.concatenate([images[:, 0], images[:, 1]], axis=2)
    np.testing.assert_allclose(nchw(side_by_side), expected, atol=tolerance)
