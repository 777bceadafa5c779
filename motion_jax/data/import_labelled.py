"""Real and synthetic pictures of people, by person and method, for recipes/fake_detector.py.

    FOLDER/real/PERSON…               what a camera took: films, or folders of pictures
    FOLDER/synthetic/METHOD/PERSON…   what a method made
    FOLDER/test/real/…                the same: what is held out

labels.py says what a PERSON is. Where there is FOLDER/train, it is in the place
of FOLDER for what is trained on. Each film and each folder of pictures is one clip.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from motion_jax import files
from motion_jax.data.fitting import place
from motion_jax.data.folders import PHASES, Group
from motion_jax.data.import_shards import ImportJob, Item
from motion_jax.data.labels import DOMAINS, REAL, SYNTHETIC
from motion_jax.errors import UserError, option
from motion_jax.pose.detect import Source, frames
from motion_jax.video.image_files import BICUBIC, in_order, list_pictures
from motion_jax.video.reader import frame_times

FILMS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".gif")


@dataclass(frozen=True)
class Film:
    """Some frames of one film; `first`: number of the first item among them."""

    source: Source
    items: tuple[Item, ...]
    first: int

    def rows(self, job: ImportJob, digest: "hashlib._Hash") -> Iterator[dict]:
        """See import_shards.Rows."""
        for _, image in frames(self.source, self.first, self.first + len(self.items)):
            digest.update(image.tobytes())
            placed = place(image.shape[:2], (job.height, job.width), job.fit)
            picture = np.asarray(placed.picture(Image.fromarray(image), BICUBIC))
            yield {"frame": picture, "content": placed.content}


def read_groups(
    root: Path, *, test: bool, start: float | None, end: float | None, fps: float | None
) -> list[Group]:
    """The groups of a folder, training first: each film and each folder of pictures is one.

    test: whether val and test folders are taken too. Raises UserError where pictures lie in no
    folder of a person or method, or one kind is missing.
    """
    groups: list[Group] = []
    for phase in PHASES if test else PHASES[:1]:
        folder = root / phase
        if not folder.is_dir():
            if phase != "train":
                continue
            folder = root
        for kind in (REAL, SYNTHETIC):
            groups += _groups(root, folder / kind, phase, kind)
    for kind in (REAL, SYNTHETIC):
        if not any(group.phase == "train" and group.name.startswith(kind) for group in groups):
            where = root / "train" if (root / "train").is_dir() else root
            how = "PERSON.mp4" if kind == REAL else "METHOD/PERSON.mp4"
            raise UserError(
                f"{where / kind} holds no films and no pictures; put some there, as {kind}/{how}."
            )

    def counted(group: Group) -> Group:
        if not group.film:
            return group
        count = len(frame_times(root / group.film, start=start, end=end, fps=fps))
        return Group(
            group.name, group.phase, (group.film,) * count, clips=((0, count),),
            domain=group.domain, film=group.film,
        )  # fmt: skip

    return [counted(group) for group in groups]


def _groups(root: Path, folder: Path, phase: str, kind: str) -> Iterator[Group]:
    for place_, _, _ in sorted(os.walk(folder)):
        here = Path(place_)
        inside = here.relative_to(folder).parts
        pictures = tuple(str(f.relative_to(root)) for f in in_order(list_pictures(here)))
        films = [f for f in files.entries(here) if f.suffix.lower() in FILMS and f.is_file()]
        # Pictures need a folder of their person; a film has its person in its own name.
        least = kind == SYNTHETIC
        if (pictures and len(inside) < least + 1) or (films and len(inside) < least):
            one = pictures[0] if pictures else films[0].relative_to(root)
            form = "synthetic/METHOD/PERSON" if kind == SYNTHETIC else "real/PERSON"
            raise UserError(
                f"{root / one} does not lie in a folder that says whose it is; put it where "
                f"{form}/… has a place for it (docs/honest.md), or leave it out."
            )
        name = "/".join((kind, *inside))
        if pictures:
            yield Group(name, phase, pictures, clips=((0, len(pictures)),), domain=DOMAINS[kind])
        for each in films:
            path = str(each.relative_to(root))
            yield Group(f"{name}/{each.name}", phase, (path,), domain=DOMAINS[kind], film=path)


def check_size(size: str | None, groups: list[Group]) -> None:
    """Raises UserError where films are to become a dataset and no size is given."""
    if size is None and any(group.film for group in groups):
        raise UserError(
            "Films of people have many sizes, and a detector of synthetic ones must not learn to "
            f"tell them by that; give {option('size')} WIDTHxHEIGHT for all of them."
        )
