"""Rigid and similarity alignment of point sets (Umeyama 1991), batched and weighted."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Similarity:
    """x -> scale * rotation x + translation, with shapes (...), (..., 3, 3), (..., 3)."""

    scale: Tensor
    rotation: Tensor
    translation: Tensor

    def apply(self, points: Tensor) -> Tensor:
        """Transform points (..., N, 3)."""
        turned = points @ self.rotation.transpose(-1, -2)
        return self.scale[..., None, None] * turned + self.translation[..., None, :]


def align_similarity(
    source: Tensor, target: Tensor, weights: Tensor | None = None, with_scale: bool = True
) -> Similarity:
    """Similarity that brings source (..., N, 3) closest to target (..., N, 3) in least squares.

    Args:
        source: points to be moved.
        target: points to be met, same shape.
        weights: (..., N) non-negative; all ones if None.
        with_scale: False keeps scale 1 (see `align_rigid`).

    Raises:
        ValueError: if the shapes differ or there are no points.
    """
    if source.shape != target.shape or source.shape[-1] != 3 or source.shape[-2] == 0:
        raise ValueError(
            f"need two equal shapes (..., N, 3), got {tuple(source.shape)} and {tuple(target.shape)}"
        )
    w = torch.ones_like(source[..., 0]) if weights is None else weights
    w = (w / w.sum(-1, keepdim=True).clamp_min(torch.finfo(source.dtype).tiny))[..., None]
    source_mean, target_mean = (w * source).sum(-2), (w * target).sum(-2)
    a, b = source - source_mean[..., None, :], target - target_mean[..., None, :]
    u, s, vt = torch.linalg.svd((w * b).transpose(-1, -2) @ a)
    # The last singular direction is turned round where the best orthogonal matrix would be a reflection.
    sign = torch.ones_like(s)
    sign[..., 2] = torch.sign(torch.linalg.det(u @ vt))
    rotation = (u * sign[..., None, :]) @ vt
    if with_scale:
        spread = (w * a.square()).sum((-1, -2)).clamp_min(torch.finfo(source.dtype).tiny)
        scale = (s * sign).sum(-1) / spread
    else:
        scale = torch.ones_like(s[..., 0])
    moved = (rotation @ source_mean[..., None])[..., 0] * scale[..., None]
    return Similarity(scale, rotation, target_mean - moved)


def align_rigid(source: Tensor, target: Tensor, weights: Tensor | None = None) -> Similarity:
    """Rotation and translation only; arguments as for `align_similarity`."""
    return align_similarity(source, target, weights, with_scale=False)
