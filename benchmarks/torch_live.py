"""A live loop as people write it, with OpenCV, MediaPipe and PyTorch; prints what it measured as
JSON. Started by benchmarks.live.

    while True: read the camera, find the pose, draw it, run the network, show the picture

One thread does everything. The camera is a thread that stands for a driver: it delivers a film's
frames at their times into four buffers and, when these are full, waits for one, as V4L2 does; so
the frames that the loop reads are old ones whenever the loop is slow. Showing is encoding the
picture as JPEG (there may be no screen).
"""

import argparse
import json
import queue
import threading
import time

import cv2
import numpy as np

from benchmarks.torch_networks import GlobalGenerator
from motion_jax.pose import bundles

BUFFERS = 4
# Pairs of MediaPipe's 33 landmarks that are drawn, with colours from the hue circle.
LIMBS = (
    (11, 12), (11, 13), (13, 15), (12, 14), (14, 16), (11, 23), (12, 24), (23, 24), (23, 25),
    (25, 27), (24, 26), (26, 28), (27, 31), (28, 32), (0, 11), (0, 12),
)  # fmt: skip


def driver(path: str, fps: float, end: threading.Event, buffers: queue.Queue) -> None:
    begun, number = time.monotonic(), 0
    film = cv2.VideoCapture(path)
    while not end.is_set():
        there, frame = film.read()
        if not there:
            film = cv2.VideoCapture(path)
            continue
        due = begun + number / fps
        number += 1
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            buffers.put_nowait((time.monotonic(), frame))
        except queue.Full:
            continue  # The driver has no buffer free: the frame is lost, the old ones stay.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--film", required=True)
    parser.add_argument("--fps", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--network", required=True, help="JSON: ngf, n_downsampling, n_blocks")
    options = parser.parse_args()

    import mediapipe
    import torch
    from mediapipe.tasks.python import BaseOptions, vision

    packed = bundles.pose_bundle_bytes(bundles.find_bundle("body", None).path)
    landmarker = vision.PoseLandmarker.create_from_options(
        vision.PoseLandmarkerOptions(
            BaseOptions(model_asset_buffer=packed), vision.RunningMode.VIDEO
        )
    )
    torch.manual_seed(0)
    network = GlobalGenerator(6, 3, **json.loads(options.network)).eval()
    size = options.size
    previous = torch.zeros(1, 3, size, size)
    end, buffers = threading.Event(), queue.Queue(BUFFERS)
    ages, spent = [], {"pose": [], "picture": []}

    def turn(taken: float, frame: np.ndarray, number: int) -> None:
        nonlocal previous
        begun = time.monotonic()
        image = mediapipe.Image(
            image_format=mediapipe.ImageFormat.SRGB, data=cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        )
        answer = landmarker.detect_for_video(image, number * 40)
        found = time.monotonic()
        canvas = np.zeros((size, size, 3), np.uint8)
        for landmarks in answer.pose_landmarks[:1]:
            for i, (a, b) in enumerate(LIMBS):
                hue = np.uint8([[[180 * i // len(LIMBS), 255, 255]]])
                colour = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0].tolist()
                ends = [
                    (round(landmarks[p].x * size), round(landmarks[p].y * size)) for p in (a, b)
                ]
                cv2.line(canvas, *ends, colour, 4)
        with torch.no_grad():
            pose = torch.from_numpy(canvas).permute(2, 0, 1)[None].float() / 255
            previous = network(torch.cat([pose, previous], 1))
        picture = ((previous[0].permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.uint8)
        cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        now = time.monotonic()
        ages.append((now, now - taken))
        spent["pose"].append(found - begun)
        spent["picture"].append(now - found)

    for number in range(3):  # what is compiled or loaded late is not the camera's time
        turn(0.0, np.zeros((480, 480, 3), np.uint8), number)
    ages.clear()
    for values in spent.values():
        values.clear()
    thread = threading.Thread(target=driver, args=(options.film, options.fps, end, buffers))
    thread.start()
    begun, number = time.monotonic(), 3
    while time.monotonic() - begun < options.seconds:
        turn(*buffers.get(), number)
        number += 1
    end.set()
    thread.join()
    times = [at for at, _ in ages]
    rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0

    def row(values: list[float]) -> dict[str, float]:
        shares = {"p50": 50, "p95": 95, "p99": 99}
        return {k: round(1000 * float(np.percentile(values, v)), 2) for k, v in shares.items()}

    found = {
        "fps": round(rate, 2),
        "age": row([age for _, age in ages]),
        "torch": torch.__version__,
    }
    print(json.dumps(found | {name: row(values) for name, values in spent.items()}))


if __name__ == "__main__":
    main()
