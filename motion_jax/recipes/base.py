"""What the rest of the program knows of a recipe."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from flax import linen as nn
from jax import Array

from motion_jax.errors import UserError
from motion_jax.pose.pose_pictures import poses_of
from motion_jax.recipes import beginning, schedule
from motion_jax.recipes.metric import Metric
from motion_jax.recipes.network import Network, Work
from motion_jax.recipes.state import Kind, Params, State


@dataclass(frozen=True)
class Recipe:
    """A system: hyperparameters as fields, pure functions as methods.

    Loop, samples, transfer, evaluation and profiles use what is here, and the fields dtype,
    averaging, rematerialise and, where draws_poses, pose_style. Each stage's settings are in a
    field NAME_stage, with at least what schedule.Stage has.

    Attributes:
      draws_poses: what the generator sees is a pose: a dataset must have keypoints or ready pose
        pictures. Otherwise it is a picture, and `transfer` shows it the source's frames.
      unpaired: batches hold pictures of two domains, "A" and "B", that do not belong together
        (data/unpaired.py); otherwise frames with their poses (data/pairs.py). See batch_shapes.
      recurrent: whether the generator sees its previous frame.
      needs_vgg19: whether a loss needs VGG-19, as frozen["vgg19"].
    """

    draws_poses = True
    unpaired = False
    recurrent = False
    needs_vgg19 = False

    @property
    def name(self) -> str:
        """Of its module."""
        raise NotImplementedError

    def stages(self) -> dict[str, Any]:
        """Settings of the stages to run, in order."""
        raise NotImplementedError

    def validate(self) -> None:
        """Raises UserError where the fields contradict each other or the networks' needs."""
        raise NotImplementedError

    def networks(self, name: str) -> dict[str, Network]:
        """The networks of a stage, by their names in the state: what initialisation, checkpoints,
        export and profiles know of them."""
        raise NotImplementedError

    def trained(self, name: str) -> tuple[str, ...]:
        """Names of the networks that a stage updates."""
        networks = self.networks(name)
        return tuple(network for network in networks if networks[network].optimizer is not None)

    def tested_modules(self, name: str) -> dict[str, nn.Module]:
        """The networks of a stage as a trained run uses them, where that is another way than in
        training: see tested."""
        return {network: each.module for network, each in self.networks(name).items()}

    def init(self, key: Array, name: str, previous: State | None = None) -> State:
        """The state at the start of a stage. Pure; works under jax.eval_shape.

        previous: the last state of the stage before: see carried_over. Optimisers start fresh.
        """
        carried = None if previous is None else partial(self.carried_over, name, previous)
        return beginning.begun(self.networks(name), key, carried)

    def carried_over(self, name: str, previous: State, params: Params) -> Params:
        """The parameters in which a stage begins after another one.

        params: fresh, by network name. Here a network of the same name and shapes goes on from
        where it was.
        """
        return beginning.kept(params, previous)

    def train_step(
        self,
        state: State,
        batch: Mapping[str, Array],
        name: str,
        frozen: Params,
        kind: Kind = (),
    ) -> tuple[State, dict[str, Array]]:
        """One update of a stage's networks: the new state, and losses by name. Pure.

        kind: what this step does besides the usual: see rhythm.
        """
        raise NotImplementedError

    def metrics(self, name: str) -> dict[str, Metric]:
        """What the numbers are that a stage's train step gives, by name. Others are recorded, but
        neither drawn nor guarded."""
        return {}

    def work(self, name: str) -> list[Work]:
        """What a step of a stage does with which networks, for estimates of arithmetic and memory
        before anything is traced; empty: no estimate."""
        return []

    def rhythm(self, name: str) -> dict[str, int]:
        """What some steps of a stage do besides the usual: {what: n}, at every n-th step."""
        return {}

    def kind_of(self, name: str, step: int) -> Kind:
        """Of a step, counted from 1, of a stage."""
        return tuple(what for what, every in self.rhythm(name).items() if step % every == 0)

    def kinds(self, name: str) -> dict[Kind, float]:
        """All kinds of steps of a stage, and the share of its steps that are of each; the usual
        first, where there is one. Each is compiled once."""
        steps = min(self.stages()[name].steps, math.lcm(*self.rhythm(name).values()))
        every = Counter(self.kind_of(name, step) for step in range(1, steps + 1))
        return {kind: every[kind] / steps for kind in sorted(every, key=len)}

    def usual_kind(self, name: str) -> Kind:
        """The kind that a stage has most steps of."""
        kinds = self.kinds(name)
        return max(kinds, key=kinds.get)

    def learning_rate(self, name: str, step: Array | int) -> Array:
        """Of a step, counted from 0, of a stage: see schedule."""
        return schedule.learning_rate(getattr(self, f"{name}_stage"), step)

    def learning_rate_at(self, name: str, step: int) -> float:
        """The same as a plain number."""
        return schedule.learning_rate_at(getattr(self, f"{name}_stage"), step)

    def synthesize(
        self,
        params: Params,
        poses: Array,
        boxes: Array,
        carry: Array,
        name: str,
        recurrent: bool = True,
    ) -> tuple[Array, Array]:
        """N frames: float32 [N, H, W, 3] in [-1, 1], and what each leaves to the next, of the same
        shape. Pure.

        poses: keypoints [N, 137, 3], or pictures uint8 [N, H, W, 3]; boxes: [N, 4]; carry
        [1, H, W, 3]: the previous output, zeros at the beginning.
        """
        raise NotImplementedError

    def synthesis_params(self, state: State) -> Params:
        """The parameters that synthesis uses, by network name."""
        raise NotImplementedError

    def tested(self, **changes: Any) -> "Recipe":
        """The recipe with another way to run a trained generator: see pix2pix.Test.

        Raises UserError where the recipe knows only one.
        """
        raise UserError(
            f"The recipe {self.name} has neither batch norm nor dropout in its generator, so there "
            f"is no {' or '.join(changes)} to choose; leave it out."
        )

    def seen(self, batch: Mapping[str, Any]) -> Any:
        """What `synthesize` is given as poses, of a batch or window of frames with their poses."""
        return poses_of(batch) if self.draws_poses else batch["frames"]

    def check_dataset(self, dataset: Any) -> None:
        """Raises UserError where a dataset (records.PoseFrames) lacks what the recipe is shown."""

    def batch_shapes(self, name: str) -> dict[str, tuple[tuple[int, ...], str]]:
        """What a batch of a stage holds: {name: (shape, dtype)}. Where the dataset has ready pose
        pictures they come besides."""
        stage = self.stages()[name]
        lead = (stage.batch_size, stage.window)
        return {
            "frames": ((*lead, stage.height, stage.width, 3), "uint8"),
            "keypoints": ((*lead, 137, 3), "float32"),
            "face_boxes": ((*lead, 4), "float32"),
        }
