"""What a pose prior is: an energy of the body pose, and for some a latent space.

Body poses are 23 local rotations (..., 23, 3, 3), SMPL's joints without the global orientation. Energies are in
nats: the negative log of a density where the prior has one.
"""

from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from torch import Tensor

from bodyloop.priors.representation import Representation, to_coordinates, to_rotations


class PosePrior(ABC):
    """Judges body poses.

    Attributes:
        representation: the numbers it judges poses by; fits without a latent space move these.
    """

    representation: Representation = "axis_angle"

    @abstractmethod
    def energy_at(self, coordinates: Tensor) -> Tensor:
        """Energy (...) of poses given as numbers (..., D) in `representation`."""

    def residual_at(self, coordinates: Tensor) -> Tensor:
        """r (..., M) whose |r|^2 / 2 is the energy's curved part, for Gauss-Newton; numbers (..., D).

        Raises:
            NotImplementedError: where the energy has no sensible residual.
        """
        raise NotImplementedError(f"{type(self).__name__} has no residual; fit with solver='lbfgs'")

    def energy(self, rotations: Tensor) -> Tensor:
        """Energy (...) of body poses (..., 23, 3, 3)."""
        return self.energy_at(to_coordinates(rotations, self.representation))

    @abstractmethod
    def to(self, *args: Any) -> Self:
        """The prior on another device or in another precision."""


class LatentPrior(PosePrior):
    """A prior with a latent space in which poses are unit Gaussian: z (..., latent_size).

    Attributes:
        latent_size: L.
    """

    latent_size: int

    @abstractmethod
    def decode_coordinates(self, z: Tensor) -> Tensor:
        """Latents (..., L) to numbers (..., D) in `representation`, before any projection to rotations."""

    @abstractmethod
    def encode_coordinates(self, coordinates: Tensor) -> Tensor:
        """Numbers (..., D) to latents (..., L)."""

    def decode(self, z: Tensor) -> Tensor:
        """Latents (..., L) to body poses (..., 23, 3, 3)."""
        return to_rotations(self.decode_coordinates(z), self.representation)

    def encode(self, rotations: Tensor) -> Tensor:
        """Body poses (..., 23, 3, 3) to latents (..., L)."""
        return self.encode_coordinates(to_coordinates(rotations, self.representation))

    def sample(self, count: int, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """Poses (count, 23, 3, 3) from latents of standard deviation `temperature`."""
        z = torch.randn(count, self.latent_size, generator=generator)
        return self.decode(temperature * z)

    def interpolate(self, first: Tensor, last: Tensor, count: int) -> Tensor:
        """Poses (count, 23, 3, 3) on the straight line between two latents (L,) (Zanfir et al. fig. 1)."""
        share = torch.linspace(0, 1, count, dtype=first.dtype, device=first.device)[:, None]
        return self.decode(first + share * (last - first))


def latent_energy(z: Tensor) -> Tensor:
    """Energy (...) of latents (..., L) under N(0, I), without the constant (Zanfir et al. eq. 6)."""
    return 0.5 * z.square().sum(-1)
