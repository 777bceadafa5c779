"""Colours for grey film: a painter sees a grey frame and what it remembers of the frames before, a
vector. It knows no pose, and has no opponent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from motion_jax.data.reading import Window
from motion_jax.recipes.adam import Adam
from motion_jax.recipes.base import Moments, Recipe
from motion_jax.recipes.metric import GENERATOR, Metric
from motion_jax.recipes.network import Network, picture, updated
from motion_jax.recipes.pixels import to_float
from motion_jax.recipes.schedule import Stage, check_stage
from motion_jax.recipes.state import Kind, Params, State


class Painter(nn.Module):
    """(grey [B, H, W, 1], memory [B, M]) -> (colours [B, H, W, 3], memory [B, M])."""

    channels: int
    memory: int

    @nn.compact
    def __call__(self, grey: Array, memory: Array) -> tuple[Array, Array]:
        hidden = nn.Conv(self.channels, (3, 3), name="see")(grey)
        hidden = nn.relu(hidden + nn.Dense(self.channels, name="recall")(memory)[:, None, None])
        both = jnp.concatenate([memory, hidden.mean((1, 2))], axis=-1)
        after = nn.tanh(nn.Dense(self.memory, name="remember")(both))
        return nn.tanh(nn.Conv(3, (3, 3), name="paint")(hidden)), after


@dataclass(frozen=True)
class Tint(Recipe):
    """The recipe."""

    main_stage: Stage = field(default_factory=Stage)
    channels: int = 4
    """Of the painter's hidden layer."""
    memory: int = 5
    """Numbers that are carried from frame to frame."""
    window: int = 4
    """Frames over which it is unrolled in training."""

    shows = ("frames",)

    @property
    def name(self) -> str:
        return "tint"

    def stages(self) -> dict[str, Stage]:
        return {"main": self.main_stage} if self.main_stage.steps else {}

    def validate(self) -> None:
        check_stage("main", self.main_stage)

    def reading(self, name: str) -> Window:
        stage = self.main_stage
        return Window(stage.height, stage.width, stage.batch_size, length=self.window)

    def painter(self) -> Painter:
        return Painter(self.channels, self.memory)

    def networks(self, name: str) -> dict[str, Network]:
        memory = jax.ShapeDtypeStruct((1, self.memory), jnp.float32)
        seen = picture(self.main_stage.height, self.main_stage.width, 1), memory
        return {"painter": Network(self.painter(), seen, "generator", Adam(b1=0.9))}

    def metrics(self, name: str) -> dict[str, Metric]:
        return {"difference": GENERATOR}

    def train_step(
        self, state: State, batch: Mapping[str, Array], name: str, frozen: Params, kind: Kind = ()
    ) -> tuple[State, dict[str, Array]]:
        films = to_float(batch["frames"])

        def loss(weights: Params) -> Array:
            params = {"painter": {"params": weights}}

            def one(film: Array) -> Array:
                memory, made = self.blank(), []
                for frame in film:
                    picture, memory = self.frame(params, frame, memory, name)
                    made.append(picture)
                return jnp.abs(jnp.stack(made) - film).mean()

            return jax.vmap(one)(films).mean()

        value, change = jax.value_and_grad(loss)(state.params["painter"]["params"])
        rate = self.learning_rate(name, state.step)
        state = updated(self.networks(name), state, {"painter": change}, rate, self.averaging)
        return state, {"difference": value}

    def seen(self, moments: Moments) -> Any:
        return moments["frames"]

    def blank(self) -> Array:
        return jnp.zeros((1, self.memory))

    def start(self, params: Params, reference: Array | None, name: str) -> Array:
        return self.blank()

    def frame(self, params: Params, seen: Array, carry: Array, name: str) -> tuple[Array, Array]:
        grey = to_float(seen).mean(-1, keepdims=True)[None]
        picture, after = self.painter().apply(params["painter"], grey, carry)
        return picture[0], after


RECIPE = Tint
