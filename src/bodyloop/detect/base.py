"""What every keypoint detector takes and gives, and what adapters share."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bodyloop.errors import InputError
from bodyloop.evidence import Evidence


@dataclass(frozen=True)
class Detections:
    """People found in one image.

    Attributes:
        evidence: their N sets of 2D keypoints, in image pixels.
        world_landmarks: (N, K, 3) metres, axes as the camera's (x right, y down, z forward), origin between
            the hips; where the detector guesses them.
        masks: (N, H, W) bool, the pixels of each person; where the detector was asked for them.
    """

    evidence: Evidence
    world_landmarks: Tensor | None = None
    masks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.evidence)


class Detector(Protocol):
    """Finds people in an image.

    With boxes, the answer has one row for each box, in order, zero confidence where nobody was found.
    """

    def __call__(self, pixels: np.ndarray, boxes: Tensor | None = None) -> Detections:
        """People in an image (H, W, 3) uint8, or inside boxes (N, 4) x0, y0, x1, y1 in pixels."""
        ...


def check_pixels(pixels: np.ndarray) -> None:
    """Refuse what is not an RGB image.

    Raises:
        InputError: unless the array is (H, W, 3) uint8 and not empty.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise InputError(
            f"a detector expects pixels (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}; read the photo "
            "with bodyloop.evidence.read_photo"
        )


def check_boxes(boxes: Tensor) -> Tensor:
    """Boxes (N, 4) as float32 on the CPU.

    Raises:
        InputError: if they are of another shape, not finite, or have no area.
    """
    boxes = torch.as_tensor(boxes, dtype=torch.float32).cpu()
    good = boxes.ndim == 2 and boxes.shape[1] == 4 and bool(torch.isfinite(boxes).all())
    if not good or not bool((boxes[:, 2:] > boxes[:, :2]).all()):
        raise InputError(
            f"a detector expects boxes (N, 4) x0, y0, x1, y1 with x1 > x0 and y1 > y0, got "
            f"{tuple(boxes.shape)} {boxes.tolist()[:2]}; boxes x, y, w, h are converted "
            "by bodyloop.evidence.read_boxes"
        )
    return boxes
