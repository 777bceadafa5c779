"""StyleGAN2, UI2I and what belongs to them, against the fixtures of the published programs.

One function a kind of fixture; `CHECKS` names them. Everything that a case needs is read from its
json and npz; tolerances are those that stand there.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from motion_jax.nets import stylegan2 as nets
from motion_jax.weights import stylegan2 as keys
from motion_jax.weights.torch import read_tree

Arrays = dict[str, np.ndarray]


# --- reading ---------------------------------------------------------------------------------


def nhwc(array: np.ndarray) -> jax.Array:
    return jnp.asarray(array.transpose(0, 2, 3, 1))


def nchw(array: Any) -> np.ndarray:
    return np.asarray(array).transpose(0, 3, 1, 2)


def tolerance(description: Mapping, *words: str) -> float:
    """The tolerance whose name has all of the words."""
    found = [v for k, v in description["tolerance"].items() if all(w in k for w in words)]
    assert len(found) == 1, (words, description["tolerance"])
    return found[0]


def close(ours: Any, theirs: np.ndarray, allowed: float, what: str, relative: bool = True) -> None:
    """Within the tolerance, of the largest value where it is relative."""
    scale = float(np.abs(theirs).max()) if relative else 1.0
    ours = np.asarray(ours, np.float64)
    assert ours.shape == theirs.shape, (what, ours.shape, theirs.shape)
    worst = float(np.abs(ours - theirs).max()) / max(scale, 1e-30)
    assert worst <= allowed, f"{what}: differs by {worst:.3g}, allowed {allowed:g}"


def settings(description: Mapping, state: Arrays, where: str) -> dict[str, Any]:
    """Of our module: read off the weights, and what no weight tells from the json."""
    found = keys.settings_of(state, where)
    network, kinds = description, found["class"] == keys.GENERATOR
    more = dict(network.get("mapping_kwargs") or {})
    inner = dict(network.get("synthesis_kwargs") or {}) if kinds else network
    rate = network.get("lr_mlp", more.get("lr_multiplier", 0.01))
    found |= {"mapping_rate": rate, "clamp": inner.get("conv_clamp")}
    if not kinds:
        group = (network.get("epilogue_kwargs") or {}).get("mbstd_group_size", 4)
        found["stddev_group"] = network.get("stddev_group", group)
    if "architecture" in inner:
        assert found["architecture"] == inner["architecture"]
    return found


def loaded(
    description: Mapping, state: Arrays, where: str, average: np.ndarray | None = None
) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """(module, our variables, settings) of a state_dict."""
    found = settings(description, state, where)
    variables = keys.variables_of(state, found, where, average)
    return keys.module_of(found), variables, found


def noises(arrays: Mapping[str, np.ndarray], prefix: str) -> list[jax.Array]:
    """prefix0, prefix1, ... as our maps [N, r, r]."""
    count = 0
    while f"{prefix}{count}" in arrays:
        count += 1
    return [jnp.asarray(arrays[f"{prefix}{i}"][:, 0]) for i in range(count)]


def ours_of(gradient: Mapping[str, Any], found: Mapping[str, Any], key: str) -> np.ndarray:
    """A parameter's entry of a tree of ours, in the shape of the file's key."""
    state = keys.state_dict(gradient, found, found["layout"])
    return state[key]


# --- networks --------------------------------------------------------------------------------


def check_network(path: Path, description: dict, arrays: Arrays) -> None:
    network = description["network"]
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
    assert count == description["n_latent"] and len(given) == description["num_layers"]
    centre = jnp.asarray(arrays["mean_latent"])

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
    _, by_plus, by_noise = gradients(variables, jnp.asarray(arrays["w_plus"]), given)
    close(by_w, arrays["grad_w"], allowed, "grad_w")
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
    if psi != 1:
        image = jax.jit(lambda z: module.apply(variables, z, labels, psi, cutoff))(z)
        close(nchw(image), arrays[name], allowed, f"{name}, at once")
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
            paths = nets.frozen_discriminator(module, int(count))
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


CHECKS: dict[str, Callable[[Path, dict, Arrays], None]] = {
    "network": check_network,
    "layout_pair": check_layout_pair,
    "checkpoint": check_checkpoint,
}


def knows(description: Mapping) -> bool:
    """Whether a json is one of StyleGAN2's."""
    if description["kind"] not in CHECKS:
        return False
    parts = [description.get(name) or {} for name in ("network", "generator")]
    ours = any("key_layout" in part for part in parts if isinstance(part, Mapping))
    return ours or description["kind"] in ("augment", "ada")


def check(path: Path, description: dict, arrays: Arrays) -> None:
    CHECKS[description["kind"]](path, description, arrays)
