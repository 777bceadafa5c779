"""Runs written for other programs: each format read as its readers would, and what is refused."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError
from motion_jax.port import load_network, save_torch
from motion_jax.port.export_run import export
from motion_jax.port.import_run import import_run
from motion_jax.port.options import ExportOptions, ImportOptions
from motion_jax.port.run_networks import networks_of
from motion_jax.port.run_state import all_params
from motion_jax.pose.pose_pictures import drawn
from motion_jax.train import imported
from motion_jax.train import run as runs
from motion_jax.train.run import load_run
from motion_jax.transfer.pose_pictures import write_pose_pictures
from motion_jax.video.reader import read_frames
from motion_jax.video.writer import VideoWriter

PAGE = Path(__file__).resolve().parents[2] / "docs" / "export.md"
TOLERANCE = 1e-4

needs_onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")),
    reason="needs the packages onnx and onnxruntime",
)


def example(name):
    """The page's example of that name."""
    (code,) = re.findall(rf"```python {name}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return code


def make_run(folder, config, stage):
    """A run that nobody trained: networks as they are initialised, three times as strong, so that
    pictures differ."""
    config.validate()
    state = imported.fresh_state(config, stage)
    stronger = jax.tree.map(lambda x: 3.0 * x, state.params)
    folder.mkdir()
    runs.write_description(folder, config, None)
    imported.save(folder, config, stage, imported.with_params(state, stronger), {"from": "nobody"})
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory, config):
    """{"full", "separable", "plate"}: runs of the global stage at 16x16; the last draws the person
    before a plate, and makes its pictures larger without checkerboards."""
    folder, made = tmp_path_factory.mktemp("small"), {}
    for block in ("full", "separable"):
        generator = replace(
            config.recipe.generator, ngf=16, n_downsampling=2, n_blocks=2, block=block
        )
        recipe = replace(config.recipe, generator=generator, averaging=0.0)
        made[block] = make_run(folder / block, replace(config, recipe=recipe), "global")
    generator = replace(generator, block="full", up="resize")
    recipe = replace(recipe, generator=generator, background="plate")
    made["plate"] = make_run(folder / "plate", replace(config, recipe=recipe), "global")
    return made


def pictures(shape, seed=0):
    """(pose in [0, 1], previous in [-1, 1]), NHWC."""
    random = np.random.default_rng(seed)
    return random.random(shape, np.float32), random.random(shape, np.float32) * 2 - 1


def apply(network, *inputs):
    return np.asarray(network(np.concatenate(inputs, axis=-1)))


def networks(folder):
    return networks_of(*all_params(folder))


# --- weights ------------------------------------------------------------------------------------


def test_exported_files_come_back_bit_for_bit(trained, tmp_path):
    first = export(ExportOptions(run=trained, out=tmp_path / "first"))
    names = [f"latest_net_{name}.pth" for name in ("G", "D", "Gface", "Dface")]
    assert [path.name for path in first] == [*names, "opt.txt"]
    run = import_run(ImportOptions(source=tmp_path / "first", run=tmp_path / "run"))
    export(ExportOptions(run=run, out=tmp_path / "second"))
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    before, after = load_run(trained), load_run(run)
    assert after.stage == "face" and after.size == before.size
    for part in ("generator", "face", "discriminator", "pose_style", "clamp_face"):
        assert getattr(after.config.recipe, part) == getattr(before.config.recipe, part)


def test_averaged_or_raw_parameters(trained, small, tmp_path):
    default, averaged, raw = (
        all_params(trained, which)[1] for which in ("default", "averaged", "raw")
    )
    # In the face stage only the face generator trains, so only it has an average.
    kernel = [params["face_generator"]["params"]["first"]["kernel"] for params in
              (default, averaged, raw)]  # fmt: skip
    assert (kernel[0] == kernel[1]).all() and (kernel[0] != kernel[2]).any()
    for which, expected in (("averaged", kernel[1]), ("raw", kernel[2])):
        export(ExportOptions(run=trained, weights=which, out=tmp_path / which))
        found = load_network(tmp_path / which / "latest_net_Gface.pth")
        np.testing.assert_array_equal(found.params["params"]["first"]["kernel"], expected)
    with pytest.raises(UserError, match="kept no averaged parameters"):
        export(ExportOptions(run=small["full"], weights="averaged", out=tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def torch_python():
    """An interpreter that has torch, or None."""
    if found := os.environ.get("MOTION_JAX_TORCH_PYTHON"):
        return found
    return sys.executable if importlib.util.find_spec("torch") else None


@pytest.mark.skipif(torch_python() is None, reason="needs torch, here or in the interpreter named "
                    "by MOTION_JAX_TORCH_PYTHON")  # fmt: skip
def test_the_original_classes_load_the_files_strictly(trained, small, tmp_path):
    random = np.random.default_rng(3)
    for run, document in ((trained, []), (small["full"], [str(PAGE)])):
        folder = tmp_path / run.name / "exported"
        export(ExportOptions(run=run, out=folder))
        descriptions, inputs, expected = {}, {}, {}
        for name, network in networks(run).items():
            file = f"latest_net_{name}.pth"
            descriptions[file] = dict(network.config)
            if network.name == "NLayerDiscriminator":
                del descriptions[file]["intermediate_features"]
            x = random.random((2, 16, 16, network.config["input_nc"]), np.float32) * 2 - 1
            inputs[file] = x.transpose(0, 3, 1, 2)
            output = network(x)
            expected[file] = output[0][-1] if isinstance(output, list) else output
        work = tmp_path / run.name
        (work / "descriptions.json").write_text(json.dumps(descriptions))
        np.savez(work / "inputs.npz", **inputs)
        script = Path(__file__).with_name("torch_side.py")
        files = [folder, work / "descriptions.json", work / "inputs.npz", work / "outputs.npz"]
        subprocess.run([torch_python(), script, *files, *document], check=True)
        outputs = np.load(work / "outputs.npz")
        assert set(outputs.files) == set(expected) | ({"document"} if document else set())
        for file, value in expected.items():
            value = np.asarray(value).transpose(0, 3, 1, 2)
            np.testing.assert_allclose(outputs[file], value, atol=TOLERANCE)


def test_safetensors_and_half(small, tmp_path, monkeypatch):
    export(ExportOptions(run=small["full"], format="safetensors", out=tmp_path / "exported"))
    monkeypatch.chdir(tmp_path)
    scope = {}
    exec(example("safetensors"), scope)
    ours = networks(small["full"])["G"]
    kernel = np.asarray(ours.params["params"]["first"]["kernel"])
    np.testing.assert_array_equal(scope["first"].transpose(2, 3, 1, 0), kernel)
    export(ExportOptions(run=small["full"], half=True, out=tmp_path / "half"))
    half = load_network(tmp_path / "half" / "latest_net_G.pth")
    expected = kernel.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(half.params["params"]["first"]["kernel"], expected)
    sizes = [(tmp_path / name).stat().st_size for name in
             ("half/latest_net_G.pth", "exported/latest_net_G.safetensors")]  # fmt: skip
    assert sizes[0] < 0.6 * sizes[1]


@pytest.mark.parametrize("block", ["full", "separable"])
def test_orbax_holds_the_generator_as_a_plain_tree(small, tmp_path, monkeypatch, block):
    export(ExportOptions(run=small[block], format="orbax", out=tmp_path / "exported"))
    monkeypatch.chdir(tmp_path)
    scope = {}
    if block == "full":
        exec(example("orbax"), scope)
    else:
        import orbax.checkpoint as ocp

        scope["params"] = ocp.StandardCheckpointer().restore(tmp_path / "exported" / "generator")
    ours = networks(small[block])["G"].params
    jax.tree.map(np.testing.assert_array_equal, scope["params"], dict(ours))
    with pytest.raises(UserError, match="is there already"):
        export(ExportOptions(run=small[block], format="orbax", out=tmp_path / "exported"))


# --- programs -----------------------------------------------------------------------------------

ALONE = """
import sys
sys.modules["motion_jax"] = None  # as if it were not installed
import numpy as np
inputs = np.load("inputs.npz")
pose, previous = inputs["pose"], inputs["previous"]
{code}
np.savez("outputs.npz", frame=frame)
"""


@pytest.mark.parametrize("block", ["full", "separable"])
def test_stablehlo_runs_by_jax_alone(small, tmp_path, block):
    written = export(ExportOptions(run=small[block], format="stablehlo", out=tmp_path / "exported"))
    assert [path.name for path in written] == [
        "generator.stablehlo", "generator.npz", "generator.stablehlo.json",
    ]  # fmt: skip
    about = json.loads(written[2].read_text())
    assert about["platforms"] == ["cpu", "cuda", "tpu"]
    assert [entry["shape"] for entry in about["inputs"]] == [["batch", 16, 16, 3]] * 2
    ours = networks(small[block])["G"]
    for count in (1, 3):
        pose, previous = pictures((count, 16, 16, 3))
        np.savez(tmp_path / "inputs.npz", pose=pose, previous=previous)
        code = ALONE.format(code=example("stablehlo"))
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
        frame = np.load(tmp_path / "outputs.npz")["frame"]
        np.testing.assert_allclose(frame, apply(ours, pose, previous), atol=1e-5)


@needs_onnx
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("which", ["full", "separable", "trained"])
def test_onnx_runtime_gives_the_same_frames(small, trained, tmp_path, monkeypatch, which, half):
    import onnxruntime

    folder = {**small, "trained": trained}[which]
    out = tmp_path / "exported"
    export(ExportOptions(run=folder, format="onnx", half=half, out=out))
    ours = networks(folder)
    tolerance = 2e-2 if half else TOLERANCE
    for file, network in (("generator", ours["G"]), ("face_generator", ours.get("Gface"))):
        if network is None:
            assert not (out / f"{file}.onnx").exists()
            continue
        about = json.loads((out / f"{file}.onnx.json").read_text())
        assert about["opset"] == 17
        session = onnxruntime.InferenceSession(str(out / f"{file}.onnx"))
        names = [entry.name for entry in session.get_inputs()]
        assert names == [entry["name"] for entry in about["inputs"]]
        # Other sizes than the run's too, and any batch.
        for shape in ((1, 16, 16, 3), (2, 24, 32, 3)):
            inputs = pictures(shape)
            given = [x.transpose(0, 3, 1, 2) for x in inputs]
            (frame,) = session.run(None, dict(zip(names, given, strict=True)))
            expected = apply(network, *inputs)
            np.testing.assert_allclose(frame.transpose(0, 2, 3, 1), expected, atol=tolerance)
    if half:
        return
    monkeypatch.chdir(tmp_path)
    side = load_run(folder).size[0]
    poses = [pictures((1, 3, side, side), seed)[0] for seed in range(3)]
    scope = {"poses": poses, "frames": [], "height": side, "width": side}
    exec(example("onnx"), scope)
    previous = np.zeros((1, side, side, 3), np.float32)
    for count, (pose, frame) in enumerate(zip(poses, scope["frames"], strict=True), 1):
        previous = apply(ours["G"], pose.transpose(0, 2, 3, 1), previous)
        # Each frame is shown the one before with its rounding, which processors do differently.
        np.testing.assert_allclose(frame.transpose(0, 2, 3, 1), previous, atol=count * TOLERANCE)


def psnr(a, b):
    error = np.mean(np.square(a.astype(np.float64) - b))
    return np.inf if error == 0 else 10 * np.log10(255**2 / error)


@needs_onnx
def test_onnx_gives_the_person_and_the_matte(small, tmp_path):
    import onnxruntime

    export(ExportOptions(run=small["plate"], format="onnx", out=tmp_path))
    about = json.loads((tmp_path / "generator.onnx.json").read_text())
    assert about["outputs"][0]["shape"][1] == 4 and "matte" in about["outputs"][0]["meaning"]
    assert about["inputs"][1]["meaning"].startswith("alpha * RGB")
    session = onnxruntime.InferenceSession(str(tmp_path / "generator.onnx"))
    inputs = pictures((2, 24, 32, 3))
    names = [entry["name"] for entry in about["inputs"]]
    given = [x.transpose(0, 3, 1, 2) for x in inputs]
    (made,) = session.run(None, dict(zip(names, given, strict=True)))
    run, params = all_params(small["plate"], "raw")
    module = run.config.recipe.main_generator("global")
    expected = module.apply(params["generator"], jnp.concatenate(inputs, axis=-1))
    assert expected.shape == (2, 24, 32, 4)
    np.testing.assert_allclose(made.transpose(0, 2, 3, 1), expected, atol=TOLERANCE)


@needs_onnx
def test_onnx_makes_the_video_that_we_make(trained, dataset, tmp_path):
    run, data = load_run(trained), open_dataset(dataset)
    # The recurrence of networks of 12 steps doubles every difference, so few frames; of networks
    # trained longer it does not (docs/export.md has the figures of 75 frames).
    poses, boxes = data.keypoints()[:4], data.face_boxes()[:4].copy()
    boxes[2] = 0  # a face that was not found
    lost = np.zeros(len(poses), bool)
    write_pose_pictures(tmp_path / "poses", run, poses, boxes, lost, np.arange(len(poses)) / 25)
    files = sorted((tmp_path / "poses").glob("*.png"))
    shown = np.stack([cv2.imread(str(path))[..., ::-1] for path in files])
    ours = list(run.synthesizer().feed({"poses": shown, "face_boxes": boxes}))
    export(ExportOptions(run=trained, format="onnx", out=tmp_path / "exported"))
    scope = {}
    exec(example("video"), scope)
    theirs = list(scope["onnx_frames"](tmp_path / "exported", tmp_path / "poses"))
    videos = []
    for name, frames in (("ours.mp4", ours), ("onnx.mp4", theirs)):
        with VideoWriter(tmp_path / name, *run.size, crf=0) as video:
            for number, frame in enumerate(frames):
                video.write(frame, number / 25)
        videos.append([frame.image for frame in read_frames(tmp_path / name)])
    assert len(ours) == len(theirs) == len(videos[1]) == 4
    assert np.ptp(ours[-1]) > 50
    for a, b in (*zip(ours, theirs, strict=True), *zip(*videos, strict=True)):
        assert psnr(a, b) > 60
    # From the poses themselves, whose pictures are not rounded to 8 bits.
    first = {"poses": poses[:1], "face_boxes": boxes[:1]}
    assert psnr(run.synthesizer().feed(first)[0], theirs[0]) > 50


def test_pose_pictures_are_what_the_network_sees(trained, dataset, tmp_path):
    run, data = load_run(trained), open_dataset(dataset)
    poses, boxes = data.keypoints()[:3], data.face_boxes()[:3]
    lost = np.array([False, True, False])
    write_pose_pictures(tmp_path / "poses", run, poses, boxes, lost, np.array([0.0, 0.1, 0.2]))
    about = json.loads((tmp_path / "poses" / "poses.json").read_text())
    assert about["lost"] == [1] and about["times"] == [0.0, 0.1, 0.2] and about["frames"] == 3
    assert about["face_size"] == 8
    box, size = boxes[2], 8
    centre = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
    assert about["faces"][2] == [round(c - size / 2) for c in centre]
    shown = [cv2.imread(str(tmp_path / "poses" / f"{i:06d}.png"))[..., ::-1] for i in range(3)]
    assert (shown[1] == 255).all()
    expected = drawn(jnp.asarray(poses[2]), run.config.recipe.pose_style, *run.size)
    assert np.abs(shown[2] / 255 - expected).max() <= 0.5 / 255 + 1e-6
    assert (shown[2] < 255).any()
    with pytest.raises(UserError, match="holds pose pictures already"):
        write_pose_pictures(tmp_path / "poses", run, poses, boxes, lost, np.zeros(3))


# --- weight files, and what is refused ------------------------------------------------------------


def test_a_weight_file_is_converted(small, tmp_path):
    ours = networks(small["full"])
    for name in ("G", "D"):
        save_torch(ours[name], tmp_path / f"net_{name}.pth")
    out = tmp_path / "out"
    (written,) = export(ExportOptions(source=tmp_path / "net_D.pth", format="safetensors", out=out))
    (again,) = export(ExportOptions(source=written, format="torch", out=out))
    back = load_network(again)
    jax.tree.map(np.testing.assert_array_equal, back.params, ours["D"].params)
    written = export(
        ExportOptions(source=tmp_path / "net_G.pth", format="stablehlo", size="24x16", out=out)
    )
    about = json.loads(written[-1].read_text())
    # By the weights alone it may be a generator of CycleGAN, with two halvings.
    assert about["from"]["network"]["class"] == "ResnetGenerator"
    assert [entry["shape"] for entry in about["inputs"]] == [["batch", 16, 24, 6]]
    export(ExportOptions(run=small["full"], out=out))  # with opt.txt
    source = out / "latest_net_G.pth"
    written = export(ExportOptions(source=source, format="stablehlo", size="24x16", out=out))
    about = json.loads(written[-1].read_text())
    assert [entry["name"] for entry in about["inputs"]] == ["pose", "previous"]
    assert about["inputs"][0]["shape"] == ["batch", 16, 24, 3]


def test_what_cannot_be_exported_is_one_sentence(small, tmp_path):
    ours, out, empty = networks(small["full"]), tmp_path / "out", tmp_path / "empty"
    empty.mkdir()
    save_torch(ours["G"], tmp_path / "G.pth")
    save_torch(ours["D"], tmp_path / "D.pth")
    for options, said in (
        ({"run": small["separable"], "format": "torch"}, "separable residual blocks"),
        ({}, "takes either run DIR or one weight file"),
        ({"run": small["full"], "source": tmp_path / "G.pth"}, "either run DIR or"),
        ({"run": empty}, "is not a run directory"),
        ({"source": empty}, "is no weight file"),
        ({"source": tmp_path / "D.pth", "format": "stablehlo", "size": "16x16"}, "discriminator"),
        ({"source": tmp_path / "D.pth", "format": "onnx"}, "discriminator"),
        ({"source": tmp_path / "G.pth", "format": "stablehlo"}, "give size WIDTHxHEIGHT"),
        ({"source": tmp_path / "G.pth", "format": "stablehlo", "size": "18x16"}, "divisible by 4"),
        ({"source": tmp_path / "G.pth", "weights": "raw"}, "weights is for runs"),
        ({"run": small["full"], "format": "orbax", "half": True}, "half is not for"),
    ):
        with pytest.raises(UserError, match=said):
            export(ExportOptions(**options, out=out))
        assert not out.exists()


@pytest.mark.parametrize(
    ("form", "there"),
    [("torch", "latest_net_D.pth"), ("torch", "opt.txt"), ("orbax", "generator"),
     ("safetensors", "latest_net_G.safetensors"), ("onnx", "generator.onnx.json")],
)  # fmt: skip
def test_nothing_is_written_over(small, tmp_path, form, there):
    if form == "onnx":
        pytest.importorskip("onnx", reason="needs the package onnx")
    before = tmp_path / there
    before.write_text("somebody's")
    with pytest.raises(UserError, match=f"{there} is there already: choose another out or rem"):
        export(ExportOptions(run=small["full"], format=form, out=tmp_path))
    assert [*tmp_path.iterdir()] == [before]
    assert before.read_text() == "somebody's"


def test_onnx_says_how_to_get_the_package(small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"pip install 'motion-jax\[onnx\]'"):
        export(ExportOptions(run=small["full"], format="onnx", out=tmp_path / "out"))
