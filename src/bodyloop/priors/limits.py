"""Joint limits: how far each axis-angle number of each joint goes in motion capture, with a soft edge.

The energy is 1/2 sum_i (excess_i / softness)^2, where the excess is what a number lies beyond its range. It says
nothing within the ranges and nothing about joints together; it is meant beside another prior, or where poses are
unlike all that was captured.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from bodyloop.priors.prior import PosePrior

SOFTNESS = 0.1
"""Radians beyond the range that cost half a nat."""


@dataclass(frozen=True, eq=False)
class JointLimits(PosePrior):
    """Ranges of the 69 axis-angle numbers.

    Attributes:
        low, high: (69,) radians.
    """

    low: Tensor
    high: Tensor

    def residual_at(self, coordinates: Tensor) -> Tensor:
        """Excess over the ranges in units of `SOFTNESS`, (..., 69)."""
        beyond = (coordinates - self.high).clamp_min(0) - (self.low - coordinates).clamp_min(0)
        return beyond / SOFTNESS

    def energy_at(self, coordinates: Tensor) -> Tensor:
        """Half the squared excesses, (...)."""
        return 0.5 * self.residual_at(coordinates).square().sum(-1)

    def to(self, *args: Any) -> "JointLimits":
        """The same limits on another device or in another precision."""
        low, high = self.low.to(*args), self.high.to(*args)
        return self if low is self.low else JointLimits(low, high)

    @classmethod
    def from_poses(
        cls, pose: Tensor, weight: Tensor, quantile: float = 0.001, margin: float = 0.1
    ) -> "JointLimits":
        """Ranges that hold all but a share of poses.

        Args:
            pose: (N, 69) axis-angle.
            weight: (N,) of the poses.
            quantile: share of the weight below the range, and above it.
            margin: radians added at both ends; motion capture does not go to the limits.
        """
        ordered, index = pose.sort(0)
        mass = weight[index].cumsum(0) / weight.sum()
        low = ordered.gather(0, (mass < quantile).sum(0, keepdim=True).clamp_max(len(pose) - 1))[0]
        high = ordered.gather(0, (mass < 1 - quantile).sum(0, keepdim=True).clamp_max(len(pose) - 1))[0]
        return cls(low - margin, high + margin)

    def save(self, path: str | Path) -> None:
        """Write safetensors (float32)."""
        save_file({"low": self.low.float().contiguous(), "high": self.high.float().contiguous()}, str(path))

    @classmethod
    def load(cls, path: str | Path) -> "JointLimits":
        """Read what `save` wrote."""
        tensors = load_file(str(path))
        return cls(tensors["low"], tensors["high"])
