"""The one vector of numbers that regressors put out: pose, shape, camera."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bodyloop.geometry import WeakPerspective
from bodyloop.nets.estimator import Estimate, mean_pose
from bodyloop.priors.representation import Representation, to_coordinates, to_rotations

MEAN_SCALE = 0.9
"""s that regressors start from: 1.7 m then fill three quarters of the crop."""

_PER_JOINT: dict[Representation, int] = {"axis_angle": 3, "rot6d": 6}


@dataclass(frozen=True)
class Parameters:
    """Layout of a vector: 24 rotations, 10 betas, and s, tx, ty of a weak-perspective camera, in this order.

    Attributes:
        rotation: axis-angle (85 numbers in all: Rong et al. section 4) or 6D (157; SPIN section 3.2).
    """

    rotation: Representation

    @property
    def pose_size(self) -> int:
        """Numbers of the pose."""
        return 24 * _PER_JOINT[self.rotation]

    @property
    def size(self) -> int:
        """Numbers in all."""
        return self.pose_size + 10 + 3

    def mean(self) -> Tensor:
        """(size,): mean pose and shape, seen in the middle of the crop."""
        pose = to_coordinates(mean_pose(), self.rotation)
        return torch.cat([pose, torch.zeros(10), torch.tensor([MEAN_SCALE, 0.0, 0.0])])

    def estimate(self, numbers: Tensor, stages: tuple[Estimate, ...] = ()) -> Estimate:
        """The bodies that vectors (B, size) stand for."""
        pose, betas, camera = numbers.split([self.pose_size, 10, 3], 1)
        weak = WeakPerspective(camera[:, 0], camera[:, 1:])
        return Estimate(to_rotations(pose, self.rotation), betas, weak, stages)
