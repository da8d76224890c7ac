"""What a pose prior is: an energy of the body pose, and for some a latent space.

Body poses are 23 local rotations (..., 23, 3, 3), SMPL's joints without the global orientation. Energies are in
nats: the negative log of a density where the prior has one.
"""

import copy
from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.func import vjp, vmap

from bodyloop.priors.representation import BODY_JOINTS, Representation, to_coordinates, to_rotations


class PosePrior(ABC):
    """Judges body poses.

    Attributes:
        representation: the numbers it judges poses by; fits without a latent space move these.
        refresh: iterations of a fit that one Hessian of `quadratic_at` serves; gradients are always exact.
    """

    representation: Representation = "axis_angle"
    refresh: int = 1

    @abstractmethod
    def energy_at(self, coordinates: Tensor) -> Tensor:
        """Energy (...) of poses given as numbers (..., D) in `representation`."""

    def residual_at(self, coordinates: Tensor) -> Tensor:
        """r (..., M) whose |r|^2 / 2 is the energy's curved part, for Gauss-Newton; numbers (..., D).

        Raises:
            NotImplementedError: where the energy has no sensible residual.
        """
        raise NotImplementedError(f"{type(self).__name__} has no residual; fit with the L-BFGS solver")

    def quadratic_at(self, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        """Positive semidefinite Hessian (B, D, D) and exact gradient (B, D) of the energy at numbers (B, D).

        The Hessian is Gauss-Newton's, of `residual_at`.
        """
        residual, pull_back = vjp(self.residual_at, coordinates)  # type: ignore[misc]
        unit = torch.eye(residual.shape[-1], dtype=residual.dtype, device=residual.device)
        rows = vmap(lambda row: pull_back(row.expand_as(residual))[0], out_dims=1)(unit)
        return rows.mT @ rows, self.gradient_at(coordinates)

    def gradient_at(self, coordinates: Tensor) -> Tensor:
        """Gradient (B, D) of the energy at numbers (B, D)."""
        energy, pull_back = vjp(self.energy_at, coordinates)  # type: ignore[misc]
        gradient: Tensor = pull_back(torch.ones_like(energy))[0]
        return gradient

    def middle(self) -> Tensor:
        """A plain pose (23, 3, 3) to start fits from: all joints at rest, unless the prior knows better."""
        return torch.eye(3).repeat(BODY_JOINTS, 1, 1)

    def energy(self, rotations: Tensor) -> Tensor:
        """Energy (...) of body poses (..., 23, 3, 3)."""
        return self.energy_at(to_coordinates(rotations, self.representation))

    @abstractmethod
    def to(self, *args: Any) -> Self:
        """The prior on another device or in another precision."""


class NetworkPrior(nn.Module, PosePrior):
    """A prior whose weights are a torch module's."""

    def like(self) -> Tensor:
        """Nothing (0,), in the weights' precision and on their device."""
        return next(self.parameters()).detach().flatten()[:0]

    def to(self, *args: Any) -> Self:
        """A moved copy, or the prior itself if it is there already: priors are shared."""
        here = self.like()
        there = here.to(*args)
        if (here.device, here.dtype) == (there.device, there.dtype):
            return self
        return nn.Module.to(copy.deepcopy(self), *args)


class LatentPrior(PosePrior):
    """A prior with a latent space in which poses are unit Gaussian: z (..., latent_size).

    Attributes:
        latent_size: L.
    """

    latent_size: int

    def like(self) -> Tensor:
        """Nothing (0,), in the precision of latents and on their device."""
        return torch.zeros(0)

    @abstractmethod
    def decode_coordinates(self, z: Tensor) -> Tensor:
        """Latents (..., L) to numbers (..., D) in `representation`, before any projection to rotations."""

    @abstractmethod
    def encode_coordinates(self, coordinates: Tensor) -> Tensor:
        """Numbers (..., D) to latents (..., L)."""

    def pull_decoded(self, z: Tensor, rows: Tensor) -> Tensor:
        """Rows (B, M, D) times the derivatives of the decoder's numbers by the latents (B, L): (B, M, L)."""
        _, pull_back = vjp(self.decode_coordinates, z)  # type: ignore[misc]
        pulled: Tensor = vmap(lambda row: pull_back(row)[0], in_dims=1, out_dims=1)(rows)
        return pulled

    def decode(self, z: Tensor) -> Tensor:
        """Latents (..., L) to body poses (..., 23, 3, 3)."""
        return to_rotations(self.decode_coordinates(z), self.representation)

    def encode(self, rotations: Tensor) -> Tensor:
        """Body poses (..., 23, 3, 3) to latents (..., L)."""
        return self.encode_coordinates(to_coordinates(rotations, self.representation))

    def middle(self) -> Tensor:
        """The pose (23, 3, 3) of the latent zero."""
        return self.decode(self.like().new_zeros(self.latent_size))

    def sample(self, count: int, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """Poses (count, 23, 3, 3) from latents of standard deviation `temperature`."""
        z = torch.randn(count, self.latent_size, generator=generator).to(self.like())
        return self.decode(temperature * z)

    def interpolate(self, first: Tensor, last: Tensor, count: int) -> Tensor:
        """Poses (count, 23, 3, 3) on the straight line between two latents (L,) (Zanfir et al. fig. 1)."""
        share = torch.linspace(0, 1, count, dtype=first.dtype, device=first.device)[:, None]
        return self.decode(first + share * (last - first))


def latent_energy(z: Tensor) -> Tensor:
    """Energy (...) of latents (..., L) under N(0, I), without the constant (Zanfir et al. eq. 6)."""
    return 0.5 * z.square().sum(-1)
