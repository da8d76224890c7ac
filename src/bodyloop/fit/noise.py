"""How far off the keypoints of each person are, estimated from what a fit leaves, and the weight that this earns them.

With keypoints off by Gaussian noise of standard deviation s, the energy of a fit is 2 s^2 times minus the log
posterior, so exact keypoints deserve far more weight against the prior than those of a detector. No paper of ours
does this: all take one balance for all people. It is measured against that in docs/results.md.
"""

import math

import torch
from torch import Tensor

REFERENCE = 0.01
"""Noise, as a share of the box's longer side and per coordinate, for which `MATCHED` holds."""
LEAST = 0.002
"""The body is not the person's, nor the camera known: keypoints are never believed more than this."""
FREEDOM = 40.0
"""A fit to R residuals leaves R / (R + FREEDOM) of their squares; of noise of 1 to 5 % on 7 to 17 keypoints of the
validation subjects it was 0.23 to 0.46, which this meets."""


def estimated_noise(error_box: Tensor, seen: Tensor) -> Tensor:
    """Standard deviation (N,) of the keypoints' noise per coordinate, as a share of the box.

    Args:
        error_box: (N,) mean reprojection error of fitted people as a share of the box; sqrt(pi / 2) times the
            standard deviation for Gaussian noise, were nothing fitted.
        seen: (N,) number of points that the fit had to meet: these and all others, as they share its freedom.
    """
    residuals = 2 * seen.to(error_box)
    left = residuals.clamp_min(1) / (residuals + FREEDOM)
    return (error_box / torch.sqrt(left * (math.pi / 2))).clamp_min(LEAST)


def earned_weight(noise: Tensor) -> Tensor:
    """Factor (N,) of the squared residuals under which the weights for `REFERENCE` hold for this noise."""
    return (REFERENCE / noise).square()
