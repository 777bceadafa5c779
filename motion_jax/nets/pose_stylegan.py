"""A character in a pose: StyleGAN2's blocks, shown where the joints are at every resolution.

The idea of showing a growing generator and its discriminator the pose at each of their resolutions
is that of "Full-body High-resolution Anime Generation with Progressive Structure-conditional
Generative Adversarial Networks" (Hamada, Tachibana, Li, Honda & Uchida, ECCV workshops 2018), whose
program was never published. Blocks, sizes, matte, looks, encoder and reader are ours.

A character is a code w: a style, which modulates the generator's convolutions, and the looks of 46
parts of the body, of which the first three numbers are the part's mean colour. Looks are taken from
a picture where its joints are, and painted where the joints shall be: a colour is found once, not
learned for each character.

Joints are those of puppet.bones.JOINTS: x and y in shares of the picture's side, and 1 where a
joint is seen, else 0. Pictures have four channels in [-1, 1]: colour times opacity, and opacity.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from motion_jax.nets.initial import ZEROS, normal
from motion_jax.nets.resample import enlarged, reduced
from motion_jax.nets.stylegan2 import Dense, StyledConv, ToRGB, activated, levels
from motion_jax.nets.stylegan2_discriminator import EqualConv, with_deviation

COUNT = 20
# Pairs of joints between which a limb is drawn, in the order of puppet.bones.JOINTS.
LIMBS = np.array(
    [(0, 1), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11),
     (11, 12), (12, 13), (10, 18), (13, 19), (0, 14), (0, 15), (14, 16), (15, 17)]
)  # fmt: skip
# Limbs are drawn from this resolution on: below it they are as thick as the body.
_LIMBS_FROM = 16
# Half width of what is drawn, in shares of the picture, and at least so many pixels.
_SPREAD, _LEAST = 0.016, 0.6
# The same of what is painted with its looks: about the width of a body's parts.
_WIDE = 0.04
# The side of the pictures that the reader looks at.
READ = 64
# What has looks of its own: joints, limbs, and places of hair and cloth.
PARTS = COUNT + len(LIMBS) + 7
# The side at which the encoder looks at them.
LOOKED = 32


def pose_maps(
    joints: Float[Array, "n 20 3"], size: int, share: float = _SPREAD
) -> Float[Array, "n r r c"]:
    """A channel for each joint, and from 16 pixels on for each limb: exp(-d^2 / 2 s^2) of the
    distance d to it, drawn from the coordinates at this very resolution; zeros for what is not
    seen. share: s, in shares of the picture."""
    maps = _dots(joints, size, share)
    return maps if size < _LIMBS_FROM else jnp.concatenate([maps, _lines(joints, size, share)], -1)


def _dots(joints: Float[Array, "n k 3"], size: int, share: float) -> Float[Array, "n r r k"]:
    """Of places."""
    spread = max(_LEAST, share * size) / size
    middle = (jnp.arange(size) + 0.5) / size
    x, y, seen = joints[..., 0], joints[..., 1], joints[..., 2]
    across = jnp.exp(-jnp.square((middle - x[..., None]) / spread) / 2)
    down = jnp.exp(-jnp.square((middle - y[..., None]) / spread) / 2) * seen[..., None]
    return jnp.einsum("nkw,nkh->nhwk", across, down)


def _lines(joints: Float[Array, "n 20 3"], size: int, share: float) -> Float[Array, "n r r 19"]:
    """Of limbs."""
    spread = max(_LEAST, share * size) / size
    middle = (jnp.arange(size) + 0.5) / size
    start, end = joints[:, LIMBS[:, 0]], joints[:, LIMBS[:, 1]]
    line = end[..., :2] - start[..., :2]
    square = jnp.maximum(jnp.square(line).sum(-1), 1e-8)[:, None, None]
    dx = middle[None, None, :, None] - start[:, None, None, :, 0]
    dy = middle[None, :, None, None] - start[:, None, None, :, 1]
    line = line[:, None, None]
    along = jnp.clip((dx * line[..., 0] + dy * line[..., 1]) / square, 0.0, 1.0)
    far = jnp.square(dx - along * line[..., 0]) + jnp.square(dy - along * line[..., 1])
    return jnp.exp(-far / (2 * spread**2)) * (start[..., 2] * end[..., 2])[:, None, None]


def painted(
    joints: Float[Array, "n 20 3"], looks: Float[Array, "n 46 a"], size: int
) -> Float[Array, "n r r a"]:
    """At each place the looks of the parts that are near it; zeros far from all of them."""
    maps = part_maps(joints, size, _WIDE)
    return jnp.einsum("nrsk,nka->nrsa", maps, looks) / (maps.sum(-1, keepdims=True) + 1e-3)


def part_maps(
    joints: Float[Array, "n 20 3"], size: int, share: float = _SPREAD
) -> Float[Array, "n r r 46"]:
    """As pose_maps, of all that has looks of its own: joints, limbs, and places where no joint is:
    hair above and on both sides of the head, chin, belly, hips, and between the thighs."""
    neck, ears = joints[:, 1, :2], joints[:, 16:18, :2]
    head = ears.mean(1)
    up = head - neck
    aside = jnp.stack([-up[:, 1], up[:, 0]], -1)
    hips = (joints[:, 8, :2] + joints[:, 11, :2]) / 2
    knees = (joints[:, 9, :2] + joints[:, 12, :2]) / 2
    places = [
        head + 0.9 * up, head + 0.7 * aside, head - 0.7 * aside, head - 0.6 * up,
        (neck + hips) / 2, hips, (hips + knees) / 2,
    ]  # fmt: skip
    more = jnp.stack(places, 1)
    more = jnp.concatenate([more, jnp.ones_like(more[..., :1])], -1)
    kinds = _dots(joints, size, share), _lines(joints, size, share), _dots(more, size, share)
    return jnp.concatenate(kinds, -1)


class _Shown(nn.Module):
    """The pose at a resolution, in few channels."""

    features: int

    @nn.compact
    def __call__(self, maps: Float[Array, "n r r c"]) -> Float[Array, "n r r k"]:
        inputs = maps.shape[-1]
        weight = self.param("weight", normal(1.0), (inputs, self.features))
        bias = self.param("bias", normal(0.0), (self.features,))
        # A map is nearly everywhere 0: the usual gain would leave next to nothing of it.
        return activated(maps @ weight, bias)


class Synthesis(nn.Module):
    """The code w of a character, and a pose -> a picture; see Generator."""

    widths: tuple[int, ...]
    pose: int = 16
    style: int = 128

    @nn.compact
    def __call__(
        self,
        w: Float[Array, "n s"],
        joints: Float[Array, "n 20 3"],
        shares: Float[Array, " levels"] | None = None,
    ) -> Float[Array, "n h w 4"]:
        size = 2 ** (len(self.widths) + 1)
        w, looks = w[:, : self.style], w[:, self.style :].reshape(len(w), PARTS, -1)
        constant = self.param("constant", normal(1.0), (4, 4, self.widths[0]))
        x = jnp.broadcast_to(constant, (w.shape[0], *constant.shape))
        image: Array | None = None
        for i, (side, width) in enumerate(zip(levels(size), self.widths, strict=True)):
            name = f"level_{side}"
            if i:
                x = StyledConv(width, side, up=True, name=f"{name}_conv_0")(x, w, "none")
            shown = _Shown(self.pose, name=f"{name}_pose")(pose_maps(joints, side))
            x = jnp.concatenate([x, shown, painted(joints, looks, side)], axis=-1)
            x = StyledConv(width, side, name=f"{name}_conv_1")(x, w, "none")
            drawn = ToRGB(4, name=f"{name}_rgb")(x, w)
            if shares is not None:
                drawn = drawn * shares[i]
            image = drawn if image is None else enlarged(image) + drawn
        assert image is not None, "there is a level of 4 pixels"
        # The sums are those of a picture before these: colour and opacity stay within bounds. It
        # begins with the colours that are known of the parts.
        known = jnp.arctanh(jnp.clip(painted(joints, looks[..., :3], size), -0.97, 0.97))
        opacity = jax.nn.sigmoid(2.0 * image[..., 3:])
        colour = jax.nn.sigmoid(2.0 * (image[..., :3] + known)) * opacity
        return 2.0 * jnp.concatenate([colour, opacity], axis=-1) - 1.0


class Generator(nn.Module):
    """z and a pose -> a picture.

    Attributes:
      widths: channels of each level, 4x4 first.
      latent: width of z, and of how many characters it keeps the codes that training last found.
      style: width of the style; looks: numbers that say how a part looks, at least 3.
      pose: channels in which a level is shown the pose.

    Its variables "buffers" hold these codes, "known" [latent, code].
    """

    widths: tuple[int, ...]
    latent: int = 128
    style: int = 128
    pose: int = 16
    looks: int = 8

    def setup(self) -> None:
        code = self.style + PARTS * self.looks
        self.known = self.variable("buffers", "known", lambda: ZEROS(None, (self.latent, code)))
        self.synthesis = Synthesis(self.widths, self.pose, self.style)

    def __call__(
        self, z: Float[Array, "n z"], joints: Float[Array, "n 20 3"]
    ) -> Float[Array, "n h w 4"]:
        """Pictures of latents in poses."""
        return self.synthesis(self.map(z), joints)

    def map(self, z: Float[Array, "n z"]) -> Float[Array, "n s"]:
        """Codes of the latents. Of normal z they are distributed as those of the known characters:
        with their mean and their covariance, so that both legs of a pair of trousers agree."""
        known = self.known.value
        centre = known.mean(0)
        return centre + z @ (known - centre) / math.sqrt(self.latent)

    def draw(
        self,
        w: Float[Array, "n s"],
        joints: Float[Array, "n 20 3"],
        shares: Float[Array, " levels"] | None = None,
    ) -> Float[Array, "n h w 4"]:
        """Pictures of w in poses; shares: how much each level draws, where they are faded in."""
        return self.synthesis(w, joints, shares)


class Discriminator(nn.Module):
    """A picture and a pose -> how much the picture looks like a true one in that pose.

    Attributes: as the generator's; stddev_group: see nets.stylegan2_discriminator.with_deviation.
    """

    widths: tuple[int, ...]
    pose: int = 16
    stddev_group: int = 4

    @nn.compact
    def __call__(
        self, image: Float[Array, "n h w 4"], joints: Float[Array, "n 20 3"]
    ) -> Float[Array, " n"]:
        size = image.shape[1]
        x = jnp.concatenate([image, pose_maps(joints, size)], axis=-1)
        x = EqualConv(self.widths[-1], 1, name=f"level_{size}_rgb")(x)
        for i in range(len(self.widths) - 1, 0, -1):
            side, width, below = 4 << i, self.widths[i], self.widths[i - 1]
            name = f"level_{side}"
            branch = EqualConv(below, 1, down=True, active=False, name=f"{name}_skip")(x)
            shown = _Shown(self.pose, name=f"{name}_pose")(pose_maps(joints, side))
            x = EqualConv(width, name=f"{name}_conv_0")(jnp.concatenate([x, shown], axis=-1))
            x = EqualConv(below, down=True, name=f"{name}_conv_1")(x)
            x = (x + branch) * math.sqrt(0.5)
        x = with_deviation(x, self.stddev_group, 1)
        x = EqualConv(self.widths[0], name="level_4_conv")(x)
        x = Dense(self.widths[0], active=True, name="level_4_hidden")(x.reshape(x.shape[0], -1))
        asked = joints.reshape(joints.shape[0], -1)
        asked = Dense(256, active=True, name="asked_0")(asked)
        asked = Dense(self.widths[0], name="asked_1")(asked)
        # What is seen, by what was asked for (projection: Miyato & Koyama 2018).
        agreed = (x * asked).sum(-1) / math.sqrt(self.widths[0])
        return Dense(1, name="level_4_out")(x)[:, 0] + agreed


class Encoder(nn.Module):
    """A picture of a character, and where its joints are in it -> its code, whatever its pose.

    Attributes:
      widths: channels of each level, 4x4 first; style: width of the style; looks: numbers that say
        how a part looks.
    """

    widths: tuple[int, ...]
    style: int = 128
    looks: int = 8

    @nn.compact
    def __call__(
        self, image: Float[Array, "n h w 4"], joints: Float[Array, "n 20 3"]
    ) -> Float[Array, "n s"]:
        n, size = image.shape[0], image.shape[1]
        x, near = EqualConv(self.widths[-1], 1, name="rgb")(image), None
        for i in range(len(self.widths) - 1, 0, -1):
            name = f"level_{4 << i}"
            x = EqualConv(self.widths[i], name=f"{name}_conv_0")(x)
            if 4 << i == LOOKED:
                near = x
            x = EqualConv(self.widths[i - 1], down=True, name=f"{name}_conv_1")(x)
        assert near is not None, "pictures are at least so large"
        x = Dense(2 * self.style, active=True, name="hidden")(x.reshape(n, -1))
        style = Dense(self.style, name="out")(x)
        # What is seen at each part, where the picture is not clear.
        k = size // LOOKED
        solid = (image.reshape(n, LOOKED, k, LOOKED, k, 4).mean((2, 4)) + 1) / 2
        where = part_maps(joints, LOOKED)
        inside = where * solid[..., 3:]
        mass = inside.sum((1, 2))[..., None] + 1e-2
        colour = 2 * jnp.einsum("nhwp,nhwc->npc", where, solid[..., :3]) / mass - 1
        features = jnp.einsum("nhwp,nhwc->npc", inside, near) / mass
        more = Dense(self.looks - 3, name="looks")(features.reshape(n * PARTS, -1))
        looks = jnp.concatenate([colour, more.reshape(n, PARTS, -1)], -1)
        return jnp.concatenate([style, looks.reshape(n, -1)], -1)


class Reader(nn.Module):
    """A picture of a character -> where its joints are: x and y in shares of the picture.

    It looks at 64 pixels, whatever the size: what a pose is can be seen there.
    """

    width: int = 32

    @nn.compact
    def __call__(self, image: Float[Array, "n h w 4"]) -> Float[Array, "n 20 2"]:
        n, size = image.shape[0], image.shape[1]
        if size > READ:
            k = size // READ
            image = image.reshape(n, READ, k, READ, k, 4).mean((2, 4))
        x, kept = EqualConv(self.width, 1, name="rgb")(image), None
        for i, factor in enumerate((2, 3, 4, 4)):
            x = EqualConv(factor * self.width // 2, down=True, name=f"down_{i}")(x)
            x = EqualConv(factor * self.width // 2, name=f"same_{i}")(x)
            kept = x if i == 1 else kept
        assert kept is not None, "kept on the way"
        x = EqualConv(2 * self.width, name="far")(x)
        x = enlarged(enlarged(x))
        x = EqualConv(2 * self.width, name="near")(jnp.concatenate([x, kept], axis=-1))
        heat = EqualConv(COUNT, 1, active=False, name="heat")(x) * 4.0
        side = heat.shape[1]
        share = jax.nn.softmax(heat.reshape(n, side * side, COUNT), axis=1)
        y, x = jnp.mgrid[:side, :side]
        places = (jnp.stack([x, y], -1).reshape(-1, 2) + 0.5) / side
        return jnp.einsum("npk,pd->nkd", share, places)


def softened(
    image: Float[Array, "n h w c"], shares: Float[Array, " levels"]
) -> Float[Array, "n h w c"]:
    """A picture whose finer resolutions count with these shares, from 4 pixels on: what a true
    picture looks like beside those of a generator whose levels are being faded in."""
    bands, small = [], image
    for _ in range(len(shares) - 1):
        less = reduced(small)
        bands.append(small - enlarged(less))
        small = less
    result = small
    for share, band in zip(shares[1:], reversed(bands), strict=True):
        result = enlarged(result) + share * band
    return result
