"""Semantic part alignment: pixels of a part attract its vertices, and vertices seek a pixel of their part.

    L(S, V) =   sum_k sum_{p in S_k}  min_{v in M_k} |p - v|        forward
              + sum_k sum_{v in M_k}  min_{p in S_k} |p - v|        backward

(Zanfir et al. 2020, eq. 7) with S_k the pixels that show part k and M_k its projected vertices, also those that
are hidden. The nearest partner is found without gradients, and the distance to it is differentiated: almost
everywhere that is the exact gradient. Parts that show no pixel, or that no vertex belongs to, charge nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from torch import Tensor

CHUNK = 4096
"""Points that are compared with all others at a time where no tree is to be had: bounds the memory on a GPU."""


@dataclass(frozen=True)
class PartTargets:
    """A map of parts, made ready for `part_alignment`.

    Attributes:
        pixels: (P, 2) x, y of the pixels that show a part, of all parts one after the other.
        first: (K + 1,) where each part's pixels begin.
        nearest: (K, H, W) index into `pixels` of the nearest pixel of part k; -1 where the part is not shown. (K, 0, 0)
            if there are no such maps; nearest pixels are then searched for, which is quicker for few vertices.
    """

    pixels: Tensor
    first: Tensor
    nearest: Tensor

    @property
    def parts(self) -> int:
        """K."""
        return len(self.nearest)

    @classmethod
    def of(cls, labels: Tensor, parts: int, stride: int = 1, maps: bool = True) -> "PartTargets":
        """From a label map.

        Args:
            labels: (H, W) integer; 0 is background, k + 1 shows part k.
            parts: K.
            stride: take the pixels of every stride-th row and column alone, for speed.
            maps: make the parts' distance transforms, which cost some ms a part.

        Raises:
            ValueError: for labels outside 0..K, or a map that is not (H, W).
        """
        if labels.ndim != 2:
            raise ValueError(f"part labels should be (H, W), got {tuple(labels.shape)}")
        if labels.numel() and not (labels.min() >= 0 and labels.max() <= parts):
            raise ValueError(
                f"part labels should lie in 0..{parts}, got {int(labels.min())} to {int(labels.max())}"
            )
        thin = torch.zeros_like(labels)
        thin[::stride, ::stride] = labels[::stride, ::stride]
        shown = thin.cpu().numpy()
        pixels, first = [], [0]
        nearest = np.full((parts, *(shown.shape if maps else (0, 0))), -1, np.int64)
        for k in range(parts):
            rows, columns = np.nonzero(shown == k + 1)
            pixels.append(np.stack([columns, rows], -1))
            if len(rows) and maps:
                number = np.full(shown.shape, -1)
                number[rows, columns] = first[-1] + np.arange(len(rows))
                row, column = distance_transform_edt(
                    shown != k + 1, return_distances=False, return_indices=True
                )
                nearest[k] = number[row, column]
            first.append(first[-1] + len(rows))
        device = labels.device
        return cls(
            torch.from_numpy(np.concatenate(pixels)).float().to(device),
            torch.tensor(first, device=device),
            torch.from_numpy(nearest).to(device),
        )

    def to(self, *args: Any) -> "PartTargets":
        """On another device, or with pixels in another precision."""
        pixels = self.pixels.to(*args)
        return PartTargets(pixels, self.first.to(pixels.device), self.nearest.to(pixels.device))

    def nearest_pixels(self, points: Tensor, labels: Tensor) -> Tensor:
        """Index (N,) into `pixels` of the pixel of its part nearest to each point; -1 for parts not shown.

        A look-up in the parts' distance transforms at the four pixels around the point, which is right but for a
        small share of a pixel; points outside the map, or all without maps, are searched for.

        Args:
            points: (N, 2) pixels.
            labels: (N,) part of each, 0 to K - 1.
        """
        if self.nearest.shape[1] == 0:
            return self._searched(
                points, labels, torch.full_like(labels, -1), torch.arange(len(labels)).to(labels)
            )
        height, width = self.nearest.shape[1:]
        limit = points.new_tensor([width - 1, height - 1])
        inside = points.nan_to_num(0.0).minimum(limit).clamp_min(0)
        best = torch.full_like(labels, -1)
        if len(self.pixels) == 0:
            return best
        least = torch.full_like(points[:, 0], torch.inf)
        for right, down in ((0, 0), (0, 1), (1, 0), (1, 1)):
            at = (inside.floor() + inside.new_tensor([right, down])).minimum(limit).long()
            found = self.nearest[labels, at[:, 1], at[:, 0]]
            distance = (self.pixels[found.clamp_min(0)] - points).square().sum(-1)
            closer = (found >= 0) & (distance < least)
            best, least = torch.where(closer, found, best), torch.where(closer, distance, least)
        outside = ((points != inside).any(-1) & (best >= 0)).nonzero()[:, 0]
        return self._searched(points, labels, best, outside)

    def _searched(self, points: Tensor, labels: Tensor, best: Tensor, chosen: Tensor) -> Tensor:
        """`best` (N,) with the nearest pixels of the `chosen` points (M,) filled in."""
        for k in labels[chosen].unique().tolist():
            start, end = int(self.first[k]), int(self.first[k + 1])
            if start < end:
                own = chosen[labels[chosen] == k]
                best[own] = start + _nearest(points[own], self.pixels[start:end])
        return best


def nearest_vertices(points: Tensor, labels: Tensor, targets: PartTargets) -> Tensor:
    """Index (P,) of the projected vertex of its part nearest to each pixel; -1 where the part has no vertex.

    Args:
        points: (N, 2) projected vertices.
        labels: (N,) part of each.
        targets: P pixels.
    """
    best = torch.full((len(targets.pixels),), -1, dtype=torch.long, device=points.device)
    first = targets.first.tolist()
    for k in range(targets.parts):
        own = (labels == k).nonzero()[:, 0]
        pixels = targets.pixels[first[k] : first[k + 1]]
        if len(own) and len(pixels):
            best[first[k] : first[k + 1]] = own[_nearest(pixels, points[own])]
    return best


def _nearest(queries: Tensor, points: Tensor) -> Tensor:
    """Index (Q,) of the point nearest to each query; exact."""
    if queries.device.type == "cpu":
        return torch.from_numpy(cKDTree(points.numpy()).query(queries.numpy())[1])
    return torch.cat([torch.cdist(part, points).argmin(1) for part in queries.split(CHUNK)])


def part_alignment(points: Tensor, labels: Tensor, targets: PartTargets) -> tuple[Tensor, Tensor]:
    """Forward and backward sums of eq. 7.

    Args:
        points: (N, 2) projected vertices, pixels; gradients flow to them.
        labels: (N,) part of each, 0 to K - 1.
        targets: what the image shows.

    Returns:
        forward and backward term, scalars, in pixels.
    """
    fixed = points.detach()
    targets = targets.to(fixed.device, fixed.dtype)
    vertex = nearest_vertices(fixed, labels, targets)
    seen = vertex >= 0
    forward = (points[vertex[seen]] - targets.pixels[seen]).norm(dim=-1).sum()
    pixel = targets.nearest_pixels(fixed, labels)
    shown = pixel >= 0
    backward = (points[shown] - targets.pixels[pixel[shown]]).norm(dim=-1).sum()
    return forward, backward
