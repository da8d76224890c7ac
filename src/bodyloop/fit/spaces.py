"""The unknowns of a body pose: the numbers the prior judges (ambient), or the prior's latents (latent).

Zanfir et al. 2020, eq. 5 and 6. A space says how its unknowns q (B, Q) turn into 23 rotations, how derivatives by
the joints' turns become derivatives by q, and what the prior charges for q.
"""

from abc import ABC, abstractmethod
from typing import Any, Literal, Self

import torch
from torch import Tensor

from bodyloop.errors import InputError
from bodyloop.geometry import rotmat_to_axis_angle
from bodyloop.priors.prior import LatentPrior, PosePrior, latent_energy
from bodyloop.priors.representation import (
    SIZES,
    right_jacobian,
    tangent_jacobian,
    to_coordinates,
    to_rotations,
)

SpaceKind = Literal["ambient", "latent"]


class PoseSpace(ABC):
    """Unknowns of the body pose under a prior.

    Attributes:
        prior: whose energy is charged.
        size: Q.
        refresh: iterations of a fit that one Hessian of the prior serves.
    """

    prior: PosePrior
    size: int
    refresh: int = 1

    @abstractmethod
    def coordinates(self, q: Tensor) -> Tensor:
        """Unknowns (B, Q) to the prior's numbers (B, D)."""

    @abstractmethod
    def pull_coordinates(self, q: Tensor, rows: Tensor) -> Tensor:
        """Derivatives (B, M, D) by the prior's numbers to derivatives (B, M, Q) by the unknowns."""

    @abstractmethod
    def start(self, rotations: Tensor) -> Tensor:
        """Unknowns (B, Q) of body poses (B, 23, 3, 3), or as near as the space has them."""

    @abstractmethod
    def energy(self, q: Tensor) -> Tensor:
        """What the prior charges, (B,) in nats."""

    @abstractmethod
    def quadratic(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Gauss-Newton Hessian (B, Q, Q) and gradient (B, Q) of the energy."""

    @abstractmethod
    def gradient(self, q: Tensor) -> Tensor:
        """Gradient (B, Q) alone."""

    @abstractmethod
    def to(self, *args: Any) -> Self:
        """The space on another device or in another precision."""

    def rotations(self, q: Tensor) -> Tensor:
        """Unknowns (B, Q) to body poses (B, 23, 3, 3)."""
        return to_rotations(self.coordinates(q), self.prior.representation)

    def pull(self, q: Tensor, rows: Tensor) -> Tensor:
        """Derivatives (B, M, 69) by the joints' turns in their own frames to derivatives (B, M, Q) by q.

        Of many rows, what each turn becomes is pulled once instead.
        """
        turn = tangent_jacobian(self.coordinates(q), self.prior.representation)
        count = rows.shape[-1]
        if rows.shape[1] > count:
            unit = torch.eye(count, dtype=rows.dtype, device=rows.device).expand(len(rows), -1, -1)
            by_number = (unit.unflatten(-1, (-1, 1, 3)) @ turn[:, None]).flatten(2)
            return rows @ self.pull_coordinates(q, by_number)
        by_number = (rows.unflatten(-1, (-1, 1, 3)) @ turn[:, None]).flatten(2)
        return self.pull_coordinates(q, by_number)

    def axis_angle(self, q: Tensor) -> Tensor:
        """Unknowns (B, Q) to the pose as axis-angle (B, 69)."""
        if self.prior.representation == "axis_angle":
            return self.coordinates(q)
        return rotmat_to_axis_angle(self.rotations(q)).flatten(1)

    def axis_angle_rows(self, q: Tensor) -> Tensor:
        """d axis-angle / d q (B, 69, Q)."""
        if self.prior.representation == "axis_angle":
            eye = torch.eye(SIZES["axis_angle"], dtype=q.dtype, device=q.device)
            return self.pull_coordinates(q, eye.expand(len(q), -1, -1))
        blocks = torch.linalg.inv(right_jacobian(self.axis_angle(q).unflatten(1, (-1, 3))))
        joints = torch.arange(blocks.shape[1], device=q.device)
        rows = q.new_zeros(len(q), len(joints), 3, len(joints), 3)
        rows[:, joints, :, joints] = blocks.movedim(1, 0)
        return self.pull(q, rows.flatten(3).flatten(1, 2))


class AmbientSpace(PoseSpace):
    """The prior's own numbers are the unknowns (eq. 5)."""

    def __init__(self, prior: PosePrior) -> None:
        self.prior, self.size, self.refresh = prior, SIZES[prior.representation], prior.refresh

    def coordinates(self, q: Tensor) -> Tensor:
        """They are the unknowns."""
        return q

    def pull_coordinates(self, q: Tensor, rows: Tensor) -> Tensor:
        """Nothing to do."""
        return rows

    def start(self, rotations: Tensor) -> Tensor:
        """Exact."""
        return to_coordinates(rotations, self.prior.representation)

    def energy(self, q: Tensor) -> Tensor:
        """The prior's energy."""
        return self.prior.energy_at(q)

    def quadratic(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """The prior's."""
        return self.prior.quadratic_at(q)

    def gradient(self, q: Tensor) -> Tensor:
        """The prior's."""
        return self.prior.gradient_at(q)

    def to(self, *args: Any) -> "AmbientSpace":
        """Moves the prior."""
        return AmbientSpace(self.prior.to(*args))


class LatentSpace(PoseSpace):
    """The prior's latents are the unknowns; they are unit Gaussian (eq. 6)."""

    def __init__(self, prior: LatentPrior) -> None:
        self.prior: LatentPrior = prior
        self.size = prior.latent_size

    def coordinates(self, q: Tensor) -> Tensor:
        """The decoder's output."""
        return self.prior.decode_coordinates(q)

    def pull_coordinates(self, q: Tensor, rows: Tensor) -> Tensor:
        """Through the decoder."""
        return self.prior.pull_decoded(q, rows)

    def start(self, rotations: Tensor) -> Tensor:
        """The encoder's output: exact for a flow."""
        return self.prior.encode(rotations)

    def energy(self, q: Tensor) -> Tensor:
        """|z|^2 / 2."""
        return latent_energy(q)

    def quadratic(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """The identity, and z."""
        eye = torch.eye(self.size, dtype=q.dtype, device=q.device)
        return eye.expand(len(q), -1, -1), q

    def gradient(self, q: Tensor) -> Tensor:
        """z."""
        return q

    def to(self, *args: Any) -> "LatentSpace":
        """Moves the prior."""
        return LatentSpace(self.prior.to(*args))


def pose_space(prior: PosePrior, kind: SpaceKind) -> PoseSpace:
    """The space of a prior by name.

    Raises:
        InputError: if a prior without a latent space should be fitted in it.
    """
    if kind == "ambient":
        return AmbientSpace(prior)
    if not isinstance(prior, LatentPrior):
        raise InputError(
            f"{type(prior).__name__} has no latent space to fit in; use space='ambient', or a flow or vae prior"
        )
    return LatentSpace(prior)
