"""Lesson 2: the body model: pose it, shape it, and ask for no more than you need.

    python examples/02_smpl_body.py [SMPL_FILE] [FOLDER]

With SMPL's own .npz or .pkl (from its site; not ours to ship) the same code runs on SMPL; without, on the
built-in body, which is free for any use. Pickles are read without running anything in them.
"""

import math
import sys
from pathlib import Path

import torch

import bodyloop as bl
from bodyloop.body import SMPL_JOINTS

body = bl.load_body(sys.argv[1] if len(sys.argv) > 1 and sys.argv[1] else None)
folder = Path(sys.argv[2] if len(sys.argv) > 2 else "runs/02_smpl_body")
folder.mkdir(parents=True, exist_ok=True)

# SMPL's pose vector: axis-angle of 24 joints. Two people: in the T-pose, and with the arms down.
pose = torch.zeros(2, 24, 3)
pose[1, SMPL_JOINTS.index("left_shoulder"), 2] = -math.radians(70)
pose[1, SMPL_JOINTS.index("right_shoulder"), 2] = math.radians(70)
betas = torch.zeros(2, 10)
betas[1, 0] = 1.0  # one standard deviation along the first shape component
bodies = bl.Bodies.from_smpl(pose.flatten(1), betas, torch.tensor([[0.0, 0, 0], [1.5, 0, 0]]))

# Three calls, three costs: the kinematic chain, chosen points, the whole mesh.
joints = body.joints(bodies)
points, known = body.keypoints(bl.get_skeleton("coco17"))
keypoints = body.points(bodies, points)
vertices = body.vertices(bodies)
print(
    f"{body.name}: joints {tuple(joints.shape)}, COCO {tuple(keypoints.shape)}, mesh {tuple(vertices.shape)}"
)

wrist = SMPL_JOINTS.index("left_wrist")
print(f"lowering the arms lowers the wrist by {joints[0, wrist, 1] - joints[1, wrist, 1]:.2f} m")
height = (vertices[..., 1].amax(1) - vertices[..., 1].amin(1)).tolist()
print(f"heights {height[0]:.2f} and {height[1]:.2f} m")

bl.save_glb(folder / "bodies.glb", body, bodies, ["t_pose", "arms_down"])
print(f"written to {folder}")
