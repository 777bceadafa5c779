"""Mutated films and pose files through the readers, in a process of its own.

    python tests/field/fuzz.py [--count 10000] [--seed 0] [KIND ...]

What may come of a mutation: frames (poses), or one sentence. A crash of FFmpeg's ends the process
that reads, is counted, and the next process goes on after it. The process has a limit of memory,
and each mutation one of time.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

KINDS = ("mp4", "mkv", "avi", "gif", "hevc", "json", "yml")
MEMORY = 6 * 2**30
SECONDS = 30
WORDS = (
    b"null", b"-", b"1e39", b"1e400", b"NaN", b"0", b"9", b".", b",", b"[]", b"{}", b"]", b"[",
    b'"', b"true", b"-1e9", b"9" * 40, b":", b" ", b"\n", b".Nan", b"\xff",
)  # fmt: skip


def originals(folder: Path) -> dict[str, Path]:
    """A right file of each kind, a few kilobytes each."""
    import inventory
    from field_films import beep, film, film_of_tracks, pictures

    wave = beep(0.2, 0.4, 1)
    (folder / "json").mkdir()
    (folder / "yml").mkdir()
    hevc = {"x265-params": "log-level=none"}
    return {
        "mp4": film_of_tracks(folder / "a.mp4", [(pictures(8), True)], [(wave, True)]),
        "mkv": film_of_tracks(folder / "a.mkv", [(pictures(8), True)], [(wave, True)]),
        "avi": film(folder / "a.avi", pictures(8), "mpeg4"),
        "gif": film(folder / "a.gif", pictures(4), "gif", "rgb8"),
        "hevc": film(folder / "h.mp4", pictures(8), "libx265", "yuv420p10le", hevc, (9, 16, 9, 1)),
        "json": inventory.KINDS["poses, JSON"].make(folder / "json")[1],
        "yml": inventory.KINDS["poses, yml"].make(folder / "yml")[1],
    }


def mutated_text(data: bytes, seed: tuple[int, ...]) -> bytes:
    """A few signs become others that mean something there, so that much of it can still be read."""
    chance = np.random.default_rng(seed)
    values = bytearray(data)
    for _ in range(int(chance.integers(1, 4))):
        at = int(chance.integers(len(values)))
        word = WORDS[chance.integers(len(WORDS))]
        values[at : at + int(chance.integers(0, 4))] = word
    return bytes(values)


def mutated(data: bytes, seed: tuple[int, ...]) -> bytes:
    """Bytes changed, a piece cut out or doubled, numbers that matter written in, the end lost."""
    chance = np.random.default_rng(seed)
    values = bytearray(data)
    for _ in range(int(chance.integers(1, 6))):
        at, length = int(chance.integers(len(values))), int(chance.integers(1, 64))
        way = int(chance.integers(6))
        if way <= 1:
            for place in chance.integers(0, len(values), int(chance.integers(1, 30))):
                values[place] = int(chance.integers(256))
        elif way == 2:
            del values[at : at + length]
        elif way == 3:
            values[at:at] = values[at : at + length]
        elif way == 4:
            number = [0, 1, 127, 128, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1][chance.integers(8)]
            values[at : at + 4] = number.to_bytes(4, "big" if chance.random() < 0.5 else "little")
        else:
            del values[max(at, 16) :]
        if not values:
            values = bytearray(b"\0")
    return bytes(values)


def read(kind: str, path: Path) -> str:
    """ "read" or "sentence". Raises whatever else comes."""
    from motion_jax.errors import UserError
    from motion_jax.pose.files import read_edn_yml, read_openpose
    from motion_jax.video.reader import frame_times, probe, read_frames

    try:
        if kind == "json":
            read_openpose(path.parent)
        elif kind == "yml":
            read_edn_yml(path.parent)
        else:
            probe(path)
            frame_times(path)
            for frame in read_frames(path):
                assert frame.image.dtype == np.uint8
    except UserError as error:
        assert "\n" not in str(error), str(error)
        return "sentence"
    return "read"


def child(kind: str, first: int, last: int, seed: int, folder: Path) -> None:
    """Tries the mutations first ... last - 1; writes a line about each."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    original = next((folder / "in").glob(f"{kind}.*")).read_bytes()
    suffixes = {"json": "_0_keypoints.json", "yml": "_0_pose.yml", "hevc": ".mp4"}
    suffix = suffixes.get(kind, f".{kind}")
    os.close(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    for number in range(first, last):
        place = folder / "work"
        place.mkdir(exist_ok=True)
        path = place / f"m{suffix}"
        change = mutated_text if kind in ("json", "yml") and number % 2 else mutated
        path.write_bytes(change(original, (seed, KINDS.index(kind), number)))
        signal.alarm(SECONDS)
        say(folder, number, "begun")
        began = time.monotonic()
        try:
            found = read(kind, path)
        except BaseException as error:
            found = f"fault: {type(error).__name__}: {error}"
        signal.alarm(0)
        say(folder, number, found, time.monotonic() - began)
    os._exit(0)


def say(folder: Path, number: int, what: str, seconds: float = 0.0) -> None:
    with open(folder / "log", "a") as log:
        log.write(json.dumps([number, what, round(seconds, 2)]) + "\n")


def run(kind: str, count: int, seed: int = 0) -> dict:
    """Tries `count` mutations: {tried, read, sentence, crashes: [[number, status]], faults:
    [[number, what]], slowest: seconds}."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "in").mkdir()
        (folder / "made").mkdir()
        original = originals(folder / "made")[kind]
        (folder / "in" / f"{kind}{original.suffix}").write_bytes(original.read_bytes())
        first, crashes = 0, []
        while first < count:
            words = ["--child", kind, str(first), str(count), str(seed), place]
            done = subprocess.run([sys.executable, __file__, *words], stdin=subprocess.DEVNULL)
            lines = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
            if done.returncode == 0:
                break
            first = lines[-1][0] + 1
            crashes.append([lines[-1][0], done.returncode])
    ended = [line for line in lines if line[1] != "begun"]
    kinds = Counter(line[1] for line in ended)
    return {
        "tried": len(ended) + len(crashes),
        "read": kinds["read"],
        "sentence": kinds["sentence"],
        "crashes": crashes,
        "faults": [line[:2] for line in ended if line[1].startswith("fault")],
        "slowest": max((line[2] for line in ended), default=0.0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    faults = 0
    for kind in options.kinds:
        result = run(kind, options.count, options.seed)
        faults += len(result["faults"])
        print(kind, json.dumps(result)[:3000], flush=True)
    sys.exit(bool(faults))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], *map(int, sys.argv[3:6]), Path(sys.argv[6]))
    main()
