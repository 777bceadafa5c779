"""train_step and synthesis beside PyTorch: what is set up, and what a result says."""

import json

import pytest

pytest.importorskip("jax", reason="needs JAX: the benchmark of our own side")

from benchmarks import pair, reporting, synthesis, train_step
from motion_jax.errors import UserError
from motion_jax.nets.pix2pixhd import LocalEnhancer


def test_both_sides_get_the_same_networks() -> None:
    setup = pair.setup_of(train_step.Options(width=512, stage="local"), "train_step")
    assert (setup["height"], setup["width"], setup["scales"]) == (256, 512, 3)
    from benchmarks.jax_worker import config_of

    recipe = config_of(setup).recipe
    ours, theirs = recipe.main_generator("local"), setup["description"]["generator"]
    assert isinstance(ours, LocalEnhancer) and theirs["class"] == "LocalEnhancer"
    assert (ours.ngf, ours.n_downsample_global, ours.n_blocks_global) == (32, 4, 9)
    assert theirs["ngf"] == 32 and theirs["n_downsample_global"] == 4
    assert (ours.n_local_enhancers, ours.n_blocks_local) == (1, theirs["n_blocks_local"])
    assert recipe.losses.perceptual == "vgg19"


def test_sizes_that_need_a_smaller_generator_or_fit_none() -> None:
    assert pair.setup_of(train_step.Options(size=16), "train_step")["downsamplings"] == 3
    for options in (
        train_step.Options(size=65),
        train_step.Options(size=32, downsamplings=5),
        train_step.Options(repeats=0),
    ):
        with pytest.raises(UserError):
            pair.setup_of(options, "train_step")


def test_without_torch_one_sentence(capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        train_step.main(["--size", "32", "--torch-python", "/nowhere/python"])
    assert stopped.value.code == 2
    message = capsys.readouterr().err.strip()
    assert message.count("\n") == 0 and "no PyTorch in /nowhere/python" in message


def test_synthesis_alone(capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    words = "--size 16 --filters 2 --blocks 1 --downsamplings 1 --against none --frames 2"
    synthesis.main([*words.split(), "--repeats", "2", "--warmup", "1", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert result["ours_s"] > 0 and result["ours_peak_gb"] > 0
    assert len(result["ours"]["samples"]) == 4
    assert result["ours_latency_p50_ms"] <= result["ours_latency_p95_ms"]
    # 7x7 with 6 and 3 channels, down and up, two 3x3 in the block, each on 16x16 or 8x8.
    first, last = 256 * 49 * 6 * 2, 256 * 49 * 2 * 3
    down, up, block = 64 * 9 * 2 * 4, 64 * 9 * 4 * 2, 2 * 64 * 9 * 4 * 4
    assert result["gflop"] == pytest.approx(2e-9 * (first + last + down + up + block), rel=1e-3)
    assert "torch_s" not in result
    assert "p95" in synthesis.sections([result])


def test_utilisation_is_of_the_format_that_each_side_computes_in() -> None:
    result = {"gflop": 98.95, "ours": {"median": 0.01}, "torch": {"median": 0.02}}
    options = train_step.Options(device="cuda", dtype="bfloat16", torch_mode="eager")
    pair.utilisation(result, options, 2, "H200")  # 989.5 TFLOP/s, 494.5 in float32
    assert result["ours_mfu"] == pytest.approx(0.01, rel=1e-3)
    assert result["torch_mfu"] == pytest.approx(0.01, rel=1e-3)
    assert result["ours_images_per_s"] == 200


def test_a_command_names_no_place_outside_the_repository(monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["/home/me/motion_jax/benchmarks/train_step.py"])
    words = ["--torch-python", "/home/me/torch/bin/python", "--x=/home/me/y", "--size", "64"]
    assert (
        reporting.command(words)
        == "python -m benchmarks.train_step --torch-python …/python --x=…/y --size 64"
    )
