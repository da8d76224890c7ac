"""`BodyPoints`: chosen points of a body, folded into the 24 joint frames so that they cost no mesh.

With linear blend skinning, a point that is a weighted sum of vertices (a regressed keypoint, a barycentric
surface point) moves as

    p = sum_j  c_j P_j + R_j o_j(betas),
    o_j = sum_v w_v W_vj (v(betas) - J_j(betas)),    c_j = sum_v w_v W_vj

where P_j, R_j are the posed joint's place and world rotation. c and o do not depend on the pose, so keypoints
follow from the kinematic chain alone. Kinematic joints are the case c = one-hot, o = 0.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class BodyPoints:
    """K points attached to the joint frames.

    Attributes:
        names: K labels, for messages.
        joint_weights: c, (K, 24); rows sum to 1.
        offsets: o at betas = 0, (K, 24, 3), metres, in the joint's rest frame.
        offset_dirs: d o / d betas, (K, 24, 3, 10).
        pose_dirs: d o / d pose feature, (K, 24, 3, 207), for bodies with pose correctives (SMPL); else None.
    """

    names: tuple[str, ...]
    joint_weights: Tensor
    offsets: Tensor
    offset_dirs: Tensor
    pose_dirs: Tensor | None = None

    def __len__(self) -> int:
        return len(self.names)

    def to(self, *args: Any) -> "BodyPoints":
        """The same points on another device or in another precision."""
        return BodyPoints(
            self.names,
            self.joint_weights.to(*args),
            self.offsets.to(*args),
            self.offset_dirs.to(*args),
            None if self.pose_dirs is None else self.pose_dirs.to(*args),
        )

    @staticmethod
    def cat(parts: "list[BodyPoints]") -> "BodyPoints":
        """Several sets as one."""
        pose = [p.pose_dirs for p in parts if p.pose_dirs is not None]
        return BodyPoints(
            tuple(name for p in parts for name in p.names),
            torch.cat([p.joint_weights for p in parts]),
            torch.cat([p.offsets for p in parts]),
            torch.cat([p.offset_dirs for p in parts]),
            torch.cat(pose) if pose else None,
        )
