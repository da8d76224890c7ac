"""Gaussian mixture over the body pose: SMPLify's prior (Bogo et al. 2016, section 3.2).

69 axis-angle numbers (23 joints without the global orientation), radians. Two energies: the exact negative
log of the mixture (`log_sum_energy`) and SMPLify's approximation of the sum by its nearest mode
(`nearest_mode_energy`), which is a sum of squares and hence what the compiled solver knows.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bodyloop.priors.prior import PosePrior
from bodyloop.priors.representation import to_rotations

MixtureForm = Literal["nearest", "sum"]


@dataclass(frozen=True, eq=False)
class GaussianMixture(PosePrior):
    """M full-covariance Gaussians in D dimensions.

    Attributes:
        means: (M, D).
        factors: (M, D, D) lower Cholesky factors L of the precisions, P = L L^T.
        log_weights: (M,) log mixture weights, summing to 1 after exp.
        form: which of the two energies fits use: that of the nearest mode, or the log of the sum.
    """

    means: Tensor
    factors: Tensor
    log_weights: Tensor
    form: MixtureForm = "nearest"

    @cached_property
    def precisions(self) -> Tensor:
        """P (M, D, D)."""
        return self.factors @ self.factors.transpose(-1, -2)

    @cached_property
    def offsets(self) -> Tensor:
        """log g_m (M,): log weight plus half the log-determinant, relative to the narrowest mode.

        SMPLify's ``nll_weights`` without the constant (2 pi)^(D/2).
        """
        half_logdet = self.factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return self.log_weights + half_logdet - half_logdet.max()

    def component_energies(self, pose: Tensor) -> Tensor:
        """-log of each weighted component, up to a constant: (..., D) to (..., M)."""
        whitened = torch.einsum("mij,...mi->...mj", self.factors, pose[..., None, :] - self.means)
        return 0.5 * whitened.square().sum(-1) - self.offsets

    def nearest_mode_energy(self, pose: Tensor) -> Tensor:
        """min over modes (SMPLify eq. 5), (..., D) to (...)."""
        return self.component_energies(pose).min(-1).values

    def log_sum_energy(self, pose: Tensor) -> Tensor:
        """-log sum over modes (SMPLify eq. 4) up to the same constant, (..., D) to (...)."""
        return -torch.logsumexp(-self.component_energies(pose), -1)

    def energy_at(self, coordinates: Tensor) -> Tensor:
        """Energy (...) of poses (..., D) in the form that `form` says, up to a constant."""
        return (
            self.nearest_mode_energy(coordinates)
            if self.form == "nearest"
            else self.log_sum_energy(coordinates)
        )

    def log_prob_at(self, coordinates: Tensor) -> Tensor:
        """log p (...) of poses (..., D) in nats."""
        half_logdet = self.factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant = half_logdet.max() - 0.5 * self.means.shape[-1] * math.log(2 * math.pi)
        return constant - self.log_sum_energy(coordinates)

    def quadratic_at(self, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        """Hessian (B, D, D) and gradient (B, D): of the nearest mode, or of all by their responsibilities.

        For the sum the Hessian is that of expectation maximisation's bound, which is never below the energy.
        """
        energies = self.component_energies(coordinates)
        if self.form == "nearest":
            mode = energies.argmin(-1)
            hessian = self.precisions[mode]
            return hessian, (hessian @ (coordinates - self.means[mode])[..., None])[..., 0]
        share = torch.softmax(-energies, -1)
        hessian = torch.einsum("bm,mij->bij", share, self.precisions)
        off = coordinates[:, None] - self.means
        return hessian, torch.einsum("bm,mij,bmj->bi", share, self.precisions, off)

    def middle(self) -> Tensor:
        """The mean pose (23, 3, 3)."""
        mean = (self.log_weights.exp()[:, None] * self.means).sum(0)
        return to_rotations(mean, "axis_angle")

    def sample_coordinates(self, count: int, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """Draws (count, D): components by weight, around each mean with `temperature` times its spread."""
        chosen = torch.multinomial(self.log_weights.exp(), count, True, generator=generator)
        noise = torch.randn(count, self.means.shape[1], 1, generator=generator, dtype=self.means.dtype)
        # With P = L L^T, L^-T noise has the covariance P^-1.
        spread = torch.linalg.solve_triangular(self.factors[chosen].mT, noise, upper=True)
        return self.means[chosen] + temperature * spread[..., 0]

    def sample(self, count: int, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """Body poses (count, 23, 3, 3); arguments as for `sample_coordinates`."""
        return to_rotations(self.sample_coordinates(count, generator, temperature), "axis_angle")

    def to(self, *args: Any) -> "GaussianMixture":
        """The same mixture on another device or in another precision."""
        moved = tuple(x.to(*args) for x in self._tensors())
        return self if moved[0] is self.means else GaussianMixture(moved[0], moved[1], moved[2], self.form)

    def _tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.means, self.factors, self.log_weights

    def save(self, path: str | Path, metadata: dict[str, str] | None = None) -> None:
        """Write safetensors (float32)."""
        tensors = dict(zip(("means", "factors", "log_weights"), self._tensors(), strict=True))
        save_file({k: v.float().contiguous() for k, v in tensors.items()}, str(path), metadata)

    @classmethod
    def load(cls, path: str | Path) -> "GaussianMixture":
        """Read what `save` wrote."""
        tensors = load_file(str(path))
        return cls(tensors["means"], tensors["factors"], tensors["log_weights"])

    @classmethod
    def from_moments(cls, means: Tensor, covariances: Tensor, weights: Tensor) -> "GaussianMixture":
        """From means (M, D), covariances (M, D, D) and weights (M,), as in SMPLify's ``gmm_08`` file."""
        factors = torch.linalg.cholesky(torch.linalg.inv(covariances.double()))
        return cls(means.double(), factors, (weights.double() / weights.sum()).log())


@lru_cache(maxsize=1)
def default_mixture() -> GaussianMixture:
    """The 8-mode mixture that ships (see ``weights/gmm.md``)."""
    with resources.as_file(resources.files("bodyloop.priors").joinpath("weights/gmm.safetensors")) as path:
        return GaussianMixture.load(path)
