"""Boxes and square crops, and the transform between crop and image pixels, both ways.

Boxes are (x0, y0, x1, y1) in image pixels. Pixel centres are at integers, so a box from x0 to x1 covers
coordinates [x0, x1].
"""

from dataclasses import dataclass

import torch
from torch import Tensor


def keypoint_boxes(keypoints: Tensor, confidence: Tensor) -> Tensor:
    """Tight boxes (..., 4) around the keypoints (..., K, 2) with confidence (..., K) above zero.

    A person without any such keypoint gets a box of NaN.
    """
    seen = (confidence > 0)[..., None]
    low = torch.where(seen, keypoints, torch.inf).amin(-2)
    high = torch.where(seen, keypoints, -torch.inf).amax(-2)
    box = torch.cat([low, high], -1)
    return torch.where(torch.isfinite(box), box, torch.nan)


def square_boxes(boxes: Tensor, factor: float = 1.0, minimum: float = 1.0) -> tuple[Tensor, Tensor]:
    """Centres (..., 2) and sides (...) of squares of `factor` times the longer side of the boxes (..., 4)."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, ((high - low).amax(-1) * factor).clamp_min(minimum)


@dataclass(frozen=True)
class CropTransform:
    """Maps between image pixels and the pixels of a square crop, optionally rotated and flipped.

    Attributes:
        center: (..., 2) crop centre in image pixels.
        size: (...) crop side in image pixels.
        resolution: crop side in crop pixels.
        angle: (...) radians by which the image is turned clockwise (as seen; y points down) in the crop.
        flip: whether the crop is mirrored left-right, after the rotation.
    """

    center: Tensor
    size: Tensor
    resolution: int
    angle: Tensor | float = 0.0
    flip: bool = False

    def _rotation(self) -> Tensor:
        angle = torch.as_tensor(self.angle, dtype=self.center.dtype, device=self.center.device)
        c, s = torch.cos(angle), torch.sin(angle)
        return torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)

    def image_to_crop(self, pixels: Tensor) -> Tensor:
        """Image pixels (..., N, 2) to crop pixels (..., N, 2)."""
        scale = (self.resolution / self.size)[..., None, None]
        local = (pixels - self.center[..., None, :]) @ self._rotation().transpose(-1, -2) * scale
        if self.flip:
            local = local * local.new_tensor([-1.0, 1.0])
        return local + (self.resolution - 1) / 2

    def crop_to_image(self, pixels: Tensor) -> Tensor:
        """Crop pixels (..., N, 2) to image pixels (..., N, 2)."""
        local = pixels - (self.resolution - 1) / 2
        if self.flip:
            local = local * local.new_tensor([-1.0, 1.0])
        scale = (self.size / self.resolution)[..., None, None]
        return local * scale @ self._rotation() + self.center[..., None, :]
