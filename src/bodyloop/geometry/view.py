"""A virtual camera that looks at the middle of what is seen."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize


@dataclass(frozen=True)
class View:
    """Points as a virtual camera sees them that looks at their middle.

    Attributes:
        rays: (B, K, 2) on the plane z = 1 of the virtual camera.
        size: (B,) extent of the seen points on that plane.
        turn: (B, 3, 3) from virtual to real camera axes.
    """

    rays: Tensor
    size: Tensor
    turn: Tensor


def look_at_points(rays: Tensor, seen: Tensor) -> View:
    """Aim a virtual camera at the middle of the seen points.

    Args:
        rays: (B, K, 2) points on the plane z = 1 of the real camera.
        seen: (B, K) bool.
    """
    keep = seen[..., None]
    low = torch.where(keep, rays, torch.inf).amin(1)
    high = torch.where(keep, rays, -torch.inf).amax(1)
    middle = torch.where(torch.isfinite(low + high), (low + high) / 2, 0.0)
    forward = normalize(torch.cat([middle, torch.ones_like(middle[:, :1])], -1), dim=-1)
    down = torch.zeros_like(forward)
    down[:, 1] = 1.0
    right = normalize(torch.linalg.cross(down, forward), dim=-1)
    turn = torch.stack([right, torch.linalg.cross(forward, right), forward], -1)
    turned = torch.cat([rays, torch.ones_like(rays[..., :1])], -1) @ turn
    rays = turned[..., :2] / turned[..., 2:].clamp_min(1e-3)
    rays = torch.where(keep, rays, 0.0)
    extent = torch.where(keep, rays, -torch.inf).amax(1) - torch.where(keep, rays, torch.inf).amin(1)
    size = torch.where(torch.isfinite(extent), extent, 1.0).amax(-1).clamp_min(1e-4)
    return View(rays, size, turn)
