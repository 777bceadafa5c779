"""The whole of `motion-jax evaluate` with a run whose pictures are known."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from motion_jax.config import Config, Data
from motion_jax.data import records
from motion_jax.data.pairs import Frames, limit
from motion_jax.errors import UserError
from motion_jax.evaluate import noise, reestimate, report, score
from motion_jax.evaluate.baseline import NearestFrame
from motion_jax.evaluate.evaluate import evaluate
from motion_jax.evaluate.measure import without_photos
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.evaluate.score import Piece
from motion_jax.pose.face import face_boxes
from motion_jax.pose.pose_pictures import poses_of
from motion_jax.recipes.everybody_dance_now import EverybodyDanceNow, Stage
from motion_jax.train.run import Run, fingerprint

HEIGHT, WIDTH = 32, 24


def pose(x, y):
    """[137, 3]: a body around (x, y)."""
    keypoints = np.zeros((137, 3), np.float32)
    for joint, (dx, dy) in {0: (0, -6), 1: (0, -4), 2: (-3, -4), 5: (3, -4), 8: (0, 2), 9: (-2, 2),
                            12: (2, 2), 10: (-2, 5), 13: (2, 5)}.items():  # fmt: skip
        keypoints[joint] = (x + dx, y + dy, 1)
    return keypoints


def render(keypoints, offset=0):
    """The one true picture of a pose: a bright square on a slope of greys."""
    frame = np.tile(np.linspace(40, 90, WIDTH), (HEIGHT, 1))[..., None].repeat(3, -1)
    x, y = np.round(keypoints[1, :2]).astype(int)
    frame[max(y - 3, 0) : y + 9, max(x - 3, 0) : x + 3] = (200, 120, 160)
    return np.clip(frame + offset, 0, 255).astype(np.uint8)


def poses(clip, count):
    t = np.arange(count) / count
    return np.stack([pose(8 + 8 * a + 2 * clip, 14 + 3 * np.sin(9 * a)) for a in t])


def dataset(folder, lengths=(20, 10), **changes):
    clips, start = [], 0
    for clip, length in enumerate(lengths):
        keypoints = poses(clip, length)
        boxes = face_boxes(keypoints, HEIGHT, WIDTH)
        rows = (
            {"frame": render(keypoints[i]), "keypoints": keypoints[i], "face_box": boxes[i],
             "clip": clip, "index": i, "time": i / 25}
            for i in range(length)
        )  # fmt: skip
        path = records.shard_path(folder, clip, len(lengths))
        records.write_shard(path, rows, HEIGHT, WIDTH, "png")
        clips.append((clip, 0, start, length))
        start += length
    source = {"file": "a.mp4", "estimator": {"name": "openpose"}}
    info = records.DatasetInfo(HEIGHT, WIDTH, tuple(clips), (source,), picture="png")
    records.finish_dataset(folder, replace(info, **changes), lengths)
    return records.open_dataset(folder)


class Synthesizer:
    """The true picture, a little brighter; frame by frame it also blinks."""

    def __init__(self, recurrent):
        self.recurrent, self.count, self.resets = recurrent, 0, 0

    def reset(self):
        self.count, self.resets = 0, self.resets + 1

    def feed(self, keypoints):
        made = []
        for points in keypoints:
            blink = 0 if self.recurrent else 8 * (self.count % 2)
            made.append(render(points, 4 + blink))
            self.count += 1
        return np.stack(made)


class Recipe(EverybodyDanceNow):
    """Its networks are never run."""

    recurrent = True

    def seen(self, moments):
        return poses_of(moments)


class KnownRun(Run):
    checkpoint = "c" * 64

    def synthesizer(self, recurrent=True, **settings):
        return Synthesizer(recurrent)


@pytest.fixture
def loaded(monkeypatch):
    """Says what load_chosen gives."""

    def load(run):
        monkeypatch.setattr("motion_jax.evaluate.measure.load_chosen", lambda place, step: run)
        return run

    return load


@pytest.fixture
def run(tmp_path, monkeypatch, loaded):
    data = dataset(tmp_path / "data")
    monkeypatch.setenv("MOTION_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MOTION_JAX_MODELS", raising=False)
    stage = Stage(steps=1, height=HEIGHT, width=WIDTH)
    made = KnownRun(
        folder=tmp_path / "run",
        config=Config(recipe=Recipe(global_stage=stage), data=Data(holdout=0.3)),
        stage="global",
        step=7,
        params={},
        dataset={"path": str(tmp_path / "data"), "fingerprint": fingerprint(data)},
    )
    return loaded(made)


def with_holdout(run, share):
    return replace(run, config=replace(run.config, data=Data(holdout=share)))


def options(run, **changes):
    return EvaluateOptions(**({"run": run.folder, "batch": 4} | changes))


def test_evaluate_end_to_end(run, capsys):
    result = evaluate(options(run, json=True))
    printed = capsys.readouterr().out
    assert json.loads(printed) == result  # nothing but JSON on standard output
    out = run.folder / "evaluation"
    assert json.loads((out / "evaluation.json").read_text()) == result
    assert result["frames"] == 9 and result["training_frames"] == 21 and result["step"] == 7
    methods = result["methods"]
    assert list(methods) == ["trained", "frame_by_frame", "nearest_frame"]
    # Brighter by 4 everywhere: exactly 20 log10(255 / 4).
    assert methods["trained"]["psnr"] == pytest.approx(36.09, abs=0.01)
    assert methods["trained"]["body_psnr"] == pytest.approx(36.09, abs=0.01)
    assert methods["trained"]["flicker"] == pytest.approx(0, abs=1e-5)
    assert methods["frame_by_frame"]["flicker"] == pytest.approx(8, abs=1e-3)
    assert methods["trained"]["ssim"] > methods["frame_by_frame"]["ssim"]
    assert methods["trained"]["psnr"] > methods["nearest_frame"]["psnr"]
    assert methods["nearest_frame"]["body_ssim"] < 1
    # What cannot be measured is absent, with its reason, and has no figure.
    for name in ("lpips", "pose_distance", "missed_detections"):
        assert methods["trained"][name] is None and result["absent"][name]
    assert "alexnet-owt-7be5be79.pth" in result["absent"]["lpips"]
    assert "come from files" in result["absent"]["pose_distance"]
    page = (out / "index.html").read_text()
    assert "better than the nearest training frame" in page and "<script" not in page
    assert page.count("<img") == 6 + 3 + 3
    assert set(re.findall(r'(?:src|href)="([^"]{5})', page)) == {"data:"}
    rows = list(csv.DictReader((out / "frames.csv").read_text().splitlines()))
    assert len(rows) == 27 and rows[0]["method"] == "trained"
    # The first frame of each of the two stretches has no flicker.
    trained = [row["flicker"] for row in rows if row["method"] == "trained"]
    assert [i for i, value in enumerate(trained) if value == ""] == [0, 6]


def test_table_for_people_and_fewer_frames(run, capsys, tmp_path):
    result = evaluate(options(run, max_frames=5, out=tmp_path / "elsewhere"))
    text = capsys.readouterr().out
    assert "[bold]" not in text
    assert (
        "nearest training frame" in text
        and "36.0" in text
        and "No LPIPS: " in text
        and "No pose distance, missed detections and person found: " in text
    )
    assert result["frames"] == 5 and (tmp_path / "elsewhere" / "index.html").is_file()
    assert not (run.folder / "evaluation").exists()
    assert limit([(0, 6), (20, 3)], 5) == [(0, 4), (20, 1)]
    assert limit([(0, 6), (20, 3)], 1) == [(0, 1)]
    assert limit([(0, 6)], 9) == [(0, 6)]


def test_another_dataset_is_noted(run, tmp_path):
    dataset(tmp_path / "other", lengths=(10,))
    result = evaluate(options(run, data=tmp_path / "other", json=True))
    assert result["frames"] == 3 and "not the dataset" in result["notes"][0]


def test_pairs_of_which_none_is_held_out_are_noted(run, tmp_path, capsys, monkeypatch):
    dataset(tmp_path / "pairs", options={"made_by": "pair", "holdout": 0.0})
    evaluate(options(run, data=tmp_path / "pairs"))
    (line,) = (x for x in capsys.readouterr().out.splitlines() if "No pair is held out" in x)
    assert line.endswith("figures of evaluate flatter; pair again with --holdout 0.2.")
    monkeypatch.setattr("motion_jax.evaluate.steps.has_checkpoint", lambda folder: True)
    monkeypatch.setattr("motion_jax.evaluate.steps.steps_of", lambda folder: [3, 7])
    evaluate(options(run, data=tmp_path / "pairs", step="all"))
    assert capsys.readouterr().err.splitlines().count(line) == 1
    dataset(tmp_path / "held", held_out=(1,), options={"made_by": "pair", "holdout": 0.2})
    assert "No pair" not in str(evaluate(options(run, data=tmp_path / "held"))["notes"])


def test_bad_input_is_one_sentence(run, loaded, tmp_path):
    out = run.folder / "evaluation"
    with pytest.raises(UserError, match=r"gone.*data"):
        loaded(replace(run, dataset=run.dataset | {"path": str(tmp_path / "gone")}))
        evaluate(options(run))
    with pytest.raises(UserError, match=r"no held-out frames with the run's holdout = 0;"):
        loaded(with_holdout(run, 0.0))
        evaluate(options(run))
    with pytest.raises(UserError, match=r"frames of 24x32.*wants 64x64"):
        larger = replace(run.config.recipe, global_stage=Stage(steps=1, height=64, width=64))
        loaded(replace(run, config=replace(run.config, recipe=larger)))
        evaluate(options(run))
    loaded(run)
    dataset(tmp_path / "coco", lengths=(10,), skeleton="coco_17")
    with pytest.raises(UserError, match=r"skeleton 'coco_17'"):
        evaluate(options(run, data=tmp_path / "coco"))
    with pytest.raises(UserError, match=r"not a finished dataset"):
        evaluate(options(run, data=tmp_path))
    with pytest.raises(UserError, match=r"max_frames 0"):
        evaluate(options(run, max_frames=0))
    with pytest.raises(UserError, match=r"batch 0"):
        evaluate(options(run, batch=0))
    assert not out.exists()


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(UserError, match=r"is not a run directory"):
        evaluate(EvaluateOptions(run=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_nearest_frame_shows_a_training_frame_of_the_pose(run):
    data = records.open_dataset(run.data_path)
    baseline = NearestFrame(Frames(data, HEIGHT, WIDTH), np.arange(0, 14), batch=4)
    asked = data.keypoints()[[3, 11, 13, 19, 0]]
    assert baseline.find(asked).tolist() == [3, 11, 13, 13, 0]
    shown = baseline.feed(asked)
    assert np.array_equal(shown[1], data[11]["frame"]) and len(shown) == 5
    assert baseline.feed(asked[:0]).shape == (0, HEIGHT, WIDTH, 3)
    hidden = np.zeros((1, 137, 3), np.float32)
    assert baseline.feed(hidden).shape == (1, HEIGHT, WIDTH, 3)
    with pytest.raises(ValueError, match="at least one"):
        NearestFrame(Frames(data, HEIGHT, WIDTH), np.arange(0))


def test_score_does_not_depend_on_pieces_and_checks_lengths():
    rng = np.random.default_rng(0)
    keypoints = poses(0, 7)
    real = np.stack([render(points) for points in keypoints])
    fake = np.clip(real + rng.normal(size=real.shape) * 9, 0, 255).astype(np.uint8)

    def scored(real, keypoints, **cut):
        stream = ((a, {"m": b}) for a, b in zip(real, fake, strict=False))
        return score.compare(score.pieces(stream, keypoints, **cut), batch=cut.get("batch", 4))

    found = [scored(real, keypoints, batch=batch, starts=(0, 3)) for batch in (2, 4)]
    results = [each.methods["m"] for each in found]
    for name, value in results[0].items():
        assert value == (None if value is None else pytest.approx(results[1][name], rel=1e-5))
    assert found[0].frames == 7 and results[0]["lpips"] is None
    by_hand = [
        np.abs((fake[i] - fake[i - 1].astype(float)) - (real[i] - real[i - 1].astype(float))).mean()
        for i in (1, 2, 4, 5, 6)
    ]
    assert results[0]["flicker"] == pytest.approx(np.mean(by_hand), rel=1e-4)
    with pytest.raises(ValueError, match="6 frames for 7 poses"):
        scored(real[:6], keypoints)
    with pytest.raises(ValueError, match="more frames"):
        scored(real, keypoints[:6])


def test_examples_are_the_best_the_worst_and_evenly_spread():
    keypoints = np.repeat(poses(0, 1), 20, 0)
    real = np.stack([render(points) for points in keypoints])
    errors = np.random.default_rng(1).permutation(20) + 1
    stream = ((a, {"m": a + np.uint8(e)}) for a, e in zip(real, errors, strict=True))
    found = score.compare(score.pieces(stream, keypoints, batch=4), total=20, batch=4)
    groups = {
        group: [e.frame for e in found.examples if e.group == group]
        for group in ("evenly spread", "best", "worst")
    }
    order = np.argsort(errors)
    assert groups["best"] == order[:3].tolist() and groups["worst"] == order[:-4:-1].tolist()
    assert groups["evenly spread"] == [0, 4, 8, 11, 15, 19]
    row = report.picture_row(found.examples[0])
    assert row.shape[0] > report.PICTURE_HEIGHT and row.shape[1] > 4 * 168


def judged(trained: dict, nearest: dict, **others) -> str:
    methods = {"trained": trained, "nearest_frame": nearest}
    return report.verdict({"methods": methods, "frames": 3, **others})


def test_the_verdict_begins_with_what_a_person_sees():
    """The detector found nobody in the pictures, and by pixels they were better all the same."""
    text = judged(
        {"psnr": 18.88, "ssim": 0.9, "person_found": 0.0, "flicker": 1.0},
        {"psnr": 17.2, "ssim": 0.8, "person_found": 0.97, "flicker": 6.0},
        reestimated_real={"person_found": 0.98},
        noise={"psnr": 0.4, "ssim": 0.01, "flicker": 0.5},
    )
    assert text.startswith(
        "Nobody is recognised in the pictures of the trained model, and somebody in 98 % of the "
        "true ones. More steps, more film or another method"
    )
    assert "steadier than the nearest training frame (flicker 1.000 against 6.000" in text
    assert text.endswith("is recognised: an empty room with a blur in it has good figures, too.")
    some = judged(
        {"person_found": 0.3, "pose_distance": 9.0}, {}, reestimated_real={"person_found": 0.9}
    )
    assert some.startswith("A person is recognised in only 30 % of the pictures")
    seen = judged(
        {"person_found": 0.96, "pose_distance": 2.5}, {}, reestimated_real={"person_found": 0.99}
    )
    assert seen == (
        "A person is recognised in 96 % of the pictures of the trained model (99 % of the true "
        "ones), 2.500 pixels from the pose asked for."
    )
    blind = judged({"person_found": 0.0}, {}, reestimated_real={"person_found": 0.0})
    assert "the detector fails on this film, not the model" in blind
    unknown = judged({"psnr": 1.0}, {}, absent={"person_found": "not asked for"})
    assert unknown == "Whether a person is seen was not measured: not asked for."


def test_the_verdict_calls_a_tie_a_tie():
    ours, theirs = {"psnr": 18.88, "ssim": 0.9}, {"psnr": 18.77, "ssim": 0.8}
    text = judged(ours, theirs, noise={"psnr": 0.31, "ssim": 0.02})
    assert "a tie with the nearest training frame in PSNR 18.88 against 18.77 (within 0.31)" in text
    assert "better than the nearest training frame in SSIM 0.9 against 0.8" in text
    worse = judged({"psnr": 18.0}, {"psnr": 19.0}, noise={"psnr": 0.31})
    assert worse == "By pixels it is worse than the nearest training frame in PSNR 18 against 19."
    # What nobody sees is none either, however certain it is.
    assert "a tie" in judged({"psnr": 18.05}, {"psnr": 18.0}, noise={"psnr": 0.0})
    assert "(too few frames to tell)" in judged({"psnr": 19.0}, {"psnr": 9.0}, noise={"psnr": None})


def test_noise_is_that_of_stretches_not_of_frames():
    random = np.random.default_rng(0)
    # Ten stretches of twenty equal frames: not two hundred observations.
    apart = np.repeat(random.normal(size=10), 20)
    whole = noise.noise(apart, np.zeros(200))
    assert whole == pytest.approx(2 * apart[::20].std(ddof=1) / np.sqrt(10))
    assert noise.noise(np.array([1.0, np.nan]), np.zeros(2)) == float("inf")
    assert noise.noises({"psnr": np.ones(1), "a": apart}, {"psnr": np.zeros(1)}) == {"psnr": None}


def test_dashes_and_odd_figures_are_explained():
    result = {
        "methods": {
            "trained": {"psnr": 20.0, "pose_distance": None, "missed_detections": None},
            "nearest_frame": {"psnr": 19.0, "pose_distance": 3.0, "missed_detections": 80.0},
        },
        "frames": 40,
        "reestimated_frames": 40,
        "reestimated_real": {
            "pose_distance": 2.0, "missed_detections": 88.0, "missed_detections_body": 1.0,
            "missed_detections_face": 55.0, "missed_detections_hands": 32.0,
        },
    }  # fmt: skip
    assert report.remarks(result) == [
        "\u2013: trained has no pose distance and no missed joints, because nobody was found in "
        "those pictures (person found says in how many)."
    ]
    sentence = report.detector_sentence(result)
    assert "misses 88.00 of the dataset's joints a frame" in sentence
    assert "1.000 of the body, 55.00 of the face, 32.00 of the hands" in sentence
    assert sentence.endswith("compare the methods with this figure, not with 0.")
    result["reestimated_real"] = {"pose_distance": None, "missed_detections": None}
    assert "finds nobody on the true frames" in report.detector_sentence(result)


def test_reestimation_gives_each_method_its_distance(run, loaded, monkeypatch, tmp_path):
    """The detector is replaced: it finds the square's pose 2 pixels (of the video) too far right
    in videos of `trained`, and nobody in those of `nearest_frame`."""
    from motion_jax.video.reader import read_frames

    loaded(with_holdout(run, 0.7))
    true = records.open_dataset(run.data_path).keypoints()

    def choose(dataset, wish, model):
        return reestimate.Detector(Path("model"), "body")

    def estimate(path, *, detail, model):
        frames = [frame.image for frame in read_frames(path)]
        assert detail == "body" and frames[0].shape == (256, 192, 3)
        name = path.stem.split("-", 1)[1]
        if name == "nearest_frame":
            raise UserError("No person found in it.")
        keypoints = true[6:20].copy() * np.float32([8, 8, 1])
        assert len(frames) == len(keypoints)
        if name == "trained":
            keypoints[..., 0] += 16 * (keypoints[..., 2] > 0)
        found = np.ones(len(frames), bool)
        found[3] = False
        return SimpleNamespace(keypoints=keypoints, found=found)

    monkeypatch.setattr("motion_jax.evaluate.measure.choose_detector", choose)
    monkeypatch.setattr("motion_jax.pose.estimate.estimate_video", estimate)
    result = evaluate(options(run, reestimate="yes", json=True))
    methods = result["methods"]
    assert result["reestimated_frames"] == 14  # the second clip's 7 are too few
    assert methods["trained"]["pose_distance"] == pytest.approx(2.0)
    assert (
        methods["trained"]["missed_detections"] == 0
    )  # the frame without a person is counted by person_found
    assert methods["trained"]["person_found"] == pytest.approx(13 / 14)
    assert methods["nearest_frame"]["person_found"] == 0
    assert methods["nearest_frame"]["pose_distance"] is None
    assert methods["nearest_frame"]["missed_detections"] is None
    assert result["verdict"].startswith("A person is recognised in 93 % of the pictures")
    assert result["reestimated_real"]["pose_distance"] == 0
    assert "pose_distance" not in result["absent"]


def test_choosing_the_detector(run, tmp_path, shared, monkeypatch):
    files = records.open_dataset(run.data_path)
    assert reestimate.choose_detector(files, "no", None).bundle is None
    info = replace(files.info, sources=({"estimator": {"name": "mediapipe"}},))
    estimated = SimpleNamespace(info=info, has_keypoints=True)
    detector = reestimate.choose_detector(estimated, "auto", None)
    assert detector.bundle is None and detector.detail == "holistic"
    assert "not on this machine" in detector.why_not
    monkeypatch.setenv("MOTION_JAX_MODELS", str(shared / "models"))
    detector = reestimate.choose_detector(estimated, "auto", None)
    assert detector.bundle.name == "holistic_landmarker.task" and detector.why_not == ""


def test_one_that_ends_early_leaves_no_folder(run, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("motion_jax.evaluate.measure.compare", interrupted)
    for there in (False, True):
        out = tmp_path / f"out-{there}"
        if there:
            out.mkdir()
        with pytest.raises(KeyboardInterrupt):
            evaluate(options(run, out=out))
        assert out.exists() == there


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_photo_that_begins_a_clip_is_no_result(batch):
    """Two clips of 4 and 2 frames; each frame's grey level is its number."""

    def pieces():
        for start, count in ((0, 4), (4, 2)):
            for first in range(start, start + count, batch):
                numbers = np.arange(first, min(first + batch, start + count))
                pictures = np.broadcast_to(numbers[:, None, None, None], (len(numbers), 2, 2, 3))
                yield Piece(
                    real=pictures.astype(np.uint8),
                    fakes={"trained": pictures.astype(np.uint8)},
                    keypoints=np.zeros((len(numbers), 137, 3)),
                    face_boxes=np.zeros((len(numbers), 4)),
                    first=first == start,
                    labels=[str(number) for number in numbers],
                )

    found = list(without_photos(pieces()))
    for values in ([p.real for p in found], [p.fakes["trained"] for p in found]):
        assert np.concatenate(values)[:, 0, 0, 0].tolist() == [1, 2, 3, 5]
    assert [label for p in found for label in p.labels] == ["1", "2", "3", "5"]
    assert [p.labels[0] for p in found if p.first] == ["1", "5"]
