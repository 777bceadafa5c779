"""What `motion-jax compile` says of a stage's step that was compiled for NVIDIA cards."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import jax

from motion_jax.config import Config
from motion_jax.profiling import collectives, gpu, gpu_program, topology
from motion_jax.profiling.chips import CHIPS
from motion_jax.profiling.figures import scaled

# Layers that a person is shown.
DEAREST = 10


def described(
    config: Config, name: str, topology_name: str, executable: jax.stages.Compiled
) -> dict[str, Any]:
    """Of one card. Memory and donation are compile.described's.

    Returns
      memory, peak_bytes: without what cuDNN's algorithms work in, which only a card chooses;
      flops: analytic, of the step as written; compiled_flops, bytes: see gpu_program.Read;
      cudnn: {calls, out_of_proportion: list of gpu_program.Call's fields};
      kinds: {kind of instruction: {count, bytes, seconds}}; layers: list of {scope, seconds, bytes,
        flops}, the dearest first;
      collectives, communication_seconds: by the published bandwidth of the links;
      roofline_seconds: see gpu_program, without communication; limit_seconds: the analytic FLOPs at
        the card's published peak; roofline_share: what part of roofline_seconds that is.

    Raises ValueError where the program's text is not in a form known here.
    """
    card = gpu.card(topology_name)
    chip, devices = CHIPS[card.chip], topology.devices_of(executable)
    text = executable.as_text()
    assert text is not None, "XLA gives the text of what it compiles"
    read = gpu_program.read(text, chip, largest_kernel(config, name))
    grid = gpu.grid_of(topology_name, devices)
    communication = collectives.by_kind(read.messages, grid)
    memory = topology.memory(executable)
    batch = config.recipe.stages()[name].batch_size
    flops = topology.step_flops(config, name, batch) / len(devices)
    limit = flops / chip.peak_flops(config.recipe.dtype)
    return {
        "fits": memory["peak"] <= card.usable_bytes,
        "memory": memory,
        "peak_bytes": memory["peak"],
        "flops": flops,
        "compiled_flops": read.flops,
        "bytes": read.bytes,
        "cudnn": read.cudnn(),
        "kinds": {
            kind: dict(zip(("count", "bytes", "seconds"), values, strict=True))
            for kind, values in read.kinds.items()
        },
        "layers": [
            {"scope": str(scope), "seconds": seconds, "bytes": moved, "flops": arithmetic}
            for scope, seconds, moved, arithmetic in read.layers
        ],
        "collectives": [asdict(kind) for kind in communication],
        "communication_seconds": sum(kind.seconds for kind in communication),
        "roofline_seconds": read.seconds,
        "limit_seconds": limit,
        "roofline_share": limit / read.seconds,
    }


def largest_kernel(config: Config, name: str) -> int:
    """Side of the largest kernel of a stage's networks."""
    recipe = config.recipe
    networks = [network.shapes() for network in recipe.pretrained().values()]
    networks += list(
        jax.eval_shape(lambda key: recipe.init(key, name), jax.random.key(0)).params.values()
    )
    leaves = (leaf for tree in networks for leaf in jax.tree.leaves(tree))
    return max((max(leaf.shape[:2]) for leaf in leaves if len(leaf.shape) == 4), default=1)


def rows(stage: dict[str, Any]) -> list[tuple[str, str]]:
    """(label, text) of what a person is told of one stage after its memory."""
    found = [
        (
            "a card's work",
            f"{scaled(stage['flops'], 'FLOP')} as written, "
            f"{scaled(stage['compiled_flops'], 'FLOP')} as compiled; "
            f"{scaled(stage['bytes'], 'B')} moved",
        ),
        ("estimate", _estimate(stage)),
        ("by kind", "; ".join(_kinds(stage["kinds"]))),
    ]
    for each in stage["layers"][:DEAREST]:
        found.append(
            (
                "" if found[-1][0] in ("", "dearest") else "dearest",
                f"{each['scope']}: {ms(each['seconds'])}, {scaled(each['bytes'], 'B')}",
            )
        )
    odd = stage["cudnn"]["out_of_proportion"]
    found.append(
        (
            "cuDNN",
            f"{stage['cudnn']['calls']} convolutions a step, {len(odd) or 'none'} out of "
            "proportion",
        )
    )
    found += [("", f"{call['call']} of {call['scope']}: {call['why']}") for call in odd]
    for kind in stage["collectives"]:
        text = f"{kind['count']} a step, {scaled(kind['bytes'], 'B')}, {ms(kind['seconds'])}"
        found.append((kind["kind"], f"{text} by the links' bandwidth"))
    return found if stage["collectives"] else [*found, ("collectives", "none")]


def _estimate(stage: dict[str, Any]) -> str:
    seconds, limit = stage["roofline_seconds"], stage["limit_seconds"]
    return (
        f"{ms(seconds)} by roofline (each instruction the larger of its arithmetic at the card's "
        f"peak and its bytes at its bandwidth), not measured; {seconds / limit:.3g} times its "
        f"arithmetic alone, {ms(limit)}"
    )


def _kinds(kinds: dict[str, dict[str, Any]]) -> Sequence[str]:
    return [
        f"{each['count']} {kind.removeprefix('__cudnn$')} {ms(each['seconds'])}, "
        f"{scaled(each['bytes'], 'B')}"
        for kind, each in list(kinds.items())[:6]
    ]


def ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.4g} s"
