"""Boxes and square crops, and the transform between crop and image pixels, both ways.

Boxes are (x0, y0, x1, y1) in image pixels. Pixel centres are at integers, so a box from x0 to x1 covers
coordinates [x0, x1].
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bodyloop.geometry.cameras import Camera


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
        stretch: (...) factor by which the image's y axis is stretched before all else. With fx / fy of a camera the
            pixels become square, and only then is turning the picture the same as turning the camera.
    """

    center: Tensor
    size: Tensor
    resolution: int
    angle: Tensor | float = 0.0
    flip: bool = False
    stretch: Tensor | float = 1.0

    def _rotation(self) -> Tensor:
        angle = torch.as_tensor(self.angle, dtype=self.center.dtype, device=self.center.device)
        c, s = torch.cos(angle), torch.sin(angle)
        return torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)

    def _square(self) -> Tensor:
        """(..., 1, 2): what x and y are multiplied by to make pixels square."""
        y = torch.as_tensor(self.stretch, dtype=self.center.dtype, device=self.center.device)
        return torch.stack([torch.ones_like(y), y], -1)[..., None, :]

    def image_to_crop(self, pixels: Tensor) -> Tensor:
        """Image pixels (..., N, 2) to crop pixels (..., N, 2)."""
        scale = (self.resolution / self.size)[..., None, None]
        local = (pixels - self.center[..., None, :]) * self._square()
        local = local @ self._rotation().transpose(-1, -2) * scale
        if self.flip:
            local = local * local.new_tensor([-1.0, 1.0])
        return local + (self.resolution - 1) / 2

    def crop_to_image(self, pixels: Tensor) -> Tensor:
        """Crop pixels (..., N, 2) to image pixels (..., N, 2)."""
        local = pixels - (self.resolution - 1) / 2
        if self.flip:
            local = local * local.new_tensor([-1.0, 1.0])
        scale = (self.size / self.resolution)[..., None, None]
        return local * scale @ self._rotation() / self._square() + self.center[..., None, :]

    def image_to_crop_camera(self, camera: Camera) -> Camera:
        """The pinhole camera of the crop, for a world that is turned and mirrored as the crop is.

        Exact: with X' = `turn` X, and then x' -> -x' if the crop is flipped, the crop's camera sees X' where
        `image_to_crop` puts the pixel at which the image's camera sees X. The rotation may be about any pixel: turning
        about the principal point is turning about the optical axis, and the rest is a shift of the principal point.

        Raises:
            ValueError: if the focal lengths differ after stretching and the crop is rotated, when no pinhole camera
                with square axes does it; give ``stretch`` = fx / fy.
        """
        focal = camera.focal * self._square()[..., 0, :]
        uneven = (focal[..., 0] / focal[..., 1] - 1).abs() > 1e-5
        if bool((uneven & (torch.as_tensor(self.angle, device=focal.device) != 0)).any()):
            raise ValueError(
                "a rotated crop needs square pixels: give the crop stretch = fx / fy of the camera"
            )
        center = self.image_to_crop(camera.center[..., None, :])[..., 0, :]
        focal = focal * (self.resolution / self.size)[..., None]
        return Camera(focal, center, (self.resolution, self.resolution))

    @property
    def turn(self) -> Tensor:
        """Rotation (..., 3, 3) about the optical axis that turns camera-frame points as the crop turns the picture."""
        flat = self._rotation()
        turn = torch.zeros(*flat.shape[:-2], 3, 3, dtype=flat.dtype, device=flat.device)
        turn[..., :2, :2], turn[..., 2, 2] = flat, 1.0
        return turn


def box_overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4), x0, y0, x1, y1; 0 for boxes that are none."""
    low, high = torch.maximum(a[:, None, :2], b[None, :, :2]), torch.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clamp_min(0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(-1) for boxes in (a, b)]
    return (shared / (areas[0][:, None] + areas[1] - shared)).nan_to_num(0, 0, 0)


def pair_boxes(a: Tensor, b: Tensor, least: float = 0.0) -> list[tuple[int, int]]:
    """Pairs (n, m) of the largest overlap first, each box of (N, 4) and of (M, 4) once.

    Args:
        a, b: boxes.
        least: overlap that a pair must have more than.
    """
    overlap = box_overlap(a, b)
    pairs = []
    while overlap.numel() and float(overlap.max()) > least:
        n, m = divmod(int(overlap.argmax()), overlap.shape[1])
        pairs.append((n, m))
        overlap[n], overlap[:, m] = 0, 0
    return pairs
