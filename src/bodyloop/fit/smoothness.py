"""What ties the frames of a track: weighted differences over time, and the band matrices that they make.

A smoothness term is the sum of squares of differences D x of something x_t that each frame has. Its Hessian by x is the
band matrix L = D^T D, whatever x is, so by the unknowns u_t of the frames it has the blocks

    L_ij (dx_i / du_i)^T (dx_j / du_j)

First differences tie neighbours (Zanfir et al. 2020, eq. 12), second differences are accelerations: they are zero where
something moves on evenly. Times may be uneven; at `REFERENCE_FPS` frames a second, and only there, a first difference
is plainly x_t - x_(t-1). Sums over time do not depend on the frame rate: a frame counts as long as it lasts.
"""

import torch
from torch import Tensor

REFERENCE_FPS = 30.0
"""Frame rate for which weights of smoothness are meant."""


def differences(times: Tensor, order: int) -> Tensor:
    """Coefficients (B, T - order, order + 1) of differences of the first or second order; frame r + i has entry [r, i].

    Args:
        times: (B, T) seconds, rising.
        order: 1, scaled so that even steps at `REFERENCE_FPS` have -1, 1; or 2, per second squared.
    """
    steps = times.diff(dim=-1)
    if order == 1:
        one = (1 / (REFERENCE_FPS * steps)).sqrt()
        return torch.stack([-one, one], -1)
    if times.shape[-1] < 3:
        return times.new_zeros(*times.shape[:-1], 0, 3)
    before, after = steps[..., :-1], steps[..., 1:]
    lasting = (REFERENCE_FPS * (before + after) / 2).sqrt()
    pull = torch.stack(
        [2 / (before * (before + after)), -2 / (before * after), 2 / (after * (before + after))], -1
    )
    return pull * lasting[..., None]


def band_of(coefficients: Tensor, frames: int) -> Tensor:
    """L = D^T D as (B, T, order + 1): [:, t, k] is the entry in row t + k and column t.

    Args:
        coefficients: (B, T - order, order + 1) from `differences`.
        frames: T.
    """
    count, rows, reach = coefficients.shape
    band = coefficients.new_zeros(count, frames, reach)
    for k in range(reach):
        for i in range(reach - k):
            band[:, i : i + rows, k] += coefficients[..., i] * coefficients[..., i + k]
    return band


def differenced(coefficients: Tensor, values: Tensor) -> Tensor:
    """D x: (B, T - order, ...) of values (B, T, ...)."""
    rows, reach = coefficients.shape[1:]
    total = torch.zeros_like(values[:, :rows])
    for i in range(reach):
        scale = coefficients[..., i].reshape(*coefficients.shape[:2], *[1] * (values.dim() - 2))
        total = total + scale * values[:, i : i + rows]
    return total


def banded_product(band: Tensor, values: Tensor) -> Tensor:
    """L x: (B, T, ...) of values (B, T, ...)."""
    frames, reach = band.shape[1:]
    scale = band.reshape(*band.shape, *[1] * (values.dim() - 2))
    total = scale[:, :, 0] * values
    for k in range(1, min(reach, frames)):
        step = scale[:, : frames - k, k]
        total[:, : frames - k] += step * values[:, k:]
        total[:, k:] += step * values[:, : frames - k]
    return total
