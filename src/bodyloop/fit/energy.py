"""The fitting energy in plain differentiable tensor code: the definition that both solvers are tested against.

It is also what first-order optimisers use, and what the reports of a fit's terms come from.
"""

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.fit.problem import BEND_INDEX, BEND_SIGN, EnergyWeights, FitProblem
from bodyloop.fit.spaces import PoseSpace


def geman_mcclure(residual: Tensor, sigma: float) -> Tensor:
    """rho(x) = sigma^2 x^2 / (sigma^2 + x^2) (Geman and McClure 1987; SMPLify eq. 2)."""
    square = residual.square()
    return sigma**2 * square / (sigma**2 + square)


def reprojection(points: Tensor, problem: FitProblem) -> Tensor:
    """Residuals (B, K, 2) in crop pixels of camera-frame points (B, K, 3)."""
    return points[..., :2] / points[..., 2:] * problem.focal[:, None] - problem.target


def bending(pose: Tensor) -> Tensor:
    """Sum over elbows and knees of exp(s theta)^2 (SMPLify eq. 3, SPIN's squared form), (..., 69) to (...)."""
    sign = pose.new_tensor(BEND_SIGN)
    return (2 * sign * pose[..., BEND_INDEX]).clamp_max(40.0).exp().sum(-1)


def energy_terms(
    body: BodyModel,
    problem: FitProblem,
    space: PoseSpace,
    weights: EnergyWeights,
    bodies: Bodies,
    pose: Tensor | None = None,
) -> dict[str, Tensor]:
    """The energy's terms, each (B,), weighted so that their sum is E.

    Args:
        body, problem, space, weights: what defines E (see `bodyloop.fit.problem`).
        bodies: B people in the camera frame.
        pose: (B, Q) unknowns of the space that the bodies were made of, if the caller has them; from the
            rotations otherwise, which a space that cannot express every pose only comes near to.
    """
    pose = space.start(bodies.rotations[:, 1:]) if pose is None else pose
    residual = reprojection(body.points(bodies, problem.points), problem)
    distance = geman_mcclure(residual, weights.sigma).sum(-1) * problem.weight
    terms = {
        "keypoints": distance[:, : problem.keypoints].sum(-1),
        "pose": weights.pose**2 * space.energy(pose),
        "shape": weights.shape**2 * bodies.betas.square().sum(-1),
    }
    if problem.keypoints is not None:
        terms["surface"] = distance[:, problem.keypoints :].sum(-1)
    if weights.bend > 0:
        terms["bend"] = weights.bend**2 * bending(space.axis_angle(pose))
    if weights.anchor > 0 and problem.anchor is not None and problem.anchor_scale is not None:
        off = (space.axis_angle(pose) - problem.anchor) / problem.anchor_scale
        terms["anchor"] = weights.anchor**2 * off.square().sum(-1)
    return terms


def total_energy(terms: dict[str, Tensor]) -> Tensor:
    """E (B,): the sum of the terms."""
    return torch.stack(list(terms.values())).sum(0)
