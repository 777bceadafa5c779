"""Suggestions: the rules on machines and datasets of paper, and that what they say can be typed."""

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

from motion_jax.cli import train as command
from motion_jax.config import load_config
from motion_jax.data import quality
from motion_jax.data.advice import advise, bars
from motion_jax.plan import choices, machine, suggest, words
from motion_jax.plan.machine import Machine, measured_machine
from motion_jax.plan.options import SuggestOptions
from motion_jax.plan.suggest import Dataset, propose
from motion_jax.plan.words import duration, in_words, sentences, to_json
from motion_jax.pose.face import face_heights
from motion_jax.pose.skeleton import FACE
from motion_jax.profiling.size import stage_size

LAPTOP = Machine("2 CPU cores", False, 16e9, {"float32": 40e9}, "measured")
CARD = Machine("a card", True, 80e9, {"float32": 60e12, "bfloat16": 150e12}, "measured")
# Of an H200, as a card: rates of a residual block near its peak.
H200 = Machine("an H200", True, 150e9, {"float32": 350e12, "bfloat16": 700e12}, "measured", 4e12)
MINUTE = Dataset(1180, 1179, 256, 256, 0.1, 0.9, "data/me")


def chosen(suggestion):
    return suggestion.chosen and suggestion.chosen.name


def against(suggestion, name):
    return next(c.against for c in suggestion.candidates if c.name == name)


def change(value, **changes):
    return dataclasses.replace(value, **changes)


@pytest.mark.parametrize(
    ("dataset", "device", "name", "settings"),
    [
        (MINUTE, LAPTOP, "two_cores", ""),
        (MINUTE, CARD, "small", ""),
        # Everything there is: the large one, at its own width.
        (change(MINUTE, frames=12_000, pairs=11_990, height=512, width=512), CARD,
         "everybody_dance_now", ""),
        # Fewer frames than were ever published: narrower.
        (change(MINUTE, frames=4_000, pairs=3_999, height=512, width=512), CARD,
         "everybody_dance_now", "--width 48"),
        # Too few for it at all, and half the size is small's.
        (change(MINUTE, height=512, width=512), CARD, "small", ""),
        # Ten seconds of film, without a face: narrow, no face stage, 200 passes.
        (change(MINUTE, frames=200, pairs=199, faces=0.2), CARD, "small",
         "--width 16 --recipe.face-stage.steps 0 --recipe.face-stage.decay-steps 0 "
         "--recipe.global-stage.steps 9950 --recipe.global-stage.decay-steps 3316 "
         "--recipe.local-stage.steps 9950 --recipe.local-stage.decay-steps 4975"),
        # Poses that were seen once only count as fewer frames.
        (change(MINUTE, frames=500, pairs=499, alone=0.6), LAPTOP, "two_cores", "--width 16"),
        # Other shapes: as many pixels as the config's at most, and half of that at least.
        (change(MINUTE, height=256, width=128), LAPTOP, "two_cores",
         "--recipe.global-stage.width 32 --recipe.local-stage.width 64 "
         "--recipe.face-stage.width 64"),
        # Too slow for a night, but there is nothing quicker.
        (MINUTE, change(LAPTOP, step_flops={"float32": 1e9}), "two_cores", ""),
        # Not measured: the best that fits.
        (MINUTE, change(LAPTOP, step_flops={}, how="no idea"), "small", ""),
        (MINUTE, change(CARD, memory_bytes=1e9), "two_cores", ""),
        (MINUTE, change(CARD, memory_bytes=0), "small", ""),
        (change(MINUTE, height=80, width=80), CARD, None, ""),
        (MINUTE, change(LAPTOP, memory_bytes=1e9), None, ""),
    ],
)  # fmt: skip
def test_the_best_that_data_memory_and_a_night_allow(dataset, device, name, settings):
    found = propose(dataset, device)
    assert chosen(found) == name
    text = " ".join(sentences(found))
    assert f"{dataset.frames:,} training frames" in text
    if name is None:
        assert "None of the shipped configs can be trained here: everybody_dance_now " in text
        return
    assert " ".join(found.chosen.settings) == settings
    assert f"`{found.command}`" in text and found.command.startswith(
        f"motion-jax train {name} --data data/me --run RUN"
    )
    # What is suggested can be typed, and is then what was reckoned with.
    default = load_config(name)
    _, config = command.parse(default, name, list(found.chosen.settings))
    assert config == found.chosen.config
    config.validate()
    last = list(config.recipe.stages().values())[-1]
    assert dataset.height % last.height == 0 and dataset.width % last.width == 0
    json.dumps(to_json(found))


def test_where_no_config_fits_there_are_other_ways():
    at_once = "`motion-jax transfer --method nearest --data data/me --source VIDEO --out OUT.mp4`"
    compared = "`motion-jax compare --target data/me --source VIDEO --out FOLDER"
    for size, methods in (
        ((64, 64), ""),
        # No U-Net: 80 is halved four times.
        ((80, 80), " --methods nearest,nearest-angle,cyclegan,pix2pixhd,everybody-dance-now"),
    ):
        text = " ".join(sentences(propose(change(MINUTE, height=size[0], width=size[1]), LAPTOP)))
        assert "None of the shipped configs" in text and at_once in text
        assert f"{compared}{methods}`" in text
    odd = " ".join(sentences(propose(change(MINUTE, height=18, width=18), LAPTOP)))
    assert at_once in odd and "motion-jax compare" not in odd


def test_time_is_steps_by_speed():
    found = propose(MINUTE, LAPTOP)
    recipe = found.chosen.config.recipe
    flops = sum(
        stage.steps * stage_size(recipe, name).flops for name, stage in recipe.stages().items()
    )
    assert found.chosen.seconds == pytest.approx(1.1 * flops / 40e9)
    twice = propose(MINUTE, change(LAPTOP, step_flops={"float32": 80e9}))
    assert twice.chosen.seconds == pytest.approx(found.chosen.seconds / 2)
    assert to_json(found)["hours"] == pytest.approx(1.1 * flops / 40e9 / 3600)
    # The config's own precision, where it was measured.
    large = change(MINUTE, frames=12_000, pairs=11_990, height=512, width=512)
    half = propose(large, change(CARD, step_flops={"float32": 60e12, "bfloat16": 120e12}))
    assert half.chosen.seconds == pytest.approx(propose(large, CARD).chosen.seconds * 150 / 120)


def test_it_says_why_not_more():
    found = propose(MINUTE, LAPTOP)
    text = " ".join(sentences(found))
    on_card = " ".join(sentences(propose(MINUTE, CARD)))
    assert "everybody_dance_now would give a better picture, but needs a dataset of 512x" in on_card
    hours = next(c for c in found.candidates if c.name == "small").seconds
    assert hours > 12 * 3600
    assert f"small would give a better picture, but would take {duration(hours)}." in text
    large = change(MINUTE, height=512, width=512)
    assert "wants 3,000 training frames" in against(propose(large, CARD), "everybody_dance_now")
    big = change(large, frames=12_000, pairs=11_990)
    assert "GB of memory, and there are 16," in against(propose(big, LAPTOP), "everybody_dance_now")
    slow = propose(MINUTE, change(LAPTOP, step_flops={"float32": 1e9}))
    assert "longer than a night" in " ".join(sentences(slow))
    unknown = propose(MINUTE, change(LAPTOP, step_flops={}, how="it melted"))
    assert "How long it takes is not known: it melted." in " ".join(sentences(unknown))
    assert propose(MINUTE, LAPTOP).command in sentences(found)[1]
    assert sentences(found, "This")[1].startswith("This takes about")
    weights = " ".join(sentences(propose(big, CARD)))
    assert "motion-jax fetch vgg19" in weights and "motion-jax fetch vgg19" not in text
    narrow = " ".join(sentences(propose(change(MINUTE, frames=100, pairs=99), CARD)))
    assert "16 channels wide instead of 32" in narrow and "rule of thumb" in narrow


def test_places_with_spaces_can_be_pasted():
    assert "--data 'my data' --run" in propose(change(MINUTE, place="my data"), LAPTOP).command


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1 minute"), (700, "12 minutes"), (5399, "90 minutes"), (6000, "1.7 hours"),
     (47.6 * 3600, "47.6 hours"), (5 * 86400, "5 days")],
)  # fmt: skip
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_this_machine_is_measured():
    found = measured_machine()
    assert found is measured_machine()
    assert 1e7 < found.step_flops["float32"] < 1e15 and found.memory_bytes > 1e8
    assert re.search(r"reckoned from \d+ GFLOP/s", found.how)
    assert "CPU core" in found.device and not found.accelerator


def test_a_device_that_is_taken_is_said_to_be(monkeypatch):
    def taken(*_):
        raise RuntimeError("RESOURCE_EXHAUSTED: out of memory\nmore")

    measured_machine.cache_clear()
    monkeypatch.setattr(machine, "_block_flops", taken)
    try:
        found = measured_machine()
    finally:
        measured_machine.cache_clear()
    assert found.step_flops == {} and found.memory_bytes > 1e8
    assert found.how.endswith("(RESOURCE_EXHAUSTED: out of memory)")
    assert propose(MINUTE, found).chosen.seconds is None


def test_of_a_device_that_nobody_timed_nothing_is_known(monkeypatch):
    """By arithmetic alone an estimate for a GPU was wrong by 23 times."""
    measured_machine.cache_clear()
    monkeypatch.setattr(machine.jax, "default_backend", lambda: "tpu")
    try:
        found = measured_machine()
    finally:
        measured_machine.cache_clear()
    assert found.step_flops == {}
    text = " ".join(sentences(propose(MINUTE, found)))
    assert "How long it takes is not known: on such a device no estimate was ever" in text


def test_the_quality_report_has_it():
    found = propose(change(MINUTE, place="a<b"), LAPTOP)
    text = "".join(quality._training(in_words(found)))
    assert "1,180 training frames" in text and "motion-jax train two_cores --data" in text
    assert "a<b" not in text and "a&lt;b" in text
    assert text.count("<tr>") == 1 + len(found.candidates) and "proposed" in text
    nothing = "".join(
        quality._training(in_words(propose(change(MINUTE, height=80, width=80), LAPTOP)))
    )
    assert "None of the shipped configs" in nothing and "--run RUN" not in nothing


def test_a_short_film_is_shown_as_it_is():
    """8 seconds: the same recommendation in the report, on the terminal and in --dry-run."""
    found = propose(change(MINUTE, frames=200, pairs=199), CARD)
    at_once = "motion-jax transfer --method nearest --data data/me --source VIDEO --out OUT.mp4"
    assert found.recommended == in_words(found).command == at_once
    assert to_json(found)["recommended"] == at_once
    for text in (" ".join(sentences(found)), in_words(found).text):
        assert f"no training: `{at_once}`; or film a minute more" in text
        assert f"`{found.command}` takes about" in text
        assert "would give a better picture" not in text
    assert propose(MINUTE, CARD).recommended == propose(MINUTE, CARD).command
    urgent = advise({**QUALITY, "records": 200, "frames": 200})[0].text
    assert "transfer --method nearest" in urgent and "small" not in urgent


def test_what_takes_over_a_week_is_not_offered():
    crawling = change(LAPTOP, step_flops={"float32": 1e7})
    found = propose(MINUTE, crawling)
    text = " ".join(sentences(found))
    assert found.chosen is None and "two_cores would take over a week" in text
    assert "days" not in text and "transfer --method nearest" in found.recommended
    assert [row[-2] for row in words.rows(found)][1:] == ["over a week"] * 2
    # Nor named as what would be better.
    large = next(c for c in propose(MINUTE, LAPTOP).candidates if c.name == "everybody_dance_now")
    assert large.seconds > 7 * 24 * 3600
    assert "everybody_dance_now" not in " ".join(sentences(propose(MINUTE, LAPTOP)))


def test_faces_of_a_few_pixels_have_no_stage():
    """As the report advises."""
    small = propose(change(MINUTE, face_height=12.0), CARD)
    assert "--recipe.face-stage.steps 0" in small.command
    assert "face-stage" not in propose(change(MINUTE, face_height=30.0), CARD).command


@pytest.mark.parametrize("device", [CARD, LAPTOP])
def test_a_faces_height_is_its_own_and_not_its_boxs(monkeypatch, device):
    """8 pixels from brow to chin, in a box of 64, as the report measures it."""
    points = np.zeros((2, 137, 3), np.float32)
    points[:, FACE] = [100, 100, 1]
    points[0, FACE.start] = [100, 108, 1]
    points[1, FACE] = 0
    np.testing.assert_array_equal(face_heights(points), [8, np.nan])
    coverage = SimpleNamespace(distances=np.zeros(0))
    monkeypatch.setattr(suggest, "measure", lambda *_: coverage)
    monkeypatch.setattr(suggest, "stretches", lambda *_: [(0, 1180)])
    monkeypatch.setattr(suggest, "windows", lambda *_: range(1179))
    people = MagicMock(size=(256, 256), clips=[])
    people.__len__.return_value = 2
    people.keypoints.return_value = points
    people.face_boxes.return_value = np.tile(np.float32([64, 64, 128, 128]), (2, 1))
    facts = suggest.facts_of(people, 0.2, "data/me")
    assert facts.face_height == 8 and facts.faces == 1
    no_face = "--recipe.face-stage.steps 0 --recipe.face-stage.decay-steps 0"
    assert no_face in propose(facts, device).command
    # Poses without a face's points: nobody looked for one, though boxes stand around noses.
    people.keypoints.return_value = np.zeros((2, 137, 3), np.float32)
    facts = suggest.facts_of(people, 0.2, "data/me")
    assert facts.face_height == float("inf") and not facts.has_faces
    assert no_face in propose(facts, device).command


def test_a_busy_machine_is_said_to_be(monkeypatch):
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(machine.os, "getloadavg", lambda: (11.2, 5.0, 1.0))
    busy = machine.this_machine({"float32": 40e9}, "measured")
    said = " ".join(sentences(propose(MINUTE, busy)))
    assert "(load 11 on 2 cores): if other programs use it, this takes less on an idle one." in said
    # Of what was not measured now, nothing is said.
    assert not machine.this_machine({}, "not at all").busy
    monkeypatch.setattr(machine.os, "getloadavg", lambda: (2.0, 5.0, 11.0))
    assert not machine.this_machine({"float32": 40e9}, "measured").busy


@pytest.mark.parametrize("frames", [200, 1180])
def test_too_little_film_is_said_before_what_would_train_it(monkeypatch, capsys, frames):
    facts, busy = change(MINUTE, frames=frames, pairs=frames - 1), change(LAPTOP, busy="Much ran.")
    for name, value in (("facts_of", facts), ("open_dataset", None), ("measured_machine", busy)):
        monkeypatch.setattr(choices, name, lambda *_, value=value: value)
    choices.suggest(SuggestOptions(Path("data/me")))
    said = capsys.readouterr().err
    assert said.count("Much ran.") == 1
    assert ("too little film" in said) == (frames == 200)
    if frames == 200:
        assert said.index("transfer --method nearest") < said.index("look, about")


def test_bars_are_reported_with_a_better_size():
    upright = {**VIDEO, "width": 720, "height": 1280,
               "crop": {"left": -280, "top": 0, "width": 1280, "height": 1280}}  # fmt: skip
    quality = {**QUALITY, "videos": [upright]}
    assert bars(upright) == pytest.approx(0.4375)
    text = " ".join(item.text for item in advise(quality))
    assert "44 % of each frame is black bars: a.mp4 is 720x1280" in text
    # As many pixels as 256x256 or a little fewer: the same config takes them.
    assert "--size 160x288" in text
    turned = propose(change(MINUTE, height=288, width=160), CARD)
    assert turned.command.startswith("motion-jax train small")
    assert "black bars" not in " ".join(item.text for item in advise(QUALITY))


VIDEO = {
    "name": "a.mp4", "width": 1280, "height": 720, "fps": 25.0, "kept": 2000, "record": [0],
    "crop": {"left": 0, "top": 0, "width": 720, "height": 720}, "face_visible": [True],
    "face_height": [40.0], "left_hand_visible": [True], "right_hand_visible": [True],
    "body_visible": {"legs": 1.0, "arms": 1.0}, "people": [1], "filled": [0], "blur": [200.0],
}  # fmt: skip
QUALITY = {
    "size": [256, 256], "fit": "crop", "detail": "holistic", "records": 2000, "frames": 2000,
    "clips": [{}], "rejected": {}, "videos": [VIDEO],
}  # fmt: skip


def test_a_gpus_step_is_reckoned_from_its_arithmetic_its_bytes_and_its_kernels():
    """Against the programs that XLA compiles for an H200: 16.2 TFLOP, 30 GB beside the convolutions
    and 1,980 kernels a step of 8 windows at 512x256; 18.3 TFLOP, 48 GB, 2,395 at 1024x512."""
    recipe = load_config("everybody_dance_now").recipe
    compiled = {
        "global": (256, 512, 8, 16.2e12, 30.1e9, 1980),
        "local": (512, 1024, 4, 18.3e12, 47.7e9, 2395),
    }
    for name, (height, width, batch, flops, moved, kernels) in compiled.items():
        stage = dataclasses.replace(
            recipe.stages()[name], height=height, width=width, batch_size=batch
        )
        changes = {f"{name}_stage": stage, "dtype": "bfloat16"}
        size = stage_size(dataclasses.replace(recipe, **changes), name)
        assert size.flops == pytest.approx(flops, rel=0.1)
        assert size.moved_bytes == pytest.approx(moved, rel=0.1)
        assert size.kernels == pytest.approx(kernels, rel=0.25)
        seconds = machine.step_seconds(size, H200, "bfloat16")
        parts = size.flops / 700e12 + size.moved_bytes / 4e12 + size.kernels * 4e-6
        assert seconds == pytest.approx(parts)
        # Without its bandwidth, by arithmetic alone; without a rate, not at all.
        alone = dataclasses.replace(H200, bandwidth=0.0)
        assert machine.step_seconds(size, alone, "bfloat16") == pytest.approx(size.flops / 700e12)
        assert machine.step_seconds(size, change(H200, step_flops={}), "bfloat16") is None
