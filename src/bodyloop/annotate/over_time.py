"""From the evidence of a person over time to their bodies: starts, the best path through them, and one fit of all."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel, builtin_body
from bodyloop.evidence import Evidence
from bodyloop.fit import FitConfig, Fitter, FitProblem, Start, mean_pose_starts
from bodyloop.fit.noise import earned_weight, estimated_noise
from bodyloop.fit.paths import best_paths
from bodyloop.fit.problem import CROP, EnergyWeights
from bodyloop.fit.spaces import pose_space
from bodyloop.fit.starts import YAWS
from bodyloop.fit.temporal import Smoothness, TrackSolution, solve_tracks
from bodyloop.geometry import Camera
from bodyloop.nets.lifter import default_lifter
from bodyloop.priors.gmm import default_mixture
from bodyloop.track import Track

FEWEST = 4
"""Keypoints that a frame needs to be fitted for itself; those of frames with fewer count in the fit of all alone."""
STEADY_SECONDS = 0.5
"""A frame's residuals are measured in units of the median size of the person's boxes this long before and after."""
ENOUGH = 6
"""Keypoints in a frame that tell how noisy they are."""
