"""What the solvers are given: the weights of the energy, and the batch of people in solver units.

The energy of one person, SMPLify's (Bogo et al. 2016, eq. 1-5) with SPIN's constants (Kolotouros et al. 2019,
eq. 2 and the released settings), over pose theta, betas and translation:

    E =   sum_k conf_k^2 rho_sigma(r_k)                     robust reprojection
        + pose^2   min_m (1/2 (theta - mu_m)^T P_m (theta - mu_m) - log g_m)   mixture, nearest mode
        + bend^2   sum_i exp(s_i theta_i)^2                 elbows and knees that bend the wrong way
        + shape^2  |betas|^2
        + anchor^2 sum_i ((theta_i - a_i) / d_i)^2          optional: stay near the start (a lifter's pose)

r_k is the reprojection error in pixels of a 224-pixel crop of the person's box, so that the balance of the
terms does not depend on the image's resolution, and rho_sigma(x) = sigma^2 x^2 / (sigma^2 + x^2) per
coordinate (Geman-McClure).
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bodyloop.body import BodyModel, BodyPoints
from bodyloop.evidence import Evidence
from bodyloop.fit.noise import REFERENCE
from bodyloop.geometry import Camera

CROP = 224.0
"""Side in pixels of the crop in which residuals are measured (SPIN's image size)."""

BEND_INDEX = (52, 55, 9, 12)
"""Left elbow y, right elbow y, left knee x, right knee x in the 69 numbers of the body pose.

SPIN's 55, 58, 12, 15 in the 72 numbers with the global orientation."""
BEND_SIGN = (1.0, -1.0, -1.0, -1.0)


@dataclass(frozen=True)
class EnergyWeights:
    """Weights of the energy's terms, before squaring.

    The defaults are SPIN's: mixture 4.78, bending 15.2, shape 5, sigma 100 crop pixels.
    """

    pose: float = 4.78
    bend: float = 15.2
    shape: float = 5.0
    sigma: float = 100.0
    anchor: float = 0.0


TUNED = EnergyWeights(bend=5.0, anchor=5.0)
"""Our weights, chosen on the validation subjects (see docs/results.md).

SPIN's bending term pushes straight limbs to bend (it charges 231 for an angle of zero), and its prior is all
that speaks where the image is silent; here the lifter's pose speaks too."""

_SIGMA = CROP * REFERENCE
MATCHED = EnergyWeights(pose=_SIGMA, bend=3.0, shape=_SIGMA, anchor=_SIGMA)
"""Weights for keypoints that are off by s = `REFERENCE`, in which the energy is 2 s^2 times minus the log posterior.

That gives shape and anchor the weight s, and the prior sqrt(2) s if it alone spoke of the pose; as the anchor does
too, each has half the say. The bending term is no probability; its weight is `TUNED`'s in proportion.
`benchmarks/tune_weights.py` looks around these values on validation subjects: the optimum is flat."""


@dataclass(frozen=True)
class FitProblem:
    """A batch of B people with K keypoints, in solver units (224-pixel crops).

    Attributes:
        points: the K body points.
        target: (B, K, 2) keypoints relative to the principal point, in crop pixels.
        weight: (B, K) squared confidence; 0 = unseen.
        focal: (B, 2) focal lengths in crop pixels.
        scale: (B,) crop pixels per image pixel.
        anchor: (B, 69) axis-angle pose to stay near, if the weights ask for it.
        anchor_scale: (69,) radians, d of the energy, or one for each person (B, 69); infinite where there is no anchor.
        keypoints: the first so many points are keypoints, the others come from the surface.
    """

    points: BodyPoints
    target: Tensor
    weight: Tensor
    focal: Tensor
    scale: Tensor
    anchor: Tensor | None = None
    anchor_scale: Tensor | None = None
    keypoints: int | None = None

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index: slice | Tensor) -> "FitProblem":
        return replace(
            self,
            target=self.target[index],
            weight=self.weight[index],
            focal=self.focal[index],
            scale=self.scale[index],
            anchor=None if self.anchor is None else self.anchor[index],
            anchor_scale=(
                self.anchor_scale
                if self.anchor_scale is None or self.anchor_scale.dim() == 1
                else self.anchor_scale[index]
            ),
        )

    @classmethod
    def build(cls, body: BodyModel, evidence: Evidence, camera: Camera) -> "FitProblem":
        """From evidence in image pixels and the camera (one for all, or one a person).

        The problem lives on the body's device, in its precision, wherever evidence and camera are.
        """
        points, known = body.keypoints(evidence.skeleton)
        like = body.v_template
        evidence, camera = evidence.to(like), camera.expand(len(evidence)).to(like)
        side = (evidence.boxes[:, 2:] - evidence.boxes[:, :2]).amax(-1)
        scale = CROP / torch.where(torch.isfinite(side), side, CROP).clamp_min(1.0)
        target = (evidence.keypoints - camera.center[:, None]) * scale[:, None, None]
        weight = evidence.confidence.square() * known
        return cls(points, target, weight, camera.focal * scale[:, None], scale)

    def believed(self, factor: Tensor) -> "FitProblem":
        """The same people with squared residuals that count `factor` (B,) times as much."""
        return replace(self, weight=self.weight * factor[:, None])

    def with_points(self, points: BodyPoints, target: Tensor, weight: Tensor) -> "FitProblem":
        """The same people with further points of the surface, targets (B, N, 2) and weights (B, N)."""
        return replace(
            self,
            points=BodyPoints.cat([self.points, points]),
            target=torch.cat([self.target, target], 1),
            weight=torch.cat([self.weight, weight], 1),
            keypoints=len(self.points) if self.keypoints is None else self.keypoints,
        )

    def to(self, *args: Any) -> "FitProblem":
        """The same problem on another device or in another precision."""
        return replace(
            self,
            points=self.points.to(*args),
            target=self.target.to(*args),
            weight=self.weight.to(*args),
            focal=self.focal.to(*args),
            scale=self.scale.to(*args),
            anchor=None if self.anchor is None else self.anchor.to(*args),
            anchor_scale=None if self.anchor_scale is None else self.anchor_scale.to(*args),
        )
