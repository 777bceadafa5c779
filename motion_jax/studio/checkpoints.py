"""What a folder or file of weights looks like from outside: whether a run has learnt anything, and
whether `motion-jax import` can take a path, as far as its first bytes tell. Nothing is executed,
and neither jax nor a file's arrays are loaded, so that a page can ask."""

import json
import re
from pathlib import Path

from motion_jax.data.identities import names_of
from motion_jax.errors import UserError
from motion_jax.studio.library import Item

# Files of the original programs: see port/experiment.py, which reads them.
_PART = re.compile(r".+_net_[A-Za-z_]+\.(pth|pt|safetensors)")
_ENDINGS = (".pth", ".pt", ".safetensors", ".pkl", ".tar")
# How PyTorch's files begin: a zip archive, or a pickle of protocol 2 or newer, as NVIDIA's do.
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"


def newest(run: Item) -> float:
    """When a run was saved last, seconds since 1970; 0 for one that has learnt nothing yet."""
    folder = run.path / "checkpoints"
    found = [path for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []
    return max((path.stat().st_mtime for path in found), default=0.0)


def recipe_of(run: Item) -> str:
    """The name of a run's recipe; "" where nothing tells."""
    try:
        return str(json.loads((run.path / "config.json").read_text())["recipe"]["type"])
    except (OSError, ValueError, TypeError, KeyError):
        return ""


def people_of(run: Item) -> list[str]:
    """Those whom a run knows by name, where it was trained to tell several apart."""
    try:
        config = json.loads((run.path / "config.json").read_text())
        if config["recipe"].get("identities", 0) < 2:
            return []
        return names_of(json.loads((run.path / "dataset.json").read_text())["info"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return []


def check_weights(path: Path) -> None:
    """Raises UserError for a path that cannot be what `motion-jax import` takes."""
    if path.is_dir():
        names = [each.name for each in path.iterdir()]
        if "config.json" not in names and not any(map(_PART.fullmatch, names)):
            raise UserError(
                f"{path} holds no weights of a known program (files such as latest_net_G.pth) and "
                "is no run; give the experiment's folder under checkpoints, or one file."
            )
        return
    if not path.is_file():
        raise UserError(f"There is no {path}; check the path.")
    if not path.name.lower().endswith(_ENDINGS):
        raise UserError(
            f"{path.name} is no file of weights by its name; they end in {', '.join(_ENDINGS)}."
        )
    with open(path, "rb") as file:
        begin, size = file.read(512), path.stat().st_size
    if path.suffix.lower() == ".safetensors":
        # Eight bytes say how long the header is, which is JSON.
        good = begin[8:9] == b"{" and int.from_bytes(begin[:8], "little") <= size - 8
    else:
        good = begin.startswith((_ZIP, _PICKLE))
    if good:
        return
    if begin.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise UserError(
            f"{path.name} begins like a web page; download the file itself, not the page that "
            "shows it."
        )
    why = "does not begin as files of weights do" if size else "is empty"
    raise UserError(f"{path.name} {why}; download or save it again.")
