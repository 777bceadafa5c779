"""Transfers 20 minutes: "poses" with the source's frames beside them, or "pictures" alone. Prints
frames and seconds of the result, and by how many megabytes memory grew from minute FIRST on."""

import sys
from pathlib import Path

import numpy as np
from walker import FakeSynthesizer, Given, a_track, fake_run

from motion_jax.pose.files import write_openpose
from motion_jax.transfer import command
from motion_jax.transfer.options import TransferOptions
from motion_jax.video.reader import frame_times
from motion_jax.video.writer import VideoWriter

FPS, MINUTES, SIZE = 3, 20, 96
# Minutes until all buffers (of the encoder, above all) are as full as they get.
FIRST = 8


def resident() -> float:
    """Megabytes of this process that are in memory."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in x)
    return int(line.split()[1]) / 1024


class Watched(FakeSynthesizer):
    frames, at_first = 0, 0.0

    def feed(self, seen):
        shown = seen["face_boxes"]
        if self.frames < FIRST * 60 * FPS <= self.frames + len(shown):
            self.at_first = resident()
        self.frames += len(shown)
        return np.zeros((len(shown), *self.size, 3), np.uint8)


class ShownFrames(Given):
    shows = ("poses", "frames")


def main(kind: str, folder: Path) -> None:
    count = MINUTES * 60 * FPS
    source = folder / "source.mp4"
    with VideoWriter(source, SIZE, SIZE) as writer:
        for i in range(count):
            writer.write(np.full((SIZE, SIZE, 3), i % 250, np.uint8), i / FPS)
    recipe = ShownFrames if kind == "poses" else Given
    run = fake_run(recipe=recipe, made=Watched)
    command.load_person = lambda *_: run
    options = {"normalize": "none", "smooth": False, "swaps": False, "bones": False}
    if kind == "poses":
        pose = a_track(np.zeros(1), size=(SIZE, SIZE)).keypoints
        write_openpose(folder / "poses", np.broadcast_to(pose, (count, 137, 3)))
        options["poses"] = folder / "poses"
    out = folder / "out.mp4"
    place = folder / "run"
    place.mkdir()
    command.transfer(TransferOptions(source, out, place, ready_poses=kind == "pictures", **options))
    times = frame_times(out)
    print(len(times), times[-1], resident() - run.made.at_first)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
