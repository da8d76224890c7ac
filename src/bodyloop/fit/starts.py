"""Starts of a fit that need no network: the mean pose, facing the camera and turned."""

import math

import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.evidence import Evidence, place_in_view
from bodyloop.geometry import Camera, axis_angle_to_rotmat
from bodyloop.priors.prior import PosePrior

YAWS = {"frontal": 0.0, "turned left": math.pi / 2, "back": math.pi, "turned right": -math.pi / 2}
"""How far the mean pose is turned about the vertical, radians; left and right are the person's own."""


def mean_pose_starts(body: BodyModel, prior: PosePrior, evidence: Evidence, camera: Camera) -> list[Bodies]:
    """The prior's middle pose, upright, in four global orientations, placed to meet the keypoints.

    Zanfir et al. 2020, section 3, start from four global rotations and zeros, which for a prior with a latent
    space is its middle.

    Args:
        body, prior: the model and the prior whose `middle` is taken: the mixture's mean, the latent zero.
        evidence: N people.
        camera: one for all, or one a person.

    Returns:
        four sets of N people, on the body's device, in the order of `YAWS`.
    """
    n = len(evidence)
    local = prior.middle().to(body.v_template)
    upright = torch.diag(local.new_tensor([1.0, -1.0, -1.0]))  # body axes y up, facing the camera
    starts = []
    for yaw in YAWS.values():
        root = upright @ axis_angle_to_rotmat(local.new_tensor([0.0, yaw, 0.0]))
        rotations = torch.cat([root[None], local]).expand(n, 24, 3, 3)
        bodies = Bodies(rotations, local.new_zeros(n, 10), local.new_zeros(n, 3))
        starts.append(place_in_view(body, bodies, evidence, camera))
    return starts
