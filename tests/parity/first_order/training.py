"""Steps of training, from the start and from a checkpoint."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from empty_state import zeros
from parity.first_order.comparing import Arrays, Compared, by_their_keys, compare_known, nchw, nhwc

from motion_jax.nets.thin_plate import Deformation
from motion_jax.port import first_order_config
from motion_jax.port.first_order_checkpoint import PARTS, moments_of, parts_of
from motion_jax.weights.torch import read_tree


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
