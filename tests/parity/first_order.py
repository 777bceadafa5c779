"""The First Order Motion Model's fixtures: what each holds, and ours beside it.

`knows` says whether a fixture is one of these; `check` compares it. Everything is read from the
json: how networks are built, what is compared, and how closely.
"""

import dataclasses
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from empty_state import zeros

from motion_jax.data.published_augment import PublishedAugment, augmented
from motion_jax.data.published_clips import animation_pairs, split
from motion_jax.data.tubes import grown, tubes
from motion_jax.nets import keypoints, sampling
from motion_jax.nets.keypoints import Keypoints
from motion_jax.nets.thin_plate import Deformation
from motion_jax.nets.vgg import VGG19
from motion_jax.port import first_order_config
from motion_jax.port.first_order_checkpoint import PARTS, moments_of, parts_of
from motion_jax.recipes.first_order_losses import for_vgg
from motion_jax.transfer.best_frame import best_frame
from motion_jax.weights import first_order as table
from motion_jax.weights.names import to_torch
from motion_jax.weights.torch import read_pth, read_tree

Arrays = dict[str, np.ndarray]
# Inputs that are the fixture's within a few of float32's own roundings. Their gradients may differ
# by far more than that: a pre-activation closer to zero than the rounding of what it is summed from
# is on either side of ReLU's kink. generator_no_occlusion has one, 2e-5 in PyTorch where its own
# noise is 2e-5 (layer up_2 of the dense motion network): PyTorch itself, with pictures changed by
# 1e-7, differs from itself by 0.12 in jacobian.bias or by 0.0003, and nothing in between. How a
# processor sums decides, too: without AVX-512 ours is on the other side at 1e-7, whatever is drawn;
# at 3e-7 a quarter of the draws are on PyTorch's.
PERTURBED, NOISE = 32, 3e-7


def knows(description: dict) -> bool:
    """Whether a fixture is one of these."""
    if description["kind"] == "trajectory":
        # Of several systems, whose settings differ.
        return "kp_detector_params" in description.get("config", {}).get("model_params", {})
    return description["kind"] in CHECKS


def check(path: Path, description: dict, seeded_vgg: Callable[[], dict]) -> None:
    """Compares one fixture; seeded_vgg: gives the parameters of its VGG-19."""
    npz = path.with_suffix(".npz")
    arrays = dict(np.load(npz)) if npz.exists() else {}
    CHECKS[description["kind"]](path, description, arrays, seeded_vgg())


class Compared:
    """What is compared with a fixture's outputs, and that nothing is left out."""

    def __init__(self, description: dict, arrays: Arrays, instead: float = 1e-4):
        self.tolerance, self.arrays = description.get("tolerance", {}), arrays
        self.left, self.instead = set(description["outputs"]), instead

    def __call__(self, name: str, ours: Any) -> None:
        expected, ours = self.arrays[name], np.asarray(ours)
        self.left.discard(name)
        assert ours.shape == expected.shape, f"{name}: {ours.shape}, not {expected.shape}"
        assert np.isfinite(ours).all(), name
        ours, expected = ours.astype(np.float64), expected.astype(np.float64)
        away = ours - expected
        differences = {
            "absolute": np.abs(away).max(initial=0),
            "mean_absolute": np.abs(away).mean(),
            "relative_l2": np.linalg.norm(away) / max(np.linalg.norm(expected), 1e-12),
        }
        limits = {kind: self.tolerance.get(kind, {}).get(name) for kind in differences}
        limits = {kind: limit for kind, limit in limits.items() if limit is not None}
        for kind, limit in (limits or {"absolute": self.instead}).items():
            found = differences[kind]
            assert found <= limit, f"{name}: {kind} difference {found:.3g}, allowed is {limit:.3g}"

    def agree(self, values: dict) -> bool:
        """Whether all of these that the fixture has are close enough."""
        left = set(self.left)
        try:
            compare_known(self, values)
        except AssertionError:
            return False
        finally:
            self.left = left
        return True

    def done(self) -> None:
        assert not self.left, f"not compared: {sorted(self.left)}"


def nhwc(array: np.ndarray) -> jax.Array:
    """A picture as networks take it: uint8 over 255."""
    array = array.astype(np.float32) / np.float32(255) if array.dtype == np.uint8 else array
    return jnp.asarray(np.moveaxis(array, -3, -1))


def nchw(array: Any) -> np.ndarray:
    return np.moveaxis(np.asarray(array), -1, -3)


def read(path: Path, description: dict, network: str, module: Any) -> dict:
    """The variables of a network of a fixture."""
    file = path.with_name(f"{description.get('weights_of', path.stem)}.{network}.pth")
    return table.variables(read_pth(file), module, file.name)


def by_their_keys(module: Any, variables: dict, prefix: str = "") -> dict[str, np.ndarray]:
    return {f"{prefix}{k}": v for k, v in to_torch(variables, table.entries(module)).items()}


def check_detector(path: Path, description: dict, arrays: Arrays, _: dict) -> None:
    compared = Compared(description, arrays)
    module = first_order_config.module(description["kp_detector"])
    variables, image = read(path, description, "kp_detector", module), nhwc(arrays["image"])
    running = module.clone(running=True)
    gradients = {name for name in compared.left if name.startswith("eval_grad_")}

    def outputs(module, variables, image):
        points, more = module.apply(variables, image, mutable=["batch_stats", "intermediates"])
        return points, more.pop("intermediates"), more

    def square(params, image):
        points = running.apply({**variables, "params": params}, image)
        return sum(jnp.mean(jnp.square(x)) for x in jax.tree.leaves(points))

    @jax.jit
    def everything(variables, image):
        both = {
            "eval": outputs(running, variables, image),
            "train": outputs(module, variables, image),
        }
        return both, jax.grad(square, argnums=(0, 1))(variables["params"], image)

    both, (by_params, by_image) = everything(variables, image)
    for mode, (points, seen, after) in both.items():
        values = {
            "logits": nchw(seen["logits"][0]),
            "feature_map": nchw(seen["features"][0]),
            "value": points.value,
            "jacobian": points.jacobian,
        }
        for name, value in values.items():
            if f"{mode}_{name}" in arrays:
                compared(f"{mode}_{name}", value)
        if mode == "train":
            now = by_their_keys(module, {**variables, **after}, "after_train_")
            compare_known(compared, now)
    found = {"eval_grad_image": nchw(by_image)}
    found |= by_their_keys(module, {**variables, "params": by_params}, "eval_grad_")
    for name in gradients:
        compared(name, found[name])
    compared.done()


def compare_known(compared: Compared, found: dict) -> None:
    """Of these, what the fixture has."""
    for name in sorted(compared.left & set(found)):
        compared(name, found[name])


def check_dense_motion(path: Path, description: dict, arrays: Arrays, _: dict) -> None:
    compared = Compared(description, arrays)
    module = first_order_config.module(description["dense_motion"], description["align_corners"])
    variables = read(path, description, "dense_motion", module)
    points = [
        jax.tree.map(
            jnp.asarray,
            Keypoints(arrays[f"kp_{who}_value"], arrays.get(f"kp_{who}_jacobian")),
        )
        for who in ("source", "driving")
    ]

    @jax.jit
    def everything(variables, picture, points):
        modules = {"eval": module.clone(running=True), "train": module}
        collections = ["batch_stats", "intermediates"]
        return {
            mode: each.apply(variables, picture, *points, mutable=collections)
            for mode, each in modules.items()
        }

    for mode, (motion, more) in everything(variables, nhwc(arrays["source"]), points).items():
        seen = more["intermediates"]
        values = {
            "source_at_working_size": nchw(seen["small"][0]),
            "heatmaps": np.moveaxis(np.asarray(seen["heat"][0]), -1, 1)[:, :, None],
            "sparse_motions": seen["motions"][0],
            "sparse_deformed": nchw(motion.deformed),
            f"{mode}_mask": nchw(motion.mask),
            f"{mode}_deformation": motion.deformation,
        }
        if motion.occlusion is not None:
            values[f"{mode}_occlusion_map"] = nchw(motion.occlusion)
        for name, value in values.items():
            if name in arrays:
                compared(name, value)
    compared.done()


def networks_of(path: Path, description: dict, align_corners: bool) -> dict[str, Any]:
    """Modules and variables of a fixture's detector and generator."""
    found = {}
    for name in ("kp_detector", "generator"):
        module = first_order_config.module(description[name], align_corners)
        found[name] = module, read(path, description, name, module)
    return found


def check_generator(path: Path, description: dict, arrays: Arrays, _: dict) -> None:
    compared = Compared(description, arrays)
    found = networks_of(path, description, description["align_corners"])
    modules = {name: module for name, (module, _) in found.items()}
    everything = {name: variables for name, (_, variables) in found.items()}

    def run(running, everything, source, driving):
        detector, generator = (
            modules[name].clone(running=running) for name in ("kp_detector", "generator")
        )
        if running and getattr(generator, "motion", None) is not None:
            generator = generator.clone(motion=generator.motion.clone(running=True))
        now, points = dict(everything), {}
        for who, picture in (("source", source), ("driving", driving)):
            points[who], changed = detector.apply(
                now["kp_detector"], picture, mutable=["batch_stats"]
            )
            now["kp_detector"] = {**now["kp_detector"], **changed}
        (prediction, motion), changed = generator.apply(
            now["generator"], source, *points.values(), mutable=["batch_stats"]
        )
        now["generator"] = {**now["generator"], **changed}
        deformed = None
        if motion is not None:
            deformed = generator.apply(now["generator"], source, motion, method="deformed")
        return prediction, (points, motion, deformed, now)

    def square(params, running, source, driving):
        variables = {name: {**everything[name], "params": params[name]} for name in params}
        prediction, more = run(running, variables, source, driving)
        return jnp.mean(jnp.square(prediction)), (prediction, *more)

    params = {name: variables["params"] for name, variables in everything.items()}
    source, driving = nhwc(arrays["source"]), nhwc(arrays["driving"])
    for mode in ("eval", "train"):
        take = jax.jit(jax.grad(square, argnums=(0, 2), has_aux=True), static_argnums=1)
        gradients, (prediction, points, motion, deformed, now) = take(
            params, mode == "eval", source, driving
        )
        values = {f"{mode}_prediction": nchw(prediction)}
        for who, each in points.items():
            values[f"{mode}_kp_{who}_value"] = each.value
            values[f"{mode}_kp_{who}_jacobian"] = each.jacobian
        if motion is not None:
            values[f"{mode}_mask"] = nchw(motion.mask)
            values[f"{mode}_sparse_deformed"] = nchw(motion.deformed)
            values[f"{mode}_deformation"] = motion.deformation
            values[f"{mode}_deformed"] = nchw(deformed)
            if motion.occlusion is not None:
                values[f"{mode}_occlusion_map"] = nchw(motion.occlusion)
        if mode == "train":
            for name, module in modules.items():
                values |= by_their_keys(module, now[name], f"after_train_{name}/")
        compare_known(compared, values)
        for seed in range(PERTURBED + 1):
            if seed:
                draws = np.random.default_rng(seed)
                source, driving = (
                    nhwc(arrays[who])
                    * (1 + NOISE * draws.standard_normal(arrays[who].shape[-2:] + (1,)))
                    for who in ("source", "driving")
                )
                gradients, _ = take(params, mode == "eval", source, driving)
            by_params, by_source = gradients
            values = {f"{mode}_grad_source": nchw(by_source)}
            for name, module in modules.items():
                tree = {**everything[name], "params": by_params[name]}
                values |= by_their_keys(module, tree, f"{mode}_grad_{name}/")
            if seed == PERTURBED or compared.agree(values):
                compare_known(compared, values)
                break
    compared.done()


def check_discriminator(path: Path, description: dict, arrays: Arrays, _: dict) -> None:
    compared = Compared(description, arrays)
    module = first_order_config.module(description["discriminator"])
    variables = read(path, description, "discriminator", module)
    pyramid = {scale: nhwc(arrays[f"prediction_{scale:g}"]) for scale in module.scales}
    points = next((jnp.asarray(arrays[name]) for name in arrays if name.startswith("kp")), None)

    def square(pyramid):
        judged = module.apply(variables, pyramid, points)
        return sum(jnp.mean(jnp.square(1 - maps[-1])) for maps in judged.values()), judged

    gradient, judged = jax.jit(jax.grad(square, has_aux=True))(pyramid)

    @jax.jit
    def twice(variables):
        for _ in range(2):
            judged, changed = module.apply(variables, pyramid, points, mutable=["batch_stats"])
            variables = {**variables, **changed}
        return judged, variables

    after, now = twice(variables)
    values = {}
    for scale in module.scales:
        for i, features in enumerate(judged[scale][:-1]):
            values[f"eval_feature_maps_{scale:g}_{i}"] = nchw(features)
        values[f"eval_prediction_map_{scale:g}"] = nchw(judged[scale][-1])
        values[f"train_prediction_map_{scale:g}"] = nchw(after[scale][-1])
        values[f"eval_grad_prediction_{scale:g}"] = nchw(gradient[scale])
    values |= by_their_keys(module, now, "after_train_")
    compare_known(compared, values)
    compared.done()


def check_best_frame(path: Path, description: dict, arrays: Arrays, _: dict) -> None:
    number, _ = best_frame(arrays["source_landmarks"], arrays["driving_landmarks"])
    assert number == arrays["best_frame"][0]


def check_augmentation(path: Path, description: dict, arrays: Arrays, _: dict) -> None:
    compared, params = Compared(description, arrays), description["augmentation_params"]
    flips = params["flip_param"]
    settings = PublishedAugment(
        flips["time_flip"], flips["horizontal_flip"], tuple(params["resize_param"]["ratio"])
    )
    clip = arrays["clip"].astype(np.float32) / np.float32(255)
    for seed in description["seeds"]:
        draw = random.Random(seed)
        compared(f"clip_{seed}", augmented(clip, settings, draw, params["crop_param"]["size"]))
    compared.done()


def check_crop_video(path: Path, description: dict, arrays: Arrays, _: dict) -> None:
    """The tubes and boxes of each film; what the published program makes of a box that reaches over
    the edge is its own, and so is the form of what it prints."""
    for case in description["cases"]:
        height, width = case["frame_shape"]
        scale = max(1.0, max(height, width) / 640)
        boxes = [
            [tuple(scale * x for x in box) for box in each] for each in case["boxes_per_frame"]
        ]
        made = []
        for tube in tubes(boxes, case["min_frames"], case["iou_with_initial"]):
            left, top, right, bottom = (int(x) for x in grown(tube.box, case["increase"]))
            left, top, right, bottom = (
                max(0, left),
                max(0, top),
                min(right, width),
                min(bottom, height),
            )
            start, end = tube.first / case["fps"], tube.last / case["fps"]
            shape = ":".join(map(str, case["image_shape"]))
            crop = f"crop={right - left}:{bottom - top}:{left}:{top}, scale={shape}"
            made.append(
                f'ffmpeg -i video.mp4 -ss {start} -t {end - start} -filter:v "{crop}" crop.mp4'
            )
        assert made == case["commands"]


def check_dataset(path: Path, description: dict, arrays: Arrays, _: dict) -> None:
    for case in description["pairs"]:
        pairs = animation_pairs(case["number_of_videos"], case["num_pairs"])
        assert [list(pair) for pair in pairs] == case["pairs_driving_source"]
    expected = description["split"]
    assert split(expected["videos"]) == (expected["train"], expected["test"])


def check_transform(path: Path, description: dict, arrays: Arrays, _: dict) -> None:
    compared = Compared(description, arrays)
    frame, z = nhwc(arrays["frame"]), jnp.asarray(arrays["coordinates"])
    for kind in ("tps", "affine"):
        plate = jnp.asarray(arrays["control_params"][:, 0]) if kind == "tps" else None
        change = Deformation(jnp.asarray(arrays["theta"]), plate)
        compared(f"{kind}_warped_coordinates", change.warp(z))
        compared(f"{kind}_jacobian", change.jacobian(z))
        for align in (False, True):
            pictures = jax.jit(partial(change.pictures, align_corners=align))(frame)
            compared(f"{kind}_frame_align_corners_{str(align).lower()}", nchw(pictures))
    compared.done()


def check_pyramid(path: Path, description: dict, arrays: Arrays, seeded_vgg: dict) -> None:
    compared = Compared(description, arrays)
    scales = description["scales"]

    def total(generated, real, vgg):
        differences = []
        for scale in scales:
            both = sampling.shrink(jnp.concatenate([generated, real]), scale)
            features = VGG19().apply(vgg, for_vgg(both))
            differences.append(jnp.stack([jnp.mean(jnp.abs(a - b)) for a, b in features]))
        each = jnp.stack(differences)
        return 10 * each.sum(), each

    generated, real = nhwc(arrays["generated"]), nhwc(arrays["real"])
    take = jax.jit(jax.value_and_grad(total, has_aux=True))
    (perceptual, each), gradient = take(generated, real, seeded_vgg)
    for scale in scales:
        if scale != 1:
            compared(f"generated_{scale:g}", nchw(sampling.shrink(generated, scale)))
            row = sampling.anti_alias_kernel(scale)
            kernel = np.broadcast_to(np.outer(row, row), arrays[f"kernel_{scale:g}"].shape)
            compared(f"kernel_{scale:g}", kernel)
    compared("mean_abs_difference", each)
    compared("perceptual", perceptual[None])
    compared("grad_generated", nchw(gradient))
    compared.done()


def check_animation(path: Path, description: dict, arrays: Arrays, _: dict) -> None:
    compared = Compared(description, arrays)
    source, driving = nhwc(arrays["source"]), nhwc(arrays["driving"])
    for align in description["align_corners"]:
        found = networks_of(path, description, align)
        detector, generator = (module.clone(running=True) for module, _ in found.values())
        generator = generator.clone(motion=generator.motion.clone(running=True))
        params = {name: variables for name, (_, variables) in found.items()}
        detect = jax.jit(partial(detector.apply, params["kp_detector"]))
        points = {"source": detect(source), "driving": detect(driving)}
        for who, each in points.items():
            compare_known(
                compared, {f"kp_{who}_value": each.value, f"kp_{who}_jacobian": each.jacobian}
            )

        @jax.jit
        def animated(moved, generator=generator, variables=params["generator"], points=points):
            count = len(moved.value)
            many = jax.tree.map(
                lambda x: jnp.broadcast_to(x, (count, *x.shape[1:])), (source, points["source"])
            )
            return generator.apply(variables, *many, moved)[0]

        first = points["driving"][description["initial_frame"]][None]
        for mode, settings in description["modes"].items():
            moved = keypoints.normalised(
                points["source"],
                points["driving"],
                first,
                movement=settings.get("use_relative_movement", False),
                jacobian=settings.get("use_relative_jacobian", False),
                adapt_scale=settings.get("adapt_movement_scale", False),
            )
            values = {f"{mode}_kp_value": moved.value, f"{mode}_kp_jacobian": moved.jacobian}
            name = f"{mode}_prediction_align_corners_{str(align).lower()}"
            if name in compared.left:
                values[name] = nchw(animated(moved))
            compare_known(compared, values)
    compared.done()


def check_trajectory(path: Path, description: dict, arrays: Arrays, seeded_vgg: dict) -> None:
    compared = Compared(description, arrays)
    height, width = arrays["source"].shape[-2:]
    recipe = first_order_config.recipe(
        description["config"],
        (height, width),
        description["align_corners"],
        description["steps_per_epoch"],
    )
    recipe.validate()
    resumed = "resume_from" in description
    start = path.parent / description["resume_from"] if resumed else None
    file = start or path.with_suffix("") / description["initial"]
    content = read_tree(file)
    state = zeros(recipe, "main")
    parts = parts_of(content, recipe, file.name)
    assert jax.tree.structure(parts) == jax.tree.structure(dict(state.params))
    state = state.replace(params=parts)
    begin = 0
    if resumed:
        state = state.replace(optimizer=moments_of(content, recipe, state.params, file.name))
        # The original continues with the epoch that is in the file, as its fixtures do.
        begin = content["epoch"] * description["steps_per_epoch"]
        # It also continues with the rate that is in the file.
        rate = content["optimizer_generator"]["param_groups"][0]["lr"]
        rate /= recipe.learning_rate_at("main", begin) / recipe.main_stage.learning_rate
        stage = dataclasses.replace(recipe.main_stage, learning_rate=rate)
        recipe = dataclasses.replace(recipe, main_stage=stage)
        state = state.replace(step=jnp.asarray(begin, jnp.int32))
    rates = description.get("learning_rate_of_step")
    frozen = {"vgg19": seeded_vgg}

    @jax.jit
    def step(state, inputs, frozen):
        found = recipe.gradients(state.params, *inputs, frozen)
        norms = jax.tree.map(jnp.linalg.norm, found.gradient)
        return recipe.stepped(state, found, "main"), found.metrics, found.generated, norms

    steps = len(arrays["losses"])
    for s in range(steps):
        plate = arrays["control_params"][s, :, 0] if "control_params" in arrays else None
        change = jax.tree.map(jnp.asarray, Deformation(arrays["theta"][s], plate))
        if rates is not None:
            rate = recipe.learning_rate_at("main", begin + s)
            assert np.isclose(rate, rates[s], rtol=1e-6), f"rate of step {s}: {rate}"
        inputs = nhwc(arrays["source"][s]), nhwc(arrays["driving"][s]), change
        before = state
        state, metrics, generated, norms = step(state, inputs, frozen)
        if s == 0:
            compare_norms(compared, description, recipe, before, norms)
        for when, at in (("first", 0), ("final", steps - 1)):
            if s == at and f"{when}_generated" in compared.left:
                compared(f"{when}_generated", nchw(generated))
        limit = description["tolerance"]["losses_relative_by_step"][s]
        for name, expected in zip(arrays["loss_names"], arrays["losses"][s], strict=True):
            ours = float(metrics[str(name)])
            assert abs(ours - expected) <= limit * abs(expected), (
                f"{name} at step {s}: {ours}, the reference has {expected}"
            )
    compared.left -= {"losses", "loss_names"}
    compare_final(compared, recipe, state, arrays, description, begin)
    compared.done()


def compare_norms(compared, description, recipe, state, norms) -> None:
    """Of each tensor's gradient, in the fixture's order."""
    for theirs, ours in PARTS.items():
        name = f"step0_gradient_norm_{theirs}"
        if name not in compared.left:
            continue
        variables, shown = state.params[ours], norms[ours]
        # A tensor of the norm alone, so that it gets its key as the weights do.
        full = jax.tree.map(lambda x, n: jnp.full(x.shape, n), variables["params"], shown)
        module = recipe.networks("main")[ours].module
        by_key = by_their_keys(module, {**variables, "params": full})
        order = description["parameter_names"][theirs]
        compared(name, np.array([by_key[key].flat[0] for key in order]))


def compare_final(compared, recipe, state, arrays, description, begin) -> None:
    modules = {
        theirs: (recipe.networks("main")[ours].module, state.params[ours])
        for theirs, ours in PARTS.items()
        if ours in state.params
    }
    values = {}
    for name, (module, variables) in modules.items():
        values |= by_their_keys(module, variables, f"final_bn/{name}/")
    compare_known(compared, values)
    if "final_eval_prediction" in compared.left:
        params = recipe.synthesis_params(state)
        source, driving = (nhwc(arrays[who][0][:1]) for who in ("source", "driving"))

        @jax.jit
        def prediction(params):
            photo = recipe.start(params, source, "main")
            return recipe.animated(params, photo, recipe.points(params, driving))

        compared("final_eval_prediction", nchw(prediction(params)))
    if "learning_rates_after_epoch" in compared.left:
        # The schedule goes on after the last step.
        stage = dataclasses.replace(recipe.main_stage, steps=recipe.main_stage.steps + 10**6)
        recipe, rates = dataclasses.replace(recipe, main_stage=stage), []
        per_epoch = description["steps_per_epoch"]
        for epoch in range(len(arrays["learning_rates_after_epoch"])):
            rate = recipe.learning_rate_at("main", begin + (epoch + 1) * per_epoch)
            each = recipe.rates
            rates.append([rate * of for of in (each.generator, each.discriminator, each.detector)])
        compared("learning_rates_after_epoch", np.array(rates))


CHECKS = {
    "kp_detector": check_detector,
    "dense_motion": check_dense_motion,
    "generator": check_generator,
    "discriminator": check_discriminator,
    "transform": check_transform,
    "perceptual_pyramid": check_pyramid,
    "animation": check_animation,
    "best_frame": check_best_frame,
    "augmentation": check_augmentation,
    "crop_video": check_crop_video,
    "dataset": check_dataset,
    "trajectory": check_trajectory,
}
