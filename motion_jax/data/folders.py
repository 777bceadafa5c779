"""The folder layouts of other projects: which pictures belong together, and which are neighbours.

    edn           train_label/X.png + train_img/X.png, optional train_facetexts128/X.txt, keypoints/
    aligned       train_A/X + train_B/X (pix2pixHD), by name or, where names differ, by order
    side-by-side  train/X, val/X, test/X: A in the left half of each picture, B in the right
    unpaired      trainA/, trainB/, testA/, testB/ (CycleGAN): frames of two domains
    vid2vid       train_openpose/SEQUENCE/X_keypoints.json + train_img/SEQUENCE/X
    pictures      pictures of one kind, in any folders of it; those in val/ and test/ are held out

What begins with "test" or "val" is held out. Nothing is decoded here; sizes come from headers.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from motion_jax.errors import UserError, option
from motion_jax.files import entries
from motion_jax.progress import say
from motion_jax.video import image_files as pictures
from motion_jax.video.numbers import missing_files

PHASES = ("train", "val", "test")
PICTURES = "pictures"
# What the first phase of each layout must hold.
NEEDED = {
    "edn": ("train_label", "train_img"),
    "aligned": ("train_A", "train_B"),
    "vid2vid": ("train_openpose", "train_img"),
    "unpaired": ("trainA", "trainB"),
    "side-by-side": ("train",),
    PICTURES: (),
}
# Layouts whose pictures are frames of a video, whatever their names.
FILMED = ("edn", "vid2vid")


@dataclass(frozen=True)
class Group:
    """Pictures of one phase (and domain, and sequence), in order.

    Attributes:
      name: what it is called in messages and metadata.
      phase: "train", "val" or "test".
      frames: the pictures, relative to the root.
      poses: the pose pictures beside them, the same file as the frame for side by side pictures;
        empty where there are none.
      boxes: for each frame its face text, "" where there is none; empty where the layout has none.
      clips: (first, last + 1) of each run of neighbours.
      keypoints: in pixels of the frames (edn: of the labels), or None.
      domain: "A" or "B", or None.
      poses_of: what the keypoints were read from, for the metadata.
      film: the film whose frames they are, relative to the root; "" where they are files.
    """

    name: str
    phase: str
    frames: tuple[str, ...]
    poses: tuple[str, ...] = ()
    boxes: tuple[str, ...] = ()
    clips: tuple[tuple[int, int], ...] = ()
    keypoints: Float32[np.ndarray, "n 137 3"] | None = None
    domain: str | None = None
    poses_of: dict[str, Any] = field(default_factory=dict)
    film: str = ""

    @property
    def split(self) -> bool:
        """Whether frame and pose picture are halves of one file."""
        return bool(self.poses) and self.poses[0] == self.frames[0]


def detect(root: Path) -> str:
    """The layout of a folder. Raises UserError where none fits, or two do."""
    found = [layout for layout in NEEDED if _fits(root, layout)]
    if "edn" in found and "vid2vid" in found:
        found = ["edn"]
    if len(found) == 1:
        return found[0]
    names = [entry.name for entry in entries(root)][:8]
    if found:
        raise UserError(f"{root} could be {' or '.join(found)}; choose with {option('layout')}.")
    raise UserError(
        f"{root} has none of the known layouts (train_label + train_img, train_A + train_B, "
        "trainA + trainB, train_openpose + train_img, or train/ with side by side pictures; "
        f"{option('layout')} pictures takes any folder of them); it "
        f"holds {', '.join(names) or 'nothing'}: give the folder above these, or "
        f"{option('layout')}."
    )


def _fits(root: Path, layout: str) -> bool:
    if layout == PICTURES:
        return False  # any folder could be it; never guessed
    if layout == "side-by-side":
        return (root / "train").is_dir() and bool(_first_picture(root / "train"))
    return all(_place(root, name) is not None for name in NEEDED[layout])


def _first_picture(folder: Path) -> str | None:
    with os.scandir(folder) as entries:
        return next((e.name for e in entries if pictures.is_picture(e.name)), None)


def _place(root: Path, name: str) -> Path | None:
    """root/train_img, or root/train/train_img as in the published sample data."""
    phase = next(phase for phase in PHASES if name.startswith(phase))
    for folder in (root / name, root / phase / name):
        if folder.is_dir():
            return folder
    return None


def read_layout(
    root: Path, layout: str, *, test: bool = True, sequence: str = "auto", direction: str = "AtoB"
) -> list[Group]:
    """The groups of a folder, training first.

    Args:
      root: the folder.
      layout: one of NEEDED.
      test: whether val and test folders are taken too.
      sequence: "frames" (numbered files are neighbours in time), "pictures" (each stands alone), or
        "auto": frames for edn and vid2vid, elsewhere where the names look like it.
      direction: "BtoA" exchanges pose picture and frame of the paired layouts.
    Raises UserError: wrong layout, empty folders, pictures without a partner.
    """
    missing = [name for name in NEEDED[layout] if _place(root, name) is None]
    if missing:
        raise UserError(
            f"{root} is not the layout {layout}: there is no {missing[0]} in it; check the folder "
            f"or {option('layout')}."
        )
    groups: list[Group] = []
    for phase in PHASES if test else PHASES[:1]:
        groups += _READERS[layout](root, phase)
    groups = [group for group in groups if group.frames]
    if not any(group.phase == "train" for group in groups):
        where = root / NEEDED[layout][-1] if NEEDED[layout] else root
        raise UserError(
            f"{where} holds no pictures ({', '.join(pictures.SUFFIXES)}); check the folder."
        )
    if direction == "BtoA" and layout not in ("unpaired", PICTURES):
        groups = [_turned(group) for group in groups]
    return [_clipped(group, layout, sequence) for group in groups]


def _turned(group: Group) -> Group:
    return replace(group, frames=group.poses, poses=group.frames) if group.poses else group


def _clipped(group: Group, layout: str, sequence: str) -> Group:
    stems = [Path(name).stem for name in group.frames]
    frames = sequence == "frames" or (sequence == "auto" and layout in FILMED)
    if (
        sequence == "auto"
        and layout not in (*FILMED, PICTURES)
        and pictures.look_like_frames(stems)
    ):
        say(
            f"{group.name}: numbered like the frames of a video, and taken as such "
            f"({option('sequence')} pictures takes each by itself)."
        )
        frames = True
    if frames and not any(map(pictures.number, stems)):
        return replace(group, clips=((0, len(stems)),))
    if frames and (missing := missing_files(group.frames)):
        say(f"{group.name}: {missing}; a clip ends there.")
    return replace(group, clips=tuple(pictures.clips(stems, frames)))


# --- the readers of the layouts: (root, phase) -> groups ------------------------------------------


def _edn(root: Path, phase: str) -> list[Group]:
    labels, images = _place(root, f"{phase}_label"), _place(root, f"{phase}_img")
    if labels is None:
        return []
    if images is None:
        say(
            f"{labels.name} has no {phase}_img beside it, so it is left out: labels without frames "
            f"can drive a run, with motion-jax transfer --source {labels} --ready-poses."
        )
        return []
    poses, frames = _paired(root, labels, images)
    texts, boxes = _place(root, f"{phase}_facetexts128"), []
    if texts is not None:
        folder, there = texts.relative_to(root), {entry.name for entry in os.scandir(texts)}
        names = [f"{Path(frame).stem}.txt" for frame in frames]
        boxes = [str(folder / name) if name in there else "" for name in names]
    return [Group(f"{labels.name} + {images.name}", phase, frames, poses, tuple(boxes))]


def _aligned(root: Path, phase: str) -> list[Group]:
    first, second = _place(root, f"{phase}_A"), _place(root, f"{phase}_B")
    if first is None or second is None:
        return _half(root, phase, (first, second), (f"{phase}_A", f"{phase}_B"))
    poses, frames = _paired(root, first, second)
    return [Group(f"{phase}_A + {phase}_B", phase, frames, poses)]


def _half(root: Path, phase: str, folders: Sequence, names: Sequence[str]) -> list[Group]:
    """Nothing, where neither folder of a pair is there; else a UserError."""
    if any(folder is not None for folder in folders):
        have, lack = sorted(names, key=lambda name: _place(root, name) is None)
        raise UserError(
            f"{root} has {have} and no {lack}, so its pictures have no partners; add it, or leave "
            f"val and test folders out with {option('test', False)}."
        )
    return []


def _side_by_side(root: Path, phase: str) -> list[Group]:
    folder = root / phase
    if not folder.is_dir():
        return []
    files = _names(root, folder)
    return [Group(phase, phase, files, files)]


def _unpaired(root: Path, phase: str) -> list[Group]:
    found = []
    for domain in "AB":
        folder = _place(root, f"{phase}{domain}")
        if folder is not None:
            group = Group(f"{phase}{domain}", phase, _names(root, folder), domain=domain)
            if phase == "train" and not group.frames:
                raise UserError(f"{folder} holds no pictures; both domains need some.")
            found.append(group)
    return found


def _vid2vid(root: Path, phase: str) -> list[Group]:
    poses, images = _place(root, f"{phase}_openpose"), _place(root, f"{phase}_img")
    if poses is None or images is None:
        return _half(root, phase, (poses, images), (f"{phase}_openpose", f"{phase}_img"))
    sequences = [entry.name for entry in entries(images) if entry.is_dir()] or [""]
    others = [entry.name for entry in entries(poses) if entry.is_dir()] or [""]
    if sequences != others:
        odd = sorted(set(sequences) ^ set(others))[0]
        raise UserError(
            f"The sequence {odd or 'without a folder'} is in only one of {images} and {poses}; "
            "each needs its pictures and its poses."
        )
    groups = []
    for sequence in sequences:
        folder = poses / sequence
        frames = _names(root, images / sequence)
        count = len(entries(folder, "*_keypoints.json"))
        if count != len(frames):
            missing = missing_files(frames)
            raise UserError(
                f"{images / sequence} holds {counted(len(frames), 'picture')} and {folder} "
                f"{counted(count, 'pose')} (*_keypoints.json); each picture needs one"
                + (f", and {missing}." if missing else ".")
            )
        name = f"{phase}_img/{sequence}" if sequence else f"{phase}_img"
        groups.append(Group(name, phase, frames, poses_of={"folder": str(folder)}))
    return groups


def _pictures(root: Path, phase: str) -> list[Group]:
    folder = root / phase
    if not folder.is_dir():
        if phase != "train":
            return []
        folder = root
    held = {root / name for name in PHASES} - {folder}
    folders = [Path(path) for path, _, _ in os.walk(folder)]
    inside = sorted(f for f in folders if not held & {f, *f.parents})
    names = [name for each in inside for name in _names(root, each)]
    return [Group(phase, phase, tuple(names))]


_READERS = {
    PICTURES: _pictures,
    "edn": _edn,
    "aligned": _aligned,
    "side-by-side": _side_by_side,
    "unpaired": _unpaired,
    "vid2vid": _vid2vid,
}


def _names(root: Path, folder: Path) -> tuple[str, ...]:
    files = pictures.in_order(pictures.list_pictures(folder))
    return tuple(str(file.relative_to(root)) for file in files)


def counted(number: int, what: str) -> str:
    """1, "picture" → "1 picture"; 2, "picture" → "2 pictures"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _paired(root: Path, first: Path, second: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The pictures of two folders that belong together: by name, or where no names agree, by order
    (as the reference programs pair all of theirs)."""
    a, b = _names(root, first), _names(root, second)
    stems = [{Path(name).stem: name for name in names} for names in (a, b)]
    common = stems[0].keys() & stems[1].keys()
    if len(common) == len(a) == len(b):
        return a, tuple(stems[1][Path(name).stem] for name in a)
    if len(a) == len(b) and not common:
        if a:
            say(f"{first.name} and {second.name} name their pictures differently: paired by order.")
        return a, b
    alone = sorted(stems[0].keys() ^ stems[1].keys())
    raise UserError(
        f"{first} holds {counted(len(a), 'picture')} and {second} {len(b)}, and {len(alone)} of "
        f"them {'has' if len(alone) == 1 else 'have'} no partner of their name (the first: "
        f"{alone[0] if alone else 'a name there twice'}); "
        "add the partners or remove the others."
    )
