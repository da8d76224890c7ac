"""Shape prior: a Gaussian over the betas."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ShapePrior:
    """Gaussian over 10 shape coefficients.

    SMPL's betas, and the built-in body's, are coefficients of principal components in units of their standard
    deviation, so the unit Gaussian is their own prior: |betas|^2 / 2 in nats (Zanfir et al. 2020, eq. 11, charge
    |betas|^2 with a weight).

    Attributes:
        mean: (10,).
        factor: (10, 10) lower Cholesky factor L of the precision, P = L L^T.
    """

    mean: Tensor
    factor: Tensor

    @classmethod
    def unit(cls, size: int = 10) -> "ShapePrior":
        """N(0, I)."""
        return cls(torch.zeros(size), torch.eye(size))

    @classmethod
    def from_samples(cls, betas: Tensor, floor: float = 0.1) -> "ShapePrior":
        """Mean and covariance of betas (N, B), with a least standard deviation in every direction."""
        betas = betas.double()
        covariance = torch.cov(betas.T) + floor**2 * torch.eye(betas.shape[1], dtype=betas.dtype)
        factor = torch.linalg.cholesky(torch.linalg.inv(covariance))
        return cls(betas.mean(0).float(), factor.float())

    def energy(self, betas: Tensor) -> Tensor:
        """Half the squared distance from the mean in standard deviations, nats: (..., B) to (...)."""
        return 0.5 * ((betas - self.mean) @ self.factor).square().sum(-1)

    def log_prob(self, betas: Tensor) -> Tensor:
        """log p (...) in nats."""
        constant = self.factor.diagonal().log().sum() - 0.5 * len(self.mean) * math.log(2 * math.pi)
        return constant - self.energy(betas)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Betas (count, B)."""
        noise = torch.randn(count, len(self.mean), generator=generator)
        spread = torch.linalg.solve_triangular(self.factor.mT, noise.T, upper=True).T
        return self.mean + spread

    def to(self, *args: Any) -> "ShapePrior":
        """The same prior on another device or in another precision."""
        return ShapePrior(self.mean.to(*args), self.factor.to(*args))
