"""Real frames of the target instead of a network's, for poses that come one at a time."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, UInt8

from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError, option
from motion_jax.live.options import LiveOptions
from motion_jax.pose.face import face_boxes
from motion_jax.retrieval.retriever import Retriever, compatible_keypoints
from motion_jax.transfer.fit import Body
from motion_jax.transfer.resident import Seen
from motion_jax.transfer.source import Moment

# Settings of retrieval that look ahead.
AHEAD = ("every", "fps")


class RealFrames:
    """A dataset in the place of a run: it is shown poses as a Resident is, and makes pictures as
    Networks do.

    Attributes:
      name: of the dataset; size: (height, width) of its frames; takes: "poses".
      body: of the person in it.

    Raises UserError for every bad input.
    """

    takes = "poses"

    def __init__(self, options: LiveOptions):
        if options.data is None:
            raise UserError(
                f"{option('method')} {options.method} needs the target's dataset: give "
                f"{option('data')} DATASET, made by motion-jax prepare."
            )
        for name in AHEAD:
            if getattr(options.retrieval, name) != getattr(type(options.retrieval), name):
                raise UserError(
                    f"{option(f'retrieval.{name}')} looks ahead, which a camera does not allow; "
                    "leave it out."
                )
        if options.retrieval.choice == "threshold":
            raise UserError(
                f"{option('retrieval.choice')} threshold is measured over a whole video; use path."
            )
        dataset = open_dataset(options.data)
        assert options.method is not None, "asked for"
        self._retriever = Retriever(dataset, options.method, options.retrieval)
        self._jumps = options.retrieval.choice == "path"
        self.name, self.size = dataset.folder.resolve().name, dataset.size
        self.body = Body.of_dataset(dataset, compatible_keypoints(dataset))
        self.content = dataset.info.one_content or (0, 0, *dataset.size)
        self.reset()

    def pose(self, keypoints: Float[np.ndarray, "137 3"]) -> Seen:
        """A pose in pixels of the frames."""
        if not (keypoints[:, 2] > 0).any():
            raise UserError("The pose shows no joint; give one with confidence above 0.")
        boxes = face_boxes(keypoints, *self.size)
        shown = {"keypoints": keypoints.astype(np.float32), "face_boxes": boxes}
        return Seen(shown, self.content)

    def reset(self) -> None:
        """Forgets the moments before."""
        self._before: tuple[float, int] | None = None

    def go_on_from(self, other: object) -> None:
        """Another's last picture says nothing of these frames."""
        self.reset()

    def begin(self, moments: Sequence[Moment]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """Their pictures; see player.Maker."""
        for moment in moments:
            assert moment.shown is not None, "only moments with a person"
            at, before = self._before or (moment.time, None)
            row, picture = self._retriever.next(
                moment.shown["keypoints"], before if self._jumps else None, moment.time - at
            )
            self._before = moment.time, row
            yield picture
