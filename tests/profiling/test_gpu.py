"""motion-jax compile for NVIDIA cards: what is read in a program's text, and, where jax's CUDA
plugin is installed, the real thing."""

import json
from pathlib import Path

import pytest
from jax._src import xla_bridge

from motion_jax import cli
from motion_jax.errors import UserError
from motion_jax.profiling import gpu, gpu_program, topology
from motion_jax.profiling.chips import CHIPS
from motion_jax.profiling.compile import compile_config, lines
from motion_jax.profiling.options import CompileOptions

CONFIG = """
from motion_jax.config import Config
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes import pix2pixhd as hd

config = Config(
    recipe=hd.Pix2PixHD(
        generator=hd.Generator(ngf=4, n_downsampling=1, n_blocks=1),
        discriminator=hd.Discriminator(ndf=4, n_layers=1),
        losses=hd.Losses(perceptual="none", l1=10.0),
        global_stage=hd.Stage(steps=4, height=32, width=32, batch_size=4, num_D=1),
        local_stage=hd.Stage(steps=0, height=32, width=32, batch_size=4, num_D=1),
        pose_style=PoseStyle(face_points=0, hands=False),
        dtype="bfloat16",
    )
)
"""

# A program as XLA writes it for a card: a kernel gradient that became a convolution with a picture,
# a good one, one of a picture with zeros between its rows, a matrix product in a fusion, a patch
# that is read and one that is laid over a picture in a loop of three, and a message.
PROGRAM = (Path(__file__).parent / "for_a_card.hlo").read_text()


def test_a_programs_text_tells_what_is_out_of_proportion_and_what_it_moves():
    read = gpu_program.read(PROGRAM, CHIPS["H200"], 7)
    assert read.convolutions == 3
    window, zeros = read.out_of_proportion
    assert (window.window, window.scope) == ("255x511", "generator / up 3 (backward)")
    assert window.operands == ("bf16[64,257,513,8]", "bf16[128,255,511,8]")
    assert "zeros between its rows" in zeros.why
    assert zeros.scope == "generator / up 1"
    # Convolutions by their output and kernel, then the product.
    picture = 2 * 64 * 3 * 3 * 128 * 255 * 511 * 8
    small = 2 * 16 * 3 * 3 * 16 * (8 * 4 * 4 + 8 * 7 * 7)
    assert read.flops == picture + small + 2 * 8 * 16 * 4
    # Of the picture in the loop two patches are read and one written, three times.
    loop = sum(moved for kind, (_, moved, _) in read.kinds.items() if kind == "dynamic-slice")
    assert loop == 3 * (2 * 16 + 4)
    fusions = 2 * (8 * 7 * 7 * 16 + 8 * 4 * 4 * 16) + 4 * (8 * 16 + 16 * 4 + 8 * 4)
    assert read.kinds["fusion"][:2] == (5, fusions + 3 * (16 + 2 * 16 + 4))
    # The picture's convolution is bound by its arithmetic, the product by its bytes.
    chip = CHIPS["H200"]
    products = next(seconds for scope, seconds, *_ in read.layers if scope.network == "adam")
    assert products == pytest.approx(4 * (8 * 16 + 16 * 4 + 8 * 4) / chip.bandwidth_bytes_s)
    assert read.seconds > picture / chip.peak_flops_bf16
    assert [message.kind for message in read.messages] == ["all-reduce"]


def test_a_larger_kernel_makes_a_larger_window_proportionate():
    read = gpu_program.read(PROGRAM, CHIPS["H200"], 511)
    assert [call.scope for call in read.out_of_proportion] == ["generator / up 1"]


def test_a_text_that_is_no_program():
    with pytest.raises(ValueError, match="no ENTRY"):
        gpu_program.read("nothing", CHIPS["H200"], 7)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.py"
    path.write_text(CONFIG)
    return str(path)


def test_without_the_plugin_one_sentence(config, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "_installed", lambda module: False)
    monkeypatch.setattr(xla_bridge, "_topology_factories", {})
    with pytest.raises(SystemExit) as ended:
        cli.main(["compile", config, "--topology", "h200"])
    assert ended.value.code == 2
    said = capsys.readouterr().err.strip()
    assert "pip install 'motion-jax[cuda]'" in said and said.count("\n") == 0


@pytest.mark.parametrize("name", ["h200:", "h200:0", "h200:two", "h200:2x2"])
def test_a_number_of_cards_is_a_number(name):
    with pytest.raises(UserError, match="no number of cards"):
        topology.topology_devices(name)


def test_profile_sends_cards_to_compile(config, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["profile", config, "--topology", "h200"])
    assert ended.value.code == 2
    assert "motion-jax compile" in capsys.readouterr().err


def test_links_of_a_ring_carry_a_cards_bandwidth():
    grid = gpu.grid_of("h200:4", range(4))
    assert grid.rings == (True,) and 2 * grid.link_bytes_s == 450e9


@pytest.mark.skipif(
    not any(gpu._installed(f"jax_plugins.xla_cuda{version}") for version in (12, 13)),
    reason="jax's CUDA plugin is not installed (the extra cuda)",
)
def test_the_real_step_for_two_cards(config, tmp_path):
    result = compile_config(CompileOptions(config, "h200:2", save=tmp_path / "steps.zip"))
    stage = json.loads(json.dumps(result))["stages"]["global"]
    assert stage["cudnn"]["calls"] > 10 and stage["cudnn"]["out_of_proportion"] == []
    assert stage["fits"] and stage["peak_bytes"] < result["usable_bytes"]
    assert stage["roofline_seconds"] > stage["limit_seconds"] > 0
    assert stage["bytes"] > 1e6
    assert stage["donated"]["tensors"] == stage["donated"]["of"]
    assert [kind["kind"] for kind in stage["collectives"]] == ["all-reduce"]
    assert (tmp_path / "steps.zip").stat().st_size > 1000
    text = "\n".join(lines(result))
    assert "by roofline" in text and "none out of proportion" in text
