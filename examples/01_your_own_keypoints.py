"""Lesson 1: keypoints of your own, from any detector or annotator, to SMPL parameters.

    python examples/01_your_own_keypoints.py [FOLDER]

No detector is needed. Keypoint files work as well: `bodyloop.read_keypoints` (see docs/formats.md).
"""

import sys
from pathlib import Path

import torch

import bodyloop as bl

# COCO's 17 keypoints of a person in a photo of 640 x 960 pixels: x, y, confidence.
KEYPOINTS = {
    "nose": (320, 180, 1.0),
    "left_eye": (328, 170, 1.0), "right_eye": (312, 170, 1.0),
    "left_ear": (342, 176, 0.9), "right_ear": (298, 176, 0.9),
    "left_shoulder": (372, 262, 1.0), "right_shoulder": (268, 262, 1.0),
    "left_elbow": (420, 350, 1.0), "right_elbow": (222, 352, 1.0),
    "left_wrist": (440, 440, 0.9), "right_wrist": (190, 262, 0.9),  # the right forearm is raised
    "left_hip_extra": (352, 458, 1.0), "right_hip_extra": (288, 458, 1.0),
    "left_knee": (358, 620, 1.0), "right_knee": (284, 620, 1.0),
    "left_ankle": (362, 780, 1.0), "right_ankle": (280, 780, 0.0),  # confidence 0: not seen
}  # fmt: skip

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/01_your_own_keypoints")
folder.mkdir(parents=True, exist_ok=True)

# Skeletons go by name: no index has to be known. A point that annotators set elsewhere than SMPL's joint has
# a name of its own: COCO's hip, "left_hip_extra", lies outside of SMPL's "left_hip".
skeleton = bl.get_skeleton("coco17")
rows = torch.tensor([KEYPOINTS[name] for name in skeleton.keypoints])
people = bl.Evidence.from_keypoints(skeleton, rows[None, :, :2], rows[None, :, 2])

fits = bl.fit_people(people, bl.Camera.from_focal(1100, 640, 960))
print(f"reprojection error {fits.error_box[0]:.1%} of the box, trusted: {bool(fits.trusted[0])}")

# SMPL's parameters, and joints in metres in camera axes (x right, y down, z forward).
body = bl.load_body()
joints = body.joints(fits.bodies)[0]
print(f"pose {tuple(fits.bodies.pose.shape)}, betas {tuple(fits.bodies.betas.shape)}")
print(f"the pelvis is {joints[0, 2]:.1f} m from the camera")

bl.save_npz(folder / "body.npz", fits.bodies, fits.camera, body.name)
bl.save_obj(folder / "body.obj", body, fits.bodies)
print(f"written to {folder}")
