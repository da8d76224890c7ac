"""Lesson 3: people over time, and how they leave for Blender, game engines and notebooks.

    python examples/03_walk_to_blender.py [FOLDER]

No data is needed: the walk is made here, from a few angles of one stride. See docs/export.md for what to do with the
files.
"""

import sys
from pathlib import Path

import torch
from scipy.interpolate import CubicSpline

import bodyloop as bl
from bodyloop.body import SMPL_JOINTS
from bodyloop.geometry import axis_angle_to_rotmat, rotmat_to_axis_angle

FPS, STRIDE, SECONDS = 30, 1.1, 4.4  # frames a second; seconds a stride; seconds in all

# Degrees of a leg over a stride that begins when its heel comes down: about those of unhurried walking.
SHARES = [0.0, 0.1, 0.3, 0.5, 0.6, 0.73, 0.87, 1.0]
BEND = {
    "hip": [28, 25, 8, -10, -4, 18, 30, 28],  # forward
    "knee": [4, 16, 8, 6, 32, 60, 28, 4],  # back
    "ankle": [0, -5, 6, 10, -14, -2, 2, 0],  # toes up
}


def about(axis: int, degrees: torch.Tensor) -> torch.Tensor:
    """Axis-angle (T, 3)."""
    turn = torch.zeros(len(degrees), 3)
    turn[:, axis] = torch.deg2rad(degrees)
    return turn


folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/03_walk_to_blender")
folder.mkdir(parents=True, exist_ok=True)
body = bl.load_body()

# 1. Poses. SMPL stands in a T-pose, y up, facing +z: a hip bends forward by turning about -x, a knee back about +x.
times = torch.arange(int(SECONDS * FPS), dtype=torch.float64) / FPS
pose = torch.zeros(len(times), 24, 3)
curves = {joint: CubicSpline(SHARES, angles, bc_type="periodic") for joint, angles in BEND.items()}
for side, ahead, out in (("left", 0.0, 1.0), ("right", 0.5, -1.0)):
    share = (times / STRIDE + ahead) % 1
    bend = {joint: torch.from_numpy(curve(share)).float() for joint, curve in curves.items()}
    pose[:, SMPL_JOINTS.index(f"{side}_hip")] = about(0, -bend["hip"])
    pose[:, SMPL_JOINTS.index(f"{side}_knee")] = about(0, bend["knee"])
    pose[:, SMPL_JOINTS.index(f"{side}_ankle")] = about(0, -bend["ankle"])
    # An arm hangs, and swings against the leg of its side.
    hanging = axis_angle_to_rotmat(about(2, torch.full((len(times),), -72.0 * out)))
    swing = axis_angle_to_rotmat(about(0, 0.8 * (bend["hip"] - 9)))
    shoulder = rotmat_to_axis_angle(swing @ hanging)
    pose[:, SMPL_JOINTS.index(f"{side}_shoulder")] = shoulder
    pose[:, SMPL_JOINTS.index(f"{side}_elbow")] = about(1, torch.full((len(times),), -25.0 * out))
bodies = bl.Bodies.from_smpl(pose.flatten(1))

# 2. Places. The foot that is lower stands still, so the body moves over it; the lowest point is on the ground.
joints = body.joints(bodies)
feet = joints[:, [SMPL_JOINTS.index(name) for name in ("left_foot", "right_foot")]]
standing = feet[..., 1].argmin(1)
every = torch.arange(len(times))
steps = feet[every[1:] - 1, standing[1:]] - feet[every[1:], standing[1:]]
places = torch.cat([torch.zeros(1, 3), steps.cumsum(0)])
places[:, 1] = -body.vertices(bodies)[..., 1].amin(1)
bodies = bl.Bodies(bodies.rotations, bodies.betas, places)

# 3. A track: one person over time. This one is in a world with y up; those of a video are in camera axes.
seen = torch.ones(len(times), dtype=torch.bool)
walk = bl.Track(bodies, times, seen, None, "walker", frame="world")
print(f"{len(walk)} frames, {walk.fps:.0f} a second, {float(places[-1, 2]):.1f} m in {SECONDS} s")

# 4. Files. `bodyloop export tracks.npz -o FILE` makes the same ones.
bl.save_tracks(folder / "tracks.npz", [walk])
bl.save_animated_glb(folder / "walk.glb", body, [walk])  # Blender, three.js, Unity, Unreal
bl.save_bvh(folder / "walk.bvh", body, walk)  # anything that knows motion capture
bl.save_amass(folder / "walk_amass.npz", body, walk)  # tools for AMASS
print(f"written to {folder}")
