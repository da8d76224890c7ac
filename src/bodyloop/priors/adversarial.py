"""HMR's adversarial pose prior (Kanazawa et al. 2018, "End-to-end Recovery of Human Shape and Pose", section 3.2).

K + 1 discriminators on rotation matrices. Every joint's 9 numbers pass the same two layers of 32; each of the K
joints has a linear head on its own 32 numbers, and the whole pose one of two layers of 1,024 on all of them. Each
head says 1 of a real pose and 0 of another. As an energy it is the loss that HMR's encoder minimises,
sum_i (D_i - 1)^2; `generator_loss` and `discriminator_loss` are for training a network against it.
"""

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import vjp

from bodyloop.network_files import read_network, save_network
from bodyloop.priors.prior import NetworkPrior
from bodyloop.priors.representation import BODY_JOINTS, Representation, to_rotations


class Adversarial(NetworkPrior):
    """K joint discriminators and one of the whole pose.

    Args:
        joints: K.
        embedding: width of the layers that all joints share.
        width: of the whole pose's layers.
    """

    representation: Representation = "axis_angle"

    def __init__(self, joints: int = BODY_JOINTS, embedding: int = 32, width: int = 1024) -> None:
        super().__init__()
        self.joints, self.embedding, self.width = joints, embedding, width
        self.shared = nn.Sequential(
            nn.Linear(9, embedding), nn.ReLU(), nn.Linear(embedding, embedding), nn.ReLU()
        )
        self.heads = nn.Parameter(torch.randn(joints, embedding) / math.sqrt(embedding))
        self.offsets = nn.Parameter(torch.zeros(joints))
        self.whole = nn.Sequential(
            nn.Linear(joints * embedding, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, 1),
        )

    def scores(self, rotations: Tensor) -> Tensor:
        """D (..., K + 1) of body poses (..., K, 3, 3): about 1 where real, 0 where not; the whole pose is last."""
        seen = self.shared(rotations.flatten(-2))
        each = (seen * self.heads).sum(-1) + self.offsets
        return torch.cat([each, self.whole(seen.flatten(-2))], -1)

    def energy_at(self, coordinates: Tensor) -> Tensor:
        """sum_i (D_i - 1)^2 (...), HMR's adversarial loss for the encoder; axis-angle (..., 3 K)."""
        return (self.scores(to_rotations(coordinates, "axis_angle")) - 1).square().sum(-1)

    def residual_at(self, coordinates: Tensor) -> Tensor:
        """sqrt(2) (D - 1), (..., K + 1)."""
        return math.sqrt(2) * (self.scores(to_rotations(coordinates, "axis_angle")) - 1)

    def quadratic_at(self, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        """As `PosePrior.quadratic_at`, by two passes backwards instead of one for each head.

        A joint's head sees that joint alone, so one pass for the sum of all of them gives every head's derivatives.
        """
        residual, pull_back = vjp(self.residual_at, coordinates)  # type: ignore[misc]
        whole = torch.zeros_like(residual)
        whole[..., -1] = 1.0
        last = pull_back(whole)[0]
        each = pull_back(1.0 - whole)[0].unflatten(-1, (self.joints, 3))
        own = torch.eye(self.joints, dtype=each.dtype, device=each.device)[:, :, None]
        rows = torch.cat([(each[..., None, :, :] * own).flatten(-2), last[..., None, :]], -2)
        return rows.mT @ rows, (rows.mT @ residual[..., None])[..., 0]

    def save(self, path: str | Path) -> None:
        """Write safetensors in half precision."""
        sizes = {"joints": self.joints, "embedding": self.embedding, "width": self.width}
        save_network(self, path, {name: str(size) for name, size in sizes.items()})

    @classmethod
    def load(cls, path: str | Path) -> "Adversarial":
        """Read what `save` wrote; frozen, in single precision."""
        sizes, state = read_network(path)
        prior = cls(int(sizes["joints"]), int(sizes["embedding"]), int(sizes["width"]))
        prior.load_state_dict(state)
        return prior.eval().requires_grad_(False)


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Least squares: scores (N, K + 1) of real poses to 1, of others to 0; summed over heads, averaged over poses."""
    return (real - 1).square().sum(-1).mean() + fake.square().sum(-1).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """What a network that makes poses minimises: their scores (N, K + 1) to 1 (HMR, the encoder's loss)."""
    return (fake - 1).square().sum(-1).mean()
