"""The one skeleton of this project, "openpose_137", the layouts it is made from, and conversions.

Order of the 137 keypoints: 0-24 body (OpenPose BODY_25), 25-94 face 70 (the 68 iBUG points, then
the right pupil 68 and the left pupil 69), 95-115 left hand, 116-136 right hand (wrist, then four
points a finger from thumb to little finger). Left and right are the person's own.

A keypoint is (x, y, confidence); confidence 0 means "not observed", and then x = y = 0.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, Real

NAME = "openpose_137"
COUNT = 137
BODY = slice(0, 25)
FACE = slice(25, 95)
LEFT_HAND = slice(95, 116)
RIGHT_HAND = slice(116, 137)

BODY_NAMES = (
    "nose", "neck",
    "right_shoulder", "right_elbow", "right_wrist",
    "left_shoulder", "left_elbow", "left_wrist",
    "mid_hip",
    "right_hip", "right_knee", "right_ankle",
    "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
    "left_big_toe", "left_small_toe", "left_heel",
    "right_big_toe", "right_small_toe", "right_heel",
)  # fmt: skip

# Body indices by name, for readable code elsewhere.
INDEX = {name: index for index, name in enumerate(BODY_NAMES)}

_HAND_NAMES = ("wrist",) + tuple(
    f"{finger}_{joint}"
    for finger in ("thumb", "index", "middle", "ring", "little")
    for joint in range(1, 5)
)

# All 137 names.
NAMES = (
    BODY_NAMES
    + tuple(f"face_{index}" for index in range(68))
    + ("right_pupil", "left_pupil")
    + tuple(f"left_hand_{name}" for name in _HAND_NAMES)
    + tuple(f"right_hand_{name}" for name in _HAND_NAMES)
)


@dataclass(frozen=True)
class Layout:
    """A body layout: its limbs and colours as Everybody Dance Now draws them.

    Attributes:
      name: "body25", "body23" or "coco18".
      limbs: pairs of indices into this layout, in drawing order; a limb has its first joint's
        colour.
      colours: one triple (0...255) a joint in *canvas* order; a saved picture read as RGB has the
        triple backwards (the original program writes its canvas as if it were BGR).
      body25: for each joint of this layout its index in BODY_25.
    """

    name: str
    limbs: tuple[tuple[int, int], ...]
    colours: tuple[tuple[float, float, float], ...]
    body25: tuple[int, ...]

    @property
    def count(self) -> int:
        return len(self.body25)


def _limbs(text: str) -> tuple[tuple[int, int], ...]:
    pairs = (limb.split("-") for limb in text.split())
    return tuple((int(first), int(second)) for first, second in pairs)


def _colours(text: str) -> tuple[tuple[float, float, float], ...]:
    triples = (map(float, colour.split(",")) for colour in text.split())
    return tuple((red, green, blue) for red, green, blue in triples)


BODY_25 = Layout(
    "body25",
    _limbs(
        "0-1 0-15 0-16 1-2 1-5 1-8 2-3 3-4 5-6 6-7 8-9 8-12 9-10 10-11 11-22 11-24 12-13 13-14 "
        "14-19 14-21 15-17 16-18 19-20 22-23"
    ),
    _colours(
        "255,0,85 255,0,0 255,85,0 255,170,0 255,255,0 170,255,0 85,255,0 0,255,0 255,0,0 0,255,85 "
        "0,255,170 0,255,255 0,170,255 0,85,255 0,0,255 255,0,170 170,0,255 255,0,255 85,0,255 "
        "0,0,255 0,0,255 0,0,255 0,255,255 0,255,255 0,255,255"
    ),
    tuple(range(25)),
)

# The released Everybody Dance Now data: an early OpenPose layout, without heels.
BODY_23 = Layout(
    "body23",
    _limbs(
        "0-1 1-2 2-3 0-4 4-5 5-6 0-7 7-8 8-9 9-10 10-11 10-12 7-13 13-14 14-15 15-16 15-17 0-18 "
        "18-19 19-20 18-21 21-22"
    ),
    _colours(
        "255,0,0 255,55,0 255,110,0 255,165,0 255,215,0 255,235,0 255,255,0 255,0,0 175,255,0 "
        "85,255,0 0,255,0 0,255,85 0,255,170 25,25,128 0,85,255 0,170,255 0,212.5,255 0,255,255 "
        "255,0,0 255,0,255 238,130,238 138,43,226 75,0,130"
    ),
    (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 22, 23, 12, 13, 14, 19, 20, 0, 15, 17, 16, 18),
)

COCO_18 = Layout(
    "coco18",
    _limbs("1-2 1-5 2-3 3-4 5-6 6-7 1-8 8-9 9-10 1-11 11-12 12-13 1-0 0-14 14-16 0-15 15-17"),
    _colours(
        "255,0,0 255,85,0 255,170,0 255,255,0 170,255,0 85,255,0 0,255,0 0,255,85 0,255,170 "
        "0,255,255 0,170,255 0,85,255 0,0,255 85,0,255 170,0,255 255,0,255 255,0,170 255,0,85"
    ),
    (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18),
)

LAYOUTS = {layout.name: layout for layout in (BODY_25, BODY_23, COCO_18)}
# By their numbers of joints.
OF_COUNT = {layout.count: layout for layout in LAYOUTS.values()}
BODY_LIMBS = BODY_25.limbs

# Canvas order, as in `Layout.colours`; the same for both hands.
HAND_COLOURS = _colours(
    "230,53,40 231,115,64 233,136,31 213,160,13 217,200,19 170,210,35 139,228,48 83,214,45 "
    "77,192,46 83,213,133 82,223,190 80,184,197 78,140,189 86,112,208 83,73,217 123,46,183 "
    "189,102,255 218,83,232 229,65,189 236,61,141 255,102,145"
)

# (first, second, colour index) in drawing order: along each finger, then wrist to its first joint.
HAND_BONES = tuple(
    bone
    for start in (1, 5, 9, 13, 17)
    for bone in (
        (start, start + 1, start + 1),
        (start + 1, start + 2, start + 2),
        (start + 2, start + 3, start + 3),
        (0, start, start),
    )
)

# Which of the 70 face points are drawn, by the number asked for.
FACE_POINTS = {
    0: (),
    8: (27, 30, 8, 0, 16, 33, 68, 69),
    9: (27, 30, 8, 0, 16, 33, 68, 69, 62),
    22: (
        27, 30, 8, 0, 16, 31, 33, 35, 68, 69, 36, 39, 42, 45, 17, 21, 22, 26, 48, 51, 54, 57,
    ),
    70: tuple(range(70)),
}  # fmt: skip


def _flip_table() -> Int[np.ndarray, " 137"]:
    pairs = [(2, 5), (3, 6), (4, 7), (9, 12), (10, 13), (11, 14), (15, 16), (17, 18)]
    pairs += [(19, 22), (20, 23), (21, 24)]
    face = [(i, 16 - i) for i in range(8)] + [(17 + i, 26 - i) for i in range(5)]
    face += [(31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]
    face += [(48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)]
    face += [(68, 69)]
    pairs += [(FACE.start + a, FACE.start + b) for a, b in face]
    pairs += [(LEFT_HAND.start + i, RIGHT_HAND.start + i) for i in range(21)]
    table = np.arange(COUNT)
    for a, b in pairs:
        table[a], table[b] = b, a
    return table


# keypoints[FLIP] exchanges left and right.
FLIP = _flip_table()


def flip(keypoints: Float[np.ndarray, "*n 137 3"], width: float) -> Float32[np.ndarray, "*n 137 3"]:
    """Mirrors keypoints of a frame of this width (pixels): x' = width - x, and left
    and right change places. Keypoints that were not observed stay zero."""
    mirrored = np.array(keypoints, dtype=np.float32)[..., FLIP, :]
    mirrored[..., 0] = np.where(mirrored[..., 2] > 0, width - mirrored[..., 0], 0)
    return mirrored


def observed_only(points: Float[np.ndarray, "*n 3"]) -> Float32[np.ndarray, "*n 3"]:
    """A copy of points (x, y, confidence) in which every point that is not finite or has no
    confidence is exactly (0, 0, 0), and confidence is at most 1."""
    points = np.array(points, dtype=np.float32)
    seen = np.isfinite(points).all(-1) & (points[..., 2] > 0)
    points = np.where(seen[..., None], points, np.float32(0))
    points[..., 2] = np.minimum(points[..., 2], 1)
    return points


def midpoint(
    a: Float[np.ndarray, "*n 3"], b: Float[np.ndarray, "*n 3"]
) -> Float32[np.ndarray, "*n 3"]:
    """The point half way between two keypoints, with the smaller confidence of the two;
    zero where either was not observed."""
    middle = (np.asarray(a, np.float32) + np.asarray(b, np.float32)) / 2
    middle[..., 2] = np.minimum(a[..., 2], b[..., 2])
    return np.where(middle[..., 2:] > 0, middle, np.float32(0))


def from_body(
    body: Float[np.ndarray, "*n joints 3"],
    face: Float[np.ndarray, "*n 70 3"] | None = None,
    left: Float[np.ndarray, "*n 21 3"] | None = None,
    right: Float[np.ndarray, "*n 21 3"] | None = None,
) -> Float32[np.ndarray, "*n 137 3"]:
    """The keypoints of a body in any of `LAYOUTS` (its number of joints says which), its face and
    its hands; what is None, not in the layout or has no confidence stays unobserved. COCO's mid-hip
    is the middle of its hips."""
    body = observed_only(body)
    layout = OF_COUNT[body.shape[-2]]
    keypoints = np.zeros((*body.shape[:-2], COUNT, 3), np.float32)
    keypoints[..., layout.body25, :] = body
    if layout is COCO_18:
        keypoints[..., 8, :] = midpoint(keypoints[..., 9, :], keypoints[..., 12, :])
    for part, points in ((FACE, face), (LEFT_HAND, left), (RIGHT_HAND, right)):
        if points is not None:
            keypoints[..., part, :] = points
    return observed_only(keypoints)


def to_body23(keypoints: Float[np.ndarray, "*n 137 3"]) -> Float[np.ndarray, "*n 23 3"]:
    """The released data's body."""
    return np.asarray(keypoints)[..., BODY_23.body25, :]


# MediaPipe's 33 pose landmarks that are BODY_25 joints: {BODY_25 index: landmark}.
_MEDIAPIPE_BODY = {
    0: 0, 2: 12, 3: 14, 4: 16, 5: 11, 6: 13, 7: 15, 9: 24, 10: 26, 11: 28, 12: 23, 13: 25, 14: 27,
    15: 5, 16: 2, 17: 8, 18: 7, 19: 31, 21: 29, 22: 32, 24: 30,
}  # fmt: skip

# The face mesh vertices nearest to the 68 iBUG points and the two iris centres. The mesh numbers
# the iris of the person's right eye (corners 33 and 133) from 468, that of the left from 473.
MEDIAPIPE_FACE = (
    127, 234, 93, 132, 58, 136, 149, 148, 152, 377, 378, 365, 288, 361, 323, 454, 356,  # jaw
    70, 63, 105, 66, 107,  # right brow, from outside
    336, 296, 334, 293, 300,  # left brow, from inside
    168, 197, 5, 4,  # bridge of the nose to its tip
    98, 97, 2, 326, 327,  # nostrils
    33, 160, 158, 133, 153, 144,  # right eye, from its outer corner
    362, 385, 387, 263, 373, 380,  # left eye, from its inner corner
    61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91,  # outer lips
    78, 81, 13, 311, 308, 402, 14, 178,  # inner lips
    468, 473,  # pupils
)  # fmt: skip


def from_mediapipe(
    pose33: Float[np.ndarray, "33 values"] | None,
    face478: Real[np.ndarray, "478 axes"] | None = None,
    left21: Real[np.ndarray, "21 _"] | None = None,
    right21: Real[np.ndarray, "21 _"] | None = None,
    *,
    minimum_visibility: float = 0.1,
    face_confidence: float = 1.0,
    hand_confidence: float = 1.0,
) -> Float32[np.ndarray, "137 3"]:
    """MediaPipe's landmarks of one person as keypoints.

    Args:
      pose33: x and y in pixels, visibility 0...1 (further columns are ignored), or
        None. Visibility becomes the confidence. Neck and mid-hip are the middles of the shoulders
        and of the hips with the smaller confidence; small toes do not exist in MediaPipe and stay
        unobserved.
      face478: x, y of the face mesh with irises in pixels, or None.
      left21, right21: x, y of the person's own left and right hand in pixels, or None.
      minimum_visibility: body landmarks below it count as not observed, because MediaPipe reports
        a guess for every landmark, also far outside the frame.
      face_confidence, hand_confidence: MediaPipe has none a point; used for all points of a face
        or hand that it returned.
    """
    keypoints = np.zeros((COUNT, 3), np.float32)
    if pose33 is not None:
        pose = np.array(pose33, np.float32)[:, :3]
        pose[pose[:, 2] < minimum_visibility] = 0
        for joint, landmark in _MEDIAPIPE_BODY.items():
            keypoints[joint] = pose[landmark]
        keypoints[1] = midpoint(keypoints[2], keypoints[5])
        keypoints[8] = midpoint(keypoints[9], keypoints[12])
    if face478 is not None:
        face = np.asarray(face478, np.float32)
        keypoints[FACE, :2] = face[list(MEDIAPIPE_FACE), :2]
        keypoints[FACE, 2] = face_confidence
    for part, hand, confidence in (
        (LEFT_HAND, left21, hand_confidence),
        (RIGHT_HAND, right21, hand_confidence),
    ):
        if hand is not None:
            keypoints[part, :2] = np.asarray(hand, np.float32)[:, :2]
            keypoints[part, 2] = confidence
    return observed_only(keypoints)


def scaled(keypoints: Float[np.ndarray, "*n 3"], x: float, y: float) -> Float32[np.ndarray, "*n 3"]:
    """Keypoints of the frame resized by these factors; unobserved ones stay zero."""
    return np.asarray(keypoints, np.float32) * np.array([x, y, 1], np.float32)


def shifted(
    keypoints: Float[np.ndarray, "*n 3"], x: float, y: float
) -> Float32[np.ndarray, "*n 3"]:
    """Keypoints moved by (x, y) pixels; unobserved ones stay zero."""
    keypoints = np.array(keypoints, np.float32)
    seen = keypoints[..., 2] > 0
    keypoints[..., 0] += np.where(seen, np.float32(x), 0)
    keypoints[..., 1] += np.where(seen, np.float32(y), 0)
    return keypoints
