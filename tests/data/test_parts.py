"""`prepare --shard i/n` and `--merge`: the same bytes as on one machine, and what may go wrong."""

import dataclasses
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from test_prepare import make_clips

from motion_jax.data import making, parts, prepare, records
from motion_jax.data.prepare_options import PrepareOptions
from motion_jax.errors import UserError
from motion_jax.workers import Stopped


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> PrepareOptions:
    """The dataset of four videos, one of them with two clips, made in one go."""
    folder = tmp_path_factory.mktemp("whole")
    videos = make_clips(folder / "in", 4)
    options = PrepareOptions(
        videos=videos, out=folder / "data", size="48x48", poses=folder / "in" / "poses", workers=1
    )
    assert making.make(options)
    return options


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    """The report has a page of tests of its own and measures this machine for two seconds."""

    def write_report(out, advise=None):
        making.files.remove_tree(out / ".partial")
        making.files.write_text(out / making.REPORT, "")
        return out / making.REPORT

    monkeypatch.setattr(making, "write_report", write_report)
    monkeypatch.setattr(prepare, "write_report", write_report)


def content(folder: Path) -> dict[str, bytes]:
    """All files of a dataset but the report."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    names = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    return {
        name: data
        for name, data in names.items()
        if name.split("/")[0] not in ("report", ".partial")
    }


@pytest.mark.parametrize("count", [1, 3])
def test_merged_parts_are_the_whole_byte_for_byte(whole, tmp_path, count, capsys):
    options = dataclasses.replace(whole, out=tmp_path / "data")
    for part in reversed(range(1, count + 1)):
        prepare.prepare(dataclasses.replace(options, shard=f"{part}/{count}"))
    assert not records.is_dataset(options.out)
    prepare.prepare(dataclasses.replace(options, merge=True, workers=2 if count == 3 else 1))
    assert content(options.out) == content(whole.out)
    assert not (options.out / parts.PARTS).exists()
    said = capsys.readouterr().err
    assert f"Part 1 of {count} is done" in said and f"{count} of {count} are there" in said
    # Whatever is run again afterwards finds it made.
    for again in ({"shard": f"1/{count}"}, {"merge": True}, {}):
        prepare.prepare(dataclasses.replace(options, **again))
        assert "nothing to do" in capsys.readouterr().err
    assert content(options.out) == content(whole.out)


def test_stopped_it_goes_on(whole, tmp_path, monkeypatch, capsys):
    options = dataclasses.replace(whole, out=tmp_path / "data")
    for part in ("1/2", "2/2"):
        prepare.prepare(dataclasses.replace(options, shard=part))
    prepare.prepare(dataclasses.replace(options, shard="2/2"))
    assert "Part 2 of 2 is up to date (three.mp4, four.mp4)" in capsys.readouterr().err
    merging = dataclasses.replace(options, merge=True)
    with monkeypatch.context() as patch:
        # After some of the shards have their places, and then before the metadata.
        replaced = []

        def replace(source, target):
            if "array_record" in str(target) and Path(target).parent == options.out:
                if len(replaced) == 2:
                    raise Stopped
                replaced.append(target)
            return os.rename(source, target)

        patch.setattr(parts.os, "replace", replace)
        with pytest.raises(Stopped):
            prepare.prepare(merging)
    with monkeypatch.context() as patch:
        patch.setattr(records, "finish_dataset", lambda *_: (_ for _ in ()).throw(Stopped()))
        with pytest.raises(Stopped):
            prepare.prepare(merging)
    with pytest.raises(UserError, match="unfinished|holds parts"):
        prepare.prepare(options)
    assert not records.is_dataset(options.out)
    with monkeypatch.context() as patch:
        # Between the metadata and the report.
        patch.setattr(making, "write_report", lambda *_: (_ for _ in ()).throw(Stopped()))
        with pytest.raises(Stopped):
            prepare.prepare(merging)
    prepare.prepare(merging)
    assert content(options.out) == content(whole.out)
    assert "Going on" in capsys.readouterr().err


def refused(options: PrepareOptions, said: str, **change) -> None:
    with pytest.raises(UserError, match=said) as error:
        prepare.prepare(dataclasses.replace(options, **change))
    assert "\n" not in str(error.value)


def test_bad_input(whole, tmp_path):
    options = dataclasses.replace(whole, out=tmp_path / "data")
    for shard in ("0/2", "3/2", "2", "a/b", "-1/2", "1/0"):
        refused(options, f"shard {shard} is not a part; give I/N", shard=shard)
    refused(options, "shard 1/5 has no video: there are only 4", shard="1/5")
    refused(options, "shard and merge do not go together", shard="1/2", merge=True)
    refused(options, "holds no parts; make them first .*shard 1/N", merge=True)
    assert not options.out.exists()
    prepare.prepare(dataclasses.replace(options, shard="1/3"))
    refused(options, "was begun in 3 parts, not 2; go on with shard I/3", shard="1/2")
    refused(options, "holds parts that other machines make")
    before = content(options.out)
    refused(
        options, r"Part 2 of 3 \(two.mp4\) is missing, with 1 more; .* shard 2/3 and shard 3/3",
        merge=True,
    )  # fmt: skip
    prepare.prepare(dataclasses.replace(options, shard="3/3"))
    refused(options, r"Part 2 of 3 \(two.mp4\) is missing; run the same .* shard 2/3", merge=True)
    (parts.part_folder(options.out, 2, 3)).mkdir()
    refused(options, r"Part 2 of 3 \(two.mp4\) is unfinished", merge=True)
    prepare.prepare(dataclasses.replace(options, shard="2/3"))
    refused(options, r"Part 1 of 3 .*\(size 48x48, not 48x64\)", merge=True, size="48x64")
    others = (whole.videos[1], whole.videos[0], *whole.videos[2:])
    refused(options, r"Part 1 of 3 .*videos one.mp4, not two.mp4", merge=True, videos=others)
    refused(options, r"Part 1 of 3 .*made with other options \(detail", merge=True, poses=None)
    shard = sorted(parts.part_folder(options.out, 3, 3).glob("*.array_record*"))[0]
    kept = shard.read_bytes()
    shard.write_bytes(kept[:1000])
    refused(options, r"Part 3 of 3 is damaged .*shard 3/3", merge=True)
    shard.write_bytes(kept)
    assert before.items() <= content(options.out).items()
    prepare.prepare(dataclasses.replace(options, merge=True))
    assert content(options.out) == content(whole.out)
    refused(options, r"holds a dataset made .*size 48x48, not 64x64", shard="1/3", size="64x64")
    refused(options, r"holds a dataset made .*size 48x48, not 64x64", merge=True, size="64x64")
