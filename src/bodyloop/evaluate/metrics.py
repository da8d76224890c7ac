"""Errors of recovered bodies against the truth, in millimetres."""

import torch
from torch import Tensor

from bodyloop.geometry import align_similarity


def mpjpe(found: Tensor, truth: Tensor, root: int = 0) -> Tensor:
    """Mean per-joint position error (...) in mm after aligning the root joint; joints (..., J, 3) in metres."""
    off = (found - found[..., root : root + 1, :]) - (truth - truth[..., root : root + 1, :])
    return 1000 * off.norm(dim=-1).mean(-1)


def pa_mpjpe(found: Tensor, truth: Tensor) -> Tensor:
    """The same after the best similarity (Procrustes) alignment of each person."""
    return 1000 * (align_similarity(found, truth).apply(found) - truth).norm(dim=-1).mean(-1)


def pve(found: Tensor, truth: Tensor, found_root: Tensor, truth_root: Tensor) -> Tensor:
    """Per-vertex error (...) in mm of meshes (..., V, 3) after aligning the root joints (..., 3)."""
    off = (found - found_root[..., None, :]) - (truth - truth_root[..., None, :])
    return 1000 * off.norm(dim=-1).mean(-1)


def pckh(found: Tensor, truth: Tensor, seen: Tensor, head: Tensor, share: float = 0.5) -> Tensor:
    """Share of seen keypoints within `share` of the head size: one number over all people.

    Args:
        found, truth: (N, K, 2) pixels.
        seen: (N, K) bool.
        head: (N,) head segment length in pixels.
        share: 0.5 for PCKh@0.5.
    """
    near = (found - truth).norm(dim=-1) <= share * head[:, None]
    return (near & seen).sum() / seen.sum().clamp_min(1)


def coco_head_size(keypoints: Tensor, seen: Tensor, boxes: Tensor) -> Tensor:
    """Head size (N,) in pixels for PCKh on COCO labels, which have no head box.

    The distance between the ears, or a tenth of the box's height where that is more (side views).

    Args:
        keypoints: (N, 17, 2) COCO keypoints in pixels.
        seen: (N, 17) bool.
        boxes: (N, 4) x0, y0, x1, y1.
    """
    ears = (keypoints[:, 3] - keypoints[:, 4]).norm(dim=-1)
    ears = torch.where(seen[:, 3] & seen[:, 4], ears, 0.0)
    return torch.maximum(ears, 0.1 * (boxes[:, 3] - boxes[:, 1]))
