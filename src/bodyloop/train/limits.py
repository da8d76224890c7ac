"""Learning of the joint limits."""

from dataclasses import dataclass
from pathlib import Path

from bodyloop.data.poses import PoseSet
from bodyloop.priors.limits import JointLimits
from bodyloop.train.checkpoint import Report


@dataclass(frozen=True)
class LimitsConfig:
    """Everything that the limits depend on.

    Attributes:
        quantile: share of the poses' weight below each range, and above it.
        margin: radians added at both ends.
        seed: of nothing; the limits are not drawn.
        steps: one.
    """

    quantile: float = 0.001
    margin: float = 0.1
    seed: int = 0
    steps: int = 1


def train_limits(
    poses: PoseSet,
    validation: PoseSet,
    config: LimitsConfig,
    report: Report = print,
    checkpoint: Path | None = None,
) -> JointLimits:
    """Ranges of the training poses; arguments as of the other priors' training, `checkpoint` is not needed."""
    limits = JointLimits.from_poses(poses.pose[:, 3:].float(), poses.weight, config.quantile, config.margin)
    inside = (limits.energy_at(validation.pose[:, 3:].float()) == 0).float().mean()
    report(f"{float(inside):.1%} of the validation poses lie within all ranges")
    return limits
