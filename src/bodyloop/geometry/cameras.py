"""Pinhole and weak-perspective cameras.

Camera axes as OpenCV: x right, y down, z forward. Pixel (0, 0) is the centre of the top-left pixel, so the
centre of an image of width W lies at (W - 1) / 2.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def default_focal(width: float, height: float) -> float:
    """Focal length in pixels when nothing is known: the image diagonal (a 53 degree diagonal view)."""
    return float((width**2 + height**2) ** 0.5)


@dataclass(frozen=True)
class Camera:
    """Full-perspective pinhole camera, one or a batch.

    Attributes:
        focal: (..., 2) focal lengths fx, fy in pixels.
        center: (..., 2) principal point in pixels.
        size: (width, height) of the image in pixels; the same for the whole batch.
    """

    focal: Tensor
    center: Tensor
    size: tuple[int, int]

    def __post_init__(self) -> None:
        if self.focal.shape[-1:] != (2,) or self.center.shape[-1:] != (2,):
            raise ValueError(
                f"a Camera needs focal (..., 2) and center (..., 2), got {tuple(self.focal.shape)} and "
                f"{tuple(self.center.shape)}; use Camera.from_focal for one number"
            )
        if not bool((self.focal > 0).all()):
            raise ValueError("focal lengths must be positive numbers of pixels")

    @classmethod
    def from_focal(cls, focal: float, width: int, height: int) -> "Camera":
        """Camera with one focal length in pixels, looking through the middle of the image."""
        return cls(
            torch.tensor([float(focal)] * 2),
            torch.tensor([(width - 1) / 2, (height - 1) / 2]),
            (int(width), int(height)),
        )

    def to(self, *args: Any) -> "Camera":
        """The same camera on another device or in another precision."""
        return Camera(self.focal.to(*args), self.center.to(*args), self.size)

    def expand(self, *batch: int) -> "Camera":
        """The same camera with leading batch dimensions ``batch``; a batch of that shape stays as it is.

        Raises:
            ValueError: if the cameras are a batch of another shape.
        """
        for values in (self.focal, self.center):
            if any(a not in (1, b) for a, b in zip(values.shape[-2::-1], batch[::-1], strict=False)):
                raise ValueError(
                    f"need one camera for all, or one for each of {tuple(batch)} people, got "
                    f"{tuple(values.shape[:-1])}"
                )
        return Camera(self.focal.expand(*batch, 2), self.center.expand(*batch, 2), self.size)

    def project(self, points: Tensor) -> Tensor:
        """Camera-frame points (..., N, 3) in metres to pixels (..., N, 2). Depth is not checked."""
        return points[..., :2] / points[..., 2:] * self.focal[..., None, :] + self.center[..., None, :]

    def unproject(self, pixels: Tensor, depth: Tensor) -> Tensor:
        """Pixels (..., N, 2) at depths (..., N) in metres to camera-frame points (..., N, 3)."""
        rays = (pixels - self.center[..., None, :]) / self.focal[..., None, :]
        return torch.cat([rays, torch.ones_like(rays[..., :1])], -1) * depth[..., None]

    def intrinsics(self) -> Tensor:
        """Matrix K (..., 3, 3)."""
        k = torch.zeros(*self.focal.shape[:-1], 3, 3, dtype=self.focal.dtype, device=self.focal.device)
        k[..., 0, 0], k[..., 1, 1] = self.focal[..., 0], self.focal[..., 1]
        k[..., :2, 2], k[..., 2, 2] = self.center, 1.0
        return k


@dataclass(frozen=True)
class WeakPerspective:
    """SPIN's and HMR's camera (s, tx, ty) of a square crop: crop coordinates in [-1, 1] are s (X + t).

    Attributes:
        scale: (...) s.
        shift: (..., 2) tx, ty in metres, added **before** the scale (EFT's adds it after: see `from_eft`).
    """

    scale: Tensor
    shift: Tensor

    @classmethod
    def from_eft(cls, scale: Tensor, shift: Tensor) -> "WeakPerspective":
        """EFT's camera s X + t, which scales first."""
        return cls(scale, shift / scale[..., None])

    def project(self, points: Tensor) -> Tensor:
        """Points (..., N, 3) to crop coordinates (..., N, 2) in [-1, 1]."""
        return self.scale[..., None, None] * (points[..., :2] + self.shift[..., None, :])

    def to_translation(self, camera: Camera, crop_center: Tensor, crop_size: Tensor) -> Tensor:
        """Translation (..., 3) in the full image's pinhole camera that shows the body at the same place.

        The body's own depth is neglected against its distance, as everywhere that (s, tx, ty) is used:
        one metre covers ``s crop_size / 2`` pixels, hence z = 2 f / (s crop_size).

        Args:
            camera: pinhole camera of the full image; its fx serves both axes.
            crop_center: (..., 2) centre of the crop in full-image pixels.
            crop_size: (...) side of the crop in pixels.
        """
        depth = 2 * camera.focal[..., 0] / (self.scale * crop_size)
        offset = (crop_center - camera.center) * (depth / camera.focal[..., 0])[..., None]
        return torch.cat([self.shift + offset, depth[..., None]], -1)

    @classmethod
    def from_translation(
        cls, translation: Tensor, camera: Camera, crop_center: Tensor, crop_size: Tensor
    ) -> "WeakPerspective":
        """Inverse of `to_translation`; arguments as there."""
        depth = translation[..., 2]
        scale = 2 * camera.focal[..., 0] / (depth * crop_size)
        offset = (crop_center - camera.center) * (depth / camera.focal[..., 0])[..., None]
        return cls(scale, translation[..., :2] - offset)
