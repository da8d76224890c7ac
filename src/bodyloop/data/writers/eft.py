"""EFT's JSON: ``{"ver": ..., "data": [...]}``, a record a person with a weak-perspective camera of a square crop."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.body.skeletons import OPENPOSE18, SPIN24, convert
from bodyloop.data.crowd import Crowd, Labelled
from bodyloop.data.formats.eft import MARGIN, UNIT
from bodyloop.data.writers.neuralannot import numbers
from bodyloop.geometry import Camera, WeakPerspective, square_boxes
from bodyloop.writing import atomic_file


def write_eft(parts: Iterator[Labelled], out: Path, body: BodyModel) -> Path:
    """Write ``eft.json``, after the description of the format in EFT's repository (docs/README_dataformat.md).

    ``parm_cam`` is (s, tx, ty) with crop coordinates s X + t in [-1, 1], of the body without its translation; it is the
    perspective camera at the depth of the pelvis. The camera of the whole image does not fit into the format and is
    lost. ``annotId`` is a number where the id is one. Only one part is held in memory.

    Raises:
        InputError: if it cannot be written.
    """
    path = out / "eft.json"
    with atomic_file(path) as file:
        file.write(b'{"ver": "bodyloop", "data": [')
        comma = b"\n"
        for part in parts:
            for record in _records(part, body):
                file.write(comma + json.dumps(record).encode())
                comma = b",\n"
        file.write(b"\n]}\n")
    return path


def _records(part: Labelled, body: BodyModel) -> Iterator[dict[str, object]]:
    crowd, bodies = part.crowd, part.bodies()
    center, side = square_boxes(torch.from_numpy(crowd.boxes), MARGIN)
    weak = weak_cameras(part, bodies, body, center, side)
    rotations = numbers(bodies.rotations.numpy())
    betas, cameras = numbers(part.betas), numbers(weak.numpy())
    keypoints, valid = numbers(spin49(crowd)), _openpose18(crowd).tolist()
    centers, sides = numbers(center.numpy()), (side.double() / UNIT).tolist()
    for row, (key, image) in enumerate(zip(crowd.ids.tolist(), crowd.images.tolist(), strict=True)):
        yield {
            "parm_pose": rotations[row],
            "parm_shape": betas[row],
            "parm_cam": cameras[row],
            "bbox_scale": round(sides[row], 7),
            "bbox_center": centers[row],
            "joint_validity_openpose18": valid[row],
            "gt_keypoint_2d": keypoints[row],
            "smpltype": "smpl",
            "annotId": int(key) if key.isascii() and key.isdecimal() and str(int(key)) == key else key,
            "imageName": image,
        }


def weak_cameras(
    part: Labelled, bodies: Bodies, body: BodyModel, center: torch.Tensor, side: torch.Tensor
) -> torch.Tensor:
    """EFT's cameras (N, 3) s, tx, ty of square crops: at the depth of the pelvis they see what the camera sees.

    Args:
        part: N people.
        bodies: of them.
        body: their model.
        center, side: (N, 2) and (N,) of the crops, image pixels.
    """
    pelvis = body.rest_pelvis(bodies.betas.to(body.v_template)).cpu().float()
    camera = Camera(torch.from_numpy(part.focal), torch.from_numpy(part.center), (1, 1))
    weak = WeakPerspective.from_translation(bodies.translation + pelvis, camera, center, side)
    shift = weak.scale[:, None] * (weak.shift - pelvis[:, :2])  # the body stands at its rest pelvis, not at 0
    return torch.cat([weak.scale[:, None], shift], 1)


def spin49(crowd: Crowd) -> np.ndarray:
    """Keypoints (N, 49, 3) in SPIN's order, x, y, confidence: OpenPose's 25 if they are those, else annotators' 24."""
    values = np.zeros((len(crowd), 49, 3), np.float32)
    given = torch.from_numpy(np.ascontiguousarray(crowd.keypoints))
    if crowd.skeleton.name == "openpose25":
        values[:, :25] = crowd.keypoints
        return values
    places, confidence = convert(given[..., :2], given[..., 2], crowd.skeleton, SPIN24)
    values[:, 25:] = torch.cat([places, confidence[..., None]], -1).numpy()
    return values


def _openpose18(crowd: Crowd) -> np.ndarray:
    """Which of OpenPose's 18 keypoints are seen (N, 18), 0 or 1; annotators' hips count as its hips."""
    seen = torch.from_numpy(crowd.seen)
    names = crowd.skeleton.keypoints
    found = np.zeros((len(crowd), len(OPENPOSE18)), np.int64)
    for column, name in enumerate(OPENPOSE18.keypoints):
        same = [i for i, other in enumerate(names) if other in (name, f"{name}_extra")]
        if same:
            found[:, column] = seen[:, same].any(1)
    return found
