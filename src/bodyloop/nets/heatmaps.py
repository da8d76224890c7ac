"""Keypoints as heatmaps, and back.

Places are crop coordinates: -1 and 1 are the outer edges of the crop's first and last pixels, so they do not depend on
the resolution of crop or heatmaps.
"""

import torch
from torch import Tensor


def cell_centers(size: int, like: Tensor) -> Tensor:
    """Crop coordinates (size,) of the middles of a row's cells."""
    return (2 * torch.arange(size, dtype=like.dtype, device=like.device) + 1) / size - 1


def draw_gaussians(places: Tensor, seen: Tensor, size: int, spread: float = 1.0) -> Tensor:
    """Heatmaps (..., K, size, size) with a Gaussian of height 1 at each seen keypoint, 0 elsewhere.

    Args:
        places: (..., K, 2) crop coordinates.
        seen: (..., K) bool or confidence, the Gaussian's height.
        size: side of the heatmaps in cells.
        spread: standard deviation in cells.
    """
    cells = (cell_centers(size, places) - places[..., None]) * (size / 2)  # (..., K, 2, size)
    x, y = torch.exp(-0.5 * (cells / spread).square()).unbind(-2)
    return y[..., :, None] * x[..., None, :] * seen[..., None, None]


def find_peaks(heatmaps: Tensor, reach: int = 2) -> tuple[Tensor, Tensor]:
    """Places (..., K, 2) in crop coordinates and heights (..., K) in [0, 1] of the heatmaps' peaks.

    The place is the mean over the cells around the highest one, weighted by what is above zero there:
    differentiable, and much finer than a cell.

    Args:
        heatmaps: (..., K, S, S).
        reach: cells on each side of the highest one that count.
    """
    size = heatmaps.shape[-1]
    where = heatmaps.detach().flatten(-2).argmax(-1)
    row, column = where.div(size, rounding_mode="floor"), where % size
    index = torch.arange(size, device=heatmaps.device)
    near_y = (index - row[..., None]).abs() <= reach
    near_x = (index - column[..., None]).abs() <= reach
    weight = heatmaps.clamp_min(0) * (near_y[..., :, None] & near_x[..., None, :])
    total = weight.sum((-2, -1)).clamp_min(torch.finfo(heatmaps.dtype).tiny)
    cells = cell_centers(size, heatmaps)
    x, y = (weight.sum(-2) * cells).sum(-1) / total, (weight.sum(-1) * cells).sum(-1) / total
    return torch.stack([x, y], -1), heatmaps.flatten(-2).amax(-1).clamp(0, 1)


def soft_argmax(logits: Tensor, dims: int = 2) -> Tensor:
    """Places (..., K, dims) in crop coordinates, x first: the means of heatmaps' softmax over all their cells.

    Differentiable everywhere (Sun et al., "Integral Human Pose Regression", ECCV 2018, eq. 2). A third dimension goes
    from -1 to 1 as well.

    Args:
        logits: (..., K, S, S), or with dims = 3 (..., K, D, S, S), the depth first.
        dims: of a heatmap.
    """
    sizes = logits.shape[-dims:]
    share = logits.flatten(-dims).softmax(-1).unflatten(-1, sizes)
    found = []
    for axis in range(dims):
        others = [-1 - other for other in range(dims) if other != axis]
        found.append((share.sum(others) * cell_centers(sizes[-1 - axis], logits)).sum(-1))
    return torch.stack(found, -1)
