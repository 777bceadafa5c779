"""A project of things that lie elsewhere: what `motion-jax demo` made, for the studio."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from motion_jax import files
from motion_jax.studio import uploads
from motion_jax.studio.library import Item, Library, new_project, projects

FOLDER = "studio"


def adopt_demo(out: Path) -> Path:
    """Makes a folder of projects in the demo's, with the demo's films, people, run and result as
    links; returns it. Nothing is done where it is there.

    Raises UserError where it cannot be written, or the demo is not whole.
    """
    root = out / FOLDER
    if projects(root):
        return root
    library = new_project(root, "Demo")
    films, people = {}, {}
    for path in sorted((out / "videos").iterdir()):
        name = path.name.capitalize()
        film = path / "video.mp4"
        facts = {**uploads.examined(film), "file": film.name, "drawn": True}
        films[path.name] = _linked(library, "films", name, path, facts=facts)
        still = uploads.still(films[path.name], facts["seconds"] / 2)
        files.write_bytes(path / uploads.STILL, still)
        dataset = out / "datasets" / path.name
        made_from = (films[path.name].ref,)
        people[path.name] = _linked(library, "datasets", name, dataset, made_from)
    run = _linked(library, "runs", "Ben, learnt", out / "run", (people["ben"].ref,))
    both, suffix = (run.ref, films["ada"].ref), {"suffix": ".mp4"}
    _linked(library, "results", "Ben moves like Ada", out / "transfer.mp4", both, suffix)
    return root


def _linked(
    library: Library,
    kind: str,
    name: str,
    target: Path,
    made_from: Sequence[str] = (),
    facts: dict[str, Any] | None = None,
) -> Item:
    """A thing that is a link to where it lies; relative, so that both can be moved together."""
    item = library.new(kind, name, made_from, facts)
    with files.writing(item.path):
        item.path.symlink_to(os.path.relpath(target.resolve(), item.path.parent.resolve()))
    return item
