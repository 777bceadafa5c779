"""What an example is: which pictures of a dataset make one, and what a batch of them holds.

A recipe says it for each of its stages (Recipe.reading), data/inputs.py serves it. Nothing here
knows a recipe or opens a file.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int, UInt32

# Of each array of a batch its shape and type, by name.
Shapes = dict[str, tuple[tuple[int, ...], str]]

# What a dataset must have, besides pictures: poses (keypoints or ready pose pictures), keypoints
# themselves, face boxes, or plates (data/plates.py), which training adds to it.
Need = Literal["poses", "keypoints", "face_boxes", "plates"]

KEYPOINTS = (137, 3)


@dataclass(frozen=True)
class Reading:
    """What all kinds have.

    Attributes:
      height, width: of the pictures, in pixels.
      batch_size: examples a step, over all devices.
      needs: see Need.
    """

    height: int
    width: int
    batch_size: int
    needs: tuple[Need, ...] = ()

    # People whom the recipe tells apart: batches then have "identities", the weight of each.
    identities = 0

    # Whether examples come from a dataset at all.
    dataset = True

    @property
    def frames(self) -> int:
        """Pictures in an example."""
        return 1

    def shapes(self) -> Shapes:
        """What a batch holds; with ready pose pictures in the dataset, these too."""
        raise NotImplementedError

    def _shapes(self, *lead: int) -> Shapes:
        pictures = ((*lead, self.height, self.width, 3), "uint8")
        plates = {"plates": pictures} if "plates" in self.needs else {}
        if self.identities:
            plates["identities"] = ((*lead, self.identities), "float32")
        return {
            "frames": pictures,
            "keypoints": ((*lead, *KEYPOINTS), "float32"),
            "face_boxes": ((*lead, 4), "float32"),
        } | plates


@dataclass(frozen=True)
class Window(Reading):
    """`length` (T) consecutive frames of one clip: frames uint8 [B, T, H, W, 3], keypoints float32
    [B, T, 137, 3] and face_boxes float32 [B, T, 4] in their pixels; where they are needed plates
    uint8 [B, T, H, W, 3], and identities float32 [B, T, people]."""

    length: int = 1
    identities: int = 0

    @property
    def frames(self) -> int:
        return self.length

    def shapes(self) -> Shapes:
        return self._shapes(self.batch_size, self.length)


@dataclass(frozen=True)
class Pairs(Window):
    """A Window of a dataset whose records are pairs of pictures: what is given is its pose_pictures
    uint8 [B, T, H, W, 3], what is to be made of it its frames."""

    def shapes(self) -> Shapes:
        shapes = super().shapes()
        return shapes | {"pose_pictures": shapes["frames"]}


@dataclass(frozen=True)
class ClipPair(Reading):
    """Two different frames of one clip, wherever they are in it, as a Window of length 2. A pass
    over the data has every frame once as the first of a pair; the other is drawn."""

    @property
    def frames(self) -> int:
        return 2

    def shapes(self) -> Shapes:
        return self._shapes(self.batch_size, 2)


@dataclass(frozen=True)
class Pictures(Reading):
    """Single pictures: as a Window, without the axis of time."""

    def shapes(self) -> Shapes:
        return self._shapes(self.batch_size)


@dataclass(frozen=True)
class Domains(Reading):
    """A picture of each of two domains, which do not belong together: A and B, uint8
    [B, H, W, 3].

    poses: A is poses: uint8 pictures, or keypoints float32 [B, 137, 3] where there are no ready
    ones.
    """

    poses: bool = False

    def shapes(self) -> Shapes:
        pictures = ((self.batch_size, self.height, self.width, 3), "uint8")
        poses = ((self.batch_size, *KEYPOINTS), "float32")
        return {"A": poses if self.poses else pictures, "B": pictures}


@dataclass(frozen=True)
class Noise(Reading):
    """Nothing but randomness: keys, uint32 [B, 2], the data of a threefry key for each example
    (jax.random.wrap_key_data). Takes no dataset."""

    dataset = False

    def shapes(self) -> Shapes:
        return {"keys": ((self.batch_size, 2), "uint32")}


def noise_keys(seed: int, indices: Int[np.ndarray, " n"]) -> UInt32[np.ndarray, "n 2"]:
    """The key data of the examples with these global indices."""
    words = [np.random.SeedSequence((seed, int(index))).generate_state(2) for index in indices]
    return np.stack(words) if words else np.zeros((0, 2), np.uint32)


@dataclass(frozen=True)
class Dolls(Reading):
    """Drawn characters (puppet.doll), rendered on the fly, takes no dataset: frames uint8
    [B, H, W, 4], RGBA of a character in a stance; joints float32 [B, 20, 3] of it, x and y in
    pixels; reference uint8 [B, H, W, 4], the same character in another stance, and its joints
    reference_joints.

    characters, poses: how many there are of each; holdout: the share of both that is kept out of
    training, their last ones.
    """

    characters: int = 300
    poses: int = 600
    holdout: float = 0.2

    dataset = False

    def shapes(self) -> Shapes:
        pictures = ((self.batch_size, self.height, self.width, 4), "uint8")
        joints = ((self.batch_size, 20, 3), "float32")
        of_reference = {"reference": pictures, "reference_joints": joints}
        return {"frames": pictures, "joints": joints, **of_reference}
