"""How well energies tell real poses from false ones."""

import torch
from torch import Tensor

from bodyloop.body import SMPL_JOINTS
from bodyloop.geometry import axis_angle_to_rotmat

IMPOSSIBLE: tuple[tuple[str, str, float], ...] = (
    ("left_knee", "x", -1),
    ("right_knee", "x", -1),
    ("left_elbow", "y", 1),
    ("right_elbow", "y", -1),
    ("left_hip", "x", 1),
    ("right_hip", "x", 1),
    ("spine1", "x", -1),
    ("head", "y", 1),
    ("head", "y", -1),
    ("head", "x", -1),
)
"""Joint, axis and sense of turns of 75 to 140 degrees that no unhurt body makes: knees and elbows the wrong way,
thighs and spine far back, the head round or on its back."""
LEAST, MOST = 75.0, 140.0


def impossible_poses(real: Tensor, generator: torch.Generator) -> Tensor:
    """Real poses (N, 23, 3, 3), each with one joint bent impossibly (`IMPOSSIBLE`)."""
    count = len(real)
    angle = torch.deg2rad(LEAST + (MOST - LEAST) * torch.rand(count, generator=generator))
    which = torch.randint(len(IMPOSSIBLE), (count,), generator=generator)
    axes = torch.zeros(len(IMPOSSIBLE), 3)
    for row, (_, axis, sense) in enumerate(IMPOSSIBLE):
        axes[row, "xyz".index(axis)] = sense
    joints = torch.tensor([SMPL_JOINTS.index(name) - 1 for name, _, _ in IMPOSSIBLE])
    poses = real.clone()
    poses[torch.arange(count), joints[which]] = axis_angle_to_rotmat(axes[which] * angle[:, None]).to(real)
    return poses


def separation(real: Tensor, false: Tensor) -> float:
    """Area under the curve: the share of pairs of energies (N,), (M,) in which the false pose's is higher.

    Ties count one half, and so does what is not a number.
    """
    ordered = real[~real.isnan()].double().sort().values
    found = false[~false.isnan()].double()
    twice = torch.searchsorted(ordered, found) + torch.searchsorted(ordered, found, right=True)
    known, pairs = len(ordered) * len(found), len(real) * len(false)
    return (int(twice.sum()) + pairs - known) / (2 * pairs)
