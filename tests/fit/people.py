"""Exact evidence of made-up people, for tests of the fitter."""

import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.body.skeletons import COCO17, Skeleton
from bodyloop.evidence import Evidence
from bodyloop.geometry import Camera
from bodyloop.priors.gmm import GaussianMixture
from made_up import random_bodies

CAMERA = Camera.from_focal(1200, 1000, 1000)


def observed(
    body: BodyModel, count: int, seed: int = 0, skeleton: Skeleton = COCO17
) -> tuple[Bodies, Evidence]:
    """People with moderate poses, and where their keypoints are seen exactly."""
    bodies = random_bodies(count, seed, 0.15, torch.float32)
    keypoints = CAMERA.project(body.points(bodies, body.keypoints(skeleton)[0]))
    return bodies, Evidence.from_keypoints(skeleton, keypoints, torch.ones(keypoints.shape[:2]))


def nudged(bodies: Bodies, amount: float, seed: int = 1) -> Bodies:
    """The same people with disturbed pose, mean shape, and a step aside."""
    g = torch.Generator().manual_seed(seed)
    pose = bodies.pose + torch.randn(bodies.pose.shape, generator=g) * amount
    step = torch.randn(bodies.translation.shape, generator=g) * amount * 0.3
    return Bodies.from_smpl(pose, torch.zeros_like(bodies.betas), bodies.translation + step)


def toy_mixture(seed: int = 0) -> GaussianMixture:
    """Two random modes."""
    g = torch.Generator().manual_seed(seed)
    spread = torch.randn(2, 69, 69, generator=g, dtype=torch.float64) * 0.02
    covariance = spread @ spread.mT + torch.eye(69, dtype=torch.float64) * 0.05
    means = torch.randn(2, 69, generator=g, dtype=torch.float64) * 0.1
    return GaussianMixture.from_moments(means, covariance, torch.tensor([0.4, 0.6]))
