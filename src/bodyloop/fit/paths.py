"""The best path through the candidates of a track's frames, which does away with bodies that flip for a few frames.

Several starts lead to several bodies in a frame: the person seen from the front or the back, a knee towards the camera
or away from it. The lowest energy of each frame alone jumps between them. The path of least energy over all frames,
with a charge for joints that move between frames, is found exactly by dynamic programming (Viterbi 1967).
"""

import torch
from torch import Tensor

USUAL_SPEED = 1.5
"""Metres a second that joints move against the pelvis, at a charge of one."""
MOST = 25.0
"""Charge of a frame's step at most, so that one frame without a good candidate does not bend the path around it."""


def steps_between(first: Tensor, second: Tensor, seconds: Tensor) -> Tensor:
    """What each step charges, (B, S, S) from candidates of one frame to those of the next, in nats.

    The charge is half the mean square of the joints' speeds against the pelvis, in camera axes and in units of
    `USUAL_SPEED`, times the number of parts that move by themselves, six: limbs, head and trunk; up to `MOST`.

    Args:
        first, second: (B, S, 24, 3) joints, metres.
        seconds: (B,) between the frames.
    """
    from_root = [x - x[..., :1, :] for x in (first, second)]
    moved = (from_root[0][:, :, None] - from_root[1][:, None]).square().sum(-1).mean(-1)
    return (3 * moved / (USUAL_SPEED * seconds[:, None, None]).square()).clamp_max(MOST)


def best_paths(charges: Tensor, joints: Tensor, times: Tensor) -> Tensor:
    """The candidate of each frame on the path of least energy, (B, T) int64.

    Args:
        charges: (B, T, S) energy of each candidate, in nats.
        joints: (B, T, S, 24, 3) their joints in camera axes, metres.
        times: (B, T) seconds, rising.
    """
    count, frames, _ = charges.shape
    total = charges[:, 0]
    came_from = []
    for t in range(1, frames):
        steps = steps_between(joints[:, t - 1], joints[:, t], times[:, t] - times[:, t - 1])
        best = (total[:, :, None] + steps).min(1)
        total = best.values + charges[:, t]
        came_from.append(best.indices)
    path = [total.argmin(-1)]
    rows = torch.arange(count, device=charges.device)
    for indices in reversed(came_from):
        path.append(indices[rows, path[-1]])
    return torch.stack(path[::-1], 1)
