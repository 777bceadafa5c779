"""A photo that a camera drives, by a run of the First Order Motion Model: what `motion-jax animate`
makes of a film, while it happens.

    camera ─▶ cut around the face or person ─▶ keypoints ─▶ smoothed ─▶ the photo with them

Nobody knows what the camera will show. So the cut is that of the first picture that shows somebody,
and movement counts from the best frame so far of the first seconds.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from motion_jax.data.crop import Region, choose_region, cut_out
from motion_jax.errors import UserError, option
from motion_jax.live.options import LiveOptions
from motion_jax.pose.track import PoseTrack
from motion_jax.progress import say
from motion_jax.train.run import Run
from motion_jax.transfer.animate import check_photo, even
from motion_jax.transfer.animator import Animator, Smoothing
from motion_jax.transfer.best_frame import best_frame
from motion_jax.transfer.framing import (
    LEAST_PIXELS,
    Kind,
    around_face,
    face_extents,
    framing,
    middle,
    pasted,
)
from motion_jax.transfer.resident import Seen
from motion_jax.transfer.source import Moment
from motion_jax.video.image_files import read_picture

# (picture, its time in seconds) -> the pose of the person in it, face included, or None.
Look = Callable[[np.ndarray, float], "np.ndarray | None"]

# Seconds after somebody came in which a better frame to count movement from is looked for.
SETTLE = 2.0


class Where:
    """Which part of the camera's pictures runs are shown: that in the middle, or around the first
    face or person that is seen, until it is forgotten.

    Args:
      kind: of `framing`; size: (height, width) of what the run is shown.
      look: finds the person; not used with "none".
    """

    def __init__(self, kind: Kind, size: tuple[int, int], look: Look | None):
        self._kind, self._size, self._look = kind, size, look
        self._found: Region | None = None

    def forget(self) -> None:
        """It is looked for anew."""
        self._found = None

    def next(self, image: UInt8[np.ndarray, "h w 3"], time: float) -> Region | None:
        """For the next picture; None where nobody was seen yet. The same object as long as it is
        kept."""
        if self._found is None:
            found = self._looked(image, time)
            if found is not None and min(found.width, found.height) >= LEAST_PIXELS:
                self._found = found
        return self._found

    def _looked(self, image: np.ndarray, time: float) -> Region | None:
        if self._kind == "none":
            return middle(image.shape[0], image.shape[1], self._size)
        assert self._look is not None, "what is cut out must be found"
        pose = self._look(image, time)
        if pose is None:
            return None
        track = PoseTrack(pose[None].astype(np.float32), np.zeros(1), image.shape[:2], ("",))
        if self._kind == "person":
            return choose_region(track, *self._size)
        faces = face_extents(track)
        return around_face(faces, self._size) if len(faces) else None


class MovingPhoto:
    """A photo in the place of a run: it is shown frames as a Resident is, and makes pictures as
    Networks do.

    Args:
      run: of first_order; path: the photo; where: of the camera; cut: of the photo.

    Attributes:
      name: the photo's; size: (height, width) of its pictures; takes: "frames".
      shown: the photo as the pictures are.
    """

    takes = "frames"

    def __init__(self, run: Run, path: Path, options: LiveOptions, where: Where, cut: Region):
        whole = _read(path)
        photo = cut_out(whole, cut, *run.size)
        self.run, self.path, self.name = run, path, path.stem
        self._animator = Animator(run, photo, options.mode, options.adapt_scale, chunk=1)
        self._where, self._smooth = where, options.smooth
        self._relative = options.mode == "relative"
        self._onto = (whole, cut) if options.paste else None
        self._cut: Region | None = None
        self._smoothing = Smoothing()
        self._since, self._nearest = 0.0, np.inf
        self.shown = self._finished(photo)
        self.size = self.shown.shape[0], self.shown.shape[1]

    def look(self, image: UInt8[np.ndarray, "h w 3"], time: float) -> Seen | None:
        """The part of a camera's picture that counts; None where nobody was seen yet."""
        cut = self._where.next(image, time)
        if cut is None:
            return None
        if cut is not self._cut:
            # Somebody came, or is measured anew: movement counts from other frames.
            self._cut, self._since, self._nearest = cut, time, np.inf
            self.reset()
        return Seen({"frames": cut_out(image, cut, *self.run.size)}, (0, 0, *self.size))

    def measure_anew(self) -> None:
        """Looks for the person, and for the frame from which movement counts, anew."""
        self._where.forget()

    def reset(self) -> None:
        """Forgets the frames before, not from which of them movement counts."""
        self._smoothing = Smoothing()

    def go_on_from(self, other: object) -> None:
        """Keypoints of one photo say nothing of another."""
        self.reset()

    def trial(self) -> None:
        """Makes a picture of nothing, for compiling and measuring."""
        plain = np.full((*self.run.size, 3), 127, np.uint8)
        next(self._animator.pictures(self._animator.points([plain])))

    def begin(self, moments: Sequence[Moment]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """Their pictures; see player.Maker."""
        for moment in moments:
            assert moment.shown is not None, "only moments with a person"
            points = self._animator.points([moment.shown["frames"]])
            if self._smooth:
                points = self._smoothing.next(points, moment.time)
            if self._relative and moment.time - self._since <= SETTLE:
                _, distances = best_frame(self._animator.photo_points.value[0], points.value)
                if distances[0] < self._nearest:
                    self._nearest = distances[0]
                    self._animator.begin(points)
            yield self._finished(next(self._animator.pictures(points)))

    def _finished(self, picture: np.ndarray) -> np.ndarray:
        if self._onto is not None:
            picture = pasted(*self._onto, picture)
        return even(picture)


def photos(run: Run, options: LiveOptions, look: Look | None) -> list[MovingPhoto]:
    """All photos of the options, which share where the camera is looked at.

    Raises UserError for a photo that cannot be used.
    """
    cuts, kinds = [], []
    for path in options.photo:
        whole = _read(path)
        cut, kind, _ = framing(
            path, options.crop, whole.shape[:2], run.size, still=whole, model=options.pose_model
        )
        cuts.append(cut)
        kinds.append(kind)
    if len(set(kinds)) > 1:
        raise UserError(
            f"Of the photos some show a face and others a person; say {option('crop')} face or "
            "person, so that the camera is cut out alike for all."
        )
    where = Where(kinds[0], run.size, look)
    made = [
        MovingPhoto(run, path, options, where, cut)
        for path, cut in zip(options.photo, cuts, strict=True)
    ]
    if len({one.size for one in made}) > 1:
        raise UserError(f"{option('paste')} needs photos of one size; leave it out, or the others.")
    say(
        f"The camera is cut out around the first {kinds[0]} that is seen; x looks anew."
        if kinds[0] != "none"
        else "The middle of the camera's picture counts; x counts movement anew."
    )
    return made


def check(options: LiveOptions) -> None:
    """Raises UserError for options that do not go with photos."""
    if len(options.run) != 1:
        raise UserError(
            f"{option('photo')} goes with one {option('run')}, of first_order; give it once."
        )
    for name, only in (
        ("smaller", None),
        ("ready_poses", False),
        ("background", "plate"),
        ("precision", "float32"),
        ("lost", "auto"),
    ):
        if getattr(options, name) != only:
            raise UserError(f"{option(name)} has no meaning with {option('photo')}; leave it out.")
    if options.runtime not in ("auto", "jax"):
        raise UserError(
            f"{option('runtime')} {options.runtime} does not run photos; leave it out (jax does)."
        )


def _read(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    check_photo(path)
    return np.asarray(read_picture(path).convert("RGB"))
