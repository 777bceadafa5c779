"""Steps of training, and layers that are left as they are."""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from empty_state import zeros
from parity.stylegan2.reading import Arrays, close, loaded, nhwc, noises, ours_of, tolerance

from motion_jax.nets import stylegan2 as nets
from motion_jax.nets.conv import target_platform
from motion_jax.nets.stylegan2_discriminator import Discriminator
from motion_jax.recipes import stylegan2 as recipe
from motion_jax.recipes.freezing import frozen_paths
from motion_jax.recipes.network import Network
from motion_jax.weights import stylegan2 as keys
from motion_jax.weights.torch import read_tree


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
