"""The First Order Motion Model for Image Animation (Siarohin, Lathuiliere, Tulyakov, Ricci, Sebe;
NeurIPS 2019): a photo moves like a film.

It learns from pairs of frames of one clip alone: keypoints, which nobody marked, of both frames;
the motion between them; a picture of the first frame in the pose of the second. What a trained
model is given is a photo (`reference` of `start`) and the frames of a film.
docs/first-order.md lists what differs from the published program, and why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import struct
from jax import Array
from jaxtyping import Float, UInt8

from motion_jax.data.reading import ClipPair
from motion_jax.errors import UserError, option, setting
from motion_jax.nets import keypoints, sampling, thin_plate
from motion_jax.nets.keypoints import Keypoints
from motion_jax.recipes import schedule
from motion_jax.recipes.base import Moments
from motion_jax.recipes.first_order_losses import (
    VGG,
    asked,
    compared,
    equivariance,
    of_discriminator,
)
from motion_jax.recipes.first_order_networks import networks_of, work_of
from motion_jax.recipes.first_order_settings import (
    POSITIVE,
    BackgroundMotion,
    DenseMotion,
    Detector,
    Discriminator,
    Generator,
    Losses,
    Rates,
    Stage,
    Test,
    Transform,
    check_halvings,
    positive,
)
from motion_jax.recipes.metric import DISCRIMINATOR, GENERATOR, Metric, named
from motion_jax.recipes.network import Network, Work, applied, averages, trained_apply
from motion_jax.recipes.one_stage import OnlyStage
from motion_jax.recipes.pretrained import Pretrained
from motion_jax.recipes.state import Kind, Params, State

# What configs of this recipe are made of.
__all__ = [
    "RECIPE",
    "BackgroundMotion",
    "DenseMotion",
    "Detector",
    "Discriminator",
    "FirstOrder",
    "Generator",
    "Losses",
    "Rates",
    "Stage",
    "Test",
    "Transform",
]


@struct.dataclass
class Photo:
    """What is known of the photo that is animated, and of the film so far.

    Attributes:
      picture: in [0, 1], [1, h, w, 3]; features: what the generator makes of it; source: its
        keypoints.
      first: the keypoints of the film's first frame; begun: whether there was one.
    """

    picture: Any
    features: Any
    source: Keypoints
    first: Keypoints
    begun: Any


@struct.dataclass
class Gradients:
    """What a step finds out, by network name.

    Attributes:
      gradient: of "params"; statistics: the other variables, as the step's passes leave them.
      metrics: the losses, weighted; generated: the pictures, in [0, 1].
    """

    gradient: Params
    statistics: Params
    metrics: dict[str, Array]
    generated: Array


@dataclass(frozen=True)
class FirstOrder(OnlyStage):
    """The recipe: hyperparameters as fields, pure functions as methods."""

    name = "first_order"
    shows = ("frames",)
    wants_photo = True
    detector: Detector = field(default_factory=Detector)
    motion: DenseMotion = field(default_factory=DenseMotion)
    background_motion: BackgroundMotion = field(default_factory=BackgroundMotion)
    generator: Generator = field(default_factory=Generator)
    discriminator: Discriminator = field(default_factory=Discriminator)
    losses: Losses = field(default_factory=Losses)
    transform: Transform = field(default_factory=Transform)
    rates: Rates = field(default_factory=Rates)
    main_stage: Stage = field(default_factory=Stage)
    test: Test = field(default_factory=Test)
    align_corners: bool = False
    """What lookups in pictures mean: see nets/sampling.py. True for files trained with PyTorch 1.2
    or older (those published in 2020), False for newer ones."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions; parameters, keypoints, statistics and losses stay float32."""
    averaging: float = 0.0
    """Decay of the exponential average of generator and detector, e.g. 0.999; 0 is off."""
    rematerialise: bool = False
    """Recompute the generator's activations in the backward pass: less memory, more time."""

    @property
    def size_fields(self) -> Mapping[str, str]:
        return {
            "width": "generator.expansion",
            "blocks": "generator.residuals",
            "downsamplings": "generator.halvings",
            "discriminator width": "discriminator.expansion",
        }

    def size_multiple(self, name: str) -> int:
        return int(max(2**halvings / scale for _, scale, halvings in self._halving()))

    def _halving(self) -> list[tuple[str, float, int]]:
        """(network in words, at what scale it sees pictures, how often it halves them)."""
        background = self.background_motion
        parts = [
            ("the keypoint detector", self.detector.scale, self.detector.halvings),
            ("the dense motion network", self.motion.scale, self.motion.halvings),
            ("the generator", 1.0, self.generator.halvings),
            ("the network of the background's motion", background.scale, background.halvings),
        ]
        return parts if self.background_moves else parts[:3]

    @property
    def background_moves(self) -> bool:
        """Whether a network is trained that sees how the background moved."""
        return self.background_motion.kind != "still"

    def validate(self) -> None:
        super().validate()
        for part, names in POSITIVE.items():
            positive(part, getattr(self, part), *names)
        for side in ("height", "width"):
            pixels = getattr(self.main_stage, side)
            for what, scale, halvings in self._halving():
                check_halvings(what, side, pixels, scale, halvings)
            if pixels * self.detector.scale + 2 * self.detector.padding < 8:
                raise UserError(
                    f"{setting(f'recipe.main_stage.{side}')} = {pixels} leaves the keypoint "
                    f"detector {pixels * self.detector.scale:g} pixels, fewer than its kernel of 7 "
                    f"needs; raise {setting('recipe.detector.scale')}."
                )
        self.losses.check(min(self.size), self.discriminator.blocks)
        if self.generator.skips and not self.generator.occlusion:
            raise UserError(
                f"{setting('recipe.generator.skips')} needs the map of what is hidden: turn "
                f"{setting('recipe.generator.occlusion')} on."
            )
        if not self.detector.jacobian and self.losses.equivariance_jacobian:
            raise UserError(
                f"A detector without jacobians has no equivariance of them: set "
                f"{option('recipe.losses.equivariance_jacobian')} 0."
            )

    # --- networks ------------------------------------------------------------------------------

    def networks(self, name: str) -> dict[str, Network]:
        return networks_of(self, running=False)

    def tested_modules(self, name: str) -> dict[str, nn.Module]:
        return {network: each.module for network, each in networks_of(self, True).items()}

    def pretrained(self) -> dict[str, Pretrained]:
        return {"vgg19": VGG} if self.losses.perceptual == "vgg19" else {}

    def metrics(self, name: str) -> dict[str, Metric]:
        found = []
        if self.losses.perceptual != "none":
            found.append("perceptual")
        if self.losses.l1:
            found.append("l1")
        if self.losses.gan:
            found += ["gen_gan", *(["feature_matching"] if self.losses.feature_matching else [])]
        for part in ("value", "jacobian"):
            if getattr(self.losses, f"equivariance_{part}"):
                found.append(f"equivariance_{part}")
        judge = named(DISCRIMINATOR, "disc_gan") if self.losses.gan else {}
        return named(GENERATOR, *found) | judge

    def work(self, name: str) -> list[Work]:
        return work_of(self.networks(name))

    def learning_rate(self, name: str, step: Array | int) -> Array:
        return self.main_stage.decayed(schedule.learning_rate(self.main_stage, step), step)

    def learning_rate_at(self, name: str, step: int) -> float:
        return self.main_stage.decayed_at(schedule.learning_rate_at(self.main_stage, step), step)

    # --- training ------------------------------------------------------------------------------

    def reading(self, name: str) -> ClipPair:
        return ClipPair(*self.size, self.main_stage.batch_size)

    def train_step(
        self,
        state: State,
        batch: Mapping[str, Array],
        name: str,
        frozen: Params,
        kind: Kind = (),
    ) -> tuple[State, dict[str, Array]]:
        """One update of generator and detector, and of the discriminator where there is one.

        batch: frames uint8 [B, 2, H, W, 3], source and driving. frozen: {"vgg19": parameters}, or
        {} without that loss.
        """
        with jax.named_scope("input"):
            frames = to_unit(batch["frames"])
            key = jax.random.fold_in(state.key, state.step)
            change = thin_plate.drawn(
                key,
                len(frames),
                self.transform.sigma_affine,
                self.transform.sigma_tps,
                self.transform.points_tps,
            )
        return self.step(state, frames[:, 0], frames[:, 1], change, name, frozen)

    def step(
        self,
        state: State,
        source: Float[Array, "n h w 3"],
        driving: Float[Array, "n h w 3"],
        change: thin_plate.Deformation,
        name: str,
        frozen: Params,
    ) -> tuple[State, dict[str, Array]]:
        """train_step from pictures in [0, 1] and the deformations of the driving ones."""
        found = self.gradients(state.params, source, driving, change, frozen)
        return self.stepped(state, found, name), found.metrics

    def gradients(
        self,
        params: Params,
        source: Float[Array, "n h w 3"],
        driving: Float[Array, "n h w 3"],
        change: thin_plate.Deformation,
        frozen: Params,
    ) -> "Gradients":
        """Of all networks that are trained, by the weights before the step."""
        trained = {network: params[network]["params"] for network in self._moving}
        take = jax.grad(self._losses, has_aux=True)
        gradient, (metrics, after, generated, points) = take(
            trained, params, source, driving, change, frozen
        )
        if self.losses.gan:
            before = {**after["discriminator"], "params": params["discriminator"]["params"]}

            def judged(trained: Params) -> tuple[Array, Params]:
                variables = {**before, "params": trained}
                fake, variables = self._judged(variables, generated, points)
                real, variables = self._judged(variables, driving, points)
                rest = {part: tree for part, tree in variables.items() if part != "params"}
                return of_discriminator(self.losses, fake, real), rest

            with jax.named_scope("disc_gan"):
                look = jax.value_and_grad(judged, has_aux=True)
                (metrics["disc_gan"], after["discriminator"]), gradient["discriminator"] = look(
                    before["params"]
                )
        return Gradients(gradient, after, metrics, generated)

    def stepped(self, state: State, found: "Gradients", name: str) -> State:
        """The state after a step along gradients."""
        networks, rate = self.networks(name), self.learning_rate(name, state.step)
        params, moments = dict(state.params), dict(state.optimizer)
        for network, gradient in found.gradient.items():
            before = {**found.statistics[network], "params": params[network]["params"]}
            params[network], moments[network] = networks[network].stepped(
                network, before, gradient, moments[network], rate, state.step
            )
        return state.replace(
            step=state.step + 1,
            params=params,
            optimizer=moments,
            averaged=averages(state.averaged, params, state.step, self.averaging),
        )

    def _losses(
        self,
        trained: Params,
        params: Params,
        source: Array,
        driving: Array,
        change: thin_plate.Deformation,
        frozen: Params,
    ) -> tuple[Array, tuple[dict[str, Array], Params, Array, Array]]:
        """All losses of generator and detector, weighted, from one forward pass; besides, what the
        passes did to running statistics, the generated pictures and the driving keypoints."""
        now = {network: {**params[network], "params": trained[network]} for network in trained}
        modules = {network: each.module for network, each in networks_of(self, False).items()}

        def found(pictures: Array) -> Keypoints:
            with jax.named_scope("detector"):
                points, now["detector"] = trained_apply(
                    modules["detector"], now["detector"], pictures
                )
            return points

        of_source, of_driving = found(source), found(driving)
        if self.background_moves:
            with jax.named_scope("background"):
                behind, changed = modules["background"].apply(
                    now["background"], source, driving, mutable=["batch_stats"]
                )
            now["background"] = {**now["background"], **changed}
            of_driving = replace(of_driving, background=behind)

        def generate(variables: Params, *inputs: Any) -> tuple[Array, Params]:
            (made, _), changed = modules["generator"].apply(
                variables, *inputs, mutable=["batch_stats"]
            )
            return made, {**variables, **changed}

        generate = jax.checkpoint(generate) if self.rematerialise else generate
        with jax.named_scope("generator"):
            generated, now["generator"] = generate(now["generator"], source, of_source, of_driving)
        terms = compared(self.losses, generated, driving, frozen, self.dtype)
        detached = jax.lax.stop_gradient(of_driving.value)
        if self.losses.gan:
            judge = params["discriminator"]
            with jax.named_scope("discriminator"):
                fake, judge = self._judged(judge, generated, detached)
                real, judge = self._judged(judge, driving, detached)
            now["discriminator"] = judge
            terms |= asked(self.losses, fake, real)
        if self.losses.equivariance_value or self.losses.equivariance_jacobian:
            with jax.named_scope("equivariance"):
                deformed = found(change.pictures(driving, align_corners=self.align_corners))
                terms |= equivariance(self.losses, of_driving, deformed, change)
        statistics = {
            network: {part: tree for part, tree in variables.items() if part != "params"}
            for network, variables in now.items()
        }
        total = cast(Array, sum(terms.values()))
        return total, (terms, statistics, jax.lax.stop_gradient(generated), detached)

    def _judged(
        self, variables: Params, pictures: Array, points: Array
    ) -> tuple[dict[float, list[Array]], Params]:
        """What the discriminator makes of pictures, and its variables afterwards."""
        module = self.discriminator.module(self.dtype)
        pyramid = {scale: sampling.shrink(pictures, scale) for scale in module.scales}
        judged, changed = module.apply(variables, pyramid, points, mutable=["batch_stats"])
        return judged, {**variables, **changed}

    # --- synthesis -----------------------------------------------------------------------------

    @property
    def _moving(self) -> tuple[str, ...]:
        """Names of the networks that make a photo move."""
        return ("generator", "detector", *(["background"] if self.background_moves else []))

    def seen(self, moments: Moments) -> Array:
        return moments["frames"]

    def reference(self, moments: Moments) -> UInt8[np.ndarray, "1 h w 3"]:
        """The first frame, which the others are then made of: the reconstruction of a film."""
        return moments["frames"][:1]

    def start(self, params: Params, reference: Array | None, name: str) -> Photo:
        """What is known of a photo: the first of the reference's pictures; None: a black one."""
        height, width = self.size
        if reference is None:
            reference = jnp.zeros((1, height, width, 3), jnp.uint8)
        photo = to_unit(reference[:1])
        points = self.points(params, photo)
        module = self.tested_modules(name)["generator"]
        with jax.named_scope("generator"):
            features = module.apply(params["generator"], photo, method="features")
        return Photo(photo, features, points, points, jnp.zeros((), bool))

    def points(self, params: Params, pictures: Float[Array, "n h w 3"]) -> Keypoints:
        """Keypoints of pictures in [0, 1]."""
        with jax.named_scope("detector"):
            module = self.detector.module(self.dtype, running=True)
            return applied(module, params["detector"], pictures)

    def behind(
        self, params: Params, photo: Float[Array, "1 h w 3"], pictures: Float[Array, "n h w 3"]
    ) -> Float[Array, "n 2 3"] | None:
        """How the background of pictures in [0, 1] moved since the photo; None: it stands still."""
        if not self.background_moves:
            return None
        with jax.named_scope("background"):
            module = self.background_motion.module(self.dtype, running=True)
            photos = jnp.broadcast_to(photo, pictures.shape)
            return applied(module, params["background"], photos, pictures)

    def driving(self, params: Params, photo: Photo, pictures: Float[Array, "n h w 3"]) -> Keypoints:
        """What of a film's pictures in [0, 1] drives the photo: their keypoints, and where these
        are taken as they are the motion of their background. In relative motion the photo's stands
        still, whatever is behind the person of the film."""
        points = self.points(params, pictures)
        if self.test.mode == "relative":
            return points
        return replace(points, background=self.behind(params, photo.picture, pictures))

    def animated(self, params: Params, photo: Photo, points: Keypoints) -> Float[Array, "n h w 3"]:
        """The photo with these keypoints, as many pictures, in [0, 1]."""
        count = len(points.value)
        module = networks_of(self, running=True)["generator"].module

        def repeated(x: Array) -> Array:
            return jnp.broadcast_to(x, (count, *x.shape[1:]))

        picture, features, source = jax.tree.map(
            repeated, (photo.picture, photo.features, photo.source)
        )
        with jax.named_scope("generator"):
            made, _ = module.apply(
                params["generator"], features, picture, source, points, method="decoded"
            )
        return made

    def moved(self, photo: Photo, points: Keypoints) -> Keypoints:
        """The keypoints with which the photo is animated, from those of the film's frames."""
        return keypoints.normalised(
            photo.source,
            points,
            photo.first,
            movement=self.test.mode == "relative",
            jacobian=self.test.jacobian,
            adapt_scale=self.test.adapt_scale,
        )

    def synthesize(
        self, params: Params, seen: Array, carry: Photo, name: str, count: Array | None = None
    ) -> tuple[Array, Photo]:
        """The photo, a frame of the film, in the poses of its frames: float32 [n, H, W, 3]."""
        pictures = to_unit(seen)
        points = self.points(params, pictures)
        begun = carry.begun
        first = jax.tree.map(lambda a, b: jnp.where(begun, a, b[:1]), carry.first, points)
        carry = replace(carry, first=first, begun=jnp.ones((), bool))
        behind = self.behind(params, carry.picture, pictures)
        moved = replace(self.moved(carry, points), background=behind)
        made = self.animated(params, carry, moved)
        return 2.0 * made - 1.0, carry

    def each_alone(self, params: Params, seen: Array, carry: Photo, name: str) -> Array:
        return self.synthesize(params, seen, carry, name)[0]

    def synthesis_params(self, state: State) -> Params:
        params = {**state.params, **state.averaged}
        return {network: params[network] for network in self._moving}

    def tested(self, **changes: Any) -> "FirstOrder":
        raise UserError(
            f"A first-order model always runs by its running statistics, without dropout; leave "
            f"{' and '.join(option(name) for name in changes)} out."
        )

    def rows(
        self, moments: Moments, pictures: Sequence[np.ndarray], height: int, width: int
    ) -> dict[str, list[np.ndarray]]:
        return {"driving": list(moments["frames"]), "generated": list(pictures)}


def to_unit(frames: Array) -> Array:
    """uint8 0...255 -> float32 in [0, 1]; floats pass through."""
    return frames.astype(jnp.float32) / 255.0 if frames.dtype == jnp.uint8 else frames


RECIPE = FirstOrder
