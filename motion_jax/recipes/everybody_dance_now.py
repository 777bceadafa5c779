"""Everybody Dance Now (Chan, Ginosar, Zhou, Efros; ICCV 2019).

A pix2pixHD generator sees a pose picture and its own previous frame; a discriminator judges two
consecutive frames with their poses; a small generator adds a residual to the face. Three stages:
global (a GlobalGenerator at half size), local (a LocalEnhancer at full size), face.

The defaults have the reference's bugs fixed; configs/everybody_dance_now_reference.py keeps them,
and docs/reference-behaviour.md lists every known one and what is done about it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Float32

from motion_jax import losses
from motion_jax.data import identities
from motion_jax.data.reading import Need, Window
from motion_jax.data.records import PoseFrames
from motion_jax.devices import layout
from motion_jax.errors import UserError, setting
from motion_jax.nets.conv import on_cpu
from motion_jax.nets.pix2pixhd import (
    GlobalGenerator,
    LocalEnhancer,
    NLayerDiscriminator,
    mixed,
)
from motion_jax.pose.pose_pictures import poses_of
from motion_jax.recipes import matte, picture_losses
from motion_jax.recipes.adam import Adam
from motion_jax.recipes.adversarial import Judge
from motion_jax.recipes.base import Moments
from motion_jax.recipes.coarse_to_fine import CoarseToFine, Frames
from motion_jax.recipes.coarse_to_fine_settings import Discriminator, Generator
from motion_jax.recipes.crops import crop, crop_corners, paste
from motion_jax.recipes.everybody_dance_now_settings import Face, Losses, Stage
from motion_jax.recipes.network import Network, Work, applied, picture
from motion_jax.recipes.state import Params

# What configs of this recipe are made of.
__all__ = [
    "RECIPE", "Discriminator", "EverybodyDanceNow", "Face", "Generator", "Losses", "Scene", "Stage",
]  # fmt: skip


class Scene(NamedTuple):
    """coarse_to_fine.Scene, where the faces are (boxes in pixels, empty: none), and, with
    recipe.identities, who it is."""

    poses: Frames
    images: Frames
    boxes: Float[Array, "b t 4"]
    frozen: Params
    plates: Frames | None = None
    identities: Float[Array, "b t people"] | None = None


@dataclass(frozen=True)
class EverybodyDanceNow(CoarseToFine):
    """The recipe: hyperparameters as fields, pure functions as methods."""

    name = "everybody_dance_now"
    # Pose and previous frame; poses and images of two frames.
    generator_channels = 6
    discriminator_channels = 12
    # The perceptual loss is summed over the two frames; of longer windows it is twice the mean.
    perceptual_frames = 2.0

    losses: Losses = field(default_factory=Losses)
    global_stage: Stage = field(default_factory=Stage)
    local_stage: Stage = field(default_factory=Stage)
    face_stage: Stage = field(default_factory=Stage)
    face: Face = field(default_factory=Face)
    clamp_face: bool = False
    """Clamp crop + residual to [-1, 1]; the reference does not."""
    generator_updates: int = 1
    """Adam updates of the main generator with each gradient. The published script registers its
    parameters twice and so makes 2 in the global and local stages; 1 is the paper's optimiser."""
    previous: Literal["own", "none"] = "own"
    """What the generator is shown of the frame before: own, the one that it made, as the paper; or
    none, always the zeros of a first frame. Then no fault can grow from frame to frame, training
    shows what synthesis will, and the discriminator still judges frames in pairs; for little film,
    before a background plate."""
    previous_noise: float = 0.0
    """Standard deviation of noise added to the previous frame in training (pictures are in
    [-1, 1]). A generator that has learned to remove it does not let its own faults grow from frame
    to frame. 0, as the reference: none."""
    identities: int = 0
    """People whom one network learns to draw and to tell apart, by the names of the dataset's
    videos; 0: it is not told who it is, as the paper's. See docs/people.md."""
    main_discriminator_after: int = -1
    """Step of the face stage from which the main discriminator trains too; -1: never."""

    # --- stages --------------------------------------------------------------------------------

    def validate(self) -> None:
        stages = self.stages()
        if self.previous not in ("own", "none"):
            raise UserError(
                f"{setting('recipe.previous')} = {self.previous!r} is neither 'own' nor 'none'."
            )
        if self.previous == "none" and self.previous_noise:
            raise UserError(
                f"{setting('recipe.previous_noise')} = {self.previous_noise:g} is noise on the "
                f"previous frame, which {setting('recipe.previous')} = 'none' does not show; use 0."
            )
        if self.area == "person" and self.previous != "none":
            raise UserError(
                f"{setting('recipe.area')} = 'person' shows the generator another part of the "
                "frame in every moment, under which the frame before does not lie; set "
                f"{setting('recipe.previous')} = 'none'."
            )
        self.check_networks(
            {"face": {"ngf": 1, "n_downsampling": 0, "n_blocks": 0, "ndf": 1, "n_layers": 1}}
        )
        for name, stage in stages.items():
            if stage.window < 2:
                raise UserError(
                    f"{setting(f'recipe.{name}_stage.window')} = {stage.window}: the discriminator "
                    "judges two consecutive frames, so use 2 or more."
                )
        if self.identities < 0:
            raise UserError(
                f"{setting('recipe.identities')} = {self.identities} is negative; give the number "
                "of people, or 0."
            )
        if "face" in stages:
            if len(stages) == 1:
                raise UserError(
                    "The face stage refines a trained generator: set "
                    f"{setting('recipe.global_stage.steps')} too."
                )
            stage = stages["face"]
            previous = self.local_stage if self.is_local("face") else self.global_stage
            if (stage.height, stage.width) != (previous.height, previous.width):
                raise UserError(
                    f"{setting('recipe.face_stage')} is {stage.width}x{stage.height} but the stage "
                    f"before it {previous.width}x{previous.height}; give both one size."
                )
            self.face.check(stage)
        self.check_perceptual(self.face.size if "face" in stages else None)

    def reading(self, name: str) -> Window:
        """Consecutive frames; the face stage needs faces."""
        stage = self._stage(name)
        needs: list[Need] = ["poses"]
        needs += ["face_boxes"] if name == "face" else []
        needs += ["plates"] if self.plated else []
        return Window(
            stage.height,
            stage.width,
            stage.batch_size,
            tuple(needs),
            stage.window,
            self.planes,
        )

    def least_area(self) -> int:
        """As CoarseToFine's; the face stage's square must fit into it."""
        least = super().least_area()
        if "face" in self.stages():
            multiple = self.area_multiple
            least = max(least, -(-self.face.size // multiple) * multiple)
        return least

    def check_dataset(self, dataset: PoseFrames) -> None:
        super().check_dataset(dataset)
        if self.planes:
            identities.check_count(dataset, self.identities)

    @property
    def planes(self) -> int:
        """Planes beside the pose that say who it is: see GlobalGenerator.identities."""
        return self.identities if self.identities > 1 else 0

    def of_person(self, params: Params, who: Sequence[float]) -> tuple["EverybodyDanceNow", Params]:
        """See Recipe."""
        generator = mixed(params["generator"], who)
        return replace(self, identities=1), {**params, "generator": generator}

    # --- networks ------------------------------------------------------------------------------

    def networks(self, name: str) -> dict[str, Network]:
        found = super().networks(name)
        main, judge = found["generator"], found["discriminator"]
        if self.planes:
            main = replace(main, inputs=(picture(*self.drawn_size(name), 6 + self.planes),))
        if name != "face":
            return found | {"generator": replace(main, updates=self.generator_updates)}
        joins = self.main_discriminator_after
        seen = (picture(self.face.size, self.face.size, 6),)  # pose and picture
        return {
            "generator": replace(main, optimizer=None, averaged=False),
            # Frozen, its optimiser and all, until its step comes.
            "discriminator": replace(
                judge, optimizer=judge.optimizer if joins >= 0 else None, trained_from=max(joins, 0)
            ),
            "face_generator": replace(main, module=self.face_generator(), inputs=seen),
            "face_discriminator": Network(
                self.face_discriminator(), seen, "discriminator", Adam(), whole=True
            ),
        }

    def main_generator(self, name: str) -> GlobalGenerator | LocalEnhancer:
        found = super().main_generator(name)
        return found.clone(identities=self.identities) if self.identities else found

    def face_generator(self) -> GlobalGenerator:
        f = self.face
        return GlobalGenerator(3, f.ngf, f.n_downsampling, f.n_blocks, jnp.dtype(self.dtype))

    def face_discriminator(self) -> NLayerDiscriminator:
        f = self.face
        return NLayerDiscriminator(f.ndf, f.n_layers, "batch", jnp.dtype(self.dtype))

    def work(self, name: str) -> list[Work]:
        stage, networks = self._stage(name), self.networks(name)
        frames, pairs = stage.batch_size * stage.window, stage.batch_size * (stage.window - 1)
        # With rematerialisation one frame of a window at a time.
        at_once = stage.batch_size if self.rematerialise else frames
        # The frozen generator passes gradients on through the previous frame. A judge runs over
        # generated pictures: forward, towards the pictures for the generator's losses, and both
        # ways for its own; over real ones: forward and both ways.
        trained = networks["discriminator"].optimizer is not None
        found = [
            Work(networks["generator"], frames + pairs if name == "face" else 3 * frames, at_once),
            Work(networks["discriminator"], (7 if trained else 3) * pairs, 2 * pairs),
        ]
        sizes = [self.drawn_size(name)]
        if name == "face":
            found += [
                Work(networks["face_generator"], 3 * frames, at_once),
                Work(networks["face_discriminator"], 7 * frames, 2 * frames),
            ]
            sizes.append((self.face.size, self.face.size))
        if self.losses.perceptual != "none":
            # Generated and real pictures forward, the generated ones backward.
            chosen = picture_losses.PERCEPTUAL[self.losses.perceptual].weights
            features = (Network(chosen.module, (picture(*size),)) for size in sizes)
            found += [Work(network, 3 * frames, frames) for network in features]
        return found

    # --- training ------------------------------------------------------------------------------

    def scene(
        self, poses: Array, images: Array, batch: Mapping[str, Array], frozen: Params
    ) -> Scene:
        """Of the batch face_boxes float32 [B, T, 4] too, and identities float32 [B, T, people]
        where the recipe knows several."""
        who = batch["identities"] if self.planes else None
        return Scene(poses, images, batch["face_boxes"], frozen, self.plates_of(batch), who)

    def generated(self, params: Params, scene: Scene, name: str, key: Array | None = None) -> Array:
        """Frames of a scene: the first from a zero picture, each next from the one before, with
        gradients through all of them; with previous = "none" all from a zero picture. key: of
        previous_noise; None: without."""
        if self.previous == "none":
            return self.composed(self._each_alone(params, scene, name), scene)

        def frame(previous: Array, inputs: tuple[Any, ...]) -> tuple[Array, Array]:
            pose, boxes, who, *noise = inputs
            made = self.generate(params, pose, sum(noise, previous), boxes, name, who)
            return self.fed_back(made), made

        if self.rematerialise:
            frame = jax.checkpoint(frame)
        poses, boxes = jnp.swapaxes(scene.poses, 0, 1), jnp.swapaxes(scene.boxes, 0, 1)
        who = None if scene.identities is None else jnp.swapaxes(scene.identities, 0, 1)
        by_time: tuple[Any, ...] = (poses, boxes, who)
        if self.previous_noise and key is not None:
            with jax.named_scope("previous_noise"):
                shape = by_time[0].shape
                noise = layout.drawn(lambda shape: jax.random.normal(key, shape), shape, axis=1)
                noise = self.previous_noise * noise
                # The first previous frame stays zero: that is how a beginning is recognised.
                by_time = (*by_time, noise.at[0].set(0.0))
        start = jnp.zeros_like(scene.images[:, 0])
        # XLA's CPU backend runs convolutions inside a loop on its slow path, 3 to 8 times slower.
        unroll = on_cpu() or scene.poses.shape[1] <= 2
        _, images = jax.lax.scan(frame, start, by_time, unroll=unroll)
        return self.composed(jnp.swapaxes(images, 0, 1), scene)

    def _each_alone(self, params: Params, scene: Scene, name: str) -> Array:
        """The frames of a scene as one batch, none of which sees another."""
        inputs = (scene.poses, scene.boxes, scene.identities)
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), inputs)

        def made(poses: Array, boxes: Array, who: Array | None) -> Array:
            return self.generate(params, poses, jnp.zeros_like(poses), boxes, name, who)

        made = jax.checkpoint(made) if self.rematerialise else made
        frames = made(*flat)
        return frames.reshape(*scene.poses.shape[:2], *frames.shape[1:])

    def judges(self, name: str) -> dict[str, Judge]:
        main = super().judges(name)
        return main | {"face_discriminator": self._face_judge()} if name == "face" else main

    def _face_judge(self) -> Judge:
        """Looks at the crop of every frame; windows without a face do not count."""
        network = self.face_discriminator()

        def sees(variables: Params, pictures: Array, scene: Scene) -> Array:
            """Logits [T, B, h, w, 1]; batch statistics are each time step's own, as in the
            reference."""
            fake, _, pose, _ = self.face_crops(pictures, scene)
            inputs = jnp.swapaxes(jnp.concatenate([pose, fake], axis=-1), 0, 1)
            with jax.named_scope("face_discriminator"):
                return jnp.stack([applied(network, variables, frame)[-1] for frame in inputs])

        def mean(logits: Array, target: float, scene: Scene) -> Array:
            mask = (scene.boxes[..., 2] > scene.boxes[..., 0]).astype(jnp.float32).T
            each = jax.vmap(losses.least_squares_per_sample, in_axes=(0, None))(logits, target)
            return losses.masked_mean(each, mask)

        asks = {"G_GANface": lambda fake, real, scene: mean(fake, 1.0, scene)}
        return Judge(sees, asks, mean, "D_realface", "D_fakeface")

    def perceptual(
        self, name: str, pictures: Frames, scene: Scene, distance: Callable[[Array, Array], Array]
    ) -> Float[Array, ""]:
        """The sum over the two frames, and in the face stage half of the crops'."""
        total = super().perceptual(name, pictures, scene, distance)
        if name == "face":
            fake, real, _, mask = self.face_crops(pictures, scene)
            # Where a window has no face both sides are the same picture, whose distance is 0.
            mask = mask[..., None, None, None]
            least = 1.0 / (mask.size * layout.shares())
            share = jnp.maximum(layout.batch_mean(mask.mean()), least)
            total += self.perceptual_frames * 0.5 * distance(fake * mask, real * mask) / share
        return total

    def face_crops(
        self, pictures: Float[Array, "b t h w c"], scene: Scene
    ) -> tuple[
        Float[Array, "b t s s 3"],
        Float[Array, "b t s s 3"],
        Float[Array, "b t s s 3"],
        Float32[Array, "b t"],
    ]:
        """Crops of the generated frames, the real frames and the poses; mask: 1 where there is a
        face."""
        size, (height, width) = self.face.size, pictures.shape[2:4]
        pictures = matte.picture(pictures)
        with jax.named_scope("face_crops"):
            corners, mask = crop_corners(scene.boxes, size, height, width)
            every = (pictures, scene.images, scene.poses)
            fake, real, pose = (crop(x, corners, size) for x in every)
            return fake, real, pose, mask

    def guided(self, scene: Scene) -> Float[Array, "n h w 6"]:
        """The first frame of each window before zeros, the others after the real frame. With a
        plate all before zeros: what would be fed back is not known of real frames."""
        previous = jnp.zeros_like(scene.images)
        if self.previous == "own" and not self.plated:
            previous = previous.at[:, 1:].set(scene.images[:, :-1])
        seen = jnp.concatenate([scene.poses, previous], axis=-1)
        if scene.identities is not None:
            seen = jnp.concatenate([seen, as_planes(scene.identities, seen)], axis=-1)
        return seen.reshape(-1, *seen.shape[2:])

    def judged(self, poses: Frames, images: Frames) -> Float[Array, "b*(t-1) h w 12"]:
        """pose_t, pose_t+1, image_t, image_t+1 of every pair of neighbouring frames."""
        parts = (poses[:, :-1], poses[:, 1:], images[:, :-1], images[:, 1:])
        stack = jnp.concatenate(parts, axis=-1)
        return stack.reshape(-1, *stack.shape[2:])

    # --- synthesis -----------------------------------------------------------------------------

    def seen(self, moments: Moments) -> dict[str, Array | np.ndarray]:
        """Poses, and where faces are; where that is not known, zeros, which leave the face as it
        is."""
        self.check_seen(moments)
        poses = poses_of(moments)
        boxes = moments.get("face_boxes")
        plates = {"plates": moments["plates"]} if self.plated and "plates" in moments else {}
        if self.planes:
            plates["identities"] = moments["identities"]
        return {
            "poses": poses,
            "face_boxes": np.zeros((len(poses), 4), np.float32) if boxes is None else boxes,
        } | plates

    def start(
        self, params: Params, reference: Array | None, name: str
    ) -> Float32[Array, "1 h w 3"] | tuple[()]:
        """The previous frame: before the first one, zeros; nothing where none is shown."""
        if self.previous == "none":
            return ()
        stage = self._stage(name)
        return jnp.zeros((1, stage.height, stage.width, 3))

    def frame(
        self, params: Params, seen: dict[str, Array], carry: Array | tuple[()], name: str
    ) -> tuple[Array, Array | tuple[()]]:
        """A frame from its pose and the frame before it. What is fed back is the raw output, as in
        the reference (a face crop plus its residual may leave [-1, 1]); with a plate the person
        alone."""
        shown, place = self.around(seen, name)
        pose = self.pictured(shown["poses"], name)[None]
        previous = jnp.zeros_like(pose) if isinstance(carry, tuple) else carry
        who = seen["identities"][None] if self.planes else None
        made = self.generate(params, pose, previous, shown["face_boxes"][None], name, who)
        after = () if isinstance(carry, tuple) else self.fed_back(made)
        return self.finished(made[0], shown, seen, place, name), after

    def fed_back(self, made: Float[Array, "b h w c"]) -> Float[Array, "b h w 3"]:
        """The frame as the next one is shown it: with a plate the person before grey, so that
        nothing of the background can flicker through it."""
        return matte.cut_out(made) if self.plated else made

    def parts(self, params: Params) -> tuple[str, ...]:
        """ "face": the residual of the face stage."""
        return ("face",) if "face_generator" in params else ()

    def without(self, part: str, params: Params) -> Params:
        left_out = {"face": "face_generator"}.get(part)
        return {network: tree for network, tree in params.items() if network != left_out}

    def generate(
        self,
        params: Params,
        pose: Float[Array, "b h w 3"],
        previous: Float[Array, "b h w 3"],
        boxes: Float[Array, "b 4"],
        name: str,
        who: Float[Array, "b people"] | None = None,
    ) -> Float[Array, "b h w c"]:
        """What is made of a pose picture and the previous frame, face included: a picture, or with
        a plate the person's colours and matte (matte.py). who: with recipe.identities, the weight
        of each person."""
        with jax.named_scope("generator"):
            inputs = jnp.concatenate([pose, previous], axis=-1)
            if who is not None:
                inputs = jnp.concatenate([inputs, as_planes(who, inputs)], axis=-1)
            image = applied(self.main_generator(name), params["generator"], inputs)
        if "face_generator" not in params:
            return image
        with jax.named_scope("face_generator"):
            corners, mask = crop_corners(boxes, self.face.size, *image.shape[1:3])
            face = crop(matte.picture(image), corners, self.face.size)
            shown = crop(self.fed_back(image), corners, self.face.size) if self.plated else face
            inputs = jnp.concatenate([crop(pose, corners, self.face.size), shown], axis=-1)
            residual = applied(self.face_generator(), params["face_generator"], inputs)
            face = face + residual * mask[:, None, None, None]
            if self.clamp_face:
                face = jnp.clip(face, -1.0, 1.0)
            pasted = paste(matte.picture(image), face, corners)
            return jnp.concatenate([pasted, image[..., 3:]], axis=-1) if self.plated else pasted


def as_planes(
    who: Float[Array, "*n people"], pictures: Float[Array, "*n h w _"]
) -> Float[Array, "*n h w people"]:
    """Weights as planes beside pictures: see GlobalGenerator.identities."""
    return jnp.broadcast_to(who[..., None, None, :], (*pictures.shape[:-1], who.shape[-1]))


RECIPE = EverybodyDanceNow
