"""What is run with the kept runs, when they were made (make.py) and ever after (test_before.py):
command lines alone, because those stay while the program behind them changes."""

import contextlib
import io
import json
import lzma
import tarfile
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import av
import numpy as np

# Whose annotations name what `transferred` puts something else in the place of.
import motion_jax.video.film  # noqa: F401
from motion_jax.cli import main

HERE = Path(__file__).resolve().parent
# Python below 3.11.4 has no filter.
SAFELY = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
# Run -> its dataset; both as folders of what the archives hold.
DATASETS = {
    "everybody_dance_now": "data/ada",
    "pix2pixhd": "data/ada",
    "pix2pix": "data/ada",
    "cyclegan": "data/two",
    "cyclegan_poses": "data/ada",
}
ARCHIVES = ("data", "exported", *(f"run_{name}" for name in DATASETS))
PREPARE = (
    "prepare", "video/video.mp4", "--poses", "video/poses", "--size", "32x32", "--workers", "1",
)  # fmt: skip
# How a run is driven: by poses that it never saw, as they are; by another dancer, as users did it.
AS_THEY_ARE = ("--normalize", "none", "--no-smooth", "--no-swaps", "--no-bones")
DRIVEN = {
    "heldout": ("--source", "data/heldout/video.mp4", *AS_THEY_ARE, "--stabilise", "none"),
    "other": ("--source", "data/other/video.mp4", "--normalize", "global"),
}
POSES = {"heldout": "data/heldout/poses", "other": "data/other/poses"}
# What a line of metrics.jsonl says besides losses.
NO_LOSSES = {
    "stage", "step", "total_step", "images", "seconds", "images_per_second", "input_wait",
    "learning_rate",
}  # fmt: skip


def pack(folder: Path, name: str, members: list[str]) -> None:
    """Members of a folder into an archive beside this file; the same bytes for the same files.

    Pages and pictures of samples stay out: they are large, and only people look at them.
    """

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if Path(entry.name).name == "report" or "/samples/" in entry.name:
            return None
        entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
        entry.mode = 0o755 if entry.isdir() else 0o644
        return entry

    archive = HERE / f"{name}.tar.xz"
    with tarfile.open(archive, "w:xz", preset=9 | lzma.PRESET_EXTREME) as tar:
        for member in members:
            tar.add(folder / member, member, filter=plain)


def unpack(folder: Path, names: tuple[str, ...] = ARCHIVES) -> Path:
    for name in names:
        with tarfile.open(HERE / f"{name}.tar.xz") as tar:
            tar.extractall(folder, **SAFELY)
    return folder


def transferred(run: str, name: str, driven: str, *options: str, out: str = "out.mp4"):
    """uint8 [N, H, W, 3]: the pictures that `motion-jax transfer` hands to the encoder, which would
    change them. run: a folder; name: of DATASETS; driven: of DRIVEN."""
    arguments = [*DRIVEN[driven], *options]
    if name != "cyclegan":
        arguments += ["--poses", POSES[driven]]
    pictures: list[np.ndarray] = []

    def from_ndarray(array: np.ndarray, *given: object, **named: object) -> av.VideoFrame:
        pictures.append(np.array(array))
        return real.from_ndarray(array, *given, **named)

    real = av.VideoFrame
    with mock.patch.object(av, "VideoFrame", SimpleNamespace(from_ndarray=from_ndarray)):
        main(["transfer", "--run", run, *arguments, "--out", out])
    return np.stack(pictures)


def losses(run: Path, after: int) -> list[dict]:
    """Of the steps after a total step: {"stage", "total_step", and losses by name}."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [
        {
            "stage": row["stage"],
            "total_step": row["total_step"],
            "losses": {k: v for k, v in row.items() if k not in NO_LOSSES},
        }
        for row in rows
        if row["total_step"] > after
    ]


def printed(*arguments: str) -> dict:
    """The JSON that a command prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main(list(arguments))
    return json.loads(out.getvalue())


def layers(source: str) -> dict:
    """What `motion-jax inspect` says of the weights, by network."""
    found = printed("inspect", source, "--json")
    return {
        name: {
            "sha256": network["sha256"],
            "layers": {layer["name"]: layer["shape"] for layer in network["layers"]},
        }
        for name, network in found["networks"].items()
    }


def figures(run: str, out: str = "evaluated") -> dict:
    """What `motion-jax evaluate` measures, by method and name; not its speed, not LPIPS, whose
    weights not everyone has."""
    found = printed("evaluate", "--run", run, "--reestimate", "no", "--json", "--out", out)
    return {
        method: {name: figures[name] for name in ("ssim", "psnr")}
        for method, figures in found["methods"].items()
    }
