"""What communication is read from a program's text, and the time that is worked out for it."""

import itertools
from types import SimpleNamespace

import pytest

from motion_jax.profiling import collectives, hlo
from motion_jax.profiling.collectives import Grid, groups_of, pairs_of, seconds
from motion_jax.profiling.hlo import Message

LINK = 50e9
TEXT = """HloModule jit_step

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[]{:T(128)} parameter(0)
  %b = f32[]{:T(128)} parameter(1)
  ROOT %add = f32[]{:T(128)} add(%a, %b)
}

ENTRY %main (x: bf16[16,1,64,512]) -> f32[512] {
  %x = bf16[16,1,64,512]{3,2,1,0:T(8,128)(2,1)} parameter(0)
  %go = (bf16[16,1,64,512]{3,2,1,0:T(8,128)(2,1)S(1)}, bf16[16,1,64,512]{3,2,1,0:T(8,128)(2,1)S(1)}, u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%x), channel_id=1, source_target_pairs={{0,1},{2,3}}, metadata={op_name="jit(step)/jvp(generator)/first/ppermute"}
  %come = bf16[16,1,64,512]{3,2,1,0:T(8,128)(2,1)S(1)} collective-permute-done(%go)
  %gather-start = ((f32[8]{0:T(256)}, f32[2,2]{1,0}), (f32[32]{0:T(256)}, f32[8,2]{1,0})) all-gather-start(%x), replica_groups=[1,4]<=[4], dimensions={0}
  %gather = (f32[32]{0:T(256)}, f32[8,2]{1,0}) all-gather-done(%gather-start)
  ROOT %all = (f32[512]{0:T(512)}, f32[]{:T(128)}) all-reduce(%x), replica_groups=mesh['axis_0'=2,'axis_1'=2] {'axis_1'}, to_apply=%sum
}
"""  # noqa: E501


def grid(x, y=1, ring=None):
    """x * y chips, numbered row by row."""
    places = tuple((i, j) for j in range(y) for i in range(x))
    return Grid(
        places, (x, y), tuple((side == 16) if ring is None else ring for side in (x, y)), LINK
    )


def message(kind, size, attributes=""):
    return Message(kind, size, 1, False, "", attributes)


def bandwidth_seconds(kind, size, grid, attributes=""):
    """Without the microsecond a link: that of an empty message is taken off."""
    empty = seconds(message(kind, 0, attributes), grid)
    return seconds(message(kind, size, attributes), grid) - empty


def test_messages_are_read_with_the_size_of_what_arrives():
    found = {each.kind: each for each in hlo.read(TEXT).messages}
    assert set(found) == {"collective-permute", "all-gather", "all-reduce"}
    assert found["collective-permute"].bytes == 16 * 64 * 512 * 2
    assert found["all-gather"].bytes == 4 * (32 + 16)
    assert found["all-reduce"].bytes == 4 * (512 + 1)
    assert [found[kind].beside for kind in sorted(found)] == [True, False, True]
    assert found["collective-permute"].scope.endswith("first/ppermute")
    # What only waits or talks is no arithmetic without an estimate.
    assert hlo.read(TEXT).instructions == []
    kinds = collectives.by_kind(hlo.read(TEXT).messages, grid(2, 2))
    assert sum(kind.bytes for kind in kinds) == sum(each.bytes for each in found.values())
    assert sum(kind.beside for kind in kinds) == 2


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("{{0,1},{2,3}}", ((0, 1), (2, 3))),
        ("{}", ((0, 1, 2, 3),)),
        ("[1,4]<=[4]", ((0, 1, 2, 3),)),
        ("[2,2]<=[2,2]T(1,0)", ((0, 2), (1, 3))),
        ("mesh['axis_0'=2,'axis_1'=2] {'axis_1'}", ((0, 1), (2, 3))),
        ("mesh['axis_0'=2,'axis_1'=2] {'axis_0'}", ((0, 2), (1, 3))),
        ("mesh['axis_0'=2,'axis_1'=2,'axis_2'=1] {'axis_0','axis_1'}", ((0, 1, 2, 3),)),
        ("mesh['a'=2,'b'=2], device_ids=([2,2]T(1,0)) {'a'}", ((0, 1), (2, 3))),
        ("mesh['a'=2,'b'=2], device_ids=[0,3,1,2] {'b'}", ((0, 3), (1, 2))),
        ("mesh['a'=4] {'a':(2)2}", ((0, 1), (2, 3))),
        ("mesh['a'=4] {'a':(1)2}", ((0, 2), (1, 3))),
    ],
)
def test_who_talks_with_whom(text, groups):
    assert groups_of(f"channel_id=1, replica_groups={text}, to_apply=%sum", 4) == groups


def test_an_unknown_form_of_groups_is_refused():
    with pytest.raises(ValueError, match="unknown form"):
        groups_of("replica_groups=some<0>, x", 4)
    with pytest.raises(ValueError, match="source_target_pairs"):
        pairs_of("channel_id=1")


@pytest.mark.parametrize(
    ("kind", "chips", "ring", "share"),
    [
        # Of V bytes what passes the busiest link, one way.
        ("all-gather", 4, False, 3 / 4),  # the last link of a line: all but the end's own part
        ("all-gather", 16, True, 15 / 16 / 2),  # half of it each way round
        ("all-reduce", 2, False, 1),
        ("all-reduce", 4, False, 3 / 2),
        ("all-to-all", 4, False, 1),  # 2 chips send half of theirs across the middle
        ("all-to-all", 16, True, 2),
    ],
)
def test_a_collective_along_one_dimension(kind, chips, ring, share):
    size = 1_000_000
    found = bandwidth_seconds(kind, size, grid(chips, ring=ring))
    assert found == pytest.approx(share * size / LINK)
    if kind == "all-reduce":
        scattered = bandwidth_seconds("reduce-scatter", size // chips, grid(chips, ring=ring))
        assert found == pytest.approx(2 * scattered)


def test_a_full_torus_reaches_the_published_all_reduce_bandwidth():
    """v5e: 51.2 TB/s in a pod of 256, 200 GB/s a chip, through which twice the bytes pass."""
    found = bandwidth_seconds("all-reduce", 1_000_000_000, grid(16, 16))
    assert found == pytest.approx(2 * 1e9 / 200e9, rel=0.01)


def test_groups_that_lie_apart_share_links():
    rows = "replica_groups={{0,1},{2,3}}"
    apart = "replica_groups={{0,2},{1,3}}"
    near = bandwidth_seconds("all-reduce", 1000, grid(4), rows)
    assert bandwidth_seconds("all-reduce", 1000, grid(4), apart) == pytest.approx(2 * near)
    # In a square the columns have links of their own.
    assert bandwidth_seconds("all-reduce", 1000, grid(2, 2), apart) == pytest.approx(near)


def test_a_permute_waits_for_its_busiest_link():
    def took(pairs, chips, ring=False):
        attributes = f"source_target_pairs={{{pairs}}}"
        return seconds(message("collective-permute", 50_000, attributes), grid(chips, ring=ring))

    once, hop = 50_000 / LINK, collectives.HOP_SECONDS
    assert took("{0,1},{1,2},{2,3}", 4) == pytest.approx(once + hop)
    assert took("{0,2},{1,3}", 4) == pytest.approx(2 * once + 2 * hop)
    # From one end to the other: over all links of a line, over one of a ring.
    assert took("{3,0}", 4) == pytest.approx(once + 3 * hop)
    assert took("{3,0}", 4, ring=True) == pytest.approx(once + hop)
    assert took("{0,0}", 4) == 0


def test_one_chip_has_nobody_to_wait_for():
    assert seconds(message("all-reduce", 1000), grid(1)) == 0


@pytest.mark.parametrize(
    ("kind", "sides", "rings", "link"),
    [
        ("TPU v5 lite", (4, 4, 1), (False, False, False), 50e9),
        ("TPU v5 lite", (8, 16, 1), (False, True, False), 50e9),
        ("TPU v6 lite", (2, 2, 1), (False, False, False), 100e9),
        ("TPU v4", (2, 2, 1), (False, False, False), 50e9),
        ("TPU v4", (4, 4, 8), (True, True, True), 50e9),
        ("TPU v5", (4, 4, 4), (True, True, True), 100e9),
    ],
)
def test_rings_are_where_the_makers_close_them(kind, sides, rings, link):
    devices = [
        SimpleNamespace(coords=list(place), device_kind=kind, platform="tpu")
        for place in itertools.product(*map(range, sides))
    ]
    grid = collectives.grid_of(devices)
    assert (grid.sides, grid.rings, grid.link_bytes_s) == (sides, rings, link)
