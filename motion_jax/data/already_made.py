"""Whether a dataset is there already, is unfinished or is another one, where `prepare` and
`import-data` are run again."""

import json
from collections.abc import Callable
from pathlib import Path

from motion_jax import files
from motion_jax.data import records
from motion_jax.errors import UserError, marked, option
from motion_jax.progress import say

# Folder, in a dataset's, of the parts that `prepare --shard` makes.
PARTS = ".parts"


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's files."""
    return files.sha256(folder)


def is_made(
    out: Path,
    partial: Path,
    resolved: dict,
    difference: Callable[[dict, dict], str] | None = None,
    merging: bool = False,
) -> bool:
    """Whether the dataset is there and whole; UserError where what is there is something else.

    difference: says of the options that it was made with and of these how it was made otherwise,
    as "with other options (...)".
    merging: whether parts (see parts.py) may be there.
    """
    difference = difference or _with_other_options
    if out.exists() and not out.is_dir():
        raise UserError(f"{option('out')} {out} is a file; name a folder for the dataset.")
    if records.is_dataset(out):
        made = made_with(out)
        if made != resolved:
            raise UserError(
                f"{out} holds a dataset made {difference(made, resolved)}; give the same options, "
                f"or another folder with {option('out')}."
            )
        try:
            records.open_dataset(out)
        except UserError as error:
            say(f"{marked(error)} Making it again.")
            (out / records.METADATA).unlink()
            return False
        return not partial.exists()
    parts = out / PARTS
    if not merging and any(parts.glob("*")):
        raise UserError(
            f"{out} holds parts that other machines make of a dataset; join them with "
            f"{option('merge')}, or name another folder with {option('out')}."
        )
    begun = partial / "options.json"
    if begun.is_file():
        try:
            earlier = json.loads(begun.read_text())
        except (OSError, ValueError, RecursionError):
            earlier = {}
        if earlier != resolved:
            raise UserError(
                f"{out} holds an unfinished dataset made {difference(earlier, resolved)}; give "
                f"the same options to go on, or another folder with {option('out')}."
            )
    elif out.is_dir() and not files.is_empty(out, partial, parts):
        raise UserError(
            f"{option('out')} {out} is not empty and holds no dataset; name a new folder for the "
            "dataset."
        )
    return False


def begin(out: Path, resolved: dict) -> None:
    """Creates the folders, or finds them begun with the same options. Raises UserError where they
    cannot be written."""
    partial = out / ".partial"
    files.check_writable(out)
    files.check_writable(partial)
    if (partial / "options.json").is_file():
        say(f"Going on with the unfinished dataset in {out}.")
    else:
        files.write_json(partial / "options.json", resolved)


def made_with(out: Path) -> dict:
    """The options of a finished dataset. Raises UserError where its metadata are damaged."""
    try:
        return json.loads((out / records.METADATA).read_text())["options"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"The metadata of the dataset {out} are damaged ({error}); remove {out} and run the "
            "same command again."
        ) from error


def _with_other_options(earlier: dict, now: dict) -> str:
    return f"with other options ({differing(earlier, now)})"


def differing(earlier: dict, now: dict) -> str:
    """In words, the first option in which the two differ."""
    first = ("videos", "poses")
    names = sorted(set(earlier) | set(now), key=lambda name: (name not in first, name))
    for name in names:
        before, after = earlier.get(name), now.get(name)
        if before != after:
            if name == "videos":
                shown = [", ".join(v["file"] for v in side or ()) for side in (before, after)]
                if shown[0] == shown[1]:
                    return f"another content of {shown[0]}"
                return f"videos {shown[0]}, not {shown[1]}"
            if name == "poses":
                return "other poses"
            if name not in earlier:
                return f"by a version of motion_jax that had no {option(name)}"
            return f"{name.replace('_', '-')} {before}, not {after}"
    return "another version of motion_jax"
