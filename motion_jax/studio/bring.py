"""Things that were made elsewhere become things of a project: films, datasets, runs and results of
the terminal, linked to where they lie, or copied.

What belongs to what is read from the files themselves: a dataset names its films by their SHA-256,
a run its dataset by that one's description, a result its run by name. So everything made from a
film is still found, and can be deleted together.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motion_jax import files
from motion_jax.errors import UserError
from motion_jax.studio import uploads
from motion_jax.studio.actions import POSES
from motion_jax.studio.library import ID, Item, Library, called
from motion_jax.video.pyav import av

# How deep a folder is searched, and how many things of it are taken at most.
DEPTH, MOST = 3, 200
# Bytes between looks at how far a copy is.
PIECE = 2**22
# Names that are no more than what a thing is.
PLAIN = ("video", "film", "run", "data", "dataset", "transfer", "out")
# Made from what comes before.
ORDER = ("films", "datasets", "runs", "results")


@dataclass(frozen=True)
class Found:
    """Something on the disk that can be a thing of a project."""

    kind: str
    path: Path


def kind_of(path: Path) -> str:
    """Which of ORDER a file or folder is, by what is in it; "" for none."""
    if path.is_dir():
        if (path / "metadata.json").is_file() and "sources" in _json(path / "metadata.json"):
            return "datasets"
        return "runs" if (path / "config.json").is_file() and _has_some(path) else ""
    if path.suffix.lower() not in uploads.SUFFIXES or not path.is_file():
        return ""
    return "results" if "motion_jax_synthetic" in _tags(path) else "films"


def search(path: Path) -> list[Found]:
    """What a path is, or what is in the folder there. Raises UserError where it is nothing."""
    path = path.expanduser()
    if not path.exists():
        raise UserError(f"There is no {path}; give a film, a dataset, a run, or a folder of them.")
    found = sorted(_search(path, DEPTH), key=lambda one: (ORDER.index(one.kind), one.path))
    if not found:
        raise UserError(
            f"{path} holds no film, dataset or run of motion-jax; a folder of another program is "
            "made a trained person further below."
        )
    if len(found) > MOST:
        raise UserError(f"{path} holds more than {MOST} things; give a folder with fewer.")
    return found


@dataclass(frozen=True)
class Brought:
    """What is new in a project; left_out: by its name, why something could not be taken."""

    items: list[Item]
    left_out: dict[str, str]


@dataclass
class Copying:
    """How far a copy is, in bytes; total: 0 while nobody knows. stopped: set, it ends soon, and
    leaves nothing behind."""

    done: int = 0
    total: int = 0
    stopped: bool = False


def bring(
    library: Library,
    path: Path,
    *,
    copy: bool = False,
    name: object = "",
    copying: Copying | None = None,
    leave: Collection[Path] = (),
) -> Brought:
    """Takes what is at a path into a project, and with it what it was made from, where that still
    lies where it was. What cannot be read is left out.

    Args:
      copy: whether everything is copied; else it stays where it is, and the project has a link.
      name: of the thing, where it is one.
      copying: is told how far the copy is.

    leave: paths of films that are not taken.

    Raises UserError where there is nothing to take, or no room to copy it.
    """
    path = path.expanduser()
    fresh = [one for one in _fresh(library, path) if one.path not in leave]
    if not fresh:
        raise UserError("All of it is in this project already.")
    known, left_out = dict[Path, dict[str, Any]](), dict[str, str]()
    for one in fresh:
        if one.kind == "films":
            # As far as it can be read: before anything is made.
            try:
                known[one.path] = uploads.examined(one.path)
            except UserError as error:
                if len(fresh) == 1:
                    raise
                left_out[one.path.name] = str(error).removesuffix("; choose another film.")
    fresh = [one for one in fresh if one.kind != "films" or one.path in known]
    if not fresh:
        name_, why = next(iter(left_out.items()))
        raise UserError(f"No film in {path} can be read; {name_}, for example: {why}.")
    copying = copying or Copying()
    if copy:
        copying.total = sum(_size(path) for one in fresh for path in _parts(one))
        _check_room(library, copying.total)
    line = str(name).strip()
    for one in fresh if line else ():
        if one.path.resolve() == path.resolve():
            library.check_name(one.kind, line)
    made = []
    for one in sorted(fresh, key=lambda one: ORDER.index(one.kind)):
        own = line and one.path.resolve() == path.resolve()
        shown = called(line) if own else _name(one.path)
        facts = known.get(one.path, {})
        made.append(_taken(library, one, shown, facts, copying if copy else None))
    return Brought(made, left_out)


def twins(library: Library, path: Path) -> dict[Path, Item]:
    """Of what is new at a path, the films that a project has already, by their content."""
    films = [one.path for one in _fresh(library, path.expanduser()) if one.kind == "films"]
    found = {film: uploads.twin(library, film) for film in films}
    return {film: item for film, item in found.items() if item is not None}


def _fresh(library: Library, path: Path) -> list[Found]:
    """What is at a path, and what it was made from, without what a project has from there."""
    found = search(path)
    for one in list(found):
        dataset = _dataset_of(one.path) if one.kind == "runs" else None
        if dataset is not None and dataset.resolve() not in {each.path.resolve() for each in found}:
            found.insert(0, Found("datasets", dataset))
    known = _places(library)
    return [one for one in found if one.path.resolve() not in known]


def take_strays(library: Library) -> list[Item]:
    """Things that somebody made in the project's own folder from the terminal, and that nobody has
    written about yet: noted where they lie."""
    made = []
    for kind in ORDER[1:]:
        folder = library.folder / kind
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            suffix = path.suffix if kind == "results" else ""
            id_ = path.name.removesuffix(suffix)
            if not ID.fullmatch(id_) or library.is_known(kind, id_) or kind_of(path) != kind:
                continue
            item = library.note(kind, id_, _name(path), {"suffix": suffix} if suffix else {})
            made.append(_belonging(library, item))
    return made


def _search(path: Path, depth: int) -> Iterator[Found]:
    if kind := kind_of(path):
        yield Found(kind, path)
    elif path.is_dir() and depth and not (path / "project.json").exists():
        for inner in sorted(path.iterdir()):
            if not inner.name.startswith(".") and not inner.is_symlink():
                yield from _search(inner, depth - 1)


def _taken(
    library: Library, one: Found, name: str, known: dict[str, Any], copying: Copying | None
) -> Item:
    """known: of a film. copying: of a copy; None: a link is made."""
    facts = {**known, "linked" if copying is None else "copied": str(one.path.resolve())}
    if one.kind == "results":
        facts["suffix"] = one.path.suffix.lower()
    item = library.new(one.kind, name, facts=facts)
    places = {one.path: item.path}
    if one.kind == "films":
        name = uploads.file_name(item.name, one.path.suffix.lower())
        item = library.save(item, facts={**facts, "file": name})
        item.path.mkdir(parents=True)
        places = {one.path: item.path / name}
        if (poses := _poses_of(one.path)) is not None:
            places[poses] = item.path / POSES
    try:
        for path, place in places.items():
            with files.writing(place):
                if copying is not None:
                    _copied(path, place, copying)
                else:
                    place.symlink_to(path.resolve())
    except UserError:
        library.delete(item, together=False)
        raise
    if one.kind == "films":
        uploads.write_still(item)
    item = _belonging(library, item)
    if copying is not None and item.kind == "runs":
        _point(item)
    return item


def _point(run: Item) -> None:
    """A copied run's dataset is the one that it belongs to here."""
    said = _json(run.path / "dataset.json")
    for ref in run.made_from if said else ():
        dataset = run.project / ref
        said["path"] = os.path.relpath(dataset.resolve(), run.path.resolve())
        files.write_json(run.path / "dataset.json", said)


def _parts(one: Found) -> list[Path]:
    """All that a copy copies."""
    poses = _poses_of(one.path) if one.kind == "films" else None
    return [one.path] if poses is None else [one.path, poses]


def _poses_of(film: Path) -> Path | None:
    """The joints that a drawn dancer's film brings along, as the demo (video.mp4) and the pages
    (beside a still) write them."""
    poses = film.with_name(POSES)
    own = (film.stem == "video" or film.with_name(uploads.STILL).is_file()) and poses.is_dir()
    return poses if own and next(poses.glob("*_keypoints.json"), None) is not None else None


def _copied(path: Path, place: Path, copying: Copying) -> None:
    """Whole, or not at all."""
    part = place.with_name(f".{place.name}.part")

    def copy(source: str | Path, target: str | Path) -> None:
        with open(source, "rb") as there, open(target, "wb") as here:
            while piece := there.read(PIECE):
                if copying.stopped:
                    raise UserError("The copy was stopped; nothing is left of it.")
                here.write(piece)
                copying.done += len(piece)
        shutil.copystat(source, target)

    try:
        if path.is_dir():
            shutil.copytree(path, part, copy_function=copy)
        else:
            copy(path, part)
        os.replace(part, place)
    finally:
        if part.is_dir():
            files.remove_tree(part)
        part.unlink(missing_ok=True)


def _check_room(library: Library, wanted: int) -> None:
    """wanted: bytes."""
    if shutil.disk_usage(library.folder).free < wanted + uploads.SPARE:
        raise UserError(
            f"There is too little room on the disk for a copy of {wanted / 1e9:.1f} GB; link it."
        )


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def _name(path: Path) -> str:
    """Its file's or folder's; of one that says nothing with that of the folder around it."""
    stem = path.stem if path.is_file() else path.name
    return called(f"{path.resolve().parent.name} {stem}" if stem in PLAIN else stem)


# --- what belongs to what -------------------------------------------------------------------------


def _belonging(library: Library, item: Item) -> Item:
    """The item, and others that were made from it, with what they were made from."""
    for other in library.items():
        if other.made_from and other.ref != item.ref:
            continue
        made_from = _made_from(library, other)
        if made_from:
            other = library.save(other, made_from=made_from)
        if other.ref == item.ref:
            item = other
    return item


def _made_from(library: Library, item: Item) -> tuple[str, ...]:
    if item.kind == "datasets":
        sources = _json(item.path / "metadata.json").get("sources", [])
        found = [ref for source in sources for ref in _films_of(library, source)]
        return tuple(dict.fromkeys(found))
    if item.kind == "runs":
        print_ = _json(item.path / "dataset.json").get("fingerprint")
        known = library.items("datasets")
        return tuple(each.ref for each in known if print_ and _fingerprint(each.path) == print_)[:1]
    if item.kind == "results":
        return _of_result(library, _tags(item.path))
    return ()


def _films_of(library: Library, source: Any) -> list[str]:
    """The film that a dataset's description means, by its content."""
    wanted = source.get("sha256") if isinstance(source, dict) else None
    for film in library.items("films") if wanted else ():
        size = film.facts.get("width"), film.facts.get("height")
        if size != (source.get("width"), source.get("height")):
            continue
        if "sha256" not in film.facts:
            path = film.path / str(film.facts["file"])
            if not path.is_file():
                continue
            film = library.save(film, facts={**film.facts, "sha256": files.sha256(path)})
        if film.facts["sha256"] == wanted:
            return [film.ref]
    return []


def _of_result(library: Library, tags: dict[str, str]) -> tuple[str, ...]:
    """By the names that the result's file says; a name that several have says nothing."""
    found = []
    for kind, name in (
        ("runs", tags.get("motion_jax_run")),
        ("films", tags.get("motion_jax_source")),
    ):
        fitting = [item.ref for item in library.items(kind) if name and name in _names(item)]
        found += fitting if len(fitting) == 1 else []
    return tuple(found)


def _names(item: Item) -> set[str]:
    path = item.path / str(item.facts["file"]) if item.kind == "films" else item.path
    return {path.name, path.resolve().name, Path(str(item.facts.get("copied", path))).name}


def _fingerprint(dataset: Path) -> str:
    """As a run's dataset.json has it (train/run.py)."""
    value = _json(dataset / "metadata.json")
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _dataset_of(run: Path) -> Path | None:
    """Where a run's dataset lies; None where it is there no more, or another is there now."""
    said = _json(run / "dataset.json")
    path = run.resolve() / str(said.get("path", ""))
    there = said.get("path") and kind_of(path) == "datasets"
    return path if there and _fingerprint(path) == said.get("fingerprint") else None


def _places(library: Library) -> set[Path]:
    found = set()
    for item in library.items(*ORDER):
        found |= {item.path.resolve(), Path(str(item.facts.get("copied", item.path)))}
        if item.kind == "films":
            found.add((item.path / str(item.facts["file"])).resolve())
    return found


def _has_some(run: Path) -> bool:
    folder = run / "checkpoints"
    return folder.is_dir() and any(folder.iterdir())


def _tags(path: Path) -> dict[str, str]:
    # It brings SciPy along, for which no page is to wait.
    from motion_jax.provenance.check import metadata

    try:
        return metadata(path)
    except (UserError, OSError, ValueError, av.error.FFmpegError):
        return {}


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
