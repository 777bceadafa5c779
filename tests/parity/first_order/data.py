"""How clips are augmented, cropped, split and paired."""

import random
from pathlib import Path

import numpy as np
from parity.first_order.comparing import Arrays, Compared

from motion_jax.data.published_augment import PublishedAugment, augmented
from motion_jax.data.published_clips import animation_pairs, split
from motion_jax.data.tubes import grown, tubes
from motion_jax.transfer.best_frame import best_frame


def check_best_frame(path: Path, description: dict, arrays: Arrays, _: dict) -> None:
    number, _ = best_frame(arrays["source_landmarks"], arrays["driving_landmarks"])
    assert number == arrays["best_frame"][0]


def check_augmentation(path: Path, description: dict, arrays: Arrays, _: dict) -> None:
    compared, params = Compared(description, arrays), description["augmentation_params"]
    flips = params["flip_param"]
    settings = PublishedAugment(
        flips["time_flip"], flips["horizontal_flip"], tuple(params["resize_param"]["ratio"])
    )
    clip = arrays["clip"].astype(np.float32) / np.float32(255)
    for seed in description["seeds"]:
        draw = random.Random(seed)
        compared(f"clip_{seed}", augmented(clip, settings, draw, params["crop_param"]["size"]))
    compared.done()


def check_crop_video(path: Path, description: dict, arrays: Arrays, _: dict) -> None:
    """The tubes and boxes of each film; what the published program makes of a box that reaches over
    the edge is its own, and so is the form of what it prints."""
    for case in description["cases"]:
        height, width = case["frame_shape"]
        scale = max(1.0, max(height, width) / 640)
        boxes = [
            [tuple(scale * x for x in box) for box in each] for each in case["boxes_per_frame"]
        ]
        made = []
        for tube in tubes(boxes, case["min_frames"], case["iou_with_initial"]):
            left, top, right, bottom = (int(x) for x in grown(tube.box, case["increase"]))
            left, top, right, bottom = (
                max(0, left),
                max(0, top),
                min(right, width),
                min(bottom, height),
            )
            start, end = tube.first / case["fps"], tube.last / case["fps"]
            shape = ":".join(map(str, case["image_shape"]))
            crop = f"crop={right - left}:{bottom - top}:{left}:{top}, scale={shape}"
            made.append(
                f'ffmpeg -i video.mp4 -ss {start} -t {end - start} -filter:v "{crop}" crop.mp4'
            )
        assert made == case["commands"]


def check_dataset(path: Path, description: dict, arrays: Arrays, _: dict) -> None:
    for case in description["pairs"]:
        pairs = animation_pairs(case["number_of_videos"], case["num_pairs"])
        assert [list(pair) for pair in pairs] == case["pairs_driving_source"]
    expected = description["split"]
    assert split(expected["videos"]) == (expected["train"], expected["test"])
