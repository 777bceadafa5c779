"""A drawn character in any pose: pose maps at every resolution, appearance by a latent.

After "Full-body High-resolution Anime Generation with Progressive Structure-conditional Generative
Adversarial Networks" (PSGAN: Hamada et al., ECCV workshops 2018), whose program and weights were
never published. Theirs are: joints as maps given to generator and discriminator at every
resolution, one latent for the character, levels that grow (here an option). Ours are: StyleGAN2's
blocks and losses in place of PGGAN's; limbs among the maps; a matte; true pictures whose pose was
exchanged count as false; a reader of joints, trained on true pictures, that tells the generator
where its joints came out; an encoder, so that a character that is given as a picture can be drawn
in another pose, trained with the true answer; the looks of the body's parts, found in that picture
and painted where the parts shall be; latents that are mixtures of characters met in training; and
drawn characters as data, of which any number is rendered while training goes on (puppet/doll.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float, UInt8

from motion_jax.data.dolls import Cast, all_stances, placed
from motion_jax.data.reading import Dolls
from motion_jax.devices import layout
from motion_jax.errors import UserError, setting
from motion_jax.nets import pose_stylegan as nets
from motion_jax.nets.stylegan2 import levels
from motion_jax.puppet import motion
from motion_jax.puppet.doll import make_doll
from motion_jax.puppet.joints_picture import draw_joints
from motion_jax.puppet.stances import of_motion
from motion_jax.recipes import schedule
from motion_jax.recipes.adam import Adam
from motion_jax.recipes.base import Moments
from motion_jax.recipes.metric import DISCRIMINATOR, GENERATOR, Metric, named
from motion_jax.recipes.network import Network, applied, picture, updated
from motion_jax.recipes.one_stage import OnlyStage
from motion_jax.recipes.pixels import to_float
from motion_jax.recipes.schedule import Stage
from motion_jax.recipes.state import Kind, Params, State

# What configs of this recipe are made of.
__all__ = ["RECIPE", "Characters", "Growth", "Losses", "Networks", "PoseStyleGAN", "Stage"]

# What samples and films without a background show behind a character: grey levels 0...255.
PAPER = (236, 240, 246)


@dataclass(frozen=True)
class Networks:
    """Sizes."""

    latent: int = 128
    """Width of z: of how many characters a made-up one is mixed."""
    style: int = 128
    """Width of a character's style."""
    channel_base: int = 8192
    """Channels times resolution, of generator, discriminator and encoder."""
    channel_max: int = 256
    """Most channels of a level."""
    judge: float = 1.0
    """Width of discriminator and encoder, in those of the generator."""
    pose: int = 16
    """Channels in which each level is shown the pose."""
    reader: int = 32
    """Width of the network that reads joints off pictures."""
    looks: int = 8
    """Numbers that say how a part of the body looks; three of them are its colour."""

    def levels(self, size: int, share: float = 1.0) -> tuple[int, ...]:
        """Channels of each level, 4x4 first."""
        widths = (share * min(self.channel_base // r, self.channel_max) for r in levels(size))
        return tuple(max(int(width), 1) for width in widths)


@dataclass(frozen=True)
class Losses:
    """Weights."""

    adversarial: float = 1.0
    """Of the discriminator's judgement, in the generator's loss; 0: there is no discriminator, and
    training is two to three times as fast. Pictures are then blurred where the answer is open."""
    l1: float = 40.0
    """Of the difference to the true answer, where the character was given as a picture."""
    matte: float = 4.0
    """Of the cross-entropy of opacities, in the same case."""
    pose: float = 10.0
    """Of the distance of joints, read off the generator's pictures, to those asked for, in shares
    of the picture."""
    pose_from: int = 200
    """Steps over which that weight rises: the reader must learn to read first."""
    wrong: float = 0.5
    """Of true pictures with another one's pose, which count as false ones."""
    r1: float = 1.0
    """Of the squared gradient of the score by true pictures."""
    r1_every: int = 16
    """Steps between two such."""


@dataclass(frozen=True)
class Characters:
    """The drawn characters that it is trained on."""

    characters: int = 300
    """How many."""
    poses: int = 600
    """In how many stances."""
    holdout: float = 0.2
    """Share of both that training does not see."""
    reference: float = 0.5
    """Share of a batch in which the character is given as a picture; the others have a latent,
    and only the discriminator judges them."""


@dataclass(frozen=True)
class Growth:
    """Resolutions that are learned one after the other, as in the paper."""

    steps: int = 0
    """Steps for each resolution, the new one being faded in over their first half; 0: all
    resolutions from the beginning."""
    first: int = 16
    """The resolution that training begins with."""


@dataclass(frozen=True)
class PoseStyleGAN(OnlyStage):
    """The recipe: hyperparameters as fields, pure functions as methods."""

    name = "pose_stylegan"
    shows = ("noise",)
    paired = False

    sizes: Networks = field(default_factory=Networks)
    losses: Losses = field(default_factory=Losses)
    characters: Characters = field(default_factory=Characters)
    growth: Growth = field(default_factory=Growth)
    main_stage: Stage = field(default_factory=lambda: Stage(learning_rate=2e-3))
    averaging: float = 0.998
    """Decay of the exponential average of generator and encoder; 0 is off."""
    truncation: float = 0.8
    """Of characters that are made up: 1 none, towards 0 ever nearer to the mean."""

    def validate(self) -> None:
        super().validate()
        height, width = self.size
        if height != width or height not in (32, 64, 128, 256, 512):
            raise UserError(
                f"{setting('recipe.main_stage.height')} and width are {height} and {width}; "
                "characters are drawn at 32, 64, 128, 256 or 512 pixels, square."
            )
        schedule.check_counts(
            self,
            {
                "sizes": {"latent": 1, "style": 1, "looks": 3, "reader": 2, "pose": 1},
                "losses": {"r1_every": 1, "pose_from": 1},
                "characters": {"characters": 5, "poses": 5},
            },
        )
        for name in ("holdout", "reference"):
            value = getattr(self.characters, name)
            if not 0.0 <= value <= 1.0 or (name == "holdout" and not 0.0 < value <= 0.8):
                raise UserError(
                    f"{setting(f'recipe.characters.{name}')} = {value} is no such share; 0.2 and "
                    "0.5 are usual."
                )
        if self.growth.first not in levels(height):
            raise UserError(
                f"{setting('recipe.growth.first')} = {self.growth.first} is no resolution of a "
                f"network of {height} pixels: use one of {', '.join(map(str, levels(height)))}."
            )
        batch = self.main_stage.batch_size
        if batch < 2 or (batch > 4 and batch % 4):
            raise UserError(
                f"{setting('recipe.main_stage.batch_size')} = {batch} must be 2, 3, 4 or a "
                "multiple of 4: pictures are compared in groups of four, and poses exchanged."
            )
        if not 0.0 <= self.averaging < 1.0:
            raise UserError(f"{setting('recipe.averaging')} = {self.averaging} is no decay.")

    def for_size(self, height: int, width: int) -> dict[str, Any]:
        return {}

    # --- networks ------------------------------------------------------------------------------

    @property
    def generator(self) -> nets.Generator:
        """Its module."""
        size, n = self.size[0], self.sizes
        return nets.Generator(n.levels(size), n.latent, n.style, n.pose, n.looks)

    @property
    def encoder(self) -> nets.Encoder:
        """The module that sees a character in a picture."""
        n = self.sizes
        return nets.Encoder(n.levels(self.size[0], n.judge), n.style, n.looks)

    @property
    def reader(self) -> nets.Reader:
        """The module that reads joints off a picture."""
        return nets.Reader(self.sizes.reader)

    def networks(self, name: str) -> dict[str, Network]:
        n, size = self.sizes, self.size
        shown = picture(*size, 4)
        joints = jax.ShapeDtypeStruct((1, nets.COUNT, 3), jnp.float32)
        z = jax.ShapeDtypeStruct((1, n.latent), jnp.float32)
        # Momentum disturbs networks that play against each other, and hastens one that does not.
        adam = Adam(b1=0.0 if self.judged else 0.9, b2=0.99, eps=1e-8)
        averaged = self.averaging > 0

        def network(module: nn.Module, inputs: tuple[Any, ...], role: Any, **more: Any) -> Network:
            return Network(module, inputs, role, adam, **more)

        found = {
            "generator": network(self.generator, (z, joints), "generator", averaged=averaged),
            "encoder": network(self.encoder, (shown, joints), "generator", averaged=averaged),
            "reader": network(self.reader, (shown,), "other"),
        }
        if self.judged:
            group = min(self.main_stage.batch_size, 4)
            judge = nets.Discriminator(n.levels(size[0], n.judge), n.pose, group)
            found["discriminator"] = network(judge, (shown, joints), "discriminator")
        return found

    @property
    def judged(self) -> bool:
        """Whether there is a discriminator."""
        return self.losses.adversarial > 0

    def metrics(self, name: str) -> dict[str, Metric]:
        shown = named(Metric("true answer and pose"), "L1", "matte", "pose", "read")
        if not self.judged:
            return shown
        return named(GENERATOR, "G") | named(DISCRIMINATOR, "D") | shown | {"r1": Metric("penalty")}

    def rhythm(self, name: str) -> dict[str, int]:
        return {"r1": self.losses.r1_every} if self.losses.r1 and self.judged else {}

    def reading(self, name: str) -> Dolls:
        c = self.characters
        batch = self.main_stage.batch_size
        return Dolls(*self.size, batch, (), c.characters, c.poses, c.holdout)

    # --- training ------------------------------------------------------------------------------

    def shares(self, step: Array) -> Float[Array, " levels"] | None:
        """How much each level draws at a step; None where all do from the beginning."""
        each = self.growth.steps
        if not each:
            return None
        sides = levels(self.size[0])
        begun = [max(sides.index(side) - sides.index(self.growth.first), 0) for side in sides]
        # The first resolution is there at once.
        after = jnp.array([-1.0 if b == 0 else b for b in begun])
        return jnp.clip((step / each - after) * 2.0, 0.0, 1.0)

    def train_step(
        self,
        state: State,
        batch: Mapping[str, Array],
        name: str,
        frozen: Params,
        kind: Kind = (),
    ) -> tuple[State, dict[str, Array]]:
        """One step on drawn characters: see data.reading.Dolls."""
        networks, losses = self.networks(name), self.losses
        modules = {n: each.module for n, each in networks.items()}
        shares = self.shares(state.step)
        real, reference = (coloured(to_float(batch[n])) for n in ("frames", "reference"))
        if shares is not None:
            real = nets.softened(real, shares)
        joints = in_shares(batch["joints"], self.size[0])
        n = real.shape[0]
        key = jax.random.fold_in(state.key, state.step)
        z = layout.drawn(lambda shape: jax.random.normal(key, shape), (n, self.sizes.latent))
        whole_batch = n * layout.shares()
        count = round(whole_batch * self.characters.reference)
        given = layout.own_share(jnp.arange(whole_batch) < count)
        # The mean over those that are given, where `given` is 0 or 1.
        weight = given * (whole_batch / max(count, 1))
        params = {n: state.params[n]["params"] for n in networks}
        whole = state.params

        def judged(weights: Params, images: Array, joints: Array) -> Array:
            with jax.named_scope("discriminator"):
                return applied(modules["discriminator"], {"params": weights}, images, joints)

        def read(weights: Params, images: Array) -> Array:
            """Distance of the joints that are seen to those asked for."""
            with jax.named_scope("reader"):
                places = applied(modules["reader"], {"params": weights}, images)
            away = jnp.abs(places - joints[..., :2]).sum(-1) * joints[..., 2]
            return away.sum() / joints[..., 2].sum()

        standing = in_shares(batch["reference_joints"], self.size[0])

        def of_makers(weights: Params) -> tuple[Array, tuple[Array, dict[str, Array], Array]]:
            variables = {**whole["generator"], "params": weights["generator"]}
            with jax.named_scope("encoder"):
                seen = applied(
                    modules["encoder"], {"params": weights["encoder"]}, reference, standing
                )
            with jax.named_scope("generator"):
                made_up = applied(modules["generator"], variables, z, method="map")
                w = jnp.where(given[:, None], seen, made_up)
                fake = applied(modules["generator"], variables, w, joints, shares, method="draw")
            metrics = {}
            metrics["L1"] = (jnp.abs(fake - real).mean((1, 2, 3)) * weight).mean()
            opacity, wanted = ((images[..., 3] + 1.0) / 2.0 for images in (fake, real))
            metrics["matte"] = (cross_entropy(opacity, wanted).mean((1, 2)) * weight).mean()
            metrics["pose"] = read(params["reader"], fake)
            risen = jnp.minimum(state.step / losses.pose_from, 1.0)
            total = losses.l1 * metrics["L1"] + losses.matte * metrics["matte"]
            total += risen * losses.pose * metrics["pose"]
            if self.judged:
                score = judged(params["discriminator"], fake, joints)
                metrics["G"] = jax.nn.softplus(-score).mean()
                total += losses.adversarial * metrics["G"]
            return total, (fake, metrics, seen)

        makers = {n: params[n] for n in ("generator", "encoder")}
        (_, (fake, metrics, seen)), change = jax.value_and_grad(of_makers, has_aux=True)(makers)
        gradients: dict[str, Any] = dict(change)
        fake = jax.lax.stop_gradient(fake)
        exchanged = jnp.roll(joints, 1, axis=0)

        def of_judge(weights: Params) -> Array:
            # One pass for all three, each compared within groups of its own: the samples of a
            # group lie a multiple of three apart.
            images, asked = (
                jnp.stack([real, fake, real], 1),
                jnp.stack([joints, joints, exchanged], 1),
            )
            scores = judged(
                weights, images.reshape(-1, *real.shape[1:]), asked.reshape(-1, *joints.shape[1:])
            )
            right, false, wrong = scores.reshape(-1, 3).T
            loss = jax.nn.softplus(-right).mean() + jax.nn.softplus(false).mean()
            return loss + losses.wrong * jax.nn.softplus(wrong).mean()

        if self.judged:
            metrics["D"], gradients["discriminator"] = jax.value_and_grad(of_judge)(
                params["discriminator"]
            )
        if "r1" in kind:

            def penalty(weights: Params) -> tuple[Array, Array]:
                slope = jax.grad(lambda images: judged(weights, images, joints).sum())(real)
                value = jnp.square(slope).sum((1, 2, 3)).mean()
                return 0.5 * losses.r1 * losses.r1_every * value, value

            with jax.named_scope("r1"):
                more, metrics["r1"] = jax.grad(penalty, has_aux=True)(params["discriminator"])
            gradients["discriminator"] = jax.tree.map(jnp.add, gradients["discriminator"], more)
        metrics["read"], gradients["reader"] = jax.value_and_grad(
            lambda weights: read(weights, real)
        )(params["reader"])
        old = whole["generator"]["buffers"]["known"]
        codes = layout.whole_batch(jax.lax.stop_gradient(seen))
        known = jnp.concatenate([old, codes])[-len(old) :]
        buffers = {**whole["generator"]["buffers"], "known": known}
        state = state.replace(
            params={**whole, "generator": {**whole["generator"], "buffers": buffers}}
        )
        rate = self.learning_rate(name, state.step)
        return updated(networks, state, gradients, rate, self.averaging), metrics

    # --- synthesis -----------------------------------------------------------------------------

    def made_up(self, params: Params, z: Float[Array, "n z"]) -> Float[Array, "n s"]:
        """w of characters that come from a latent alone, truncated."""
        return applied(self.generator, params["generator"], self.truncation * z, method="map")

    def recognised(self, params: Params, pictures: UInt8[Array, "n h w 4"]) -> Float[Array, "n s"]:
        """w of the character in each picture, RGBA of the recipe's size."""
        shown = coloured(to_float(pictures))
        return applied(
            self.encoder, params["encoder"], shown, self._standing(params["reader"], shown)
        )

    def _standing(
        self, variables: Params, shown: Float[Array, "n h w 4"]
    ) -> Float[Array, "n 20 3"]:
        """Where the reader sees the joints of pictures, all of them."""
        places = jax.lax.stop_gradient(applied(self.reader, variables, shown))
        return jnp.concatenate([places, jnp.ones_like(places[..., :1])], -1)

    def drawn(
        self, params: Params, w: Float[Array, "n s"], joints: Float[Array, "n 20 3"]
    ) -> Float[Array, "n h w 4"]:
        """Pictures in [-1, 1] of characters in poses, joints in pixels: colour times opacity over
        black, and opacity."""
        asked = in_shares(joints, self.size[0])
        return applied(self.generator, params["generator"], w, asked, method="draw")

    def seen(self, moments: Moments) -> dict[str, np.ndarray]:
        """A latent for each key, in a stance that training does not see, on a body that it does not
        see."""
        keys = np.asarray(moments["keys"], np.uint32)
        c = self.characters
        cast = Cast(c.characters, c.poses, c.holdout)
        poses, dolls = cast.part("poses", False), cast.part("characters", False)
        every = all_stances(c.poses)
        joints = []
        for first, second in keys:
            number = int(poses[int(first) % len(poses)])
            body = make_doll(int(dolls[int(second) % len(dolls)]))
            joints.append(placed(body, every[number : number + 1], self.size).joints[0])
        return {"z": self._latents(keys), "joints": np.stack(joints)}

    def film(self, moments: Moments) -> dict[str, np.ndarray]:
        """One latent that dances."""
        keys = np.asarray(moments["keys"], np.uint32)
        c = self.characters
        doll = make_doll(c.characters - 1)
        dance = of_motion(motion.dance(len(keys), 25.0, 1))
        joints = placed(doll, dance, self.size).joints
        z = np.broadcast_to(self._latents(keys[:1]), (len(keys), self.sizes.latent))
        return {"z": np.ascontiguousarray(z), "joints": joints}

    def _latents(self, keys: np.ndarray) -> Float[np.ndarray, "n z"]:
        found = [np.random.default_rng(key.tolist()).normal(size=self.sizes.latent) for key in keys]
        return np.stack(found).astype(np.float32)

    def synthesize(
        self, params: Params, seen: Any, carry: Any, name: str, count: Array | None = None
    ) -> tuple[Array, Any]:
        """Pictures of latents in poses, over paper; nothing is carried."""
        images = self.drawn(params, self.made_up(params, seen["z"]), seen["joints"])
        return over_paper(images), carry

    def rows(
        self, moments: Moments, pictures: Any, height: int, width: int
    ) -> dict[str, list[np.ndarray]]:
        # A film's moments have the same keys: their poses are told by how many there are.
        shown = self.film(moments) if len(moments["keys"]) > 16 else self.seen(moments)
        poses = [draw_joints(joints, height, width) for joints in shown["joints"]]
        return {"pose": poses, "generated": list(pictures)}

    def synthesis_params(self, state: State) -> Params:
        both = {**state.params, **state.averaged}
        # Codes of different characters have no average.
        known = {**both["generator"], "buffers": state.params["generator"]["buffers"]}
        return {"generator": known, "encoder": both["encoder"], "reader": both["reader"]}


def cross_entropy(share: Float[Array, "..."], wanted: Float[Array, "..."]) -> Float[Array, "..."]:
    """Of opacities in [0, 1]. Its slope does not vanish where a network is sure of what is
    false, as that of a difference does: a picture that is clear everywhere would be no way out."""
    least = 1e-6
    return -wanted * jnp.log(share + least) - (1 - wanted) * jnp.log(1 - share + least)


def in_shares(joints: Float[Array, "n 20 3"], size: int) -> Float[Array, "n 20 3"]:
    """Joints in pixels as the networks take them: in shares of the picture."""
    return joints * jnp.array([1 / size, 1 / size, 1.0], jnp.float32)


def coloured(pictures: Float[Array, "n h w 4"]) -> Float[Array, "n h w 4"]:
    """RGBA in [-1, 1] -> colour times opacity (over black), and opacity, as networks take it."""
    opacity = (pictures[..., 3:] + 1.0) / 2.0
    return jnp.concatenate([(pictures[..., :3] + 1.0) * opacity - 1.0, pictures[..., 3:]], -1)


def over_paper(pictures: Float[Array, "n h w 4"]) -> Float[Array, "n h w 3"]:
    """What the networks make, over a light background."""
    paper = jnp.array(PAPER, jnp.float32) / 255.0
    clear = (1.0 - pictures[..., 3:]) / 2.0
    return pictures[..., :3] + 2.0 * clear * paper


RECIPE = PoseStyleGAN
