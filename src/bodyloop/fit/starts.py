"""Starts of a fit that need no network: the mean pose, facing the camera and turned."""

import math

import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.evidence import Evidence, place_in_view
from bodyloop.geometry import Camera, axis_angle_to_rotmat
from bodyloop.priors.gmm import GaussianMixture

YAWS = {"frontal": 0.0, "turned left": math.pi / 2, "back": math.pi, "turned right": -math.pi / 2}
"""How far the mean pose is turned about the vertical, radians; left and right are the person's own."""


def mean_pose_starts(
    body: BodyModel, prior: GaussianMixture, evidence: Evidence, camera: Camera
) -> list[Bodies]:
    """The prior's mean pose, upright, in four global orientations, placed to meet the keypoints.

    Args:
        body, prior: the model and the prior whose mean is taken.
        evidence: N people.
        camera: one for all, or one a person.

    Returns:
        four sets of N people, on the body's device, in the order of `YAWS`.
    """
    n = len(evidence)
    mean = (prior.log_weights.exp()[:, None] * prior.means).sum(0).to(body.v_template)
    local = axis_angle_to_rotmat(mean.unflatten(0, (23, 3)))
    upright = torch.diag(local.new_tensor([1.0, -1.0, -1.0]))  # body axes y up, facing the camera
    starts = []
    for yaw in YAWS.values():
        root = upright @ axis_angle_to_rotmat(local.new_tensor([0.0, yaw, 0.0]))
        rotations = torch.cat([root[None], local]).expand(n, 24, 3, 3)
        bodies = Bodies(rotations, local.new_zeros(n, 10), local.new_zeros(n, 3))
        starts.append(place_in_view(body, bodies, evidence, camera))
    return starts
