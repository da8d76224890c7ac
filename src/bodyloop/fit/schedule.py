"""The stages of a fit and the constants of the damped step, shared by both back ends."""

from dataclasses import dataclass

from bodyloop.fit.problem import EnergyWeights

DAMPING_START = 0.1
ACCEPT_FACTOR = 0.3
REJECT_FACTOR = 4.0
DAMPING_MIN, DAMPING_MAX = 1e-6, 1e6
TOLERANCE = 1e-4  # a step that lowers the energy by a smaller share ends the stage
MIN_DEPTH = 0.1  # metres: a state that brings a keypoint nearer to the camera is refused


@dataclass(frozen=True)
class Stage:
    """One stage of the schedule.

    Attributes:
        whole: True for pose, betas, orientation and translation; False for orientation and translation
            alone, on the torso's keypoints (SMPLify's first step).
        weights: of the energy.
        steps: most iterations.
        depth: weight, before squaring, of (tz / tz_start - 1); only where `whole` is False.
    """

    whole: bool
    weights: EnergyWeights
    steps: int
    depth: float = 100.0
