"""pix2pix (Isola, Zhu, Zhou, Efros; CVPR 2017) from pose pictures to frames.

A U-Net (or CycleGAN's ResNet) sees one pose picture, or the channels that conditions.py switches
on; a PatchGAN judges them and the frame together. Nothing is carried from frame to frame. The
defaults are those of its PyTorch code; docs/reference-behaviour.md lists what differs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from motion_jax import losses
from motion_jax.data.reading import Window
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError, option, setting
from motion_jax.pose.skeleton import FACE
from motion_jax.recipes import image_networks
from motion_jax.recipes.adam import Adam
from motion_jax.recipes.base import Moments, Shown
from motion_jax.recipes.conditions import EDGES_FLATTER, Conditions, Seen
from motion_jax.recipes.image_networks import Discriminator, Generator, Test, generated
from motion_jax.recipes.metric import DISCRIMINATOR, GENERATOR, Metric, named
from motion_jax.recipes.network import Network, averages, picture, trained_apply
from motion_jax.recipes.one_stage import OneStage
from motion_jax.recipes.pixels import to_float
from motion_jax.recipes.schedule import Stage
from motion_jax.recipes.state import Kind, Params, State

# What configs of this recipe are made of.
__all__ = ["RECIPE", "Discriminator", "Generator", "Losses", "Pix2Pix", "Stage", "Test"]


@dataclass(frozen=True)
class Losses(image_networks.Losses):
    """Weights of the generator's losses; the adversarial one has weight 1."""

    l1: float = 100.0
    """Weight of the mean absolute difference of the pictures."""


@dataclass(frozen=True)
class Pix2Pix(OneStage):
    """The recipe: hyperparameters as fields, pure functions as methods."""

    name = "pix2pix"
    losses: Losses = field(default_factory=Losses)
    conditions: Conditions = field(default_factory=Conditions)
    """What the generator and the discriminator are shown."""
    ready_pictures: bool = False
    """Train only on datasets with ready pictures to show (pairs of pictures), never on poses that
    are drawn from keypoints."""

    def validate(self) -> None:
        super().validate()
        self.conditions.check()

    def check_dataset(self, dataset: PoseFrames) -> None:
        if self.ready_pictures and not dataset.info.pose_pictures:
            raise UserError(
                f"The dataset {dataset.folder} has poses, and this config turns one person's "
                f"pictures into another's ({setting('recipe.ready_pictures')}): pair two people's "
                "datasets with motion-jax pair --kind pics2pics, or train pose2pics on this one."
            )
        if self.conditions.face_contour and not (dataset.keypoints()[:, FACE, 2] > 0).any():
            raise UserError(
                f"The dataset {dataset.folder} has no face points to draw contours of; train with "
                f"{option('recipe.conditions.face_contour', False)}, or prepare it with "
                f"{option('detail')} holistic."
            )

    @property
    def shows(self) -> tuple[Shown, ...]:
        """Poses, and what else its conditions are made of."""
        return self.conditions.shows

    def reading(self, name: str) -> Window:
        return Window(*self.size, self.main_stage.batch_size, ("poses",))

    def seen(self, moments: Moments) -> Seen:
        return self.conditions.seen(moments)

    def caveats(self) -> list[str]:
        return [EDGES_FLATTER] if self.conditions.canny else []

    # --- networks ------------------------------------------------------------------------------

    def networks(self, name: str) -> dict[str, Network]:
        shown = (picture(*self.size, self.conditions.channels),)
        judged = (picture(*self.size, self.conditions.channels + 3),)
        maker, judge = self.generator.module(self.dtype), self.discriminator.module(self.dtype)
        return {
            "generator": Network(maker, shown, "generator", Adam(), averaged=self.averaging > 0),
            "discriminator": Network(judge, judged, "discriminator", Adam()),
        }

    def metrics(self, name: str) -> dict[str, Metric]:
        return named(GENERATOR, "G_GAN", "G_L1") | named(DISCRIMINATOR, "D_real", "D_fake")

    # --- training ------------------------------------------------------------------------------

    def train_step(
        self, state: State, batch: Mapping[str, Array], name: str, frozen: Params, kind: Kind = ()
    ) -> tuple[State, dict[str, Array]]:
        """One update of the discriminator, then one of the generator.

        batch: frames uint8 [B, 1, H, W, 3] and keypoints float32 [B, 1, 137, 3] or pose_pictures
        uint8 [B, 1, H, W, 3]. Returns the new state and float32 scalars named as the reference logs
        them.
        """
        poses = self.conditions.pictures(self.seen(batch), self.pose_style, *self.size)
        with jax.named_scope("input"):
            images = to_float(batch["frames"])
            poses = poses.reshape(-1, *self.size, self.conditions.channels)
        return self.step(state, poses, images.reshape(-1, *self.size, 3), name)

    def step(
        self,
        state: State,
        poses: Float[Array, "b h w {self.conditions.channels}"],
        images: Float[Array, "b h w 3"],
        name: str,
    ) -> tuple[State, dict[str, Array]]:
        """train_step from condition pictures and frames, in [-1, 1]."""
        networks, gan = self.networks(name), losses.GAN[self.losses.gan]
        params, moments = dict(state.params), dict(state.optimizer)
        rate = self.learning_rate(name, state.step)
        key = jax.random.fold_in(state.key, state.step) if self.generator.dropout else None
        metrics = {}

        def update(network: str, variables: Params, gradient: Params) -> None:
            params[network], moments[network] = networks[network].stepped(
                network, variables, gradient, moments[network], rate, state.step
            )

        def generate(trained: Params) -> tuple[Array, Params]:
            with jax.named_scope("generator"):
                variables = {**params["generator"], "params": trained}
                return trained_apply(networks["generator"].module, variables, poses, key)

        if self.rematerialise:
            generate = jax.checkpoint(generate)
        fake, pull, params["generator"] = jax.vjp(
            generate, params["generator"]["params"], has_aux=True
        )

        def judge(variables: Params, pictures: Array) -> tuple[losses.Features, Params]:
            with jax.named_scope("discriminator"):
                pair = jnp.concatenate([poses, pictures], axis=-1)
                module = networks["discriminator"].module
                output, variables = trained_apply(module, variables, pair)
                return [output], variables

        def judged(trained: Params) -> tuple[Array, tuple[Array, Array, Params]]:
            variables = {**params["discriminator"], "params": trained}
            of_fake, variables = judge(variables, fake)
            of_real, variables = judge(variables, images)
            with jax.named_scope("D_fake"):
                from_fake = gan(of_fake, 0.0)
            with jax.named_scope("D_real"):
                from_real = gan(of_real, 1.0)
            return 0.5 * (from_fake + from_real), (from_fake, from_real, variables)

        before = params["discriminator"]["params"]
        gradient, (metrics["D_fake"], metrics["D_real"], variables) = jax.grad(
            judged, has_aux=True
        )(before)
        update("discriminator", {**variables, "params": before}, gradient)

        def picture_terms(pictures: Array) -> tuple[Array, tuple[Array, Array, Params]]:
            outputs, variables = judge(params["discriminator"], pictures)
            with jax.named_scope("G_GAN"):
                adversarial = gan(outputs, 1.0)
            with jax.named_scope("G_L1"):
                difference = self.losses.l1 * losses.mean_absolute(pictures, images)
            return adversarial + difference, (adversarial, difference, variables)

        towards, (metrics["G_GAN"], metrics["G_L1"], params["discriminator"]) = jax.grad(
            picture_terms, has_aux=True
        )(fake)
        update("generator", params["generator"], pull(towards)[0])
        average = averages(state.averaged, params, state.step, self.averaging)
        state = state.replace(
            step=state.step + 1, params=params, optimizer=moments, averaged=average
        )
        return state, metrics

    # --- synthesis -----------------------------------------------------------------------------

    def synthesize(
        self, params: Params, seen: Seen, carry: tuple[()], name: str, count: Array | None = None
    ) -> tuple[Array, tuple[()]]:
        """Frames from poses (or what `seen` gives), each by itself, as `test` says."""
        pictures = self.conditions.pictures(seen, self.pose_style, *self.size)
        frames = generated(self.generator, self.test, self.dtype, params["generator"], pictures)
        return frames, carry

    def synthesis_params(self, state: State) -> Params:
        """The parameters that synthesis uses: averaged where averaging is on."""
        return {"generator": {**state.params, **state.averaged}["generator"]}


RECIPE = Pix2Pix
