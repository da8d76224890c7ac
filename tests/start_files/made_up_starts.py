"""People of a photo, and what files say of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.body.skeletons import COCO17
from bodyloop.evidence import Evidence
from bodyloop.geometry import Camera
from bodyloop.start_files import StartFile, StartPeople
from made_up import random_bodies

CAMERA = Camera.from_focal(1200, 1000, 800)
"""The photo's."""


def smpl_like(body: BodyModel) -> BodyModel:
    """The built-in body under a name that is not its own, so that it counts as SMPL's."""
    return replace(body, name="SMPL_NEUTRAL")


def crowd(count: int = 3, seed: int = 0, focal: float = 1200) -> Bodies:
    """People beside each other, as large in the picture for any focal length."""
    bodies = random_bodies(count, seed, 0.15, torch.float32)
    aside = torch.tensor([[2.0 * (i - (count - 1) / 2), 0.0, 4.0] for i in range(count)])
    depth = torch.tensor([0.0, 0.0, 8 * (focal / 1200 - 1)])
    return replace(bodies, translation=bodies.translation + aside + depth)


def evidence_of(
    body: BodyModel, bodies: Bodies, camera: Camera = CAMERA, labels: tuple[str, ...] | None = None
) -> Evidence:
    pixels = camera.project(body.points(bodies, body.keypoints(COCO17)[0]))
    return Evidence.from_keypoints(COCO17, pixels, torch.ones(pixels.shape[:2]), labels=labels)


def joints_off(
    found: StartPeople, body: BodyModel, bodies: Bodies, camera: Camera, photo: Camera = CAMERA
) -> Tensor:
    """Mean distance (N,) in pixels of the joints that were placed from those that the file's camera sees."""
    want, got = camera.project(body.joints(bodies)), photo.project(body.joints(found.bodies))
    return (want - got).norm(dim=-1).mean(-1)


def flat_joints(body: BodyModel, bodies: Bodies) -> Tensor:
    """Joints (N, 24, 3) without translation, as files with a weak-perspective camera mean them."""
    return body.joints(replace(bodies, translation=torch.zeros_like(bodies.translation)))


def projected(file: StartFile, body: BodyModel, bodies: Bodies) -> np.ndarray:
    """Where a file sees the joints (N, 24, 2) of these bodies, who are its people in this order."""
    pixels = []
    for place, joints in enumerate(flat_joints(body, bodies)):
        projection = file.make(place).projection
        assert projection is not None
        sight = projection(joints)
        assert sight.ahead.all()
        pixels.append(sight.pixels.numpy())
    return np.stack(pixels)


def arrays_of(bodies: Bodies) -> dict[str, Any]:
    """SMPL's parameters as other programs write them: float64."""
    return {
        "pose": bodies.pose.double().numpy(),
        "betas": bodies.betas.double().numpy(),
        "trans": bodies.translation.double().numpy(),
    }
