"""DensePose and letterboxed frames the whole way: import, training, evaluation, transfer, serve."""

import base64
import threading
from dataclasses import replace

import cv2
import httpx
import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.config import Config, Data, Record
from motion_jax.data import import_data as module
from motion_jax.data import import_shards, records
from motion_jax.data.augment import AugmentConfig
from motion_jax.data.import_options import ImportOptions
from motion_jax.errors import UserError
from motion_jax.evaluate.evaluate import evaluate
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.events import StopToken, watched
from motion_jax.pose import densepose
from motion_jax.recipes import cyclegan, pix2pix
from motion_jax.serve.command import serve
from motion_jax.serve.options import ServeOptions
from motion_jax.train.dataset import check_data
from motion_jax.train.loop import train
from motion_jax.train.run import load_run
from motion_jax.transfer.command import prepared, transfer
from motion_jax.transfer.options import TransferOptions
from motion_jax.transfer.resident import Resident
from motion_jax.video.reader import probe, read_frames
from motion_jax.video.writer import VideoWriter

SIZE, WIDTH, COUNT = 32, 16, 8
LEFT = (SIZE - WIDTH) // 2
STAGE = pix2pix.Stage(steps=2, decay_steps=0, height=SIZE, width=SIZE)
RECORD = Record(log_every=1, sample_every=100, sample_seconds=0.1, checkpoint_every=2, trace=False)


@pytest.fixture(scope="module")
def dance(tmp_path_factory):
    """Folder with IUV pictures, frames and a coloured video of 16x32; and I, U, V."""
    folder = tmp_path_factory.mktemp("dance")
    ada, motion = puppet.CHARACTERS["ada"], puppet.dance(COUNT, 10, seed=3)
    iuv, frames = (draw(ada, motion, SIZE, WIDTH) for draw in (puppet.draw_iuv, puppet.draw))
    (folder / "iuv").mkdir()
    with (
        VideoWriter(folder / "frames.mp4", SIZE, WIDTH, crf=4) as video,
        VideoWriter(folder / "coloured.mp4", 8 * SIZE, 8 * WIDTH, crf=8) as coloured,
    ):
        for n, (surface, frame) in enumerate(zip(iuv, frames, strict=True)):
            cv2.imwrite(str(folder / f"iuv/f{n:04d}.png"), surface)
            video.write(frame, n / 10)
            picture = densepose.draw(surface.repeat(8, 0).repeat(8, 1), "parula")
            coloured.write(picture, n / 10)
    return folder, iuv


@pytest.fixture(scope="module")
def data(dance, tmp_path_factory):
    """drawing -> dataset, letterboxed."""
    made, patch = {}, pytest.MonkeyPatch()
    patch.setattr(import_shards, "run_jobs", lambda job, inputs, *_: [job(v) for v in inputs])
    patch.setattr(import_shards, "advance", lambda count=1: None)
    patch.setattr(module, "pool", lambda *_: __import__("contextlib").nullcontext())

    def dataset(drawing):
        if drawing not in made:
            made[drawing] = tmp_path_factory.mktemp("data") / drawing
            options = ImportOptions(
                source=dance[0] / "iuv", out=made[drawing], layout="densepose", workers=1,
                frames=dance[0] / "frames.mp4", densepose_as=drawing, size=f"{SIZE}x{SIZE}",
                fit="letterbox",
            )  # fmt: skip
            module.import_data(options)
        return made[drawing]

    yield dataset
    patch.undo()


def config(recipe, **data):
    return Config(recipe=recipe, data=Data(holdout=0.25, **data), record=RECORD)


PAIRED = pix2pix.Pix2Pix(
    generator=pix2pix.Generator(ngf=2, n_downsampling=5),
    discriminator=pix2pix.Discriminator(ndf=2, n_layers=1),
    main_stage=STAGE,
)
UNPAIRED = cyclegan.CycleGAN(
    generator=pix2pix.Generator("resnet", 2, n_blocks=0, norm="instance", dropout=False),
    discriminator=pix2pix.Discriminator("pixel", 2, norm="instance"),
    losses=cyclegan.Losses(identity=0.0),
    main_stage=STAGE,
    pool_size=2,
    domain_A="poses",
)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "parts"
    train(config(PAIRED), data("parts"), folder)
    return folder


@pytest.fixture
def fed(monkeypatch):
    """The poses that networks are shown."""
    from motion_jax.train import synthesis

    poses = []

    class Watched(synthesis.Synthesizer):
        def begin(self, seen):
            poses.extend(seen)
            return super().begin(seen)

    monkeypatch.setattr("motion_jax.train.run.Synthesizer", Watched)
    return poses


@pytest.mark.parametrize("source", ["iuv", "coloured.mp4"])
def test_any_densepose_drives_it_and_bars_are_cut_off(run, dance, source, fed, tmp_path):
    folder, iuv = dance
    out = tmp_path / "out.mp4"
    transfer(TransferOptions(run=run, source=folder / source, out=out, ready_poses=True))
    assert (probe(out).height, probe(out).width) == (SIZE, WIDTH)
    assert len(fed) == COUNT
    for shown, surface in zip(fed, iuv, strict=True):
        wanted = densepose.draw(surface, "parts")
        inside = shown[:, LEFT:-LEFT]
        assert (inside == wanted).all(-1).mean() > (0.999 if source == "iuv" else 0.95)
        assert not shown[:, :LEFT].any() and not shown[:, -LEFT:].any()
    beside = tmp_path / "beside.mp4"
    transfer(TransferOptions(run=run, source=folder / source, out=beside, ready_poses=True,
                             side_by_side=True, end=0.15))  # fmt: skip
    assert probe(beside).width < 4 * probe(beside).height / 2 + 16


def test_evaluation_does_not_measure_bars(run, data, tmp_path, monkeypatch, capsys):
    from motion_jax.evaluate import measure

    pieces, compare = [], measure.compare

    def watched(stream, **options):
        return compare((pieces.append(piece) or piece for piece in stream), **options)

    monkeypatch.setattr(measure, "compare", watched)
    result = evaluate(EvaluateOptions(run=run, out=tmp_path, json=True))
    capsys.readouterr()
    assert any("bars" in note for note in result["notes"])
    dataset = records.open_dataset(data("parts"))
    (piece,) = pieces
    assert piece.real.shape == piece.fakes["trained"].shape == (2, SIZE, WIDTH, 3)
    np.testing.assert_array_equal(piece.real[1], dataset[7]["frame"][:, LEFT:-LEFT])
    np.testing.assert_array_equal(piece.pose_pictures[0], dataset[6]["pose_picture"][:, LEFT:-LEFT])
    error = (piece.real.astype(float) - piece.fakes["trained"]) ** 2
    psnr = 10 * np.log10(255**2 / error.mean((1, 2, 3)))
    np.testing.assert_allclose(result["methods"]["trained"]["psnr"], psnr.mean(), rtol=1e-4)


def test_what_is_refused(run, dance, data, tmp_path):
    folder, _ = dance
    out = tmp_path / "out.mp4"
    common = {"run": run, "out": out, "ready_poses": True}
    with pytest.raises(UserError, match="frames.mp4 shows no DensePose"):
        transfer(TransferOptions(source=folder / "frames.mp4", **common))
    with pytest.raises(UserError, match="region works only with ready_poses"):
        transfer(TransferOptions(run=run, out=out, source=folder / "frames.mp4", region="left"))
    with pytest.raises(UserError, match="cannot be mirrored"):
        check_data(
            records.open_dataset(data("parts")),
            config(PAIRED, augment=AugmentConfig(flip=True)),
            "main",
        )
    full = tmp_path / "full"
    train(config(PAIRED), data("iuv"), full)
    with pytest.raises(UserError, match=r"coloured\.mp4 shows parts without U and V"):
        transfer(TransferOptions(run=full, source=folder / "coloured.mp4", out=out,
                                 ready_poses=True))  # fmt: skip
    assert not out.exists()


def test_cyclegan_between_densepose_and_frames(dance, data, fed, tmp_path):
    """Domain A: the DensePose of one dataset, drawn its way; domain B: another's frames."""
    folder, iuv = dance
    settings = config(UNPAIRED, domain_a=str(data("viridis")))
    train(settings, data("parts"), tmp_path / "run")
    out = tmp_path / "out.mp4"
    transfer(TransferOptions(run=tmp_path / "run", source=folder / "iuv", out=out,
                             ready_poses=True))  # fmt: skip
    np.testing.assert_array_equal(fed[3][:, LEFT:-LEFT], densepose.draw(iuv[3], "viridis"))
    assert (fed[3][:, :LEFT] == densepose.table("viridis")[0]).all()
    assert (probe(out).height, probe(out).width) == (SIZE, WIDTH)
    flipped = replace(settings, data=replace(settings.data, augment=AugmentConfig(flip=True)))
    with pytest.raises(UserError, match="viridis holds DensePose"):
        check_data(records.open_dataset(data("parts")), flipped, "main")


def test_cyclegan_of_frames_keeps_the_sources_shape(data, dance, fed, tmp_path):
    """Frames of other proportions are laid between black bars, which the result does not have."""
    folder, _ = dance
    recipe = replace(UNPAIRED, domain_A="frames")
    train(config(recipe, domain_a=str(data("viridis"))), data("parts"), tmp_path / "run")
    assert load_run(tmp_path / "run").dataset["domain_a"]["densepose"] == "viridis"
    out, wide = tmp_path / "out.mp4", tmp_path / "wide.mp4"
    with VideoWriter(wide, 24, 48) as writer:
        writer.write(np.random.default_rng(0).integers(99, 256, (24, 48, 3), np.uint8), 0.0)
    transfer(TransferOptions(run=tmp_path / "run", source=wide, out=out))
    assert (probe(out).height, probe(out).width) == (SIZE // 2, SIZE)
    assert not fed[0][: SIZE // 4].any() and fed[0][SIZE // 4 : -SIZE // 4].min() > 30
    # A server can pad with white, as the source's chain did.
    shown = Resident(load_run(tmp_path / "run"), white=True).picture(next(read_frames(wide)).image)
    padded = shown.shown["frames"]
    assert (padded[: SIZE // 4] == 255).all() and shown.part == (SIZE // 4, 0, 3 * SIZE // 4, SIZE)
    np.testing.assert_array_equal(padded[SIZE // 4 : -SIZE // 4], fed[0][SIZE // 4 : -SIZE // 4])
    transfer(TransferOptions(run=tmp_path / "run", source=wide, out=out, region="0,0,24,24"))
    assert (probe(out).height, probe(out).width) == (SIZE, SIZE)
    assert next(read_frames(out)).image.shape == (SIZE, SIZE, 3)


def test_a_chain_by_the_server(run, dance, tmp_path):
    """A picture goes to DensePose (another program, as RunwayML's model of that name was), what
    that answers to the server, and out comes what transfer makes of it, whichever form it has."""
    folder, iuv = dance
    made = prepared(
        TransferOptions(
            run=run, source=folder / "iuv", out=tmp_path / "out.mp4", ready_poses=True, fps=10
        )
    )  # fmt: skip
    written = [picture[:, LEFT:-LEFT] for _, picture in made.player.play(made.moments)]
    stop, begun, ports = StopToken(), threading.Event(), []

    def serving():
        with watched(lambda event: None):
            serve(
                ServeOptions(run=(run,), port=0),
                stop=stop,
                ready=lambda given: (ports.append(given), begun.set()),
            )

    def other_program(number, form):
        """The DensePose of a frame, as PNG."""
        if form == "raw":
            return (folder / f"iuv/f{number:04d}.png").read_bytes()
        drawn = densepose.draw(iuv[number], "parula")
        return cv2.imencode(".png", drawn[..., ::-1])[1].tobytes()

    thread = threading.Thread(target=serving)
    thread.start()
    assert begun.wait(200)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{ports[0].http}", timeout=60) as client:
            for number in (0, 5):
                for form in ("raw", "coloured"):
                    picture = other_program(number, form)
                    kind = {"content-type": "image/png"}
                    answer = client.post("/v1/transfer", content=picture, headers=kind)
                    got = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
                    np.testing.assert_array_equal(got[..., ::-1], written[number])
                    # As a sketch asks: the same pixels, as JPEG.
                    uri = "data:image/png;base64," + base64.b64encode(picture).decode()
                    queried = client.post("/query", json={"image": uri}).json()["image"]
                    jpeg = client.post("/v1/transfer?format=jpeg", content=picture, headers=kind)
                    assert base64.b64decode(queried.partition(",")[2]) == jpeg.content
            # The frame itself is no DensePose, and that is said.
            plain = cv2.imencode(".png", next(read_frames(folder / "frames.mp4")).image)[1]
            uri = "data:image/png;base64," + base64.b64encode(plain.tobytes()).decode()
            refused = client.post("/query", json={"image": uri})
            assert refused.status_code == 400 and "shows no DensePose" in refused.json()["error"]
    finally:
        stop.stop()
        thread.join(30)
