"""Is it a person, and is it still the same one? Plausibility and following, in plain numpy.

MediaPipe reports people in empty rooms with a mean visibility of 0.5-0.77 and a presence of 0.9, so
its own numbers are not enough. The test used here, measured on real clips (see `plausible`):

1. **The mirror test.** The detector looks at a frame and at the same frame mirrored. A real person
   is found in both at the same place: the shoulders, hips and nose differ by a median of 0.02-0.07
   torso lengths (up to 0.2 for people seen from behind). Of furniture, toys and shadows the
   mirrored picture shows nothing, or something else (0.12 to 5 torso lengths, mostly nothing).
   Sides may be exchanged, because a back and a front are easily confused.
2. **Size**: the torso is at least 4 % of the frame's shorter side; furniture is often smaller.
3. **Shoulders** inside the frame and seen (visibility and presence 0.5 or more). Legs, hips and
   arms are not asked for: a webcam shows none.
4. **Over time**, for a whole track of sightings: it is confirmed by the tests above in at least
   half of the looks between its first and last one, at least twice (once where the clip has
   only one or two looks), and its head is above its hips most of the time. A dancer may stand on
   their hands; one who does so from beginning to end is rejected, like hands on a table.

Frames kept of real clips (MediaPipe 1.2.2, holistic; whole clips, one person followed):

  one person, full body (3 clips)         247/247, 367/367, 1566/1571 (5 lost in turns, then filled)
  webcam, head and shoulders or upper body (3 clips)     325/325, 58/58, 176/176
  drawn characters that look human (2 clips)             32/32, 32/32
  cartoon rabbit                          29/132 (the detector alone: 98.5 %)
  two people far away, against the sun    143/230, all of the woman who walks through; 0 of the man
  six visitors one by one, seen from behind, and the empty room between them
                                          266/1394, all of one visit; 745 "another person"; of the
                                          empty room 0 (the pose landmarker alone: 46 % of it)
  hands and toys, no person               0/292 (the detector alone: 41.8 %)
  drawn skeleton; DensePose colours; walking drawing     0/136, 0/107, 0/220

Poses are float arrays [33, 4]: x, y in pixels, visibility, presence (MediaPipe's order).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from motion_jax.errors import UserError, option

NOSE, LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP = 0, 11, 12, 23, 24
_CORE = [NOSE, LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP]

# The landmark that takes each one's place in the mirror.
MIRROR = np.array(
    [0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 18, 17, 20, 19, 22, 21, 24, 23, 26,
     25, 28, 27, 30, 29, 32, 31]
)  # fmt: skip

# Limits of the tests above. Torso lengths, shares of the frame's shorter side, probabilities.
MOST_DISAGREEMENT = 0.25
LEAST_SIZE = 0.04
LEAST_SHOULDERS = 0.5
LEAST_CONFIRMED = 0.5

# Following: a person is looked for this long (seconds) after having been seen last, and moves at
# most so many torso lengths a second, so many at most between two looks.
LONGEST_ABSENCE = 2.0
FASTEST = 5.0
FARTHEST = 2.5
# Two assignments whose costs differ by less are a guess: then nobody is followed.
AMBIGUOUS = 0.3


def torso(pose: Float[np.ndarray, "33 4"]) -> float:
    """The unit of length of a body in pixels: shoulders to hips, or 1.4 shoulder widths where that
    is more (a person who bends towards the camera has no visible torso height)."""
    points = pose[:, :2]
    shoulders = (points[LEFT_SHOULDER] + points[RIGHT_SHOULDER]) / 2
    hips = (points[LEFT_HIP] + points[RIGHT_HIP]) / 2
    width = np.linalg.norm(points[LEFT_SHOULDER] - points[RIGHT_SHOULDER])
    return max(float(np.linalg.norm(shoulders - hips)), 1.4 * float(width), 1e-3)


def centre(pose: Float[np.ndarray, "33 4"]) -> Float[np.ndarray, "2"]:
    """Middle of the shoulders in pixels: seen in webcam pictures too."""
    return (pose[LEFT_SHOULDER, :2] + pose[RIGHT_SHOULDER, :2]) / 2


def upright(pose: Float[np.ndarray, "33 4"]) -> float:
    """How far the shoulders are above the hips, in torso lengths: 1 standing, -1 upside down."""
    hips = (pose[LEFT_HIP, 1] + pose[RIGHT_HIP, 1]) / 2
    return float((hips - centre(pose)[1]) / torso(pose))


def mirrored(pose: Float[np.ndarray, "33 4"], width: float) -> Float[np.ndarray, "33 4"]:
    """The pose as it is in the mirrored picture of this width."""
    pose = np.array(pose)[MIRROR]
    pose[:, 0] = width - pose[:, 0]
    return pose


def disagreement(one: Float[np.ndarray, "33 4"], other: Float[np.ndarray, "33 4"]) -> float:
    """Median distance of nose, shoulders and hips in torso lengths of `one`, sides exchanged or
    not, whichever is less."""
    ways = (other, other[MIRROR])
    distances = [np.linalg.norm(one[_CORE, :2] - way[_CORE, :2], axis=1) for way in ways]
    return float(min(np.median(distance) for distance in distances) / torso(one))


def single_look(pose: Float[np.ndarray, "33 4"], size: tuple[int, int]) -> str:
    """Tests 2 and 3 of one pose in a frame of (height, width); "" or what is wrong."""
    height, width = size
    if torso(pose) < LEAST_SIZE * min(height, width):
        return "too small"
    for shoulder in (LEFT_SHOULDER, RIGHT_SHOULDER):
        x, y, visibility, presence = pose[shoulder, :4]
        if min(visibility, presence) >= LEAST_SHOULDERS and 0 <= x < width and 0 <= y < height:
            return ""
    return "no shoulder is seen"


@dataclass(frozen=True)
class Sighting:
    """One pose that the detector reported in one frame.

    Attributes:
      frame: number among the frames considered.
      pose: x, y in pixels, visibility, presence.
      wrong: "" where tests 1-3 hold, else what is wrong in a few words.
    """

    frame: int
    pose: Float[np.ndarray, "33 4"]
    wrong: str = ""

    @property
    def confirmed(self) -> bool:
        return not self.wrong


def examine(
    frame: int,
    poses: Sequence[Float[np.ndarray, "33 4"]],
    in_mirror: Sequence[Float[np.ndarray, "33 4"]],
    size: tuple[int, int],
) -> list[Sighting]:
    """Tests 1-3 for all poses of one frame.

    Args:
      poses: what the detector saw in the frame.
      in_mirror: what it saw in the mirrored frame (not mirrored back).
    """
    reflections = [mirrored(pose, size[1]) for pose in in_mirror]
    sightings: list[Sighting] = []
    # The detector may report one body twice: keep the better seen of two in the same place.
    for pose in sorted(poses, key=lambda pose: -float(pose[:, 2].mean())):
        if any(_same_place(known.pose, pose) for known in sightings):
            continue
        wrong = single_look(pose, size)
        if not wrong:
            least = min((disagreement(pose, other) for other in reflections), default=np.inf)
            if least > MOST_DISAGREEMENT:
                wrong = "not seen again in the mirrored picture"
        sightings.append(Sighting(frame, pose, wrong))
    return sightings


def _same_place(one: np.ndarray, other: np.ndarray) -> bool:
    size = torso(one)
    near = np.linalg.norm(centre(one) - centre(other)) < 0.35 * size
    return bool(near and 1 / 1.5 < torso(other) / size < 1.5)


@dataclass
class Track:
    """Sightings of one person in order of time; only confirmed ones."""

    sightings: list[Sighting] = field(default_factory=list)
    over: bool = False

    @property
    def frames(self) -> list[int]:
        return [sighting.frame for sighting in self.sightings]

    @property
    def last(self) -> Sighting:
        return self.sightings[-1]

    def predicted(self, frame: int) -> Float[np.ndarray, "2"]:
        """Where the shoulders are expected, in pixels: at half the last speed, because people often
        turn back."""
        here = centre(self.last.pose)
        if len(self.sightings) < 2:
            return here
        before = self.sightings[-2]
        speed = (here - centre(before.pose)) / (self.last.frame - before.frame)
        return here + 0.5 * speed * (frame - self.last.frame)


def _cost(track: Track, sighting: Sighting, seconds_a_frame: float) -> float:
    """Distance from the expected place in torso lengths plus change of size; inf: impossible."""
    seconds = (sighting.frame - track.last.frame) * seconds_a_frame
    if seconds > LONGEST_ABSENCE:
        return np.inf
    size, before = torso(sighting.pose), torso(track.last.pose)
    unit = max(size, before)
    distance = np.linalg.norm(centre(sighting.pose) - track.predicted(sighting.frame)) / unit
    change = abs(np.log(size / before))
    if distance > min(1.0 + FASTEST * seconds, FARTHEST) or change > np.log(2.0):
        return np.inf
    return float(distance + change)


def link(looks: Sequence[Sequence[Sighting]], seconds_a_frame: float) -> list[Track]:
    """Joins the confirmed sightings of successive looks into tracks, by position and size.

    Where a sighting fits two tracks nearly as well, or a track two sightings, it is a guess who is
    who: all of them end there, and new tracks begin when the people are apart again.
    """
    tracks: list[Track] = []
    for look in looks:
        seen = [sighting for sighting in look if sighting.confirmed]
        if not seen:
            continue
        active = [track for track in tracks if not track.over]
        costs = np.array([[_cost(track, s, seconds_a_frame) for s in seen] for track in active])
        costs = costs.reshape(len(active), len(seen))
        taken: dict[int, int] = {}
        for row, column in sorted(np.ndindex(*costs.shape), key=lambda at: costs[at]):
            if not np.isfinite(costs[row, column]) or row in taken or column in taken.values():
                continue
            limit = costs[row, column] + AMBIGUOUS
            if (costs[:, column] < limit).sum() > 1 or (costs[row] < limit).sum() > 1:
                active[row].over = True
                for other in np.flatnonzero(costs[:, column] < limit):
                    active[other].over = True
                continue
            taken[row] = column
        for row, column in taken.items():
            if not active[row].over:
                active[row].sightings.append(seen[column])
        kept = {column for row, column in taken.items() if not active[row].over}
        tracks += [Track([s]) for column, s in enumerate(seen) if column not in kept]
    return tracks


def plausible(track: Track, looked_at: Sequence[int]) -> str:
    """Test 4 of a whole track; "" or what is wrong.

    Args:
      looked_at: numbers of all frames that the detector looked at.
    """
    frames = track.frames
    looks = sum(frames[0] <= frame <= frames[-1] for frame in looked_at)
    if len(frames) < min(2, max(1, len(looked_at) - 1)):
        return "seen only once"
    if len(frames) < LEAST_CONFIRMED * looks:
        return "not seen again in the mirrored picture most of the time"
    if np.median([upright(sighting.pose) for sighting in track.sightings]) <= 0:
        return "upside down all the time"
    return ""


def choose(tracks: Sequence[Track], person: str, name: str, seconds_a_frame: float) -> int:
    """Which of the tracks (all plausible) to follow.

    Args:
      person: "largest" (most picture and time: the sum of squared torso lengths over the looks),
        "leftmost", "rightmost", or a number from 1, counted from left to right by the median place
        of the shoulders.
      name: of the video, for the message.

    Raises UserError where that person is not there, or `person` is none of these.
    """
    order = sorted(
        range(len(tracks)),
        key=lambda i: float(np.median([centre(s.pose)[0] for s in tracks[i].sightings])),
    )
    if person == "largest":
        return max(order, key=lambda i: sum(torso(s.pose) ** 2 for s in tracks[i].sightings))
    if person == "leftmost":
        return order[0]
    if person == "rightmost":
        return order[-1]
    check_person(person)
    if int(person) > len(order):
        listed = "; ".join(
            f"{number}: {tracks[i].frames[0] * seconds_a_frame:.1f}-"
            f"{tracks[i].frames[-1] * seconds_a_frame:.1f} s"
            for number, i in enumerate(order, 1)
        )
        count = "one person" if len(order) == 1 else f"{len(order)} people"
        raise UserError(
            f"{option('person')} {person} is not in {name}: it shows {count}, numbered from left "
            f"to right ({listed} after the start); name one of them."
        )
    return order[int(person) - 1]


def check_person(person: str) -> None:
    """Raises UserError where `--person` is not one of its choices."""
    if person in ("largest", "leftmost", "rightmost"):
        return
    if not (person.isascii() and person.isdigit() and int(person) >= 1):
        raise UserError(
            f"{option('person')} {person} is not a choice; give largest, leftmost, rightmost, a "
            "number from 1, counted from left to right, or a letter of motion-jax people."
        )


@dataclass(frozen=True)
class Expected:
    """Where the followed person must be in each frame, from the sightings around it.

    Attributes:
      inside: frames that lie between two sightings, or next to one.
      centre, size (torso), reach (by which the shoulders may be off): in pixels; undefined outside.
      box: (left, top, right, bottom) in pixels, all that belongs to the person.
    """

    inside: Bool[np.ndarray, " n"]
    centre: Float[np.ndarray, "n 2"]
    size: Float[np.ndarray, " n"]
    reach: Float[np.ndarray, " n"]
    box: Float[np.ndarray, "n 4"]

    def fits(self, frame: int, pose: Float[np.ndarray, "33 4"]) -> bool:
        """Whether a pose found in this frame is the followed person."""
        if not self.inside[frame]:
            return False
        away = float(np.linalg.norm(centre(pose) - self.centre[frame]))
        ratio = torso(pose) / self.size[frame]
        return bool(away <= self.reach[frame] and 0.5 <= ratio <= 2.0)


def expect(track: Track, count: int, step: int) -> Expected:
    """Interpolates a track over `count` frames, of which every `step`-th was looked at.

    Before the first and after the last sighting the person may be there for less than a step.
    """
    frames = np.array(track.frames)
    everywhere = np.arange(count)
    centres = np.array([centre(s.pose) for s in track.sightings])
    sizes = np.array([torso(s.pose) for s in track.sightings])
    boxes = np.array([extent(s.pose) for s in track.sightings])

    def between(values: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(everywhere, frames, v) for v in values.T], axis=-1)

    after = np.clip(np.searchsorted(frames, everywhere, side="left"), 0, len(frames) - 1)
    before = np.clip(np.searchsorted(frames, everywhere, side="right") - 1, 0, len(frames) - 1)
    travelled = np.linalg.norm(centres[after] - centres[before], axis=1)
    size = between(sizes[:, None])[:, 0]
    outside = np.maximum(frames[0] - everywhere, everywhere - frames[-1])
    # A look apart, somebody may go and come back; beside the ends nothing is known but the speed.
    reach = size * (0.7 + 0.8 * np.maximum(outside, 0) / step) + 0.5 * travelled
    # Two neighbours' boxes: what lies between two sightings is somewhere in both.
    low = np.minimum(boxes[after], boxes[before])
    high = np.maximum(boxes[after], boxes[before])
    margin = (0.5 * size + 0.5 * (reach - 0.7 * size))[:, None]
    box = np.concatenate([low[:, :2] - margin, high[:, 2:] + margin], axis=1)
    return Expected(outside < step, between(centres), size, reach, box)


def extent(pose: Float[np.ndarray, "33 4"]) -> Float[np.ndarray, "4"]:
    """(left, top, right, bottom) of all landmarks that are there, in pixels."""
    points = pose[(pose[:, 2] > 0.3) & (pose[:, 3] > 0.3), :2]
    if not len(points):
        points = pose[_CORE, :2]
    return np.concatenate([points.min(0), points.max(0)])
