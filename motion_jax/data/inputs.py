"""Serves each kind of reading (data/reading.py) by its loader, and checks that a dataset has what
the reading needs."""

from collections.abc import Sequence
from typing import Any

from motion_jax.data import apart, dolls, noise, pairs, unpaired
from motion_jax.data.batches import Batches
from motion_jax.data.numbered import Numbered
from motion_jax.data.reading import ClipPair, Dolls, Domains, Noise, Pictures, Reading, Window
from motion_jax.data.records import PoseFrames
from motion_jax.data.settings import Data
from motion_jax.errors import UserError, option
from motion_jax.pose import skeleton


def open_batches(
    dataset: PoseFrames | None,
    reading: Reading,
    data: Data,
    seed: int,
    start: int = 0,
    rows: Sequence[int] | None = None,
) -> Batches:
    """Endless batches of the training part, as reading.shapes says.

    Args:
      dataset: where they come from; None where the reading takes none.
      seed: of the order, of what is drawn and of the augmentation.
      start: examples already drawn.
      rows: those of each batch that this process reads (mesh.data_rows); None: all.
    Raises UserError as pairs.batches, apart.pairs, apart.pictures and unpaired.domains.
    """
    common: dict[str, Any] = {
        "batch_size": reading.batch_size,
        "seed": seed,
        "workers": data.workers,
        "start": start,
        "rows": rows,
    }
    if isinstance(reading, Noise):
        return noise.batches(**common)
    if isinstance(reading, Dolls):
        return dolls.batches(reading, **common)
    assert dataset is not None  # Noise and Dolls alone take none.
    common |= {
        "height": reading.height,
        "width": reading.width,
        "holdout": data.holdout,
        "augment": data.augment,
    }
    match reading:
        case Domains():
            return unpaired.batches(domains(dataset, reading, data), **common)
        case ClipPair():
            return apart.pairs(
                dataset, published=data.published, by_person=data.by_person, **common
            )
        case Pictures():
            return apart.pictures(dataset, **common)
        case Window():
            return pairs.batches(dataset, window=reading.length, **common)
    raise TypeError(f"no loader for {reading!r}")


def numbered(
    dataset: PoseFrames | None, reading: Reading, data: Data, seed: int
) -> Numbered | None:
    """What makes the examples of open_batches without their pictures; None for a reading that is
    not of windows."""
    if dataset is None or not isinstance(reading, Window):
        return None
    frames = pairs.Frames(
        dataset, reading.height, reading.width, crop=data.augment.crop, followed=True
    )
    starts = pairs.training_windows(dataset, reading.length, data.holdout)
    return Numbered(frames, starts, data.augment, seed, reading.length)


def domains(
    dataset: PoseFrames, reading: Domains, data: Data
) -> tuple[unpaired.Domain, unpaired.Domain]:
    """Domains A and B. Raises UserError as unpaired.domains."""
    return unpaired.domains(dataset, data.domain_a, reading.poses)


def shown(dataset: PoseFrames, reading: Reading, data: Data) -> unpaired.Domain:
    """The part of the dataset that a trained generator is shown in samples."""
    if isinstance(reading, Domains):
        return domains(dataset, reading, data)[0]
    return unpaired.Domain(dataset, poses="poses" in reading.needs)


def check_contents(dataset: PoseFrames, reading: Reading, data: Data) -> None:
    """Raises UserError where the dataset lacks what an example is made of."""
    if dataset.info.skeleton != skeleton.NAME:
        raise UserError(
            f"The dataset {dataset.folder} has the skeleton {dataset.info.skeleton!r}, this "
            f"version trains on {skeleton.NAME!r}; prepare it again."
        )
    _check_flips(dataset, reading, data)
    if (data.published.active or data.by_person) and not isinstance(reading, ClipPair):
        name = "data.by_person" if data.by_person else "data.published"
        raise UserError(
            f"{option(name)} is for recipes that learn from pairs of a clip's frames, as "
            "first_order does; leave it out."
        )
    if data.cache == "device" and not isinstance(reading, Window):
        raise UserError(
            f"{option('data.cache')} device is for recipes that learn from windows of a clip's "
            "frames, as everybody_dance_now, pix2pixhd and pix2pix do; leave it out."
        )
    if isinstance(reading, Domains):
        domains(dataset, reading, data)
        return
    if "keypoints" in reading.needs and dataset.info.pose_pictures and not dataset.has_keypoints:
        raise UserError(
            f"The dataset {dataset.folder} has ready pose pictures but no keypoints, which this "
            "config needs; give a dataset that motion-jax prepare made, or switch off what needs "
            "them (recipe.conditions.face_contour)."
        )
    posed = dataset.has_keypoints or dataset.info.pose_pictures
    if {"poses", "keypoints"} & set(reading.needs) and not posed:
        raise UserError(
            f"The dataset {dataset.folder} has neither keypoints nor ready pose pictures, so there "
            "is no pose to learn from; give a dataset that motion-jax prepare or motion-jax "
            "import-data made of pairs."
        )


def check_amount(dataset: PoseFrames, reading: Reading, data: Data, stage: str) -> None:
    """Raises UserError where the dataset's frames do not fit a stage of that name, or are too
    few."""
    sides = [dataset]
    if isinstance(reading, Domains):
        sides = [domain.dataset for domain in domains(dataset, reading, data)]
    for side in sides:
        pairs.reduction(side, reading.height, reading.width, data.augment.crop)
    match reading:
        case ClipPair():
            apart.pair_runs(dataset, data.holdout)
        case Pictures():
            apart.picture_records(dataset, data.holdout)
        case Window() if not len(pairs.windows(dataset, reading.length, data.holdout)):
            raise UserError(
                f"The dataset {dataset.folder} is shorter than needed: no clip leaves "
                f"{reading.length} consecutive frames for training after data.holdout = "
                f"{data.holdout}; prepare a longer video or hold out less."
            )
    if "face_boxes" in reading.needs and not (dataset.face_boxes()[:, 2] > 0).any():
        raise UserError(
            f"No frame of {dataset.folder} shows a face, so the {stage} stage has nothing to "
            f"learn; leave it out with {option(f'recipe.{stage}_stage.steps')} 0 (of imported "
            "weights: motion-jax import --no-face)."
        )


def _check_flips(dataset: PoseFrames, reading: Reading, data: Data) -> None:
    """Raises UserError where DensePose would be mirrored: left parts would be called right ones,
    and U and V be wrong."""
    if not data.augment.flip:
        return
    posed, source = "poses" in reading.needs, dataset
    if isinstance(reading, Domains):
        posed, source = reading.poses, domains(dataset, reading, data)[0].dataset
    if posed and source.info.densepose:
        raise UserError(
            f"The dataset {source.folder} holds DensePose, which tells left from right, so its "
            f"pictures cannot be mirrored in training; leave out {option('data.augment.flip')}."
        )
