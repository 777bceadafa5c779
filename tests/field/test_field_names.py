"""Names that are not UTF-8, as old archives and disks hold them: the work is kept, or refused
before it is begun."""

import os

import av
import pytest
from field_films import film, pictures, poses

from motion_jax.cli import main
from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError
from motion_jax.files import check_name, readable, write_text

LATIN = os.fsdecode(b"vid\xe9o")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    try:
        (folder / LATIN).mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    film(folder / f"{LATIN}.mp4", pictures(12))
    poses(folder / LATIN, 12, name=LATIN)
    main(["prepare", str(folder / f"{LATIN}.mp4"), "--poses", str(folder / LATIN), "--out",
          str(folder / "data"), "--size", "32x32", "--workers", "1"])  # fmt: skip
    return folder


def test_a_dataset_of_such_a_film(place):
    assert len(open_dataset(place / "data")) == 12
    assert "vid\N{REPLACEMENT CHARACTER}o" in (place / "data/report/index.html").read_text()


def test_the_result_has_the_name_with_a_replacement_sign(place, tmp_path):
    out = tmp_path / f"out-{LATIN}.mp4"
    main(["transfer", "--method", "nearest", "--data", str(place / "data"), "--source",
          str(place / f"{LATIN}.mp4"), "--poses", str(place / LATIN), "--out",
          str(out)])  # fmt: skip
    with av.open(str(out)) as container:
        assert container.metadata["motion_jax_source"] == "vid\N{REPLACEMENT CHARACTER}o.mp4"
        assert len(list(container.decode(video=0))) == 12


def test_folders_of_pictures(place, tmp_path):
    main(["export-data", str(place / "data"), "--out", str(tmp_path / LATIN)])
    for file in list((tmp_path / LATIN).glob("*/*")):
        file.rename(file.with_name(f"{LATIN}{file.name}"))
    main(["import-data", str(tmp_path / LATIN), "--out", str(tmp_path / "again"), "--workers", "1"])
    assert len(open_dataset(tmp_path / "again")) == 12


@pytest.mark.parametrize(
    "words",
    [
        "prepare {film} --poses {poses} --out {out}",
        "import-data {poses} --out {out}",
        "pair --a {data} --b {data} --out {out}",
        "train demo --data {data} --run {out}",
        "import {poses} --run {out}",
        "compare --target {data} --source {film} --out {out}",
    ],
)
def test_where_it_is_impossible_it_is_said_first(place, tmp_path, capsys, words):
    paths = {"film": place / f"{LATIN}.mp4", "poses": place / LATIN, "data": place / "data",
             "out": tmp_path / LATIN}  # fmt: skip
    with pytest.raises(SystemExit) as end:
        main([word.format(**paths) for word in words.split()])
    said = capsys.readouterr().err.strip()
    assert end.value.code == 2 and said.count("\n") == 0 and "not UTF-8" in said
    assert not (tmp_path / LATIN).exists()


def test_a_moved_dataset_and_texts(place, tmp_path):
    (tmp_path / LATIN).symlink_to(place / "data")
    with pytest.raises(UserError, match="not UTF-8"):
        open_dataset(tmp_path / LATIN)
    check_name(tmp_path)
    assert readable("é 日本 😀") == "é 日本 😀"
    write_text(tmp_path / "a.txt", f"é {LATIN}")
    assert (tmp_path / "a.txt").read_text("utf-8") == "é vid\N{REPLACEMENT CHARACTER}o"
