"""How fast `motion-jax transfer` makes a video once the poses are there, and where the time goes.

    python -m benchmarks.transfer --width 512 --height 256 --filters 64 [--json] [--save]

The network has random weights, which take as long as trained ones; its pictures are noise, which
takes an encoder longer than what a trained one makes. What is measured, in turns:

  whole           poses in memory → the finished MP4, as transfer does it
  without MP4     the same, the pictures thrown away
  drawing         the pose pictures alone
  encoding        the MP4 of the same pictures alone, ready in memory
  dancer          the MP4 of a drawn dancer with some camera noise alone, ready in memory
  one at a time   one pose in, its picture out, before the next is begun: what a live user feels

benchmarks.synthesis measures the generator beside PyTorch.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.reporting import (
    machine,
    markdown,
    parse,
    percentile,
    report,
    sentences,
    summary,
    table,
)
from motion_jax.errors import UserError

COLUMNS = {"what": "what", "ms": "ms a frame", "frames_per_s": "frames/s", "share": "of the whole"}
NAMES = {
    "whole": "poses → MP4",
    "without_mp4": "poses → pictures in memory",
    "drawing": "drawing the poses, alone",
    "encoding": "encoding these pictures, alone",
    "dancer": "encoding a drawn dancer, alone",
}


@dataclass(frozen=True)
class Options:
    """Frames a second of transfer once the poses are there, by part, and the latency of one."""

    width: int = 512
    """Of the pictures, pixels."""
    height: int = 256
    """Of the pictures, pixels."""
    stage: Literal["global", "local"] = "global"
    """global: a GlobalGenerator; local: a LocalEnhancer around one of half the size."""
    filters: int = 64
    """Channels of the global generator at its full resolution (ngf; the reference's is 64)."""
    blocks: int = 9
    """Residual blocks of the global generator."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions."""
    chunk: int = 16
    """Frames in a chunk, as transfer's --chunk."""
    frames: int = 16
    """Frames in one turn."""
    rounds: int = 5
    """Turns of each; the medians count."""
    json: bool = False
    """Print the result as JSON, alone."""
    save: bool = False
    """Keep the result in benchmarks/results/, for docs/performance.md."""


def measure(options: Options) -> dict[str, Any]:
    """The result; see `main`."""
    if min(options.frames, options.rounds, options.chunk) < 1:
        raise UserError("--frames, --rounds and --chunk must be at least 1.")
    import jax

    run = make_run(options)
    keypoints, boxes = make_poses(options)
    with tempfile.TemporaryDirectory() as folder:
        turns = make_turns(options, run, keypoints, boxes, Path(folder))
        taken = {name: [] for name in turns}
        latencies: list[float] = []
        live = run.synthesizer(chunk=1)
        for turn in range(options.rounds + 1):
            for name, function in turns.items():
                begin = time.perf_counter()
                function()
                if turn:  # The first round compiles and warms up.
                    taken[name].append((time.perf_counter() - begin) / options.frames)
            for points, box in zip(keypoints, boxes, strict=True):
                begin = time.perf_counter()
                live.feed({"poses": points[None], "face_boxes": box[None]})
                if turn:
                    latencies.append(time.perf_counter() - begin)
    seconds = {name: summary(values) for name, values in taken.items()}
    whole, bare = seconds["whole"]["median"], seconds["without_mp4"]["median"]
    return {
        "frames_per_s": round(1 / whole, 3),
        "mp4_share": round(1 - bare / whole, 4),
        "p50_ms": round(1e3 * percentile(latencies, 0.5), 3),
        "p95_ms": round(1e3 * percentile(latencies, 0.95), 3),
        "width": options.width,
        "height": options.height,
        "stage": options.stage,
        "filters": options.filters,
        "blocks": options.blocks,
        "dtype": options.dtype,
        "chunk": options.chunk,
        "frames": options.frames,
        "device": jax.devices()[0].device_kind,
        "cores": machine()["cores"],
        "seconds_per_frame": seconds,
        "latency_samples": len(latencies),
    }


def make_run(options: Options) -> Any:
    """A Run of random weights, whose synthesizers are kept, so that each is compiled once."""
    import jax
    import jax.numpy as jnp

    from motion_jax.config import Config
    from motion_jax.nets.initial import initialise
    from motion_jax.recipes import everybody_dance_now as edn
    from motion_jax.train.run import Run

    size = {"height": options.height, "width": options.width}
    stage = edn.Stage(steps=1, **size)
    half = edn.Stage(steps=1, height=options.height // 2, width=options.width // 2)
    recipe = edn.EverybodyDanceNow(
        generator=edn.Generator(ngf=options.filters, n_blocks=options.blocks),
        losses=edn.Losses(perceptual="none"),
        global_stage=stage if options.stage == "global" else half,
        local_stage=stage if options.stage == "local" else edn.Stage(),
        dtype=options.dtype,
    )
    config = Config(recipe=recipe)
    config.validate()
    network, seen = recipe.main_generator(options.stage), jnp.zeros((1, *size.values(), 6))
    params = jax.jit(lambda key: initialise(network, key, seen))(jax.random.key(0))

    class Kept(Run):
        made: dict[int, Any] = {}

        def synthesizer(self, recurrent: bool = True, face: bool = True, chunk: int = 16) -> Any:
            if chunk not in self.made:
                self.made[chunk] = super().synthesizer(recurrent, face, chunk)
            return self.made[chunk]

    return Kept(Path("benchmark"), config, options.stage, 1, {"generator": params}, {})


def make_poses(options: Options) -> tuple[Any, Any]:
    """A drawn dancer's: [N, 137, 3] in pixels, and the face boxes [N, 4]."""
    import numpy as np

    from motion_jax import puppet
    from motion_jax.pose.face import face_boxes

    motion = puppet.dance(options.frames, seed=0)
    character = puppet.CHARACTERS["ben"]
    keypoints = puppet.pose(character, motion, options.height, options.width)
    boxes = face_boxes(keypoints, options.height, options.width)
    return np.asarray(keypoints, np.float32), np.asarray(boxes, np.float32)


def make_dancer(options: Options) -> list[Any]:
    """uint8 [H, W, 3] each: as much to do for the encoder as a real video."""
    import cv2
    import numpy as np

    from motion_jax import puppet

    motion = puppet.dance(options.frames, seed=0)
    small = puppet.draw(
        puppet.CHARACTERS["ben"], motion, 128, 128 * options.width // options.height
    )
    random = np.random.default_rng(0)
    made = []
    for picture in small:
        large = cv2.resize(picture, (options.width, options.height), interpolation=cv2.INTER_CUBIC)
        noisy = large + random.normal(0, 2, large.shape)
        made.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return made


def make_turns(
    options: Options, run: Any, keypoints: Any, boxes: Any, folder: Path
) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from motion_jax.transfer.film import Film
    from motion_jax.transfer.player import Networks, Player
    from motion_jax.transfer.source import Clip
    from motion_jax.video.writer import VideoWriter

    recipe = run.config.recipe
    # As many frames a call as the synthesizer makes on this device.
    together = run.synthesizer(chunk=options.chunk).chunk
    calls = -(-options.frames // together)
    padded = np.pad(keypoints, ((0, calls * together - len(keypoints)), (0, 0), (0, 0)), "edge")
    poses = jnp.asarray(padded).reshape(calls, together, 137, 3)

    @jax.jit
    def draw(points: Any) -> Any:
        return recipe.draw(points, options.height, options.width)

    lost, times = np.zeros(len(keypoints), bool), np.arange(len(keypoints)) / 25
    clip = Clip(keypoints, boxes, lost, times)
    player = Player(Networks(run, chunk=options.chunk), options.chunk)

    def pictures() -> Any:
        return [picture for _, picture in player.play(clip.moments())]

    def film() -> None:
        with Film(folder / "out.mp4", {}) as writer:
            for moment, picture in player.play(clip.moments()):
                writer.add(picture, moment.time)

    ready, dancer = pictures(), make_dancer(options)

    def encode(pictures: Sequence[Any]) -> None:
        with VideoWriter(folder / "ready.mp4", options.height, options.width) as writer:
            for picture, moment in zip(pictures, times, strict=True):
                writer.write(picture, moment)

    return {
        "whole": film,
        "without_mp4": pictures,
        "drawing": lambda: jax.block_until_ready([draw(points) for points in poses]),
        "encoding": lambda: encode(ready),
        "dancer": lambda: encode(dancer),
    }


def rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """For the table and the page."""
    whole = result["seconds_per_frame"]["whole"]["median"]
    made = []
    for name, what in NAMES.items():
        seconds = result["seconds_per_frame"][name]["median"]
        made.append(
            {
                "what": what,
                "ms": 1e3 * seconds,
                "frames_per_s": 1 / seconds,
                "share": f"{100 * seconds / whole:.1f} %",
            }
        )
    return made


def section(result: dict[str, Any]) -> str:
    """Markdown for docs/performance.md."""
    return "\n".join(
        [
            f"{result['width']}x{result['height']}, {result['stage']} generator, "
            f"{result['filters']} filters, {result['dtype']}, {result['device']} "
            f"({result['cores']} cores): **{result['frames_per_s']:.3g} frames/s** from poses to "
            f"the MP4; writing the MP4 adds {100 * result['mp4_share']:.1f} % of the time. One "
            f"frame at a time takes {result['p50_ms']:.4g} ms (p50), "
            f"{result['p95_ms']:.4g} ms (p95).",
            "",
            markdown(rows(result), COLUMNS),
        ]
    )


def name_of(options: Options) -> str:
    """Of the result's file: what differs from case to case."""
    kind = "-bfloat16" if options.dtype == "bfloat16" else ""
    return f"transfer-{options.width}x{options.height}-{options.stage}-{options.filters}{kind}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps {"frames_per_s", "mp4_share", "p50_ms", "p95_ms", …}."""
    with sentences("transfer"):
        options = parse(Options, "transfer", arguments)
        result = measure(options)
        latency = f"One frame at a time: p50 {result['p50_ms']} ms, p95 {result['p95_ms']} ms"
        report(
            name_of(options),
            result,
            [table(rows(result), COLUMNS, latency)],
            as_json=options.json,
            keep=options.save,
            arguments=arguments,
        )


if __name__ == "__main__":
    main()
