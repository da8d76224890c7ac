"""Camera translation in closed form from 2D-3D matches."""

import torch
from torch import Tensor


def solve_translation(points: Tensor, rays: Tensor, weight: Tensor, ridge: float = 1e-6) -> Tensor:
    """Translation T (..., 3) that best brings points under their rays, by weighted linear least squares.

    From x = (X + Tx) / (Z + Tz), and the same for y: the equations Tx - x Tz = x Z - X and
    Ty - y Tz = y Z - Y are linear in T (SPIN, released code; MION section 3.1).

    Args:
        points: (..., K, 3) metres, in camera axes, before translation.
        rays: (..., K, 2) observed places on the plane z = 1, i.e. (pixel - centre) / focal.
        weight: (..., K) non-negative.
        ridge: relative regulariser that keeps the 3x3 system solvable when all points coincide.
    """
    w = weight / weight.sum(-1, keepdim=True).clamp_min(torch.finfo(points.dtype).tiny)
    x, y = rays.unbind(-1)
    r1, r2 = x * points[..., 2] - points[..., 0], y * points[..., 2] - points[..., 1]
    one = w.sum(-1)
    mx, my = (w * x).sum(-1), (w * y).sum(-1)
    mxx = (w * (x.square() + y.square())).sum(-1)
    zero = torch.zeros_like(one)
    normal = torch.stack([one, zero, -mx, zero, one, -my, -mx, -my, mxx], -1).unflatten(-1, (3, 3))
    right = torch.stack([(w * r1).sum(-1), (w * r2).sum(-1), -(w * (x * r1 + y * r2)).sum(-1)], -1)
    eye = torch.eye(3, dtype=points.dtype, device=points.device)
    eye = eye * eye.new_tensor([ridge, ridge, ridge * 1e-3])
    return torch.linalg.solve(normal + eye, right[..., None])[..., 0]
