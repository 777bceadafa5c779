"""Sources whose pictures the network is shown: drawn poses, or the frames of a video.

Nothing is estimated, smoothed or normalised: the pictures are laid into the run's size and shown as
they are.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from motion_jax.data.crop import Region, cut_out, whole
from motion_jax.data.edn_files import read_face_texts
from motion_jax.data.fitting import BLACK
from motion_jax.errors import UserError, option
from motion_jax.pairing.pair import letterboxed
from motion_jax.pose import densepose
from motion_jax.pose.pose_pictures import READY
from motion_jax.pose.ready import ReadyPoses
from motion_jax.pose.reel import open_reel
from motion_jax.progress import say
from motion_jax.recipes.conditions import NO_CONTOUR, NO_EDGES
from motion_jax.train.run import Run
from motion_jax.transfer.options import TransferOptions
from motion_jax.transfer.source import takes_frames_too, takes_poses
from motion_jax.video.reader import probe


def open_pictures(
    options: TransferOptions, run: Run
) -> tuple[ReadyPoses, Float32[np.ndarray, "n 4"]]:
    """The pictures as the run's generator is shown them, and face boxes in their pixels (zeros: not
    known). Raises UserError where they cannot be shown to it."""
    if options.poses is not None:
        raise UserError(
            f"{option('poses')} does not go with {option('ready_poses')}, nor with a run that is "
            "shown the source's frames; leave one of them out."
        )
    if not options.source.exists():
        raise UserError(f"There is no file or folder {options.source}; check {option('source')}.")
    _check_conditions(run)
    # Metadata of the dataset whose poses (or domain A) the generator was shown.
    info = run.dataset.get("domain_a") or run.dataset.get("info", {})
    convert, bars = _conversion(options, run, info)
    pictures = ReadyPoses(
        options.source,
        *run.size,
        interpolation=info.get("pose_interpolation", "area"),
        start=options.start,
        end=options.end,
        fps=options.fps,
        convert=convert,
        bars=bars,
    )
    if takes_poses(run) and not info.get("pose_pictures"):
        say(
            "The run was not trained on ready pose pictures: these must be drawn as its own are "
            "(recipe.pose_style), or the result is poor."
        )
    if pictures.undistorted:
        (rows, columns), (height, width) = pictures.shape, run.size
        say(
            f"The pictures are {columns}x{rows}, the run is {width}x{height}: bars are added, so "
            "that nothing is stretched"
            f"{'' if takes_poses(run) else ', and cut off from the result'}."
        )
    return pictures, _boxes(options, pictures, run)


def check_drawable(run: Run) -> None:
    """Raises UserError where it is not known how the network's poses were drawn."""
    info = run.dataset.get("info", {})
    if info.get("pose_pictures") and info.get("pose_style") is None:
        raise UserError(
            "The run was trained on ready pose pictures and its dataset does not say how they "
            f"were drawn: drive it with a video of such pictures and {option('ready_poses')}, or "
            f"import the dataset again with {option('drawn_as')}."
        )


def driver_of(run: Run) -> dict[str, Any] | None:
    """For a run on paired pictures (pics2pics), which is shown a driver's pictures and no poses:
    what its dataset says of dataset A, with "height", "width" and "sources". None for others."""
    options = run.dataset.get("info", {}).get("options", {})
    if options.get("kind") != "pics2pics" or options.get("made_by") != "pair":
        return None
    return options["a"]


def _cutter(
    driver: dict[str, Any], source: Path, size: tuple[int, int]
) -> Callable[[np.ndarray], np.ndarray]:
    """Makes of a frame of `source` a picture of `size` like those of the pairs: a video of the size
    of one of the driver's is cut as that one was, any other is shown whole."""
    rows, columns = driver["height"], driver["width"]
    region = None
    if not source.is_dir():
        info = probe(source)
        for entry in driver["sources"]:
            if (entry.get("height"), entry.get("width")) == (info.height, info.width):
                region = Region(**entry["crop"]) if "crop" in entry else None
                break
        else:
            say(
                f"{source} has {info.width}x{info.height}, unlike the videos that the run was "
                "trained on: its frames are shown whole, and should be framed as those were."
            )

    def cut(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        place = region or whole(height, width, rows, columns)
        picture = cut_out(image, place, rows, columns)
        return picture if picture.shape[:2] == size else letterboxed(picture, *size)

    return cut


def _check_conditions(run: Run) -> None:
    """Raises UserError where the run is shown more than drawn poses."""
    if "keypoints" in run.config.recipe.shows:
        raise UserError(NO_CONTOUR)
    if takes_frames_too(run):
        raise UserError(NO_EDGES)
    if takes_poses(run):
        run.config.recipe.check_seen({READY: None})


def _conversion(
    options: TransferOptions, run: Run, info: dict[str, Any]
) -> tuple[Callable[[np.ndarray], np.ndarray] | None, Sequence[int] | None]:
    """(what makes a pose picture of each of the source's, colour of the bars); None: as they are.

    For a run that was trained on DensePose, DensePose of any kind is drawn as the run's was.
    """
    if (driver := driver_of(run)) is not None and options.region is None:
        size = run.dataset["info"]["height"], run.dataset["info"]["width"]
        return _cutter(driver, options.source, size), BLACK
    drawing, ready = info.get("densepose"), takes_poses(run)
    bars = None if ready else BLACK
    if drawing is None and options.region is None:
        return None, bars
    reel = open_reel(options.source, start=options.start, end=options.end, fps=options.fps)
    reel = reel.cut_to(options.region)
    cut = reel.cut.of if reel.cut else (lambda picture: picture)
    if drawing is None or not ready:
        return (lambda picture: np.ascontiguousarray(cut(picture))), bars
    reading = densepose.recognise(reel.samples(), str(options.source))
    densepose.check_drawing(reading, drawing, str(options.source))
    say(f"{options.source}: DensePose ({reading.kind}), shown to the network as {drawing}.")
    black: list[int] = densepose.draw(np.zeros(3, np.uint8), drawing).tolist()
    return (lambda picture: densepose.draw(reading.read(cut(picture)), drawing)), black


def _boxes(options: TransferOptions, pictures: ReadyPoses, run: Run) -> np.ndarray:
    """float32 [N, 4] in pixels of the run: from face texts, or zeros, which leave out the face
    stage."""
    if options.face_boxes is not None:
        return pictures.place_boxes(read_face_texts(options.face_boxes, len(pictures)))
    if options.face and "face" in run.config.recipe.parts(run.params):
        say(
            "Drawn poses do not show where faces are, so the face stage is left out; give "
            f"{option('face_boxes')} FOLDER for it."
        )
    return np.zeros((len(pictures), 4), np.float32)
