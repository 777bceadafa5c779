"""Pictures out of nothing but noise, which learn to be of one colour. It takes no dataset."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from motion_jax.data.reading import Noise
from motion_jax.recipes.base import Moments, Recipe
from motion_jax.recipes.schedule import Stage, check_stage
from motion_jax.recipes.state import Params, State


@dataclass(frozen=True)
class Dice(Recipe):
    """The recipe: a picture is noise of one deviation around one colour."""

    main_stage: Stage = field(default_factory=Stage)
    dtype: str = "float32"
    averaging: float = 0.0

    shows = ("noise",)
    paired = False

    @property
    def name(self) -> str:
        return "dice"

    def stages(self) -> dict[str, Stage]:
        return {"main": self.main_stage} if self.main_stage.steps else {}

    def validate(self) -> None:
        check_stage("main", self.main_stage)

    def reading(self, name: str) -> Noise:
        stage = self.main_stage
        return Noise(stage.height, stage.width, stage.batch_size)

    def init(self, key: Array, name: str, previous: State | None = None) -> State:
        params = {"dice": {"params": {"colour": jnp.zeros(3), "deviation": jnp.ones(())}}}
        return State(jnp.zeros((), jnp.int32), params, {}, {}, key)

    def train_step(
        self, state: State, batch: Mapping[str, Array], name: str, frozen: Params, kind: Any = ()
    ) -> tuple[State, dict[str, Array]]:
        def loss(params: Params) -> Array:
            return jnp.square(self.synthesize(params, batch["keys"], (), name)[0] - 0.5).mean()

        value, gradient = jax.value_and_grad(loss)(state.params)
        rate = self.learning_rate(name, state.step)
        params = jax.tree.map(lambda a, b: a - rate * b, state.params, gradient)
        return state.replace(step=state.step + 1, params=params), {"away": value}

    def seen(self, moments: Moments) -> Any:
        return moments["keys"]

    def synthesize(
        self, params: Params, seen: Array, carry: Any, name: str, count: Array | None = None
    ) -> tuple[Array, Any]:
        """All at once: nothing is carried."""
        shape = self.main_stage.height, self.main_stage.width, 1
        keys = jax.random.wrap_key_data(seen, impl="threefry2x32")
        noise = jax.vmap(lambda key: jax.random.normal(key, shape))(keys)
        weights = params["dice"]["params"]
        return jnp.clip(weights["colour"] + weights["deviation"] * noise, -1.0, 1.0), carry

    def synthesis_params(self, state: State) -> Params:
        return state.params
