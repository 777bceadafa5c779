"""Pictures out of nothing but noise, which learn to be of one colour. It takes no dataset."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from motion_jax.data.reading import Noise
from motion_jax.recipes.adam import Adam
from motion_jax.recipes.base import Moments, Recipe
from motion_jax.recipes.network import Network, picture, updated
from motion_jax.recipes.schedule import Stage, check_stage
from motion_jax.recipes.state import Kind, Params, State


class Thrower(nn.Module):
    """Noise [B, H, W, 1] -> pictures [B, H, W, 3]."""

    @nn.compact
    def __call__(self, noise: Array) -> Array:
        return nn.tanh(nn.Conv(3, (1, 1), name="colour")(noise))


@dataclass(frozen=True)
class Dice(Recipe):
    """The recipe."""

    main_stage: Stage = field(default_factory=Stage)

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

    def networks(self, name: str) -> dict[str, Network]:
        noise = picture(self.main_stage.height, self.main_stage.width, 1)
        return {"thrower": Network(Thrower(), (noise,), "generator", Adam())}

    def train_step(
        self, state: State, batch: Mapping[str, Array], name: str, frozen: Params, kind: Kind = ()
    ) -> tuple[State, dict[str, Array]]:
        def loss(weights: Params) -> Array:
            params = {"thrower": {"params": weights}}
            return jnp.square(self.synthesize(params, batch["keys"], (), name)[0] - 0.5).mean()

        value, change = jax.value_and_grad(loss)(state.params["thrower"]["params"])
        rate = self.learning_rate(name, state.step)
        state = updated(self.networks(name), state, {"thrower": change}, rate, self.averaging)
        return state, {"away": value}

    def seen(self, moments: Moments) -> Any:
        return moments["keys"]

    def synthesize(
        self, params: Params, seen: Array, carry: Any, name: str, count: Array | None = None
    ) -> tuple[Array, Any]:
        """All at once: nothing is carried."""
        shape = self.main_stage.height, self.main_stage.width, 1
        keys = jax.random.wrap_key_data(seen, impl="threefry2x32")
        noise = jax.vmap(lambda key: jax.random.normal(key, shape))(keys)
        return Thrower().apply(params["thrower"], noise), carry
