"""The search through a pool of candidates by plain tensors: for GPUs, and to compare the compiled one with."""

import torch
from torch import Tensor

NEAREST = 0.1
"""Metres; a candidate with a seen keypoint nearer to the camera is none."""


def turned_points(joints: Tensor, turns: Tensor) -> Tensor:
    """Points (N * R, K, 3) of N poses (N, K, 3) under each of R orientations (R, 3, 3), a pose's side by side."""
    return torch.einsum("rij,nkj->nrki", turns, joints).flatten(0, 1).contiguous()


def candidate_errors(turned: Tensor, rays: Tensor, spread: Tensor, weight: Tensor, focal: Tensor) -> Tensor:
    """Weighted squares (M,) of all candidates of one person, each at the place that meets the rays best (eq. 1, 2).

    Args:
        turned: (M, K, 3) metres, all of a pool.
        rays: (K, 2) the keypoints as rays (x, y) at z = 1.
        spread: (K, 2) the rays from their weighted mean.
        weight: (K,) from 0.
        focal: (2,) in whose unit errors are.

    Returns:
        infinity where a seen point would be nearer than `NEAREST`.
    """
    total = weight.sum()
    mean = (weight[:, None] * rays).sum(0) / total
    off = turned[..., :2] - rays * turned[..., 2:]
    depth = (off * (weight[:, None] * spread)).sum((-1, -2)) / (weight[:, None] * spread.square()).sum()
    aside = mean * depth[:, None] - (off * (weight / total)[:, None]).sum(-2)
    z = turned[..., 2] + depth[:, None]
    away = (turned[..., :2] + aside[:, None]) / z[..., None] - rays
    error = (away * focal).square().sum(-1) @ weight
    nearest = torch.where(weight > 0, z, torch.inf).amin(1)
    return torch.where(nearest > NEAREST, error, torch.inf)
