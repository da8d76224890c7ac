"""People whose left and right the annotators may have exchanged: they fit better the other way round."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bodyloop.annotate.people import StartKind, fit_people, judge_people
from bodyloop.body import BodyModel, Skeleton
from bodyloop.evidence import Evidence
from bodyloop.fit import FitConfig, Fits
from bodyloop.geometry import Camera

_ARMS = ("shoulder", "elbow", "wrist")
_LEGS = ("hip", "knee", "ankle", "heel", "toe")
LIMBS = {"arms": _ARMS, "legs": _LEGS, "arms and legs": _ARMS + _LEGS}
"""What is exchanged together, by the words in the landmarks' names."""


@dataclass(frozen=True)
class SwapConfig:
    """Who is looked at, and who is suspected.

    Attributes:
        error: people with a mean reprojection error over this share of the box are fitted again the other way round.
        pose: and those with a pose energy over this, nats.
        share: suspected is whose energy falls below this share of what it was.
    """

    error: float = 0.03
    pose: float = 60.0
    share: float = 0.6


def exchanged(skeleton: Skeleton, limbs: tuple[str, ...]) -> tuple[int, ...]:
    """Permutation of the keypoints that exchanges left and right of some limbs."""
    return tuple(
        other if any(word in name for word in limbs) else i
        for i, (name, other) in enumerate(zip(skeleton.keypoints, skeleton.flip, strict=True))
    )


def swap_suspects(
    fits: Fits,
    body: BodyModel,
    prior: Tensor,
    config: SwapConfig,
    fit: FitConfig | None = None,
    starts: tuple[StartKind, ...] = ("lifter",),
) -> list[str]:
    """For each of N fitted people, which limbs seem to be exchanged: a key of `LIMBS`, or "".

    Both energies are measured with the noise that the first fit estimated, so that they can be compared.

    Args:
        fits: of the labels as they are.
        body: the model.
        prior: (N,) energies of the poses under the mixture, nats.
        config: thresholds.
        fit: of the fits; the defaults if None.
        starts: of the second fits.
    """
    found = [""] * len(fits)
    looked_at = ((fits.error_box.cpu() > config.error) | (prior > config.pose)) & (fits.seen.cpu() > 0)
    rows = torch.nonzero(looked_at)[:, 0]
    if not len(rows):
        return found
    evidence, camera, noise = fits.evidence[rows], _camera(fits, rows), fits.noise[rows]
    best = config.share * judge_people("", fits.bodies[rows], evidence, camera, body, fit, noise).energy
    for name, limbs in LIMBS.items():
        other = _other_way(evidence, limbs)
        again = fit_people(other, camera, body, fit, starts)
        energy = judge_people("", again.bodies, other, camera, body, fit, noise).energy
        better = energy < best
        best = torch.where(better, energy, best)
        for row, is_better in zip(rows.tolist(), better.tolist(), strict=True):
            if is_better:
                found[row] = name
    return found


def _camera(fits: Fits, rows: Tensor) -> Camera:
    camera = fits.camera.expand(len(fits))
    return Camera(camera.focal[rows], camera.center[rows], camera.size)


def _other_way(evidence: Evidence, limbs: tuple[str, ...]) -> Evidence:
    order = list(exchanged(evidence.skeleton, limbs))
    return Evidence(
        evidence.skeleton,
        evidence.keypoints[:, order],
        evidence.confidence[:, order],
        evidence.boxes,
        evidence.labels,
    )
