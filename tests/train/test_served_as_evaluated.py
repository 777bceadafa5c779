"""What transfer writes is what evaluation measured, and the checkpoint that evaluation likes best
is the one that transfer takes."""

import base64
import io
import json
import threading
from dataclasses import replace

import httpx
import jax
import numpy as np
import pytest
from PIL import Image
from websockets.sync.client import connect

from motion_jax.config import Config, Data, Record
from motion_jax.data.pairs import stretches
from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError
from motion_jax.evaluate.evaluate import evaluate
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.events import StopToken, watched
from motion_jax.pose.draw import PoseStyle, draw_host
from motion_jax.recipes import cyclegan, pix2pix
from motion_jax.recipes import everybody_dance_now as edn
from motion_jax.serve.app import HEAD
from motion_jax.serve.command import serve
from motion_jax.serve.options import ServeOptions
from motion_jax.train import heldout
from motion_jax.train.checkpoint import quick_record
from motion_jax.train.loop import train
from motion_jax.train.run import load_run
from motion_jax.transfer.command import prepared
from motion_jax.transfer.options import TransferOptions
from motion_jax.video.writer import VideoWriter

HOLDOUT = 0.25
STYLE = PoseStyle(face_points=0, hands=False, stroke=2.0)
STAGE = pix2pix.Stage(steps=3, decay_steps=1, height=32, width=32, learning_rate=0.01)
GENERATOR = pix2pix.Generator("resnet", 2, n_blocks=0, norm="batch", dropout=True)
DISCRIMINATOR = pix2pix.Discriminator("pixel", 2, norm="instance")
RECIPES = {
    "pix2pix": pix2pix.Pix2Pix(
        generator=GENERATOR,
        discriminator=DISCRIMINATOR,
        main_stage=STAGE,
        pose_style=STYLE,
        averaging=0.9,
    ),
    "cyclegan": cyclegan.CycleGAN(
        generator=replace(GENERATOR, norm="instance", dropout=False),
        discriminator=DISCRIMINATOR,
        losses=cyclegan.Losses(identity=0.0),
        main_stage=STAGE,
        domain_A="poses",
        pose_style=STYLE,
        pool_size=2,
    ),
    "plate": edn.EverybodyDanceNow(
        generator=edn.Generator(ngf=2, n_downsampling=1, n_blocks=0),
        discriminator=edn.Discriminator(ndf=2, n_layers=1),
        losses=edn.Losses(perceptual="none", l1=10.0),
        global_stage=edn.Stage(steps=3, height=32, width=32, num_D=1, learning_rate=0.01),
        background="plate",
        pose_style=STYLE,
    ),
}
RECORD = Record(
    log_every=1, sample_every=100, sample_seconds=0.1, checkpoint_every=1, keep=9, trace=False,
    keep_best="heldout",
)  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory, dataset):
    """name -> run folder of three checkpoints, each trained once."""
    made = {}

    def run(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("served") / name
            config = Config(recipe=RECIPES[name], data=Data(holdout=HOLDOUT), record=RECORD)
            train(config, dataset, made[name])
        return made[name]

    return run


@pytest.fixture(scope="module")
def held(tmp_path_factory, dataset):
    """(video of as many frames as are held out, folder of their poses as OpenPose JSON)."""
    folder, data = tmp_path_factory.mktemp("held"), open_dataset(dataset)
    [(first, count)] = stretches(data, HOLDOUT, "heldout")
    with VideoWriter(folder / "source.mp4", 32, 32) as writer:
        for i in range(count):
            writer.write(data[first + i]["frame"], i / 25)
    (folder / "poses").mkdir()
    for i, pose in enumerate(data.keypoints()[first : first + count]):
        person = {"pose_keypoints_2d": pose[:25].astype(float).ravel().tolist()}
        text = json.dumps({"people": [person]})
        (folder / "poses" / f"{i:012d}_keypoints.json").write_text(text)
    return folder / "source.mp4", folder / "poses"


@pytest.mark.parametrize("step", ["latest", "best", "1"])
@pytest.mark.parametrize("name", RECIPES)
def test_transfer_gives_the_pictures_that_evaluation_saw(
    runs, held, name, step, tmp_path, monkeypatch, capsys
):
    from motion_jax.evaluate import measure

    measured, compare = [], measure.compare

    def watched(stream, **settings):
        def seen():
            for piece in stream:
                measured.extend(piece.fakes["trained"])
                yield piece

        return compare(seen(), **settings)

    monkeypatch.setattr(measure, "compare", watched)
    options = {"reestimate": "no", "json": True, "batch": 4}
    found = evaluate(EvaluateOptions(runs(name), step=step, out=tmp_path / "e", **options))
    source, poses = held
    driven = prepared(
        TransferOptions(
            source=source, out=tmp_path / "out.mp4", run=runs(name), step=step, poses=poses,
            normalize="none", smooth=False, swaps=False, bones=False, chunk=3,
        )
    )  # fmt: skip
    served = [picture for _, picture in driven.player.play(driven.moments)]
    assert len(served) == len(measured) == found["frames"] == 6
    np.testing.assert_array_equal(np.stack(served), np.stack(measured))
    assert (served[0] != served[-1]).any()


def test_training_scores_each_checkpoint_as_evaluation_does(runs, capsys, tmp_path):
    folder = runs("pix2pix")
    scores = {s: quick_record(folder / "checkpoints", s)["score"] for s in (1, 2, 3)}
    assert len(set(scores.values())) == 3
    for step, score in scores.items():
        found = evaluate(
            EvaluateOptions(folder, step=str(step), out=tmp_path, reestimate="no", json=True)
        )
        assert found["step"] == step
        assert 1 - found["methods"]["trained"]["ssim"] == pytest.approx(score, abs=1e-5)
    best = min(scores, key=scores.get)
    assert load_run(folder, "best").step == best
    assert "the lowest of 3 checkpoints" in capsys.readouterr().err


def test_all_checkpoints_in_one_table(runs, tmp_path, capsys):
    folder = runs("cyclegan")
    found = evaluate(EvaluateOptions(folder, step="all", out=tmp_path / "all", reestimate="no"))
    assert [row["step"] for row in found["steps"]] == [1, 2, 3]
    table = capsys.readouterr().out
    for row in found["steps"]:
        one = tmp_path / "all" / f"step-{row['step']:07d}" / "evaluation.json"
        figures = json.loads(one.read_text())["methods"]["trained"]
        assert {name: row[name] for name in ("psnr", "ssim")} == {
            name: figures[name] for name in ("psnr", "ssim")
        }
        assert f"{row['psnr']:.2f}" in table
    assert found["best"] == max(found["steps"], key=lambda row: row["ssim"])["step"]
    assert json.loads((tmp_path / "all" / "steps.json").read_text()) == found
    assert f"step {found['best']}" in (tmp_path / "all" / "steps.html").read_text()


def test_best_without_a_score_needs_an_evaluation(runs, tmp_path, capsys):
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(runs("pix2pix"), folder)
    for path in folder.glob("checkpoints/*/record/metadata"):
        record = json.loads(path.read_text())
        del record["score"]
        path.write_text(json.dumps(record))
    with pytest.raises(UserError, match="motion-jax evaluate --run .* --step all"):
        load_run(folder, "best")
    found = evaluate(EvaluateOptions(folder, step="all", reestimate="no", json=True))
    assert load_run(folder, "best").step == found["best"]


@pytest.mark.parametrize(
    "step, sentence",
    [("7", "keeps no checkpoint of step 7; it has those of 1, 2, 3"), ("first", "is none of")],
)
def test_checkpoints_that_are_not_there(runs, step, sentence):
    with pytest.raises(UserError, match=sentence):
        load_run(runs("pix2pix"), step)


def test_pictures_without_partners_are_scored_too(unpaired):
    recipe = replace(RECIPES["cyclegan"], domain_A="frames")
    config, data = Config(recipe=recipe, data=Data(holdout=0.4)), open_dataset(unpaired)
    scorer, scores = heldout.HeldOut(config, "main", data), []
    for seed in range(2):
        params = recipe.synthesis_params(recipe.init(jax.random.key(seed), "main"))
        scores.append(scorer.score(params))
        assert scorer.score(params) == scores[-1]
    assert all(0 < score < 100 for score in scores) and scores[0] != scores[1]
    assert not scorer.paired
    with pytest.raises(UserError, match=r"holds out none with data.holdout = 0"):
        heldout.check(replace(config, data=Data(holdout=0.0)), data)


@pytest.mark.parametrize("name", RECIPES)
def test_the_server_gives_the_pictures_that_transfer_writes(runs, held, name, tmp_path):
    """By all of its ways in, as PNG: bit for bit."""
    source, poses = held
    driven = prepared(
        TransferOptions(
            source=source, out=tmp_path / "out.mp4", run=runs(name), poses=poses,
            normalize="none", smooth=False, swaps=False, bones=False,
        )
    )  # fmt: skip
    moments = list(driven.moments)
    written = [picture for _, picture in driven.player.play(moments)]
    keypoints = [moment.keypoints.tolist() for moment in moments]
    drawn = draw_host(moments[0].keypoints, 32, 32, STYLE)
    (tmp_path / "poses").mkdir()
    Image.fromarray(drawn).save(tmp_path / "poses" / "0.png")
    ready = prepared(
        TransferOptions(
            source=tmp_path / "poses", out=tmp_path / "ready.mp4", run=runs(name),
            ready_poses=True, fps=25,
        )
    )  # fmt: skip
    [(_, of_picture)] = ready.player.play(ready.moments)
    png = (tmp_path / "poses" / "0.png").read_bytes()
    uri = f"data:image/png;base64,{base64.b64encode(png).decode()}"

    stop, begun, ports = StopToken(), threading.Event(), []
    options = ServeOptions(run=(runs(name),), port=0, sdk_port=0, input="ready")

    def run():
        with watched(lambda event: None):
            serve(options, stop=stop, ready=lambda given: (ports.append(given), begun.set()))

    thread = threading.Thread(target=run)
    thread.start()
    assert begun.wait(120)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{ports[0].http}", timeout=60) as client:
            one = client.post("/v1/transfer", json={"keypoints": keypoints[0]}).json()["image"]
            np.testing.assert_array_equal(_opened(_data(one)), written[0])
            kind = {"content-type": "image/png"}
            raw = client.post("/v1/transfer", content=png, headers=kind)
            np.testing.assert_array_equal(_opened(raw.content), of_picture)
            wanted = {"X-Runway-Output-Format": "image=PNG"}
            sdk = f"http://127.0.0.1:{ports[0].sdk}/generate"
            asked = client.post(sdk, json={"image": uri}, headers=wanted).json()["image"]
            np.testing.assert_array_equal(_opened(_data(asked)), of_picture)
            # RunwayML's own ways give JPEG: the same as that of the same pixels.
            queried = _data(client.post("/query", json={"image": uri}).json()["image"])
            jpeg = client.post("/v1/transfer?format=jpeg", content=png, headers=kind)
            assert queried == jpeg.content
        with connect(f"ws://127.0.0.1:{ports[0].http}/v1/stream?format=png") as socket:
            for number, pose in enumerate(keypoints):
                sent = {"id": number, "time": number / 25, "keypoints": pose}
                socket.send(json.dumps(sent))
                picture = _opened(socket.recv(60)[HEAD.size :])
                np.testing.assert_array_equal(picture, written[number])
    finally:
        stop.stop()
        thread.join(30)


def _data(uri):
    return base64.b64decode(uri.partition(",")[2])


def _opened(data):
    return np.asarray(Image.open(io.BytesIO(data)))
