"""The source's dance by all methods, while it is made: written side by side into a video, and kept
for the detector to say whether a person is seen in it, and in which pose."""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from motion_jax.compare.movers import Clip
from motion_jax.compare.options import CompareOptions
from motion_jax.compare.page import Grids, film_frame
from motion_jax.compare.score import ComparedMoment
from motion_jax.evaluate.reestimate import REAL, Reestimation
from motion_jax.evaluate.score import Figures, Piece
from motion_jax.progress import Meter
from motion_jax.transfer.film import Film, synthetic_tags

# What is asked of the pictures, by the names of evaluate.reestimate.FIGURES.
ASKED = ("person_found", "pose_distance")


def filmed(
    moments: Iterator[ComparedMoment],
    path: Path,
    grids: Grids,
    options: CompareOptions,
    has_audio: bool,
) -> Iterator[ComparedMoment]:
    """Passes the moments on while writing them side by side into a video."""
    tags = synthetic_tags(
        options.target.name,
        "AI-generated, synthetic: the pictures beside the source were made by motion_jax, "
        "they are not recordings.",
        options.source,
    )
    with (
        Meter("The same dance by all", grids.total) as meter,
        Film(path, tags, options.source if has_audio else None, crf=21) as film,
    ):
        for moment in moments:
            film.add(film_frame(moment), moment.time)
            grids.look(moment)
            meter.advance()
            yield moment


def estimated(
    moments: Iterator[ComparedMoment], clips: Sequence[Clip], estimation: Reestimation
) -> Iterator[ComparedMoment]:
    """Passes the moments on while their pictures are kept for poses to be found in them: the poses
    that were asked for stand in the place of the true ones.

    moments: all those of the clips.
    """
    waiting: deque[ComparedMoment] = deque()

    def shown() -> Iterator[Piece]:
        for clip in clips:
            for i in range(len(clip)):
                waiting.append(moment := next(moments))
                pictures = [picture[None] for picture in moment.fakes.values()]
                # The first method stands where the true frames would.
                others = dict(zip(list(moment.fakes)[1:], pictures[1:], strict=True))
                nowhere = np.zeros((1, 4), np.float32)
                label = f"{moment.time:.2f} s"
                yield Piece(
                    pictures[0], others, clip.keypoints[i : i + 1], nowhere, i == 0, [label]
                )

    for _ in estimation.tap(shown()):
        yield waiting.popleft()
    # What films them ends with them.
    yield from moments


def figures(estimation: Reestimation, names: Sequence[str]) -> dict[str, Figures]:
    """What poses are found in the moments that passed through `estimated`: by method
    "dance_person_found" and so on. names: of all methods, in the order of the moments."""
    found, _ = estimation.results()
    return {
        name: {f"dance_{key}": found.get(own, {}).get(key) for key in ASKED}
        for name, own in zip(names, (REAL, *names[1:]), strict=True)
    }
