"""What pix2pixHD and Everybody Dance Now share: a generator that begins at half the size, a
discriminator on several scales, and the stages that train them from coarse to fine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple, Self

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Float32

from motion_jax import losses
from motion_jax.errors import UserError, setting
from motion_jax.nets.pix2pixhd import GlobalGenerator, LocalEnhancer, MultiscaleDiscriminator
from motion_jax.pose.draw import PoseStyle
from motion_jax.pose.pose_pictures import drawn, poses_of
from motion_jax.recipes import adversarial, matte, schedule
from motion_jax.recipes.adam import Adam
from motion_jax.recipes.adversarial import Judge, Term
from motion_jax.recipes.base import GENERATOR_SIZES
from motion_jax.recipes.coarse_to_fine_settings import Discriminator, Generator, Stage
from motion_jax.recipes.in_areas import InAreas
from motion_jax.recipes.metric import Metric
from motion_jax.recipes.network import Network, applied, picture, updated
from motion_jax.recipes.picture_losses import (
    PERCEPTUAL,
    Losses,
    feature_distance,
    unlike,
)
from motion_jax.recipes.pixels import to_float
from motion_jax.recipes.pretrained import Pretrained
from motion_jax.recipes.state import Kind, Params, State

# T consecutive frames of B examples, or their pose pictures.
Frames = Float[Array, "b t h w 3"]


class Scene(NamedTuple):
    """What belongs to the pictures of a step: T consecutive frames, B of them at once.

    Attributes:
      poses: pose pictures, as the generator is shown them.
      images: the real frames, in [-1, 1].
      frozen: parameters that losses need and nobody trains, by network name.
      plates: what is behind the person, with background = "plate".
    """

    poses: Frames
    images: Frames
    frozen: Params
    plates: Frames | None = None


@dataclass(frozen=True)
class CoarseToFine(InAreas):
    """Fields and methods of both recipes. A scene is a Scene, or a recipe's own with more in it.

    Attributes:
      generator_channels, discriminator_channels: of what the networks see.
      perceptual_frames: factor of the perceptual loss, which is a mean over frames.
    """

    generator_channels: ClassVar[int]
    discriminator_channels: ClassVar[int]
    perceptual_frames = 1.0

    generator: Generator = field(default_factory=Generator)
    discriminator: Discriminator = field(default_factory=Discriminator)
    losses: Losses = field(default_factory=Losses)
    global_stage: Stage = field(default_factory=Stage)
    local_stage: Stage = field(default_factory=Stage)
    background: Literal["drawn", "plate"] = "drawn"
    """drawn: the generator makes whole pictures, as the published networks do. plate: it makes the
    person and a matte, which are laid over the background of the clip, found from its frames. For a
    camera on a tripod or in a quiet hand."""
    area: Literal["frame", "person"] = "frame"
    """What the networks see of each picture: frame, all of it; person, with a plate, only an area
    around the person, of one size for the run; the rest of the frame is the plate. The less of the
    frame the person fills, the more steps the same time has."""
    area_height: int = 0
    """Of that area, in pixels of the last stage; 0: found from the training poses when training
    begins, with the width."""
    area_width: int = 0
    """See area_height."""
    pose_style: PoseStyle = field(default_factory=PoseStyle)
    """How pose pictures are drawn, where the dataset has no ready ones."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions; parameters, statistics and losses stay float32."""
    averaging: float = 0.0
    """Decay of the exponential average of the generator's parameters, e.g. 0.999; 0 is off."""
    rematerialise: bool = False
    """Recompute the generator's activations in the backward pass, each frame's by itself: less
    memory, more time."""

    def pretrained(self) -> dict[str, Pretrained]:
        name = self.losses.perceptual
        return {} if name == "none" else {name: PERCEPTUAL[name].weights}

    # --- stages and sizes ----------------------------------------------------------------------

    @property
    def size_fields(self) -> dict[str, str]:
        return GENERATOR_SIZES

    @property
    def variants(self) -> dict[str, tuple[Any, ...]]:
        return {
            "generator.block": ("full", "separable"),
            "generator.up": ("transposed", "resize"),
            "generator.shuffle": (1, 2, 4),
            "generator.n_downsampling": (2, 3, 4),
        }

    def in_one_stage(self) -> Self:
        """A GlobalGenerator alone, at the size of the last stage."""
        stages: Any = list(self.stages().values())
        last, steps = stages[-1], sum(stage.steps for stage in stages)
        only = replace(last, steps=steps, decay_steps=min(last.decay_steps, steps))
        none = {f"{name}_stage": replace(s, steps=0, decay_steps=0)
                for name, s in self.stages().items()}  # fmt: skip
        return replace(self, **(none | {"global_stage": only}))

    def size_multiple(self, name: str) -> int:
        """2 to the number of halvings in the generator, times the side of its blocks."""
        enhancers = self.generator.n_local_enhancers if self.is_local(name) else 0
        return self.generator.shuffle * 2 ** (self.generator.n_downsampling + enhancers)

    def is_local(self, name: str) -> bool:
        """Whether the generator is a LocalEnhancer in that stage."""
        return name != "global" and self.local_stage.steps > 0

    def check_networks(self, least: dict[str, dict[str, int]]) -> None:
        """Raises UserError where nothing is trained, or stages and networks do not fit each other.

        least: as schedule.check_counts', of the networks that only some recipes have.
        """
        stages, g = self.stages(), self.generator
        if not stages:
            raise UserError(
                "The config trains nothing: every stage has steps = 0; set "
                f"{setting('recipe.global_stage.steps')}."
            )
        common = {
            "generator": {"ngf": 1, "n_downsampling": 0, "n_blocks": 0, "n_blocks_local": 0},
            "discriminator": {"ndf": 1, "n_layers": 1},
        }
        schedule.check_counts(self, common | least)
        g.check()
        if g.shuffle > 1 and self.local_stage.steps > 0:
            raise UserError(
                f"{setting('recipe.generator.shuffle')} = {g.shuffle} is for a network of one "
                f"stage; set {setting('recipe.local_stage.steps')} = 0."
            )
        if self.losses.perceptual not in (*PERCEPTUAL, "none"):
            raise UserError(
                f"{setting('recipe.losses.perceptual')} = {self.losses.perceptual!r} is none of "
                f"{', '.join(map(repr, PERCEPTUAL))} and 'none'."
            )
        if self.background not in ("drawn", "plate"):
            raise UserError(
                f"{setting('recipe.background')} = {self.background!r} is neither 'drawn' nor "
                "'plate'."
            )
        self._check_enhancers()
        for name, stage in stages.items():
            self._check_size(name, stage)
            schedule.check_stage(name, stage)
        self.check_area()

    def _check_enhancers(self) -> None:
        g = self.generator
        if self.local_stage.steps > 0:
            if g.n_local_enhancers < 1:
                raise UserError(
                    f"{setting('recipe.generator.n_local_enhancers')} = {g.n_local_enhancers} "
                    "leaves the local stage nothing to add; use 1 or more, or leave the stage out "
                    "with recipe.local_stage.steps = 0."
                )
            halves = 2**g.n_local_enhancers
            if g.ngf % halves:
                low = max(g.ngf // halves, 1) * halves
                raise UserError(
                    f"{setting('recipe.generator.ngf')} = {g.ngf} cannot be halved "
                    f"{g.n_local_enhancers} time"
                    f"{'s' if g.n_local_enhancers > 1 else ''}, as the local stage needs, where an "
                    f"enhancer of half the width surrounds the global network; the nearest widths "
                    f"that can: {low} and {low + halves}."
                )

    def _check_size(self, name: str, stage: Any) -> None:
        multiple = self.size_multiple(name)
        for side in ("height", "width"):
            value = getattr(stage, side)
            if value % multiple or value <= 0:
                low = max(value // multiple, 2) * multiple
                raise UserError(
                    f"{setting(f'recipe.{name}_stage.{side}')} = {value} is not divisible by "
                    f"{multiple}, as the generator's {multiple.bit_length() - 1} halvings "
                    f"need; the nearest sizes that are: {low} and {low + multiple}."
                )
            if value < 2 * multiple:
                raise UserError(
                    f"{setting(f'recipe.{name}_stage.{side}')} = {value} leaves a single row at "
                    f"the lowest resolution, which reflection padding cannot extend; use at least "
                    f"{2 * multiple} or a smaller recipe.generator.n_downsampling."
                )

    def check_perceptual(self, crop: int | None = None) -> None:
        """Raises UserError where pictures (or crops of them) are too small for the
        perceptual loss."""
        if self.losses.perceptual == "none":
            return
        sides = [min(self.drawn_size(name)) for name in self.stages()]
        smallest = min([*sides, crop] if crop else sides)
        least = PERCEPTUAL[self.losses.perceptual].least
        if smallest < least:
            raise UserError(
                f"The perceptual loss needs pictures of at least {least} pixels, not {smallest}; "
                f"use larger ones, or {setting('recipe.losses.perceptual')} = none."
            )

    def least_area(self) -> int:
        """As InAreas', and large enough for the perceptual loss."""
        least = super().least_area()
        if self.losses.perceptual == "none":
            return least
        times = max(self.frame_size[0] // stage.height for stage in self.stages().values())
        return max(least, PERCEPTUAL[self.losses.perceptual].least * times)

    # --- the plate -----------------------------------------------------------------------------

    @property
    def plated(self) -> bool:
        """Whether the generator makes a person and a matte."""
        return self.background == "plate"

    def composed(self, made: Array, scene: Any) -> Array:
        """What the generator made of a scene as judges and losses see it: the picture, with a plate
        followed by alpha (matte.with_alpha)."""
        return matte.with_alpha(made, scene.plates) if self.plated else made

    def finished(self, made: Array, shown: Any, seen: Any, place: Array | None, name: str) -> Array:
        """What it made in synthesis as a picture of the frame: before the plate that is seen, or
        where none is its own four channels.

        shown, place: what `around` gives of `seen`.
        """
        if not self.plated or "plates" not in seen:
            return self.laid_back(made, place, None, name)
        picture = matte.over(made, to_float(shown["plates"]))
        return self.laid_back(picture, place, to_float(seen["plates"]), name)

    # --- networks ------------------------------------------------------------------------------

    def main_generator(self, name: str) -> GlobalGenerator | LocalEnhancer:
        g, dtype = self.generator, jnp.dtype(self.dtype)
        channels, up = 4 if self.plated else 3, "resize" if g.up == "resize" else "up"
        if not self.is_local(name):
            return GlobalGenerator(
                channels,
                g.ngf,
                g.n_downsampling,
                g.n_blocks,
                dtype,
                block=g.block,
                up=up,
                shuffle=g.shuffle,
            )
        return LocalEnhancer(
            channels,
            g.ngf // 2**g.n_local_enhancers,
            g.n_downsampling,
            g.n_blocks,
            g.n_local_enhancers,
            g.n_blocks_local,
            dtype,
            g.block,
            up,
        )

    def main_discriminator(self, name: str) -> MultiscaleDiscriminator:
        d = self.discriminator
        return MultiscaleDiscriminator(
            d.ndf, d.n_layers, self._stage(name).num_D, jnp.dtype(self.dtype)
        )

    def networks(self, name: str) -> dict[str, Network]:
        size = self.drawn_size(name)
        generator, averaged = self.main_generator(name), self.averaging > 0
        shown = (picture(*size, self.generator_channels),)
        discriminator = self.main_discriminator(name)
        judged = (picture(*size, self.discriminator_channels),)
        return {
            "generator": Network(generator, shown, "generator", Adam(), averaged, whole=True),
            "discriminator": Network(discriminator, judged, "discriminator", Adam(), whole=True),
        }

    def _stage(self, name: str) -> Any:
        return self.stages()[name]

    def carried_over(self, name: str, previous: State, params: Params) -> Params:
        """The generator of the stage before becomes the core of the local stage's; a stage that
        does not train it takes its averages, where there are any; the discriminator's scales keep
        the resolutions that they know."""
        networks, params = self.networks(name), dict(params)
        source = previous.params["generator"]["params"]
        if networks["generator"].optimizer is None and "generator" in previous.averaged:
            source = previous.averaged["generator"]["params"]
        target = params["generator"]["params"]
        if "model" in target and "model" not in source:
            # Global to local: the whole network but its head becomes the enhancer's core.
            core = {layer: source[layer] for layer in target["model"]}
            params["generator"] = {"params": {**target, "model": core}}
        else:
            params["generator"] = {"params": dict(source)}
        kept = params["discriminator"]["params"]
        scales = {**kept, **previous.params["discriminator"]["params"]}
        params["discriminator"] = {"params": {scale: scales[scale] for scale in kept}}
        return params

    # --- training ------------------------------------------------------------------------------

    def train_step(
        self, state: State, batch: Mapping[str, Array], name: str, frozen: Params, kind: Kind = ()
    ) -> tuple[State, dict[str, Array]]:
        """One update of a stage's networks from one batch of B examples of T frames.

        batch: frames uint8 [B, T, H, W, 3]; keypoints float32 [B, T, 137, 3] in pixels of HxW, or
        pose_pictures uint8 [B, T, H, W, 3] where the dataset has ready ones, which are then taken
        instead; and what `scene` needs. frozen: {"vgg19": parameters}, or {} without that loss.
        Returns the new state and float32 scalars named as the reference logs them: see `metrics`.
        """
        batch = self.within(batch, name)
        poses = self.pictured(poses_of(batch), name)
        with jax.named_scope("input"):
            scene = self.scene(poses, to_float(batch["frames"]), batch, frozen)
        return self.step(state, scene, name)

    def scene(self, poses: Array, images: Array, batch: Mapping[str, Array], frozen: Params) -> Any:
        """A step's scene: a Scene, or a recipe's own with more of the batch in it."""
        return Scene(poses, images, frozen, self.plates_of(batch))

    def plates_of(self, batch: Mapping[str, Array]) -> Array | None:
        """The plates of a batch in [-1, 1]; None where the recipe has none."""
        return to_float(batch["plates"]) if self.plated else None

    def step(self, state: State, scene: Any, name: str) -> tuple[State, dict[str, Array]]:
        """train_step from pose pictures that are drawn already."""
        networks, params = self.networks(name), state.params
        [trained] = (n for n in self.trained(name) if networks[n].role == "generator")
        key = jax.random.fold_in(state.key, state.step)
        change, judged, metrics = adversarial.gradients(
            lambda variables: self.generated({**params, trained: variables}, scene, name, key),
            params[trained],
            scene.images,
            {judge: (each, params[judge]) for judge, each in self.judges(name).items()},
            self.terms(name),
            scene,
        )
        further, found = self.besides(params, trained, scene, name)
        if further is not None:
            change = jax.tree.map(jnp.add, change, further)
        changes, metrics = {trained: change} | judged, metrics | found
        changes = {network: changes[network] for network in state.optimizer}
        rate = self.learning_rate(name, state.step)
        return updated(networks, state, changes, rate, self.averaging), metrics

    def besides(
        self, params: Params, trained: str, scene: Any, name: str
    ) -> tuple[Params | None, dict[str, Array]]:
        """The gradient of losses that look into the trained generator, not at its pictures, and
        these losses; None: there are none."""
        return None, {}

    def guided(self, scene: Any) -> Float[Array, "n h w {self.generator_channels}"]:
        """What the generator is shown of the frames of a scene, none of which is its own."""
        raise NotImplementedError

    def generated(self, params: Params, scene: Any, name: str, key: Array) -> Array:
        """The generator's frames of a scene, in training, as `composed` gives them: [b, t, h, w, 3
        or 4]. key: of random numbers."""
        raise NotImplementedError

    def judged(
        self, poses: Frames, images: Frames
    ) -> Float[Array, "n h w {self.discriminator_channels}"]:
        """Pictures as the main discriminator is shown them."""
        raise NotImplementedError

    def judges(self, name: str) -> dict[str, Judge]:
        """The discriminators of a stage by network name."""
        network = self.main_discriminator(name)

        def sees(variables: Params, pictures: Array, scene: Scene) -> losses.Features:
            with jax.named_scope("discriminator"):
                seen = self.judged(scene.poses, matte.picture(pictures))
                return applied(network, variables, seen)

        def matching(fake: losses.Features, real: losses.Features, scene: Scene) -> Array:
            return self.losses.feature_matching * losses.feature_matching(fake, real)

        asks = {
            "G_GAN": lambda fake, real, scene: losses.least_squares(fake, 1.0),
            "G_GAN_Feat": matching,
        }
        return {
            "discriminator": Judge(
                sees, asks, lambda seen, target, scene: losses.least_squares(seen, target)
            )
        }

    def terms(self, name: str) -> dict[str, Term]:
        """The generator's losses in a stage that compare pictures. Each term names the scopes by
        which profiles count its work."""
        found: dict[str, Term] = {}
        if self.losses.perceptual != "none":
            found[PERCEPTUAL[self.losses.perceptual].metric] = partial(self._perceptual, name)
        if self.losses.l1:
            found["G_L1"] = self._l1
        if self.losses.structure:
            found["G_SSIM"] = self._structure
        if self.plated:
            found["G_matte"] = self._matte
        return found

    def metrics(self, name: str) -> dict[str, Metric]:
        return adversarial.metrics_of(self.judges(name), self.terms(name))

    def _l1(self, pictures: Array, scene: Scene) -> Array:
        with jax.named_scope("G_L1"):
            pictures = matte.picture(pictures)
            return self.losses.l1 * losses.mean_absolute(pictures, scene.images)

    def _structure(self, pictures: Array, scene: Scene) -> Array:
        with jax.named_scope("G_SSIM"):
            return self.losses.structure * unlike(matte.picture(pictures), scene.images)

    def _matte(self, pictures: Array, scene: Scene) -> Array:
        with jax.named_scope("G_matte"):
            assert scene.plates is not None, "a recipe with a plate has plates in its scene"
            needless = matte.needless(pictures[..., 3:], scene.images, scene.plates)
            return self.losses.matte * needless

    def _perceptual(self, name: str, pictures: Array, scene: Scene) -> Array:
        kind = self.losses.perceptual
        distance = partial(feature_distance, kind, self.dtype, scene.frozen[kind])
        pictures = matte.picture(pictures)
        return self.losses.perceptual_weight * self.perceptual(name, pictures, scene, distance)

    def perceptual(
        self, name: str, pictures: Frames, scene: Any, distance: Callable[[Array, Array], Array]
    ) -> Float[Array, ""]:
        """The mean perceptual distance times the recipe's number of frames.

        distance: of two arrays of pictures [..., H, W, 3].
        """
        factor = 1.0 if self.is_local(name) else self.losses.perceptual_global_factor
        return self.perceptual_frames * factor * distance(pictures, scene.images)

    def pictured(self, poses: Array, name: str) -> Float32[Array, "*n h w 3"]:
        """Pose pictures as the networks of a stage see them, from keypoints [..., 137, 3] in pixels
        of these pictures or from ready ones; lines are as wide as in the whole frame."""
        rows, width = self.drawn_size(name)
        return self.draw(poses, self._stage(name).height, width, rows)

    def draw(
        self, poses: Array, height: int, width: int, rows: int | None = None
    ) -> Float32[Array, "*n rows {width} 3"]:
        """Pose pictures in [0, 1] from keypoints [..., 137, 3] in pixels of height x width, or from
        ready ones (uint8 [..., height, width, 3]). rows: see draw_device.rasterize."""
        return drawn(poses, self.pose_style, height, width, rows)

    # --- synthesis -----------------------------------------------------------------------------

    def synthesis_params(self, state: State) -> Params:
        """The parameters that synthesis uses: averaged where averaging is on."""
        params = {**state.params, **state.averaged}
        return {name: value for name, value in params.items() if name.endswith("generator")}
