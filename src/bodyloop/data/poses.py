"""Sets of distinct, weighted poses out of motion clips, for training priors and networks."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bodyloop.body import SMPL_FLIP
from bodyloop.data.motion import Motion
from bodyloop.geometry import mirror_rotmat, rotmat_to_axis_angle


@dataclass(frozen=True)
class PoseSet:
    """N poses with sampling weights.

    Attributes:
        pose: (N, 72) axis-angle with the global orientation in y-up world axes.
        weight: (N,), summing to 1.
        clip: (N,) index of the clip each comes from.
    """

    pose: Tensor
    weight: Tensor
    clip: Tensor

    def __len__(self) -> int:
        return len(self.pose)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Poses (count, 72) drawn with replacement by weight."""
        return self.pose[torch.multinomial(self.weight, count, True, generator=generator)]


def distinct_poses(motions: list[Motion], angle: float = 10.0, mirror: bool = True) -> PoseSet:
    """Good frames of which no two of a clip are alike, mirrored copies added.

    A clip of n distinct frames weighs sqrt(n), so that one long dance does not own the set.

    Args:
        motions: clips, glitches marked in ``good``.
        angle: degrees by which some joint of two kept frames must differ (`Motion.distinct_frames`).
        mirror: add every pose seen in a mirror.
    """
    rotations, weights, clips = [], [], []
    for index, motion in enumerate(motions):
        kept = motion.rotations[motion.distinct_frames(angle)]
        if len(kept) == 0:
            continue
        rotations.append(kept)
        weights.append(torch.full((len(kept),), len(kept) ** -0.5))
        clips.append(torch.full((len(kept),), index))
    if not rotations:
        raise ValueError("none of the motion clips has a good frame")
    rotation, weight, clip = torch.cat(rotations), torch.cat(weights), torch.cat(clips)
    if mirror:
        rotation = torch.cat([rotation, mirror_rotmat(rotation[:, SMPL_FLIP])])
        weight, clip = weight.repeat(2), clip.repeat(2)
    return PoseSet(rotmat_to_axis_angle(rotation).flatten(1), weight / weight.sum(), clip)
