"""A dataset as what a recipe's stage is fed with: pairs, or pictures of two domains."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from motion_jax.data import pairs, unpaired
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError
from motion_jax.pose import skeleton

if TYPE_CHECKING:
    from motion_jax.config import Config


def open_batches(
    dataset: PoseFrames,
    config: "Config",
    name: str,
    start: int = 0,
    rows: Sequence[int] | None = None,
) -> pairs.Batches:
    """Endless batches of a stage's training part, as the recipe's batch_shapes says.

    start: examples already drawn. rows: those of each batch that this process reads
    (mesh.data_rows); None: all. Raises UserError as pairs.batches and unpaired.domains.
    """
    stage, data = config.recipe.stages()[name], config.data
    common = {
        "height": stage.height,
        "width": stage.width,
        "batch_size": stage.batch_size,
        "holdout": data.holdout,
        "seed": config.seed,
        "augment": data.augment,
        "workers": data.workers,
        "start": start,
        "rows": rows,
    }
    if config.recipe.unpaired:
        return unpaired.batches(domains(dataset, config), **common)
    return pairs.batches(dataset, window=stage.window, **common)


def domains(dataset: PoseFrames, config: "Config") -> tuple[unpaired.Domain, unpaired.Domain]:
    """Domains A and B of a recipe that is unpaired. Raises UserError as unpaired.domains."""
    return unpaired.domains(dataset, config.data.domain_a, config.recipe.draws_poses)


def shown(dataset: PoseFrames, config: "Config") -> unpaired.Domain:
    """The part of the dataset that a trained generator is shown in samples."""
    if config.recipe.unpaired:
        return domains(dataset, config)[0]
    return unpaired.Domain(dataset, poses=True)


def check_data(dataset: PoseFrames, config: "Config", name: str) -> None:
    """Raises UserError where a stage cannot be trained on the dataset."""
    stage, recipe = config.recipe.stages()[name], config.recipe
    if dataset.info.skeleton != skeleton.NAME:
        raise UserError(
            f"The dataset {dataset.folder} has the skeleton {dataset.info.skeleton!r}, this "
            f"version trains on {skeleton.NAME!r}; prepare it again."
        )
    _check_flips(dataset, config)
    if recipe.unpaired:
        for domain in domains(dataset, config):
            pairs.reduction(domain.dataset, stage.height, stage.width, config.data.augment.crop)
        return
    if recipe.draws_poses and not dataset.info.pose_pictures and not dataset.has_keypoints:
        raise UserError(
            f"The dataset {dataset.folder} has neither keypoints nor ready pose pictures, so there "
            "is no pose to learn from; give a dataset that motion-jax prepare or motion-jax "
            "import-data made of pairs."
        )
    recipe.check_dataset(dataset)
    pairs.reduction(dataset, stage.height, stage.width, config.data.augment.crop)
    if not len(pairs.windows(dataset, stage.window, config.data.holdout)):
        raise UserError(
            f"The dataset {dataset.folder} is shorter than needed: no clip leaves "
            f"{stage.window} consecutive frames for training after data.holdout = "
            f"{config.data.holdout}; prepare a longer video or hold out less."
        )
    if name == "face" and not (dataset.face_boxes()[:, 2] > 0).any():
        raise UserError(
            f"No frame of {dataset.folder} shows a face, so the face stage has nothing to learn; "
            "leave it out with --recipe.face-stage.steps 0 (of imported weights: motion-jax import "
            "--no-face)."
        )


def _check_flips(dataset: PoseFrames, config: "Config") -> None:
    """Raises UserError where DensePose would be mirrored: left parts would be called right ones,
    and U and V be wrong."""
    if not config.data.augment.flip or not config.recipe.draws_poses:
        return
    source = domains(dataset, config)[0].dataset if config.recipe.unpaired else dataset
    if source.info.densepose:
        raise UserError(
            f"The dataset {source.folder} holds DensePose, which tells left from right, so its "
            "pictures cannot be mirrored in training; leave out --data.augment.flip."
        )
