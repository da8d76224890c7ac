"""Starts of a fit that need no network: the mean pose, facing the camera and turned."""

import math

import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.evidence import Evidence, place_in_view
from bodyloop.geometry import Camera, axis_angle_to_rotmat
from bodyloop.priors.gmm import GaussianMixture

YAWS = (0.0, math.pi / 2, math.pi, -math.pi / 2)
"""Frontal, one side, back, the other side."""


def mean_pose_starts(
    body: BodyModel, prior: GaussianMixture, evidence: Evidence, camera: Camera
) -> list[Bodies]:
    """The prior's mean pose, upright, in four global orientations, placed to meet the keypoints.

    Args:
        body, prior: the model and the prior whose mean is taken.
        evidence: N people.
        camera: one for all, or one a person.

    Returns:
        four sets of N people, on the body's device.
    """
    n = len(evidence)
    mean = (prior.log_weights.exp()[:, None] * prior.means).sum(0).to(body.v_template)
    local = axis_angle_to_rotmat(mean.unflatten(0, (23, 3)))
    upright = torch.diag(local.new_tensor([1.0, -1.0, -1.0]))  # body axes y up, facing the camera
    starts = []
    for yaw in YAWS:
        root = upright @ axis_angle_to_rotmat(local.new_tensor([0.0, yaw, 0.0]))
        rotations = torch.cat([root[None], local]).expand(n, 24, 3, 3)
        bodies = Bodies(rotations, local.new_zeros(n, 10), local.new_zeros(n, 3))
        starts.append(place_in_view(body, bodies, evidence, camera))
    return starts
