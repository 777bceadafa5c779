"""Networks and their files: pictures, scores, gradients, keys."""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from parity.stylegan2.reading import Arrays, close, loaded, nchw, nhwc, noises, ours_of, tolerance

from motion_jax.nets import stylegan2 as nets
from motion_jax.nets.stylegan2_discriminator import frozen_discriminator
from motion_jax.weights import stylegan2 as keys
from motion_jax.weights.torch import read_tree


def check_network(path: Path, description: dict, arrays: Arrays) -> None:
    network = description["network"]
    if "stddev_group" in description:
        network = network | {"stddev_group": description["stddev_group"]}
    state = read_tree(path.with_suffix(".pt"))
    module, variables, found = loaded(network, state, path.stem)
    if network["class"] == "Discriminator":
        check_discriminator(description, arrays, module, variables, found)
    elif found["layout"] == "rosinality":
        check_rosinality_generator(description, arrays, module, variables, found)
    else:
        check_nvlabs_generator(description, arrays, module, variables, found)
    back = keys.state_dict(variables, found, found["layout"])
    assert set(back) == set(state)
    for key, value in state.items():
        np.testing.assert_array_equal(back[key], value, err_msg=key)


def check_rosinality_generator(description, arrays, module, variables, found) -> None:
    allowed = tolerance(description, "absolute")
    given, count = noises(arrays, "noise_"), nets.style_count(module.size)
    assert count == description["n_latent"]
    assert len(nets.noise_sizes(module.size)) == description["num_layers"]
    centre = jnp.asarray(arrays.get("mean_latent", np.zeros(module.style)))

    @jax.jit
    def mapped(z):
        return module.apply(variables, z, method="map")

    @jax.jit
    def drawn(variables, ws, noise):
        return module.apply(variables, ws, noise, method="draw")

    def entries(case: Mapping) -> jax.Array:
        """w+ of a case: truncated, then repeated, then mixed."""
        codes = []
        for name in case["styles"]:
            code = jnp.asarray(arrays[name])
            code = code if case.get("input_is_latent") else mapped(code)
            code = code if code.ndim == 3 else nets.repeated(code, count)
            if (psi := case.get("truncation", 1)) < 1:
                code = nets.truncated(code, centre, psi)
            codes.append(code)
        first = case.get("inject_index", count)
        return jnp.concatenate([codes[0][:, :first], codes[-1][:, first:]], axis=1)

    fixed = [m[None] for m in fixed_noise(variables, found)]
    for name, case in description["cases"].items():
        noise = given if case["noise"] == "given" else fixed
        image = drawn(variables, entries(case), noise)
        close(nchw(image), arrays[name], allowed, name)

    @jax.jit
    def gradients(variables, ws, noise):
        def loss(params, ws, noise):
            mixed = {**variables, "params": params}
            ws = ws if ws.ndim == 3 else nets.repeated(ws, count)
            return jnp.mean(jnp.square(module.apply(mixed, ws, noise, method="draw")))

        return jax.grad(loss, (0, 1, 2))(variables["params"], ws, noise)

    allowed = tolerance(description, "gradients")
    by_params, by_w, _ = gradients(variables, jnp.asarray(arrays["w"]), fixed)
    close(by_w, arrays["grad_w"], allowed, "grad_w")
    if "grad_w_plus" in arrays:
        _, by_plus, by_noise = gradients(variables, jnp.asarray(arrays["w_plus"]), given)
        close(by_plus, arrays["grad_w_plus"], allowed, "grad_w_plus")
    tree = {**variables, "params": by_params}
    for name, expected in arrays.items():
        if name.startswith("grad_param."):
            ours = ours_of(tree, found, name.removeprefix("grad_param."))
            close(ours, expected, allowed, name)
        elif name.startswith("grad_noise_"):
            index = int(name.removeprefix("grad_noise_"))
            close(by_noise[index][:, None], expected, allowed, name)


def fixed_noise(variables: Mapping, found: Mapping) -> list[jax.Array]:
    """The fixed maps of a generator, in order."""
    flat = traverse_util.flatten_dict(variables)
    paths = [entry.path for entry in keys.entries(found) if entry.kind == "noise"]
    return [jnp.asarray(flat[path]) for path in paths]


def check_nvlabs_generator(description, arrays, module, variables, found) -> None:
    allowed = tolerance(description, "absolute")
    z = jnp.asarray(arrays["z"])
    labels = jnp.asarray(arrays["c"]) if "c" in arrays else None
    count = nets.style_count(module.size)
    fixed = [m[None] for m in fixed_noise(variables, found)]
    none = [jnp.zeros_like(m) for m in fixed]

    @jax.jit
    def drawn(ws, noise):
        return module.apply(variables, ws, noise, method="draw")

    w = jax.jit(lambda z: module.apply(variables, z, labels, method="map"))(z)
    ws = nets.repeated(w, count)
    close(ws, arrays["ws"], allowed, "ws")
    centre = jnp.asarray(variables["buffers"]["mapping"]["average"])
    for name, case in description["cases"].items():
        psi, cutoff = case["truncation_psi"], case.get("truncation_cutoff")
        codes = nets.truncated(ws, centre, psi, cutoff) if psi != 1 else ws
        noise = {"const": fixed, "none": none}[case["noise_mode"]]
        close(nchw(drawn(codes, noise)), arrays[name], allowed, name)
    plus = jnp.asarray(arrays["w_plus"])
    close(nchw(drawn(plus, fixed)), arrays["image_w_plus"], allowed, "image_w_plus")
    gradient = jax.jit(jax.grad(lambda ws: jnp.mean(jnp.square(drawn(ws, fixed)))))(ws)
    close(gradient, arrays["grad_ws"], tolerance(description, "grad_ws"), "grad_ws")
    # What __call__ does with psi and cutoff is the same as by hand.
    for name, case in list(description["cases"].items())[::-1]:
        psi, cutoff = case["truncation_psi"], case.get("truncation_cutoff")
        if psi != 1 and case["noise_mode"] == "const":
            image = jax.jit(lambda z, p=psi, c=cutoff: module.apply(variables, z, labels, p, c))(z)
            close(nchw(image), arrays[name], allowed, f"{name}, at once")
            break
    if "w_avg_after" in arrays:
        w = module.apply(variables, jnp.asarray(arrays["w_avg_z"]), labels, method="map")
        after = nets.moved_average(centre, w)
        close(after, arrays["w_avg_after"], allowed, "w_avg_after")


def check_discriminator(description, arrays, module, variables, found) -> None:
    allowed = [v for k, v in description["tolerance"].items() if "absolute" in k][0]
    for batch in description["batches"]:
        x = nhwc(arrays[f"input_{batch}"])
        labels = jnp.asarray(arrays[f"c_{batch}"]) if f"c_{batch}" in arrays else None
        score = jax.jit(lambda x, labels: module.apply(variables, x, labels))(x, labels)
        expected = arrays[f"output_{batch}"]
        close(score[:, None], expected, allowed, f"output_{batch}", relative=False)
    for name, expected in arrays.items():
        if not name.startswith("r1_"):
            continue
        batch = name.removeprefix("r1_")

        def penalty(params, x):
            mixed = {**variables, "params": params}
            slope = jax.grad(lambda x: module.apply(mixed, x).sum())(x)
            return jnp.square(slope).sum((1, 2, 3)).mean(), slope

        x = nhwc(arrays[f"input_{batch}"])
        step = jax.jit(jax.value_and_grad(penalty, has_aux=True))
        (value, slope), gradient = step(variables["params"], x)
        close(value, expected, tolerance(description, "r1", "relative"), name)
        close(nchw(slope), arrays[f"grad_input_{batch}"], 1e-4, "grad_input")
        for key, each in arrays.items():
            if key.startswith("grad_r1."):
                ours = ours_of({"params": gradient}, found, key.removeprefix("grad_r1."))
                close(ours, each, tolerance(description, "grad_r1"), key)
    if frozen := description.get("frozen_keys_by_freeze_layers"):
        for count, expected in frozen.items():
            paths = frozen_discriminator(module, int(count))
            ours = [entry.nvlabs for entry in keys.entries(found) if entry.path[1:2][0] in paths]
            assert sorted(ours) == sorted(expected), count


def check_layout_pair(path: Path, description: dict, arrays: Arrays) -> None:
    files = {
        layout: read_tree(path.with_name(f"{path.stem}.{layout}.pt"))
        for layout in ("rosinality", "nvlabs")
    }
    ros, nv = files["rosinality"], files["nvlabs"]
    pairs = (("g_ema", "G_ema", ros.get("latent_avg")), ("d", "D", None))
    for first, second, average in pairs:
        one, two = keys.settings_of(ros[first], first), keys.settings_of(nv[second], second)
        a = keys.variables_of(ros[first], one, first, average)
        b = keys.variables_of(nv[second], two, second)
        assert jax.tree.structure(a) == jax.tree.structure(b)
        jax.tree.map(np.testing.assert_array_equal, a, b)
        for state, variables, found in ((ros[first], b, two), (nv[second], a, one)):
            other = "rosinality" if found["layout"] == "nvlabs" else "nvlabs"
            back = keys.state_dict(variables, found, other)
            assert set(back) == set(state)
            for key, value in state.items():
                np.testing.assert_array_equal(back[key], value, err_msg=key)
    network = description["network"]
    module, variables, _ = loaded(network, nv["G_ema"], "nvlabs")
    allowed = tolerance(description, "images")
    drawn = jax.jit(lambda z, psi: module.apply(variables, z, None, psi))
    for name, expected in arrays.items():
        if name.startswith("image"):
            psi = float(name.rpartition("_")[2]) if "truncation" in name else 1.0
            close(nchw(drawn(jnp.asarray(arrays["z"]), psi)), expected, allowed, name)
    judge, weights, _ = loaded({}, nv["D"], "nvlabs")
    score = jax.jit(judge.apply)(weights, nhwc(arrays["input"]))
    close(score[:, None], arrays["score"], allowed, "score", relative=False)


def check_checkpoint(path: Path, description: dict, arrays: Arrays) -> None:
    tree = read_tree(path.with_suffix(".pt"))
    assert sorted(tree) == sorted(description["keys"])
    average = tree["latent_avg"]
    module, variables, _ = loaded(description["network"], tree["g_ema"], path.stem, average)
    drawn = jax.jit(lambda z: module.apply(variables, z, None, 0.5))
    # The tolerance of generators: this file names none.
    close(nchw(drawn(jnp.asarray(arrays["z"]))), arrays["image"], 1e-5, "image")
