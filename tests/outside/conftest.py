"""The package in package/, installed where only these tests see it."""

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from motion_jax.data import records

PACKAGE = Path(__file__).parent / "package"


def install(project: dict, sources: Path, target: Path) -> None:
    """What pip unpacks of a package: its modules, and metadata beside them."""
    for name in project.get("packages", []):
        shutil.copytree(sources / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    folder = target / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that the package is in, on Python's path."""
    described = tomllib.loads((PACKAGE / "pyproject.toml").read_text())
    project = described["project"] | {"packages": described["tool"]["setuptools"]["packages"]}
    target = tmp_path_factory.mktemp("site")
    install(project, PACKAGE, target)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(target)
        yield target


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A dataset without any pose: a bright square that crosses a coloured ground."""
    folder, size, count = tmp_path_factory.mktemp("film"), 32, 16
    rows = []
    for i in range(count):
        frame = np.full((size, size, 3), (150, 60, 20), np.uint8)
        frame[8:20, i : i + 12] = (40, 200, 230)
        rows.append({"frame": frame, "keypoints": np.zeros((137, 3)), "face_box": np.zeros(4),
                     "clip": 0, "index": i, "time": i / 25})  # fmt: skip
    records.write_shard(records.shard_path(folder, 0, 1), rows, size, size, "png")
    clips = ((0, 0, 0, count),)
    info = records.DatasetInfo(size, size, clips, ({"file": "film.mp4"},), picture="png")
    records.finish_dataset(folder, info, [count])
    return folder


@pytest.fixture
def add_package(tmp_path, monkeypatch):
    """(package's name, {group: {name: value}}, {module: text}): another package, on the path."""

    def add(name: str, points: dict, modules: dict) -> None:
        target = tmp_path / f"site-{name}"
        install({"name": name, "version": "1", "entry-points": points}, target, target)
        for module, text in modules.items():
            (target / f"{module}.py").write_text(text)
        monkeypatch.syspath_prepend(target)

    return add
