"""benchmarks.card: stops by itself, goes on where it was, keeps what one machine needs once."""

import json
import sys

import pytest

from benchmarks import card
from benchmarks.card import Options, Part, carry_out, gathered, parts_of, rows
from motion_jax.errors import UserError

# Writes {"device": ..., "seconds": ...} to the file that stands last.
WRITES = (
    "import json, sys, time; time.sleep({sleep}); "
    "json.dump({{'device': 'none', 'seconds': {{'median': {value}}}}}, open(sys.argv[-1], 'w'))"
)


def part(name, seconds=0.1, sleep=0.0, value=1.0, **more):
    words = (sys.executable, "-c", WRITES.format(sleep=sleep, value=value))
    return Part(name, seconds, words, **more)


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_stops_before_its_time_is_over_and_goes_on(out, tmp_path):
    parts = [part("one"), part("long", seconds=1000), part("two")]
    states = carry_out(parts, out, card.RESERVE + 60, tmp_path / "kept")
    assert states == {"one": "done", "long": "left for the next time", "two": "done"}
    before = (out / "one.json").stat().st_mtime_ns
    states = carry_out([part("one"), part("long")], out, card.RESERVE + 60, tmp_path / "kept")
    assert states == {"one": "done before", "long": "done"}
    assert (out / "one.json").stat().st_mtime_ns == before


def test_a_part_that_takes_too_long_is_ended_with_all_that_it_started(out, tmp_path):
    states = carry_out([part("slow", sleep=600)], out, card.RESERVE + 1.0, tmp_path / "kept")
    assert states == {"slow": "left for the next time"}
    assert not (out / "slow.json").exists()


def test_a_part_that_fails_says_so_and_is_not_tried_for_ever(out, tmp_path):
    bad = Part("bad", 0.1, (sys.executable, "-c", "raise SystemExit('no card here')"))
    for _ in range(card.TRIES + 1):
        states = carry_out([bad, part("good")], out, card.RESERVE + 60, tmp_path / "kept")
        assert states["bad"] == "failed: no card here"
    assert (out / "bad.failed").read_text() == f"{card.TRIES}\n"
    assert states["good"] == "done before"


def test_what_is_kept_for_the_machine_is_not_run_again(out, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    assert carry_out([part("torch", kept=True)], out, card.RESERVE + 60, kept)["torch"] == "done"
    other = tmp_path / "other"
    other.mkdir()
    states = carry_out([part("torch", kept=True, sleep=600)], other, card.RESERVE + 60, kept)
    assert states == {"torch": "kept from before"}
    assert json.loads((other / "torch.json").read_text())["device"] == "none"


def test_compiling_runs_beside_the_others(out, tmp_path):
    parts = [part("next", sleep=4.0), part("compile", seconds=999, beside=True)]
    states = carry_out(parts, out, card.RESERVE + 60, tmp_path / "kept")
    assert states == {"compile": "done", "next": "done"}


def test_one_table_with_the_ratios(out, tmp_path):
    parts = [part("step-global", value=0.5), part("torch-eager-global", value=2.0)]
    states = carry_out(parts, out, card.RESERVE + 60, tmp_path / "kept")
    result = gathered(parts, out, states)
    assert result["ratios"] == {"step, global, against eager": 0.25}
    assert result["device"] == "none"
    assert [row["found"] for row in rows(result)] == ["seconds 0.5", "seconds 2"]
    assert "| step, global, against eager | 0.25 |" in card.section(result)


def test_the_parts_are_in_order_of_importance(tmp_path):
    names = [each.name for each in parts_of(Options(tmp_path)) if not each.beside]
    assert names.index("parity-float32") < names.index("step-global") < names.index("profile-local")
    assert "small" not in names
    assert "small" in [each.name for each in parts_of(Options(tmp_path, data=tmp_path))]
    with pytest.raises(UserError, match="no time"):
        card.measure(Options(tmp_path, minutes=0.1))


def test_a_part_measures_on_whatever_device_there_is(tmp_path, monkeypatch):
    """Tiny, and without a step, whose compiling takes long: parity by itself is a step of both."""
    from benchmarks import card_parts

    options = card_parts.PartOptions("step-local", tmp_path / "x.json", tiny=True)
    setup = card_parts.setup_of("local", "train_step", options)
    assert (setup["height"], setup["device"], setup["mode"]) == (64, "cpu", "amp")
    large = card_parts.PartOptions("step-local", tmp_path / "x.json")
    setup = card_parts.setup_of("local", "train_step", large, "compile-prepared")
    assert (setup["height"], setup["batch"], setup["device"]) == (512, 4, "cuda")
    assert setup["mode"] == "compile" and setup["filters"] == 64
