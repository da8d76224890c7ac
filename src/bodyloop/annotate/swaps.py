"""People whose left and right the annotators may have exchanged: they fit better the other way round."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bodyloop.annotate.people import StartKind, fit_people
from bodyloop.body import BodyModel, Skeleton
from bodyloop.evidence import Evidence
from bodyloop.fit import FitConfig, Fits
from bodyloop.fit.noise import estimated_noise
from bodyloop.geometry import Camera
from bodyloop.priors.gmm import default_mixture

_ARMS = ("shoulder", "elbow", "wrist")
_LEGS = ("hip", "knee", "ankle", "heel", "toe")
LIMBS = {"arms": _ARMS, "legs": _LEGS, "arms and legs": _ARMS + _LEGS}
"""What is exchanged together, by the words in the landmarks' names."""


@dataclass(frozen=True)
class SwapConfig:
    """Who is looked at, and who is suspected; chosen on synthetic validation people, of whom half had sides exchanged.

    Attributes:
        error: people with a mean reprojection error over this share of the box are fitted again the other way round.
        pose: and those with a pose energy over this, nats.
        evidence: suspected is who is likelier by so many nats the other way round.
    """

    error: float = 0.025
    pose: float = 60.0
    evidence: float = 8.0


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
    fitted: bool = True,
) -> list[str]:
    """For each of N fitted people, which limbs seem to be exchanged: a key of `LIMBS`, or "".

    Args:
        fits: of the labels as they are.
        body: the model.
        prior: (N,) energies of the poses under the mixture, nats.
        config: thresholds.
        fit: of the fits; the defaults if None.
        starts: of the second fits.
        fitted: whether the bodies were fitted to the keypoints. If not, the labels as they are get a fit, too: bodies
            of another source are beaten by any fit.
    """
    found = [""] * len(fits)
    looked_at = ((fits.error_box.cpu() > config.error) | (prior > config.pose)) & (fits.seen.cpu() > 0)
    rows = torch.nonzero(looked_at)[:, 0]
    if not len(rows):
        return found
    evidence, camera = fits.evidence[rows], _camera(fits, rows)
    best = _surprise(fits)[rows]
    if not fitted:
        best = best.minimum(_surprise(fit_people(evidence, camera, body, fit, starts)))
    best = best - config.evidence
    for name, limbs in LIMBS.items():
        again = _surprise(fit_people(_other_way(evidence, limbs), camera, body, fit, starts))
        better = again < best
        best = torch.where(better, again, best)
        for row, is_better in zip(rows.tolist(), better.tolist(), strict=True):
            if is_better:
                found[row] = name
    return found


def _surprise(fits: Fits) -> Tensor:
    """Minus the log posterior (N,) of fitted people, up to a constant, nats.

    Each person's keypoints have the noise that their fit leaves (`bodyloop.fit.noise`); pose and shape count half, as
    in `bodyloop.fit.MATCHED`.
    """
    local = fits.bodies.rotations[:, 1:].float().cpu()
    noise = estimated_noise(fits.error_box, fits.seen).float().cpu()
    prior = default_mixture().to(local).energy(local) + fits.bodies.betas.square().sum(1).float().cpu() / 2
    return 2 * fits.seen.float().cpu() * noise.log() + prior / 2


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
