"""Topologies, what fits them, and what is read from a program's text (test_compile.py compiles)."""

import importlib.util
from dataclasses import replace

import pytest

from motion_jax.config import Config
from motion_jax.errors import UserError
from motion_jax.pose.draw import PoseStyle
from motion_jax.profiling import hlo, topology
from motion_jax.recipes import everybody_dance_now as edn

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed (the extra tpu)"
)
CONFIG = Config(
    recipe=edn.EverybodyDanceNow(
        generator=edn.Generator(ngf=4, n_downsampling=1, n_blocks=1),
        discriminator=edn.Discriminator(ndf=4, n_layers=1),
        losses=edn.Losses(perceptual="none", l1=10.0),
        global_stage=edn.Stage(steps=4, height=16, width=16, batch_size=4, num_D=1),
        pose_style=PoseStyle(face_points=0, hands=False),
        dtype="bfloat16",
    )
)

TEXT = """HloModule jit_step, is_scheduled=true

%fused (p.0: f32[8,128]) -> f32[8,128] {
  %p.0 = f32[8,128]{1,0:T(8,128)} parameter(0)
  ROOT %add.0 = f32[8,128]{1,0:T(8,128)} add(%p.0, %p.0), backend_config={"window_config":{"estimated_cycles":"999"}}
}

%body (b: (f32[8,128], s32[])) -> (f32[8,128], s32[]) {
  %b = (f32[8,128]{1,0:T(8,128)}, s32[]{:T(128)}) parameter(0)
  %x = f32[8,128]{1,0:T(8,128)} get-tuple-element(%b), index=0
  %i = s32[]{:T(128)} get-tuple-element(%b), index=1
  %double = f32[8,128]{1,0:T(8,128)} fusion(%x), kind=kLoop, calls=%fused, metadata={op_name="jit(step)/jvp(generator)/GlobalGenerator/first/add"}, backend_config={"window_config":{"estimated_cycles":"10"}}
  ROOT %t = (f32[8,128]{1,0:T(8,128)}, s32[]{:T(128)}) tuple(%double, %i)
}

%cond (c: (f32[8,128], s32[])) -> pred[] {
  %c = (f32[8,128]{1,0:T(8,128)}, s32[]{:T(128)}) parameter(0)
  ROOT %true = pred[]{:T(512)} constant(true)
}

ENTRY %main (a: f32[8,128], p: bf16[5,3]) -> f32[8,128] {
  %a = f32[8,128]{1,0:T(8,128)} parameter(0)
  %p = bf16[5,3]{1,0:T(8,128)(2,1)} parameter(1)
  %zero = s32[]{:T(128)} constant(0)
  %init = (f32[8,128]{1,0:T(8,128)}, s32[]{:T(128)}) tuple(%a, %zero)
  %loop = (f32[8,128]{1,0:T(8,128)}, s32[]{:T(128)}) while(%init), condition=%cond, body=%body, backend_config={"known_trip_count":{"n":"3"}}
  %got = f32[8,128]{1,0:T(8,128)} get-tuple-element(%loop), index=0
  %copy-start = (bf16[5,3]{1,0:T(8,128)(2,1)S(1)}, bf16[5,3]{1,0:T(8,128)(2,1)}, u32[]{:S(2)}) copy-start(%p)
  %small = bf16[5,3]{1,0:T(8,128)(2,1)S(1)} copy-done(%copy-start)
  %pool = bf16[5,3]{1,0:T(8,128)(2,1)} reduce-window(%small), metadata={op_name="jit(step)/transpose(jvp(vgg19))/VGG19/pool/reduce_window"}
  ROOT %sum = f32[8,128]{1,0:T(8,128)} all-reduce(%got), to_apply=%fused, backend_config={"window_config":{"estimated_cycles":"7"}}
}
"""  # noqa: E501


def test_a_programs_text_is_read():
    program = hlo.read(TEXT)
    found = {each.name: each for each in program.instructions}
    assert set(found) == {"double", "pool", "sum"}
    # In a loop of three; the fusion's inside is not counted again.
    assert found["double"].total_cycles == 30
    assert found["double"].bytes == 3 * 2 * 8 * 128 * 4
    # Padded to a tile of 8 x 128; its operand lies in the chip's small memory.
    assert found["pool"].bytes == 8 * 128 * 2
    assert found["pool"].cycles is None
    assert program.collectives == {"all-reduce": 1}
    assert program.collective_bytes == {"all-reduce": 4096}
    by_layer = topology.by_scope(program.instructions)
    assert (str(by_layer[0][0]), *by_layer[0][1:]) == ("generator / first", 30, 24576)


def test_what_is_no_program_is_refused():
    with pytest.raises(ValueError, match="ENTRY"):
        hlo.read("HloModule nothing")


def test_the_arithmetic_of_a_step_grows_with_the_batch_and_not_by_recomputing():
    one = topology.step_flops(CONFIG, "global", 1)
    again = replace(CONFIG, recipe=replace(CONFIG.recipe, rematerialise=True))
    assert topology.step_flops(again, "global", 2) == 2 * one > 0


@pytest.mark.parametrize("name", ["v9:2x2", "v5e", "v5e:2x2x1", "v4:2x2", "v5e:0x2", "v5e:axb"])
def test_a_wrong_topology_is_refused_in_a_sentence(name):
    with pytest.raises(UserError, match="topology|shape"):
        topology.topology_devices(name)


@needs_libtpu
def test_a_batch_that_the_chips_cannot_share_is_refused():
    stage = replace(CONFIG.recipe.global_stage, batch_size=3)
    config = replace(CONFIG, recipe=replace(CONFIG.recipe, global_stage=stage))
    with pytest.raises(UserError, match="batch_size = 3 cannot be shared among the 4 chips"):
        topology.laid_out(config, "global", "v5e:2x2")


@needs_libtpu
def test_a_stage_that_the_config_has_not_is_refused():
    with pytest.raises(UserError, match="no stage 'local'"):
        topology.laid_out(CONFIG, "local", "v5e:2x2")
