"""The same picture in, the same pixels out: transfer, serve, live and evaluate agree bit for bit,
for every recipe that is driven by poses or pictures."""

import base64
import io
import threading
from dataclasses import replace

import httpx
import jax
import numpy as np
import pytest
from PIL import Image

from motion_jax.config import Config, Data, Record
from motion_jax.data.find_plates import make_plates, with_plates
from motion_jax.data.pairs import stretches
from motion_jax.data.plates import write_plates
from motion_jax.data.records import open_dataset
from motion_jax.evaluate import measure
from motion_jax.evaluate.evaluate import evaluate
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.events import Said, StopToken, watched
from motion_jax.live.command import live
from motion_jax.live.options import LiveOptions
from motion_jax.live.retrieved import RealFrames
from motion_jax.pairing.options import PairOptions
from motion_jax.pairing.pair import pair
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes import cyclegan, pix2pix, pix2pixhd
from motion_jax.recipes import everybody_dance_now as edn
from motion_jax.retrieval.options import RetrievalOptions
from motion_jax.retrieval.retriever import Retriever
from motion_jax.serve.command import serve
from motion_jax.serve.options import ServeOptions
from motion_jax.train.checkpoint import Checkpoints
from motion_jax.train.run import write_description
from motion_jax.transfer.command import prepared
from motion_jax.transfer.options import TransferOptions
from motion_jax.transfer.source import Moment

STYLE = PoseStyle(face_points=0, hands=False, stroke=2.0)
STAGE = pix2pix.Stage(steps=1, height=32, width=32)
GENERATOR = pix2pix.Generator("resnet", 2, n_blocks=0, norm="instance", dropout=False)
DISCRIMINATOR = pix2pix.Discriminator("pixel", 2, norm="instance")
CYCLE = cyclegan.CycleGAN(
    generator=GENERATOR,
    discriminator=DISCRIMINATOR,
    losses=cyclegan.Losses(identity=0.0),
    main_stage=STAGE,
    pose_style=STYLE,
)
PIX2PIX = pix2pix.Pix2Pix(
    generator=GENERATOR, discriminator=DISCRIMINATOR, main_stage=STAGE, pose_style=STYLE
)
HD = {
    "discriminator": edn.Discriminator(ndf=2, n_layers=1),
    "losses": edn.Losses(perceptual="none", l1=10.0),
    "pose_style": STYLE,
}
RECIPES = {
    "pix2pixhd": pix2pixhd.Pix2PixHD(
        **HD | {"losses": pix2pixhd.Losses(perceptual="none", l1=10.0)},
        generator=pix2pixhd.Generator(ngf=2, n_downsampling=1, n_blocks=0),
        global_stage=pix2pixhd.Stage(steps=1, height=32, width=32, num_D=1),
        local_stage=pix2pixhd.Stage(steps=0),
    ),
    "shuffled": edn.EverybodyDanceNow(
        **HD,
        generator=edn.Generator(ngf=2, n_downsampling=1, n_blocks=0, shuffle=2),
        global_stage=edn.Stage(steps=1, height=32, width=32, num_D=1),
        local_stage=edn.Stage(steps=0),
        face_stage=edn.Stage(steps=0),
    ),
    # Of two steps it has learned one: that is said.
    "pose2pics": replace(PIX2PIX, main_stage=replace(STAGE, steps=2)),
    "pics2pics": replace(PIX2PIX, ready_pictures=True),
    "cycle-frames": replace(CYCLE, domain_A="frames"),
    "cycle-poses": replace(CYCLE, domain_A="poses"),
    "plate": edn.EverybodyDanceNow(
        **HD,
        generator=edn.Generator(ngf=2, n_downsampling=1, n_blocks=0),
        global_stage=edn.Stage(steps=1, height=32, width=32, num_D=1),
        local_stage=edn.Stage(steps=0),
        face_stage=edn.Stage(steps=0),
        background="plate",
    ),
}
# Those that translate pictures of people.
PICTURES = ("pics2pics", "cycle-frames")
# Those whose pictures evaluation sees of keypoints here; test_served_as_evaluated.py has others, a
# CycleGAN of frames no true frames.
EVALUATED = ("pix2pixhd", "shuffled")


@pytest.fixture(scope="module")
def datasets(dataset, unpaired, tmp_path_factory, write_dataset):
    folder = tmp_path_factory.mktemp("pairs")
    other = write_dataset(folder / "other", seed=1)
    pair(PairOptions(dataset, other, folder / "pairs", kind="pics2pics", max_distance=9.0))
    return {"pics2pics": folder / "pairs", "cycle-frames": unpaired, "": dataset}


@pytest.fixture(scope="module")
def runs(datasets, tmp_path_factory):
    """Runs of all recipes as they begin: training would change other pixels alone."""
    folder = tmp_path_factory.mktemp("runs")
    for name, recipe in RECIPES.items():
        data = datasets.get(name, datasets[""])
        config = Config(recipe=recipe, data=Data(holdout=0.25), record=Record(trace=False))
        [stage] = recipe.stages()
        write_description(folder / name, config, open_dataset(data), "tests")
        if recipe.background == "plate":
            plated = with_plates(open_dataset(data), make_plates(open_dataset(data), 0.25))
            write_plates(folder / name, plated.plates, plated.clips)
        state = jax.jit(lambda key, r=recipe, s=stage: r.init(key, s))(jax.random.key(3))
        # Weights of 0.02 would make plain grey.
        state = state.replace(params=jax.tree.map(lambda x: 8 * x, state.params))
        with Checkpoints(folder / name / "checkpoints") as checkpoints:
            record = {"stage": stage, "step": 1, "total_step": 1, "position": 1}
            checkpoints.save(1, state, record)
    return folder


@pytest.fixture(scope="module")
def shown(datasets):
    """Of each recipe a picture as its run knows them, the first that is held out."""
    found = {}
    for name in RECIPES:
        data = open_dataset(datasets.get(name, datasets[""]))
        first, _ = stretches(data, 0.25, "heldout")[0]
        example = data[first]
        found[name] = example.get("pose_picture", example["frame"])
    return found


def png(picture):
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "png")
    return data.getvalue()


class Shown:
    """Keeps pictures, and ends the session with the first."""

    def __init__(self):
        self.pictures, self.stop = [], StopToken()

    def show(self, picture):
        self.pictures.append(picture.image)
        self.stop.stop()

    def close(self):
        pass


def test_the_same_picture_in_the_same_pixels_out(
    runs, shown, datasets, tmp_path, monkeypatch, capsys
):
    written, of_pose, told = {}, {}, []
    for name, picture in shown.items():
        ready = name not in PICTURES
        folder = tmp_path / name
        folder.mkdir()
        (folder / "0.png").write_bytes(png(picture))
        options = TransferOptions(
            folder, tmp_path / "out.mp4", runs / name, ready_poses=ready, fps=25
        )
        made = prepared(options)
        [(_, written[name])] = made.player.play(made.moments)
        assert np.std(written[name]) > 3, name

        kept = Shown()
        live(
            LiveOptions(
                run=(runs / name,), camera=str(folder), ready_poses=ready, normalize="none",
                runtime="jax", degrade=False,
            ),
            more=kept, stop=kept.stop,
        )  # fmt: skip
        np.testing.assert_array_equal(kept.pictures[0], written[name], err_msg=f"live {name}")
        unfinished = "This run has learned 1 of 2 steps" in capsys.readouterr().err
        assert unfinished == (name == "pose2pics")

    stop, begun, ports = StopToken(), threading.Event(), []

    def run():
        with watched(told.append):
            serve(
                ServeOptions(run=tuple(runs / name for name in RECIPES), port=0, input="ready"),
                stop=stop,
                ready=lambda given: (ports.append(given), begun.set()),
            )

    thread = threading.Thread(target=run)
    thread.start()
    assert begun.wait(200)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{ports[0].http}", timeout=60) as client:
            for name, picture in shown.items():
                answer = client.post(
                    f"/v1/transfer?run={name}",
                    content=png(picture),
                    headers={"content-type": "image/png"},
                )
                got = np.asarray(Image.open(io.BytesIO(answer.content)))
                np.testing.assert_array_equal(got, written[name], err_msg=f"serve {name}")
            data = open_dataset(datasets[""])
            pose = data.keypoints()[stretches(data, 0.25, "heldout")[0][0]].tolist()
            for name in EVALUATED:
                asked = {"keypoints": pose, "run": name}
                uri = client.post("/v1/transfer", json=asked).json()["image"]
                picture = base64.b64decode(uri.partition(",")[2])
                of_pose[name] = np.asarray(Image.open(io.BytesIO(picture)))
    finally:
        stop.stop()
        thread.join(30)
    said = [event.message for event in told if isinstance(event, Said)]
    assert sum("has learned 1 of 2 steps" in line for line in said) == 1

    measured, compare = [], measure.compare

    def looking(stream, **settings):
        def seen():
            for piece in stream:
                measured.extend(piece.fakes["trained"])
                yield piece

        return compare(seen(), **settings)

    monkeypatch.setattr(measure, "compare", looking)
    for name, wanted in {"pics2pics": written["pics2pics"], **of_pose}.items():
        measured.clear()
        options = {"reestimate": "no", "max_frames": 1, "batch": 1}
        evaluate(EvaluateOptions(runs / name, out=tmp_path / f"e-{name}", **options))
        np.testing.assert_array_equal(measured[0], wanted, err_msg=f"evaluate {name}")


def test_real_frames_live_are_those_of_transfer(dataset):
    """Each frame's nearest, where jumps cost nothing."""
    data = open_dataset(dataset)
    options = LiveOptions(
        method="nearest", data=dataset, retrieval=RetrievalOptions(k=2, choice="nearest")
    )
    frames = RealFrames(options)
    poses = data.keypoints()[::3] + np.float32([0.7, 0.2, 0]) * (data.keypoints()[::3, :, 2:] > 0)
    wanted = list(Retriever(data, "nearest", options.retrieval).pictures(poses))
    moments = [Moment(i / 25, frames.pose(pose).shown) for i, pose in enumerate(poses)]
    for moment, picture in zip(moments, wanted, strict=True):
        [got] = frames.begin([moment])
        np.testing.assert_array_equal(got, picture)
    # Where they cost, frames that were filmed one after another are shown so.
    smooth = RealFrames(replace(options, retrieval=RetrievalOptions(jump=9.0)))
    rows = []
    for i, pose in enumerate(data.keypoints()):
        next(iter(smooth.begin([Moment(i / 25, smooth.pose(pose).shown)])))
        rows.append(smooth._before[1])
    assert (np.diff(rows) == 1).all()
