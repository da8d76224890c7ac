"""Lesson 5: pose priors: what is usual, poses out of nothing, the way between two, and the rest of half a pose.

    python examples/05_priors.py [FOLDER]

The flow that ships turns 138 unit Gaussian numbers into a pose, and back (docs/priors.md).
"""

import sys
from pathlib import Path

import torch

import bodyloop as bl
from bodyloop.body import SMPL_JOINTS
from bodyloop.geometry import axis_angle_to_rotmat
from bodyloop.priors import load_prior
from bodyloop.priors.prior import latent_energy
from bodyloop.view import pose_sheet, save_picture

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/05_priors")
folder.mkdir(parents=True, exist_ok=True)
body, prior = bl.load_body(), load_prior("flow")
random = torch.Generator().manual_seed(3)
JOINTS = SMPL_JOINTS[1:]  # a prior judges the body's 23 joints, not which way it faces


def bent(degrees: float) -> torch.Tensor:
    """A pose (23, 3, 3) with the left knee bent: back if positive, as knees bend."""
    turns = torch.zeros(23, 3)
    turns[JOINTS.index("left_knee"), 0] = torch.deg2rad(torch.tensor(degrees))
    return axis_angle_to_rotmat(turns)


# 1. How usual is a pose? The energy is in nats: each that is added makes it e times less likely.
for degrees in (0.0, 40.0, -40.0):
    print(f"left knee at {degrees:+3.0f} degrees: energy {float(prior.energy(bent(degrees))):.0f}")

# 2. Poses out of nothing.
samples = prior.sample(8, random)
save_picture(folder / "samples.png", pose_sheet(body, samples, 8))

# 3. From one pose to another along a straight line between their latents: every step on the way is a pose.
first, last = prior.encode(samples[[1, 7]])
save_picture(folder / "between.png", pose_sheet(body, prior.interpolate(first, last, 8), 8))

# 4. Complete a pose of which the legs alone are known. Each answer is the one nearest to a random draw: were the
# decoder linear, these would be fair draws of all poses with such legs. Nearest to the latent zero is the most usual.
legs = torch.tensor([any(part in name for part in ("hip", "knee", "ankle")) for name in JOINTS])
wanted = samples[7, legs]
draws = torch.randn(6, prior.latent_size, generator=random)
draws[0] = 0
z = draws.clone().requires_grad_()
optimiser = torch.optim.LBFGS([z], max_iter=150, line_search_fn="strong_wolfe")


def charge() -> torch.Tensor:
    """Half the squared distance from the draws, and legs that are off by more than about 3 degrees."""
    optimiser.zero_grad()
    off = (prior.decode(z)[:, legs] - wanted).square().sum((1, 2, 3)) / 2  # radians^2, where it is small
    total = (latent_energy(z - draws) + off / (2 * 0.05**2)).sum()
    total.backward()
    return total


optimiser.step(charge)
with torch.no_grad():
    completed = prior.decode(z)
off = (completed[:, legs] - wanted).flatten(2).norm(dim=-1) / 2**0.5  # chords: radians, where they are small
print(
    f"legs are {float(torch.rad2deg(off.mean())):.1f} degrees off; energies {prior.energy(completed).int().tolist()}"
)
save_picture(folder / "completed.png", pose_sheet(body, torch.cat([samples[7:], completed]), 7))
print(f"written to {folder}")
