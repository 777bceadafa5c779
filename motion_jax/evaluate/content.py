"""Letterboxed frames without their bars: bars are no picture, so they are not measured."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from motion_jax.data.fitting import Box, in_frame
from motion_jax.data.pairs import Frames
from motion_jax.evaluate.score import Piece


def within(piece: Piece, frames: Frames, start: int) -> Iterator[Piece]:
    """A piece of consecutive records from `start` as pieces without bars: one, or one for each
    shape where pictures of several shapes follow one another. Flicker is not measured from one to
    the next."""
    count = len(piece.real)
    boxes = frames.dataset.info.contents[start : start + count]
    size, run = frames.dataset.size, (frames.height, frames.width)
    if (boxes == (0, 0, *size)).all():
        yield piece
        return
    edges = [0, *(np.flatnonzero(np.diff(boxes, axis=0).any(1)) + 1).tolist(), count]
    for first, last in zip(edges, edges[1:], strict=False):
        box = in_frame(tuple(boxes[first]), size, run, frames.crop)
        part = _rows(piece, slice(first, last), begins=bool(first) or piece.first)
        yield _cut(part, box)


def _rows(piece: Piece, rows: slice, begins: bool) -> Piece:
    poses = piece.pose_pictures
    return replace(
        piece,
        real=piece.real[rows],
        fakes={name: fake[rows] for name, fake in piece.fakes.items()},
        keypoints=piece.keypoints[rows],
        face_boxes=piece.face_boxes[rows],
        first=begins,
        labels=piece.labels[rows],
        pose_pictures=None if poses is None else poses[rows],
    )


def _cut(piece: Piece, box: Box) -> Piece:
    top, left, bottom, right = box
    poses = piece.pose_pictures

    def cut(pictures: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(pictures[:, top:bottom, left:right])

    keypoints = np.array(piece.keypoints, np.float32)
    keypoints[..., :2] -= (left, top)
    keypoints = np.where(keypoints[..., 2:] > 0, keypoints, np.float32(0))
    faces = np.array(piece.face_boxes, np.float32)
    known = faces[:, 2:3] > faces[:, :1]
    faces = np.clip(faces - (top, left, top, left), 0, np.tile([bottom - top, right - left], 2))
    return replace(
        piece,
        real=cut(piece.real),
        fakes={name: cut(fake) for name, fake in piece.fakes.items()},
        keypoints=keypoints,
        face_boxes=np.where(known, faces, 0).astype(np.float32),
        pose_pictures=None if poses is None else cut(poses),
    )
