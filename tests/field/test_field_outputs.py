"""An output that is an input, contains one or lies inside one is refused before any work."""

import os
from pathlib import Path

import pytest

from motion_jax.cli import main
from motion_jax.errors import UserError
from motion_jax.files import check_outputs

# For each verb that writes: the command with {in} for an input and {out} for what it writes. What
# else a command needs is {other}.
FOLDERS = {
    "import-data": "import-data {in} --out {out}",
    "prepare": "prepare {other}/a.mp4 --poses {in} --out {out}",
    "pair, a": "pair --a {in} --b {other} --out {out}",
    "pair, b": "pair --a {other} --b {in} --out {out}",
    "export-data": "export-data {in} --out {out}",
    "train": "train demo --data {in} --run {out}",
    "evaluate, data": "evaluate --run {other} --data {in} --out {out}",
    "compare": "compare --target {in} --source {other}/a.mp4 --out {out}",
    "compare, poses": "compare --target {other} --source {other}/a.mp4 --poses {in} --out {out}",
    "import": "import {in} --run {out}",
    "import, data": "import {other} --data {in} --run {out}",
}
# Verbs that write one file, with the input a file too.
FILES = {
    "transfer": "transfer --method nearest --data {other} --source {in} --out {out}",
    "transfer, run": "transfer --run {other} --source {in} --out {out}",
    "compile": "compile {in} --topology v5e:2x2 --save {out}",
}


def run(words: str, capsys, **paths: Path) -> str:
    with pytest.raises(SystemExit) as end:
        main([word.format(**paths) for word in words.split()])
    said = capsys.readouterr().err.strip()
    assert end.value.code == 2 and said.count("\n") == 0, said
    return said


def content(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("MOTION_JAX_CACHE", str(tmp_path / "cache"))
    for name in ("in", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.mp4").write_bytes(name.encode())
    return tmp_path


@pytest.mark.parametrize("verb", FOLDERS)
@pytest.mark.parametrize("relation", ["is", "lies inside", "contains"])
def test_folders(place, capsys, verb, relation):
    (place / "link").symlink_to(place / "in")
    out = {
        "is": place / "other" / ".." / "link",
        "lies inside": place / "link" / "new" / "out",
        "contains": place / "in" / "..",
    }[relation]
    before = content(place)
    paths = {"in": place / "in", "other": place / "other", "out": out}
    said = run(FOLDERS[verb], capsys, **paths)
    assert relation in said and str(out) in said
    assert content(place) == before and not (place / "in" / "new").exists()


@pytest.mark.parametrize("verb", FILES)
@pytest.mark.parametrize("way", ["same", "spelling", "link", "hard link", "relative"])
def test_files(place, capsys, monkeypatch, verb, way):
    name = "film.py" if verb == "compile" else "film.mp4"
    source = place / "in" / name
    source.write_bytes(b"the only copy")
    out = place / f"other.{name[-3:].strip('.')}"
    if way == "same":
        out = source
    elif way == "spelling":
        out = place / "in" / ".." / "in" / name
    elif way == "link":
        out.symlink_to(source)
    elif way == "hard link":
        os.link(source, out)
    else:
        monkeypatch.chdir(place / "in")
        out = Path(name)
    before = content(place)
    paths = {"in": source, "other": place / "other", "out": out}
    assert " is the input " in run(FILES[verb], capsys, **paths)
    assert content(place) == before


def test_a_film_within_the_folder_of_its_poses(place, capsys):
    words = "transfer --run r --source {other}/a.mp4 --poses {in} --out {in}/out.mp4"
    said = run(words, capsys, **{"in": place / "in", "other": place / "other"})
    assert "lies inside the input" in said
    words = "transfer --run r --source {other}/a.mp4 --out {other}/o.mp4 --pose-pictures {other}"
    said = run(words + "/a.mp4", capsys, other=place / "other")
    assert "--pose-pictures" in said and " is the input " in said


def test_what_a_verb_keeps_in_its_run_is_no_mistake(tmp_path):
    from motion_jax.evaluate.options import EvaluateOptions
    from motion_jax.port.options import ExportOptions

    run = tmp_path / "run"
    run.mkdir()
    check_outputs(EvaluateOptions(run, out=run / "again"), "out", own=("run",))
    check_outputs(EvaluateOptions(run), "out", own=("run",))
    with pytest.raises(UserError, match="is the input"):
        check_outputs(EvaluateOptions(run, out=run), "out", own=("run",))
    # Its files never replace others.
    check_outputs(ExportOptions(run / "a.pth", out=run), "out", adds=True)
    with pytest.raises(UserError, match="lies inside"):
        check_outputs(ExportOptions(run=run, out=run / "new"), "out", adds=True)
