"""Small videos whose frames say their number, and a detector that knows who is in which."""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.body.skeletons import COCO17
from bodyloop.detect import Detections
from bodyloop.evidence import Evidence
from bodyloop.geometry import Camera
from bodyloop.view.video_file import VideoFile

SIZE = (160, 96)
BITS = 8


def picture(number: int, size: tuple[int, int] = SIZE, tint: int = 0) -> np.ndarray:
    """Bars along the bottom, white for the ones of the number; the rest one colour, the top row's left corner red."""
    width, height = size
    pixels = np.full((height, width, 3), 60 + tint, np.uint8)
    for bit in range(BITS):
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        pixels[-height // 3 :, left:right] = 255 if number >> bit & 1 else 0
    pixels[:16, :16] = [255, 0, 0]
    return pixels


def number_of(pixels: np.ndarray) -> int:
    height, width = pixels.shape[:2]
    middles = [int((bit + 0.5) * width / BITS) for bit in range(BITS)]
    return sum((int(pixels[-height // 6, x, 1]) > 127) << bit for bit, x in enumerate(middles))


def write_video(
    path: Path, times: Sequence[float], size: tuple[int, int] = SIZE, tint: Callable[[int], int] = lambda n: 0
) -> Path:
    with VideoFile(path, size, 30.0) as file:
        for number, time in enumerate(times):
            file.add(picture(number, size, tint(number)), time)
    return path


def turn_on_its_side(path: Path, width: int) -> None:
    """Say in the file's head that its pictures are to be turned by 90 degrees clockwise, as phones do."""
    data = bytearray(path.read_bytes())
    head = data.index(b"tkhd")
    matrix = head + 4 + 4 + (32 if data[head + 4] else 20) + 16
    one = 1 << 16
    data[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, width * one, 0, 1 << 30)
    path.write_bytes(bytes(data))


def walk(frames: int, fps: float = 30.0, aside: float = 0.0) -> Bodies:
    """Somebody upright who faces the camera and walks to the right, swinging arms and legs, (T,)."""
    pose, place = torch.zeros(frames, 72), torch.zeros(frames, 3)
    time = torch.arange(frames) / fps
    swing = torch.sin(2 * torch.pi * time) * 0.4
    pose[:, 0] = torch.pi
    pose[:, 3], pose[:, 6] = swing, -swing  # hips about x
    pose[:, 3 * 16 + 2], pose[:, 3 * 17 + 2] = -1.2, 1.2  # arms down
    pose[:, 3 * 18 + 1] = swing
    place[:, 0], place[:, 1], place[:, 2] = aside + time * 0.5, 0.2, 4.0
    return Bodies.from_smpl(pose, torch.zeros(frames, 10), place)


class Knowing:
    """Finds the people of a video by the number that a frame shows.

    Args:
        body: their model.
        people: bodies (T,) each, and the frames in which they are seen.
        camera: that sees them.
    """

    def __init__(
        self, body: BodyModel, people: Sequence[tuple[Bodies, Sequence[int]]], camera: Camera
    ) -> None:
        points, _ = body.keypoints(COCO17)
        self.keypoints = [camera.project(body.points(bodies, points)) for bodies, _ in people]
        self.frames = [set(frames) for _, frames in people]
        self.calls: list[tuple[int, bool]] = []

    def __call__(self, pixels: np.ndarray, boxes: Tensor | None = None) -> Detections:
        number = number_of(pixels)
        self.calls.append((number, boxes is None))
        there = [k[number] for k, seen in zip(self.keypoints, self.frames, strict=True) if number in seen]
        points = torch.stack(there) if there else torch.zeros(0, len(COCO17), 2)
        everybody = Evidence.from_keypoints(COCO17, points, torch.ones(points.shape[:2]))
        if boxes is None:
            return Detections(everybody)
        rows, confidence = torch.zeros(len(boxes), len(COCO17), 2), torch.zeros(len(boxes), len(COCO17))
        for i, box in enumerate(boxes):
            inside = [p for p in there if bool(((p >= box[:2]) & (p <= box[2:])).float().mean() > 0.8)]
            if inside:
                rows[i], confidence[i] = inside[0], 1.0
        return Detections(Evidence.from_keypoints(COCO17, rows, confidence, boxes))
