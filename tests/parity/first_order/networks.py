"""Each network, the losses' transformations and pyramid, and a photo that is animated."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from parity.first_order.comparing import (
    Arrays,
    Compared,
    by_their_keys,
    compare_known,
    nchw,
    nhwc,
    read,
)

from motion_jax.nets import keypoints, sampling
from motion_jax.nets.keypoints import Keypoints
from motion_jax.nets.thin_plate import Deformation
from motion_jax.nets.vgg import VGG19
from motion_jax.port import first_order_config
from motion_jax.recipes.first_order_losses import for_vgg

# Inputs that are the fixture's within a few of float32's own roundings. Their gradients may differ
# by far more than that: a pre-activation closer to zero than the rounding of what it is summed from
# is on either side of ReLU's kink. generator_no_occlusion has one, 2e-5 in PyTorch where its own
# noise is 2e-5 (layer up_2 of the dense motion network): PyTorch itself, with pictures changed by
# 1e-7, differs from itself by 0.12 in jacobian.bias or by 0.0003, and nothing in between. How a
# processor sums decides, too: without AVX-512 ours is on the other side at 1e-7, whatever is drawn;
# at 3e-7 a quarter of the draws are on PyTorch's.
PERTURBED, NOISE = 32, 3e-7


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
