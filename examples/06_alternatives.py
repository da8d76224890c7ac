"""Lesson 6: one set of keypoints, several bodies: which are there, what each costs, and a page to look at them.

    python examples/06_alternatives.py [FOLDER]

A picture does not say whether an arm comes nearer or goes away. `bodyloop fit --starts candidates:5` does the same for
photos (docs/many_starts.md).
"""

import sys
from pathlib import Path

import torch

import bodyloop as bl
from bodyloop.annotate.alternatives import fit_alternatives
from bodyloop.view import save_picture
from bodyloop.view.page import save_page
from bodyloop.view.scene_files import read_scene

# COCO's keypoints of somebody who stands on the right leg, in a picture of 640 x 960 pixels: x, y, confidence.
KEYPOINTS = {
    "nose": (322, 182, 1.0), "left_eye": (331, 172, 1.0), "right_eye": (313, 172, 1.0),
    "left_ear": (344, 178, 0.9), "right_ear": (300, 178, 0.9),
    "left_shoulder": (374, 262, 1.0), "right_shoulder": (270, 262, 1.0),
    "left_elbow": (430, 300, 1.0), "right_elbow": (214, 302, 1.0),  # both arms shorter than they are
    "left_wrist": (482, 312, 1.0), "right_wrist": (160, 310, 1.0),
    "left_hip_extra": (352, 458, 1.0), "right_hip_extra": (288, 458, 1.0),
    "left_knee": (372, 560, 1.0), "right_knee": (286, 620, 1.0),
    "left_ankle": (360, 690, 1.0), "right_ankle": (282, 782, 1.0),
}  # fmt: skip

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/06_alternatives")
folder.mkdir(parents=True, exist_ok=True)
skeleton, body = bl.get_skeleton("coco17"), bl.load_body()
rows = torch.tensor([KEYPOINTS[name] for name in skeleton.keypoints])
person = bl.Evidence.from_keypoints(skeleton, rows[None, :, :2], rows[None, :, 2])
camera = bl.Camera.from_focal(1100, 640, 960)

# 1. Candidates from a pool of poses, far apart and all near the keypoints, each fitted; and the lifter's guess, fitted.
found = fit_alternatives(person, camera, body, candidates=4, starts=("lifter",))

# 2. Energies of a person's alternatives are comparable: of two, the lower one explains more with less.
best = body.joints(found.best.bodies)[0]
for rank, fits in enumerate(found.ranks):
    joints = body.joints(fits.bodies)[0]
    apart = ((joints - joints[:1]) - (best - best[:1])).norm(dim=-1).max()
    print(
        f"{rank}: {fits.start[0]:<12} energy {fits.energy[0]:6.1f}, {fits.error_px[0]:.1f} px off the keypoints, "
        f"some joint {apart:.2f} m from the best body's"
    )

# 3. All of them in one file, as `bodyloop fit --hypotheses` writes it.
scores = found.hypotheses.arrays() | {"energy": found.best.energy, "start": found.best.start}
bl.save_npz(folder / "body.npz", found.best.bodies, found.best.camera, body.name, scores)

# 4. Look: from the camera they are nearly the same, from the side they are not. The page needs no server.
every = bl.Bodies.cat([fits.bodies for fits in found.ranks])
save_picture(folder / "side.png", bl.side_view(body, every))
save_page(folder / "alternatives.html", read_scene(folder / "body.npz", body))
print(f"written to {folder}; open {folder / 'alternatives.html'} in a browser")
