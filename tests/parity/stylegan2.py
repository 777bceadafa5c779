"""StyleGAN2, UI2I and what belongs to them, against the fixtures of the published programs.

One function a kind of fixture; `CHECKS` names them. Everything that a case needs is read from its
json and npz; tolerances are those that stand there.
"""

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from empty_state import zeros
from flax import traverse_util

from motion_jax.latents import blend, project
from motion_jax.latents.factors import directions, modulations, moved
from motion_jax.latents.model import Model
from motion_jax.nets import stylegan2 as nets
from motion_jax.nets.conv import target_platform
from motion_jax.nets.stylegan2_discriminator import Discriminator, frozen_discriminator
from motion_jax.recipes import adaptive
from motion_jax.recipes import stylegan2 as recipe
from motion_jax.recipes.freezing import frozen_paths
from motion_jax.recipes.network import Network
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


# --- training --------------------------------------------------------------------------------


def recipe_of(description: Mapping) -> recipe.StyleGAN2:
    g, said, sizes = description["generator"], description["settings"], description["batch"]
    widths = tuple(g["channels"][str(r)] for r in nets.levels(g["size"]))
    judged = description["discriminator"]["channels"]
    found = recipe.StyleGAN2(
        generator=recipe.Generator(
            latent=g["style_dim"],
            style=g["style_dim"],
            mapping_layers=g["n_mlp"],
            mapping_rate=g["lr_mlp"],
            widths=widths,
        ),
        discriminator=recipe.Discriminator(
            widths=tuple(judged[str(r)] for r in nets.levels(g["size"]))
        ),
        losses=recipe.Losses(
            r1=said["r1"],
            r1_every=said["d_reg_every"],
            path=said["path_regularize"],
            path_every=said["g_reg_every"],
            path_shrink=said["path_batch_shrink"],
            mixing=said["mixing"],
        ),
        main_stage=recipe.Stage(
            steps=description["steps"],
            height=g["size"],
            width=g["size"],
            batch_size=sizes["size"],
            learning_rate=said["lr"],
        ),
        averaging=said["ema_decay"],
    )
    assert not said["augment"]
    networks = found.networks("main")
    for name, network in (("g", "generator"), ("d", "discriminator")):
        adam, theirs = networks[network].optimizer, description["adam"][name]
        assert adam is not None
        assert adam.rate * said["lr"] == pytest.approx(theirs["lr"])
        assert [adam.b1, adam.b2] == pytest.approx(theirs["betas"]) and adam.eps == theirs["eps"]
    return found


def check_trajectory(path: Path, description: dict, arrays: Arrays) -> None:
    system = recipe_of(description)
    initial = read_tree(path.with_name(f"{path.stem}.initial.pt"))
    final = read_tree(path.with_name(f"{path.stem}.final.pt"))
    networks = {"g": "generator", "d": "discriminator"}
    params, found = {}, {}
    for name, network in networks.items():
        part = {**description["generator"], **description[network]}
        _, params[network], found[network] = loaded(part, initial[name], network)
    state = zeros(system, "main")
    assert jax.tree.structure(params) == jax.tree.structure(state.params)
    state = state.replace(params=params, averaged={"generator": params["generator"]})
    count, path_means = nets.style_count(system.size[0]), iter(arrays["mean_path_length"])

    def draws(s: int, phase: str, said: Mapping) -> recipe.Draws:
        prefix = f"step{s}.{phase}."
        z0 = arrays[f"{prefix}z0"]
        return recipe.Draws(
            z=jnp.asarray(np.stack([z0, arrays.get(f"{prefix}z1", z0)])),
            first=jnp.asarray(said["inject_index"] if said["mixed"] else count),
            noise=noises(arrays, f"{prefix}noise_"),
            picture=nhwc(arrays[f"{prefix}image_noise"]) if phase == "path" else None,
        )

    first_gradients = []
    stepped = Network.stepped

    def noted(self, name, variables, gradient, *rest):
        first_gradients.append((name, gradient))
        return stepped(self, name, variables, gradient, *rest)

    def step(state, real, given, kind):
        first_gradients.clear()
        # The plain forms of convolutions: their second derivatives compile in a third of the time.
        with pytest.MonkeyPatch.context() as patch, target_platform("gpu"):
            patch.setattr(Network, "stepped", noted)
            state, metrics = system.step(state, real, given, jax.random.key(0), "main", kind)
        return state, metrics, [gradient for _, gradient in first_gradients]

    compiled = jax.jit(step, static_argnums=3)
    batch, metrics = description["batch"], {}
    allowed = tolerance(description, "losses")
    for s, said in enumerate(description["draws"]):
        random = np.random.default_rng(batch["seed_of_step_0"] + s)
        size = system.size
        shape = (batch["size"], 3, *size)
        real = nhwc(np.tanh(random.standard_normal(shape)).astype(np.float32))
        phases = [phase for phase in ("d", "g", "path") if said[phase]]
        kind = tuple(k for k in ("r1", "path") if said[k])
        given = {phase: draws(s, phase, said[phase]) for phase in phases}
        state, fresh, gradients = compiled(state, real, given, kind)
        metrics |= {name: float(value) for name, value in fresh.items()}
        ours = {**metrics, "d": metrics["D"], "g": metrics["G"]}
        for name, expected in zip(arrays["loss_names"], arrays["losses"][s], strict=True):
            worst = abs(ours[str(name)] - expected) / max(abs(expected), 1e-3)
            assert worst <= allowed[s], (str(name), s, ours[str(name)], expected)
        if said["path"]:
            assert float(state.path_mean) == pytest.approx(next(path_means), rel=allowed[s])
        if s == 0:
            phases = ["d_main", *["d_r1"] * said["r1"], "g_main", *["g_path"] * bool(said["path"])]
            check_first_gradients(path, description, dict(zip(phases, gradients, strict=True)),
                                  state, found)  # fmt: skip
    # As far as rounding lets two Adams go together, see the tolerance of the losses.
    for name, trees in (("g", state.params), ("d", state.params), ("g_ema", state.averaged)):
        network = networks[name[0]]
        back = keys.state_dict(trees[network], found[network], "rosinality")
        for key, theirs in final[name].items():
            moved = np.abs(np.asarray(theirs) - np.asarray(initial[name[0]][key])).max()
            worst = np.abs(back[key] - theirs).max()
            rounding = 4 * np.spacing(np.abs(theirs).max())
            assert worst <= 0.2 * moved + rounding, (name, key, worst, moved)


def check_first_gradients(path, description, gradients, state, found) -> None:
    file = read_tree(path.with_name(f"{path.stem}.first_gradients.pt"))
    allowed = tolerance(description, "first_gradients")
    assert set(gradients) == set(file)
    for phase, expected in file.items():
        gradient = gradients[phase]
        network = {"d": "discriminator", "g": "generator"}[phase[0]]
        tree = {**state.params[network], "params": gradient}
        for key, theirs in expected.items():
            if key == "norm of all":
                norm = np.sqrt(sum(float(jnp.square(g).sum()) for g in jax.tree.leaves(gradient)))
                assert norm == pytest.approx(float(theirs), rel=allowed)
            else:
                close(ours_of(tree, found[network], key), theirs, allowed, f"{phase} {key}")


def check_freeze(path: Path, description: dict, arrays: Arrays) -> None:
    network = description["network"]
    widths = tuple(network["channels"][str(r)] for r in nets.levels(network["size"]))
    generator = nets.Generator(widths, network["style_dim"], network["style_dim"], network["n_mlp"])
    judge = Discriminator(widths)
    for variant, said in description["variants"].items():
        count = int(variant.split()[1]) if variant.startswith("freeze") else 0
        freeze = recipe.Freeze(
            mapping=variant.startswith("FreezeFC"),
            generator_trained=count if variant.startswith("freezeG") else 0,
            discriminator_trained=count if variant.startswith("freezeD") else 0,
        )
        parts = frozen_paths(freeze, generator, judge)
        for module, letter in ((generator, "g"), (judge, "d")):
            name = {"g": "generator", "d": "discriminator"}[letter]
            frozen, trained = set(), set()
            for entry in keys.entries(keys.described(module)):
                if entry.path[0] == "params":
                    stays = any(entry.path[1 : len(p) + 1] == p for p in parts[name])
                    (frozen if stays else trained).add(entry.rosinality)
            assert frozen == set(said[f"{letter}_frozen"]), variant
            assert trained == set(said.get(f"{letter}_trained", trained)), variant


# --- augmentation ----------------------------------------------------------------------------


def check_ada(path: Path, description: dict, arrays: Arrays) -> None:
    augment = adaptive.Augment(
        "adaptive",
        target=description["target"],
        length=description["length"],
        every=description["update_every_calls"],
    )
    state = adaptive.begun(augment)
    step = jax.jit(lambda state, scores: adaptive.adapted(augment, state, scores))
    allowed = tolerance(description, "absolute")
    for i, scores in enumerate(arrays["real_scores"]):
        state = step(state, jnp.asarray(scores[:, 0]))
        close(state.p, arrays["p"][i], allowed, f"p {i}", relative=False)
        close(state.signs, arrays["r_t"][i], allowed, f"r {i}", relative=False)


class Percentile:
    """Every quantity at one percentile of its distribution, as the fixtures have them."""

    def __init__(self, share: float, batch: int):
        self.batch, self._share = batch, share

    def uniform(self, name, width=1):
        return jnp.full((self.batch, width), self._share)

    def normal(self, name, width=1):
        value = 0.0 if name in ("grain", "noise") else jax.scipy.special.erfinv(2 * self._share - 1)
        return jnp.full((self.batch, width), value)

    def chosen(self, name, values, otherwise, share=1.0):
        return values * (name != "rotate_after")


def check_augment(path: Path, description: dict, arrays: Arrays) -> None:
    allowed = tolerance(description, "absolute")
    images = nhwc(arrays["image"])
    if description["recipe"] == "rosinality":
        warp, colour = jax.jit(adaptive.warped), jax.jit(adaptive.coloured)

        @jax.jit
        def slope(images, affine, color):
            both = lambda x: adaptive.coloured(adaptive.warped(x, affine), color)  # noqa: E731
            return jax.grad(lambda x: jnp.mean(jnp.square(both(x))))(images)

        for case in description["cases"]:
            affine, color = (jnp.asarray(arrays[f"{case}.{k}"]) for k in ("affine", "color"))
            moved = warp(images, affine)
            for name, ours in (
                ("image_affine", moved),
                ("image_color", colour(images, color)),
                ("image_both", colour(moved, color)),
                ("grad_image", slope(images, affine, color)),
            ):
                close(nchw(ours), arrays[f"{case}.{name}"], allowed, f"{case} {name}", False)
        return
    batch, (height, width) = images.shape[0], images.shape[1:3]
    for case, said in description["cases"].items():
        kinds = tuple(said["switched_on"])
        augment = adaptive.Augment("fixed", "of the fixture")
        draws = Percentile(said["debug_percentile"], batch)

        def varied(x, augment=augment, draws=draws):
            return adaptive.varied(x, augment, draws)

        both = jax.jit(lambda x, f=varied: (f(x), jax.grad(lambda x: jnp.mean(f(x) ** 2))(x)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(adaptive.PIPES, augment.pipe, kinds)
            output, gradient = both(images)
        close(nchw(output), arrays[f"{case}.output"], allowed, f"{case} output", False)
        close(nchw(gradient), arrays[f"{case}.grad_image"], allowed, f"{case} grad", False)
        if f"{case}.theta" in arrays:
            inverse = adaptive.geometry(kinds, augment.strengths, draws, height, width)
            expected = arrays[f"{case}.theta"]
            thetas = normalised_matrices(np.asarray(inverse, np.float64), height, width)
            nearest = min(thetas, key=lambda theta: np.abs(theta - expected).max())
            close(nearest, expected, allowed, f"{case} theta", False)


def normalised_matrices(inverse: np.ndarray, height: int, width: int) -> list[np.ndarray]:
    """What StyleGAN2-ADA hands to its sampling grid: it pads as far as the batch's corners reach;
    several where they reach a whole pixel, which rounding makes this one or the next."""
    cx, cy, rest = (width - 1) / 2, (height - 1) / 2, len(adaptive.SYM6) // 4
    corners = np.array([[-cx, -cy, 1], [cx, -cy, 1], [cx, cy, 1], [-cx, cy, 1]])
    seen = (inverse @ corners.T)[:, :2].transpose(1, 0, 2).reshape(2, -1)
    reach = np.concatenate([-seen, seen]).max(1) + np.array([2 * rest - cx, 2 * rest - cy] * 2)
    reach = np.clip(reach, 0, np.array([width - 1, height - 1] * 2))
    sides = [sorted({np.ceil(r - 1e-4), np.ceil(r + 1e-4)}) for r in reach]

    def scale(x: float, y: float) -> np.ndarray:
        return np.diag([x, y, 1.0])

    def move(x: float, y: float) -> np.ndarray:
        return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])

    found = []
    for left, top, right, bottom in itertools.product(*sides):
        matrix = move((left - right) / 2, (top - bottom) / 2) @ inverse
        matrix = scale(2, 2) @ matrix @ scale(0.5, 0.5)
        matrix = move(-0.5, -0.5) @ matrix @ move(0.5, 0.5)
        padded = width + left + right, height + top + bottom
        sampled = scale(width + 2 * rest, height + 2 * rest)
        matrix = scale(1 / padded[0], 1 / padded[1]) @ matrix @ sampled
        found.append(matrix[:, :2])
    return found


# --- latents ---------------------------------------------------------------------------------


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


CHECKS: dict[str, Callable[[Path, dict, Arrays], None]] = {
    "network": check_network,
    "layout_pair": check_layout_pair,
    "checkpoint": check_checkpoint,
    "trajectory": check_trajectory,
    "freeze": check_freeze,
    "augment": check_augment,
    "ada": check_ada,
    "layer_swap": check_layer_swap,
    "weight_blend": check_weight_blend,
    "factor": check_factor,
    "projection": check_projection,
}


def knows(description: Mapping) -> bool:
    """Whether a json is one of StyleGAN2's."""
    if description["kind"] not in CHECKS:
        return False
    parts = [description.get(name) or {} for name in ("network", "generator")]
    ours = any("key_layout" in part for part in parts if isinstance(part, Mapping))
    return ours or description["kind"] in ("augment", "ada")


def check(path: Path, description: dict, _: object) -> None:
    beside = path.with_suffix(".npz")
    arrays = dict(np.load(beside)) if beside.is_file() else {}
    CHECKS[description["kind"]](path, description, arrays)
