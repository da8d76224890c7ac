"""`BodyPoints`: chosen points of a body, folded into the 24 joint frames so that they cost no mesh.

With linear blend skinning, a point that is a weighted sum of vertices (a regressed keypoint, a barycentric
surface point) moves as

    p = sum_j  c_j P_j + R_j o_j(betas),
    o_j = sum_v w_v W_vj (v(betas) - J_j(betas)),    c_j = sum_v w_v W_vj

where P_j, R_j are the posed joint's place and world rotation. c and o do not depend on the pose, so keypoints
follow from the kinematic chain alone. Kinematic joints are the case c = one-hot, o = 0. Few joints carry a
point, so the sums are kept as a list of pieces, each on one joint.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class BodyPoints:
    """K points made of A pieces, each attached to one joint frame. Pieces are sorted by point.

    Attributes:
        names: K labels, for messages.
        rows: (A,) the point each piece belongs to.
        joints: (A,) the joint each piece hangs on.
        shares: c, (A,); the shares of a point's pieces sum to 1.
        offsets: o at betas = 0, (A, 3), metres, in the joint's rest frame.
        offset_dirs: d o / d betas, (A, 3, 10).
        pose_dirs: d o / d pose feature, (A, 3, 207), for bodies with pose correctives (SMPL); else None.
    """

    names: tuple[str, ...]
    rows: Tensor
    joints: Tensor
    shares: Tensor
    offsets: Tensor
    offset_dirs: Tensor
    pose_dirs: Tensor | None = None

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def from_dense(
        cls,
        names: tuple[str, ...],
        shares: Tensor,
        offsets: Tensor,
        offset_dirs: Tensor,
        pose_dirs: Tensor | None = None,
    ) -> "BodyPoints":
        """From c (K, 24), o (K, 24, 3), (K, 24, 3, 10) and (K, 24, 3, 207), dropping empty pieces."""
        used = (shares.abs() > 1e-7) | (offsets.abs().amax(-1) > 1e-7)
        rows, joints = used.nonzero(as_tuple=True)
        pose = None if pose_dirs is None else pose_dirs[rows, joints]
        return cls(
            names, rows, joints, shares[rows, joints], offsets[rows, joints], offset_dirs[rows, joints], pose
        )

    def to(self, *args: Any) -> "BodyPoints":
        """The same points on another device or in another precision."""
        device = self.offsets.to(*args).device
        return BodyPoints(
            self.names,
            self.rows.to(device),
            self.joints.to(device),
            self.shares.to(*args),
            self.offsets.to(*args),
            self.offset_dirs.to(*args),
            None if self.pose_dirs is None else self.pose_dirs.to(*args),
        )

    def first(self, count: int) -> "BodyPoints":
        """The first `count` points."""
        a = int((self.rows < count).sum())
        pose = None if self.pose_dirs is None else self.pose_dirs[:a]
        return BodyPoints(
            self.names[:count],
            self.rows[:a],
            self.joints[:a],
            self.shares[:a],
            self.offsets[:a],
            self.offset_dirs[:a],
            pose,
        )

    def collect(self, pieces: Tensor) -> Tensor:
        """Sum pieces (..., A, 3) into points (..., K, 3)."""
        out = pieces.new_zeros(*pieces.shape[:-2], len(self), 3)
        return out.index_add(-2, self.rows, pieces)

    @staticmethod
    def cat(parts: "list[BodyPoints]") -> "BodyPoints":
        """Several sets as one."""
        start = 0
        rows = []
        for part in parts:
            rows.append(part.rows + start)
            start += len(part)
        pose = [p.pose_dirs for p in parts if p.pose_dirs is not None]
        return BodyPoints(
            tuple(name for p in parts for name in p.names),
            torch.cat(rows),
            torch.cat([p.joints for p in parts]),
            torch.cat([p.shares for p in parts]),
            torch.cat([p.offsets for p in parts]),
            torch.cat([p.offset_dirs for p in parts]),
            torch.cat(pose) if pose else None,
        )
