"""What is made of trained generators: blends, factors, projections."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parity.stylegan2.reading import Arrays, close, loaded, nchw, nhwc, noises, tolerance

from motion_jax.latents import blend, project
from motion_jax.latents.factors import directions, modulations, moved
from motion_jax.latents.model import Model
from motion_jax.nets import stylegan2 as nets
from motion_jax.weights import stylegan2 as keys
from motion_jax.weights.torch import read_tree


def check_layer_swap(path: Path, description: dict, arrays: Arrays) -> None:
    allowed, sides = tolerance(description, "absolute"), ("source", "target")
    files = {s: read_tree(path.with_name(f"{path.stem}.{s}.pt"))["g_ema"] for s in sides}
    made = {s: loaded(description["network"], state, s) for s, state in files.items()}
    module = made["source"][0]
    source, target = (made[s][1] for s in sides)
    noise = noises(arrays, "noise_source_"), noises(arrays, "noise_target_")
    count = nets.style_count(module.size)
    centre = jnp.asarray(arrays["mean_latent_target"])

    def at(w, psi=1.0):
        ws = nets.repeated(jnp.asarray(w), count)
        return nets.truncated(ws, centre, psi) if psi != 1 else ws

    def mapped(variables, z):
        return jax.jit(lambda v, z: module.apply(v, z, method="map"))(variables, jnp.asarray(z))

    swap = jax.jit(
        lambda a, b, ws, others, size: blend.swapped(module, a, b, ws, others, size, noise),
        static_argnums=4,
    )
    sizes = tuple(description["levels"].values())
    seen = jax.jit(lambda v, ws: module.apply(v, ws, noise[0], None, sizes, method="draw"))
    w, style = arrays["w"], at(mapped(target, arrays["z_style"]), 0.5)
    image, features = seen(source, at(w))
    close(nchw(image), arrays["image_source"], allowed, "image_source")
    for index, size in description["levels"].items():
        close(nchw(features[size]), arrays[f"swap_tensor_{index}"], allowed, f"tensor {index}")
        for name, others in (
            (f"image_swap_{index}", at(w)),
            (f"image_multi_style_{index}", style),
            (f"image_reference_{index}", at(arrays["w_ref"], 0.5)),
        ):
            close(nchw(swap(source, target, at(w), others, size)), arrays[name], allowed, name)
        script = f"image_reference_script_{index}"
        if script in arrays:
            # As the released script runs: codes through the mapping again, and truncated.
            first, others = (
                at(mapped(v, arrays[k]), 0.5) for v, k in ((source, "w"), (target, "w_ref"))
            )
            close(nchw(swap(source, target, first, others, size)), arrays[script], allowed, script)


def check_weight_blend(path: Path, description: dict, arrays: Arrays) -> None:
    allowed = tolerance(description, "absolute")
    names = [name for name in description["files"].replace(" and ", " ").split() if "." in name]
    files = {name.split(".")[-2]: read_tree(path.with_name(name))["g_ema"] for name in names}
    made = {s: loaded(description["network"], state, s) for s, state in files.items()}
    module, _, found = made["source"]
    given = noises(arrays, "noise_")
    ws = nets.repeated(jnp.asarray(arrays["w"]), nets.style_count(module.size))
    drawn = jax.jit(lambda v: module.apply(v, ws, given, method="draw"))
    for name, case in description["cases"].items():
        place = case["resolution"], case["level"], case["blend_width"]
        mixed = blend.weight_blend(made[case["low"]][1], made[case["high"]][1], *place)
        close(nchw(drawn(mixed)), arrays[f"image.{name}"], allowed, name)
        for entry in keys.entries(found):
            at = blend.position(entry.path)
            if entry.rosinality in case["untouched"]:
                assert at is None
            elif entry.rosinality in case["share_of_high"]:
                said = case["share_of_high"][entry.rosinality]
                assert at is not None and abs(blend.share(at, *place) - said) < 5e-6
            else:
                assert at is None or blend.share(at, *place) == 0


def check_factor(path: Path, description: dict, arrays: Arrays) -> None:
    state = read_tree(path.with_name(description["file"]))["g_ema"]
    module, variables, found = loaded(description["network"], state, path.stem)
    model = Model(path, found, module, variables)
    assert sum(len(rows) for rows in modulations(model)) == description["rows"]
    ours, values = directions(model)
    theirs = read_tree(path.with_suffix(".pt"))["eigvec"]
    signs = np.sign((ours * theirs).sum(0))
    close(ours * signs, theirs, tolerance(description, "eigvec"), "eigvec", relative=False)
    np.testing.assert_allclose(values, arrays["singular_values"], rtol=1e-5)
    allowed, centre = tolerance(description, "images"), jnp.asarray(arrays["mean_latent"])
    ws = model.mapped(arrays["z"])
    drawn = jax.jit(lambda v, ws: module.apply(v, nets.truncated(ws, centre, 0.7), method="draw"))
    close(nchw(drawn(variables, ws)), arrays["image"], allowed, "image")
    for name, case in description["cases"].items():
        for side, degree in (("plus", case["degree"]), ("minus", -case["degree"])):
            codes = moved(model, ws, theirs[:, case["index"]], degree)
            expected = arrays[f"image_{name}_{side}"]
            close(nchw(drawn(variables, codes)), expected, allowed, f"{name} {side}")


def check_projection(path: Path, description: dict, arrays: Arrays) -> None:
    weights = description.get("weights", "projection_w.pt")
    state = read_tree(path.with_name(weights))["g_ema"]
    module, variables, _ = loaded(description["network"], state, path.stem)
    said, steps = description["settings"], description["steps"]
    search = project.Search(
        steps, said["lr"], said["rampup"], said["rampdown"], said["noise"], said["noise_ramp"],
        said["noise_regularize"], said["mse"],
    )  # fmt: skip
    count, space, basis = nets.style_count(module.size), description["space"], None
    if space == "ui2i":
        space = "factors"
        file = path.with_name(f"{path.stem}.factor.pt")
        basis = jnp.asarray(read_tree(file)["eigvec"])
        code, deviation = arrays["code_mean"], float(arrays["code_std"])
    else:
        z = jnp.asarray(arrays["latent_sample_z"])
        w = np.asarray(jax.jit(lambda z: module.apply(variables, z, method="map"))(z), np.float64)
        np.testing.assert_allclose(w.mean(0), arrays["latent_mean"], atol=1e-5)
        measured = np.sqrt(np.square(w - w.mean(0)).sum() / len(w))
        deviation = float(arrays["latent_std"])
        assert measured == pytest.approx(deviation, rel=1e-4)
        code = arrays["latent_mean"][None]
        if space == "w_plus":
            code = np.repeat(code[:, None], count, axis=1)
    found = project.Found.begun(jnp.asarray(code), noises(arrays, "initial_noise_"))
    step = jax.jit(
        lambda found, target, shift, rate: project.search_step(
            module, search, variables, basis, space, found, target, shift, rate
        )
    )
    target, names = nhwc(arrays["target"]), [str(name) for name in arrays["loss_names"]]
    near, allowed = tolerance(description, "code"), tolerance(description, "loss")
    for i in range(steps):
        strength = search.strength(i, deviation)
        expected = dict(zip(names, arrays["losses"][i], strict=True))
        assert search.rate(i) == pytest.approx(expected["lr"], abs=1e-7)
        assert strength == pytest.approx(expected["noise_strength"], rel=1e-5, abs=1e-7)
        shift = jnp.asarray(arrays[f"step{i}.latent_noise"]) * strength
        # UI2I computes the shifted coefficients and uses the others.
        shift = jnp.zeros_like(found.code) if space == "factors" else shift
        found, losses = step(found, target, shift, jnp.float32(search.rate(i)))
        for ours, theirs in (("loss", "loss"), ("mse", "mse"), ("noise", "noise_regularize")):
            assert float(losses[ours]) == pytest.approx(expected[theirs], rel=allowed[i]), (i, ours)
        close(found.code, arrays[f"step{i}.code"], near, f"code {i}", relative=False)
        if i == 0:
            for j, m in enumerate(noises(arrays, "step0.noise_")):
                close(found.noise[j], np.asarray(m), near, f"noise {j}", relative=False)
    for j, m in enumerate(noises(arrays, "final_noise_")):
        close(found.noise[j], np.asarray(m), 10 * near, f"noise {j}", relative=False)
    image = jax.jit(
        lambda code, noise: project.drawn(module, variables, basis, space, code, noise)
    )(found.code, found.noise)
    # No tolerance of the picture is given: as its values after steps that differ by `near`.
    final = np.clip(nchw(image)[0], -1, 1)
    close(final, arrays["final_image"], 20 * near, "final_image", relative=False)
    result = path.with_name(f"{path.stem}.result.pt")
    if result.is_file():
        (kept,) = read_tree(result).values()
        close(found.code[0], kept["latent"], near, "result", relative=False)
