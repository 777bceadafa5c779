"""A small network that draws faces as a large one would: a face of a film in, the same face drawn
out, with a matte.

The idea is what people do with a blend of two StyleGAN2 (Pinkney & Adler 2020 made the pairs,
pix2pixHD learned them): the blend draws the same latent twice, as a photo and as a drawing
(`motion-jax pair-faces`), and an image-to-image network learns from these pairs what a projection
would take minutes for. Network and losses are pix2pix's (Isola et al. 2017); besides, the drawing
lies before the photo with a matte of its own (matte.py): outside the head the pairs show the photo
itself, and there nothing need be drawn.

Nothing is carried from frame to frame. What keeps a film steady is the alignment (faces/follow.py)
and `losses.steady`: what is moved a little is to be drawn the same, moved as much.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float, UInt8

from motion_jax import losses
from motion_jax.data.reading import Pairs
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError, setting
from motion_jax.recipes import adversarial, image_networks, matte
from motion_jax.recipes.adam import Adam
from motion_jax.recipes.adversarial import Judge, Term
from motion_jax.recipes.base import Moments
from motion_jax.recipes.image_networks import Discriminator, Generator
from motion_jax.recipes.metric import Metric
from motion_jax.recipes.network import Network, applied, picture, updated
from motion_jax.recipes.one_stage import OneStage
from motion_jax.recipes.picture_losses import PERCEPTUAL, feature_distance
from motion_jax.recipes.pixels import to_float
from motion_jax.recipes.pretrained import Pretrained
from motion_jax.recipes.schedule import Stage
from motion_jax.recipes.state import Kind, Params, State

# What configs of this recipe are made of.
__all__ = ["RECIPE", "Discriminator", "FaceStyle", "Generator", "Losses", "Stage"]

# Pixels by which pictures are moved at most for losses.steady.
MOVED = 4


@dataclass(frozen=True)
class Losses(image_networks.Losses):
    """Weights of the generator's losses; the adversarial one has weight 1."""

    gan: Literal["vanilla", "lsgan"] = "lsgan"
    """Cross-entropy on logits, or least squares."""
    l1: float = 100.0
    """Weight of the mean absolute difference of the pictures."""
    matte: float = 5.0
    """Weight of the mean alpha where the pair shows the photo itself, so that nothing is drawn
    there."""
    perceptual: Literal["vgg19", "resnet50", "none"] = "none"
    """Features of which network are compared, too: VGG-19 (`motion-jax fetch vgg19`), ResNet-50
    (pip install --no-deps imgsim), or none."""
    perceptual_weight: float = 10.0
    """Weight of that."""
    steady: float = 0.0
    """Weight of the mean absolute difference between what is drawn of a photo that is moved by up
    to 4 pixels, and what is drawn of the photo, moved as much; 10 to 50, for half as much time
    again."""


class Scene(NamedTuple):
    """Photos and what is to be made of them, [B, H, W, 3] in [-1, 1]."""

    photos: Array
    wanted: Array
    frozen: Params


@dataclass(frozen=True)
class FaceStyle(OneStage):
    """The recipe: hyperparameters as fields, pure functions as methods."""

    name = "face_style"
    given = "photo of a face, cut out as FFHQ's"
    draws_faces = True
    generator: Generator = Generator(norm="instance", dropout=False, ngf=32, n_downsampling=7)
    discriminator: Discriminator = Discriminator(norm="instance")
    losses: Losses = field(default_factory=Losses)

    def validate(self) -> None:
        super().validate()
        if "batch" in (self.generator.norm, self.discriminator.norm):
            raise UserError(
                f"{setting('recipe.generator.norm')} and recipe.discriminator.norm must be "
                "instance or none: faces of a film are drawn each by itself."
            )
        if self.generator.dropout:
            raise UserError(
                f"{setting('recipe.generator.dropout')} would draw every frame otherwise; leave it "
                "off."
            )

    def check_dataset(self, dataset: PoseFrames) -> None:
        if not dataset.info.pose_pictures:
            raise UserError(
                f"The dataset {dataset.folder} has no pairs of a photo and a drawing; make some "
                "with motion-jax pair-faces, or import a folder of pairs with motion-jax "
                "import-data."
            )

    def reading(self, name: str) -> Pairs:
        return Pairs(*self.size, self.main_stage.batch_size, ("poses",))

    # --- networks ------------------------------------------------------------------------------

    def _maker(self) -> nn.Module:
        return self.generator.module(self.dtype).clone(output_nc=4)

    def networks(self, name: str) -> dict[str, Network]:
        judge = self.discriminator.module(self.dtype)
        return {
            "generator": Network(
                self._maker(),
                (picture(*self.size),),
                "generator",
                Adam(),
                averaged=self.averaging > 0,
                whole=True,
            ),
            "discriminator": Network(
                judge, (picture(*self.size, 6),), "discriminator", Adam(), whole=True
            ),
        }

    def tested_modules(self, name: str) -> dict[str, nn.Module]:
        return {network: each.module for network, each in self.networks(name).items()}

    def pretrained(self) -> Mapping[str, Pretrained]:
        kind = self.losses.perceptual
        return {} if kind == "none" else {kind: PERCEPTUAL[kind].weights}

    def metrics(self, name: str) -> dict[str, Metric]:
        names = self._terms() | ({"G_steady": _nothing} if self.losses.steady else {})
        return adversarial.metrics_of({"discriminator": self._judge()}, names)

    # --- training ------------------------------------------------------------------------------

    def drawn(self, variables: Params, photos: Float[Array, "b h w 3"]) -> Float[Array, "b h w 4"]:
        """What the network makes of photos in [-1, 1]: colours and, as matte.py has it, alpha."""
        with jax.named_scope("generator"):
            return applied(self._maker(), variables, photos)

    def _judge(self) -> Judge:
        judge, gan = self.discriminator.module(self.dtype), losses.GAN[self.losses.gan]

        def sees(variables: Params, pictures: Array, scene: Scene) -> list[Any]:
            with jax.named_scope("discriminator"):
                pair = jnp.concatenate([scene.photos, matte.picture(pictures)], axis=-1)
                return [applied(judge, variables, pair)]

        return Judge(
            sees,
            {"G_GAN": lambda fake, real, scene: gan(fake, 1.0)},
            lambda seen, target, scene: gan(seen, target),
        )

    def _terms(self) -> dict[str, Term]:
        weights = self.losses

        def difference(pictures: Array, scene: Scene) -> Array:
            return weights.l1 * losses.mean_absolute(matte.picture(pictures), scene.wanted)

        def needless(pictures: Array, scene: Scene) -> Array:
            return weights.matte * matte.needless(pictures[..., 3:], scene.wanted, scene.photos)

        def perceptual(pictures: Array, scene: Scene) -> Array:
            kind = weights.perceptual
            distance = partial(feature_distance, kind, self.dtype, scene.frozen[kind])
            return weights.perceptual_weight * distance(matte.picture(pictures), scene.wanted)

        found: dict[str, Term] = {"G_L1": difference, "G_matte": needless}
        if weights.perceptual != "none":
            found[PERCEPTUAL[weights.perceptual].metric] = perceptual
        return found

    def train_step(
        self, state: State, batch: Mapping[str, Array], name: str, frozen: Params, kind: Kind = ()
    ) -> tuple[State, dict[str, Array]]:
        """One update of both networks, from the weights before it.

        batch: pose_pictures (the photos) and frames (what is to be made of them), uint8
        [B, 1, H, W, 3].
        """
        photos, wanted = (
            to_float(batch[key]).reshape(-1, *self.size, 3) for key in ("pose_pictures", "frames")
        )
        networks, params = self.networks(name), state.params

        def composed(variables: Params) -> Array:
            return matte.with_alpha(self.drawn(variables, photos), photos)

        if self.rematerialise:
            composed = jax.checkpoint(composed)
        change, judged, metrics = adversarial.gradients(
            composed,
            params["generator"],
            wanted,
            {"discriminator": (self._judge(), params["discriminator"])},
            self._terms(),
            Scene(photos, wanted, frozen),
        )
        if self.losses.steady:
            key = jax.random.fold_in(state.key, state.step)
            further, metrics["G_steady"] = jax.grad(self.unsteady, has_aux=True)(
                params["generator"], photos, key
            )
            change = jax.tree.map(jnp.add, change, further)
        rate = self.learning_rate(name, state.step)
        changes = {"generator": change} | judged
        return updated(networks, state, changes, rate, self.averaging), metrics

    def unsteady(
        self, variables: Params, photos: Float[Array, "b h w 3"], key: Array
    ) -> tuple[Array, Array]:
        """losses.steady, twice: how differently a photo is drawn that is moved a little. What a
        move brings in at the edges does not count."""
        down, right = jax.random.randint(key, (2,), -MOVED, MOVED + 1)

        def moved(pictures: Array) -> Array:
            return jnp.roll(pictures, (down, right), (1, 2))

        drawn = jax.lax.stop_gradient(moved(self.drawn(variables, photos)))
        again = self.drawn(variables, moved(photos))
        inner = (slice(None), slice(2 * MOVED, -2 * MOVED), slice(2 * MOVED, -2 * MOVED))
        value = self.losses.steady * losses.mean_absolute(again[inner], drawn[inner])
        return value, value

    # --- synthesis -----------------------------------------------------------------------------

    def seen(self, moments: Moments) -> UInt8[np.ndarray, "n h w 3"]:
        """The photos."""
        return moments["pose_pictures"]

    def synthesize(
        self, params: Params, seen: Array, carry: tuple[()], name: str, count: Array | None = None
    ) -> tuple[Array, tuple[()]]:
        """The photos, uint8 [n, H, W, 3], with what is drawn laid over them, each by itself."""
        photos = to_float(seen)
        drawn = matte.over(self.drawn(params["generator"], photos), photos)
        return jnp.clip(drawn, -1.0, 1.0), carry

    def layers(self, params: Params, seen: Array, name: str) -> Float[Array, "n h w 4"]:
        made = self.drawn(params["generator"], to_float(seen))
        return jnp.concatenate([made[..., :3], matte.alpha_of(made)], axis=-1)

    def synthesis_params(self, state: State) -> Params:
        return {"generator": {**state.params, **state.averaged}["generator"]}

    def rows(
        self, moments: Moments, pictures: Sequence[np.ndarray], height: int, width: int
    ) -> dict[str, list[np.ndarray]]:
        """Photo, pair, and what was made."""
        return {
            "photo": list(moments["pose_pictures"]),
            "pair": list(moments["frames"]),
            "made": list(pictures),
        }


def _nothing(pictures: Array, scene: Scene) -> Array:
    return jnp.zeros(())


RECIPE = FaceStyle
