"""`DenseKeypoints`: pixels of one person, each with the point of the body's surface that it shows."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bodyloop.evidence.iuv import CHART_COUNT


@dataclass(frozen=True, eq=False)
class DenseKeypoints:
    """N dense keypoints of one person: (x, y) and (I, U, V) of Rong et al. 2019, section 3.2.

    Attributes:
        pixels: (N, 2) float x, y in image pixels.
        part: (N,) int64 I, chart 1 to 24.
        uv: (N, 2) float U, V in [0, 1].
        weight: (N,) float, at least 0.

    Raises:
        ValueError: on other shapes or ranges.
    """

    pixels: Tensor
    part: Tensor
    uv: Tensor
    weight: Tensor

    def __post_init__(self) -> None:
        n = len(self.pixels)
        got = tuple(tuple(x.shape) for x in (self.pixels, self.part, self.uv, self.weight))
        if got != ((n, 2), (n,), (n, 2), (n,)) or self.part.dtype != torch.int64:
            raise ValueError(
                f"dense keypoints need pixels (N, 2), part (N,) int64, uv (N, 2), weight (N,), got {got} with "
                f"{self.part.dtype}"
            )
        inside = bool(((self.uv >= 0) & (self.uv <= 1)).all() and torch.isfinite(self.pixels).all())
        if not (inside and bool(((self.part >= 1) & (self.part <= CHART_COUNT) & (self.weight >= 0)).all())):
            raise ValueError(
                f"dense keypoints need finite pixels, parts 1 to {CHART_COUNT}, uv in [0, 1] and weights from 0; "
                "leave out the background first"
            )

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: slice | Tensor) -> "DenseKeypoints":
        return DenseKeypoints(self.pixels[index], self.part[index], self.uv[index], self.weight[index])

    def to(self, *args: Any) -> "DenseKeypoints":
        """The same points on another device, or in another precision (parts stay whole numbers)."""
        pixels = self.pixels.to(*args)
        return DenseKeypoints(pixels, self.part.to(pixels.device), self.uv.to(*args), self.weight.to(*args))
