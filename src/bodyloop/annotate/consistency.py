"""MION's second and third stage on a photo's people: candidates made better, and judged by the picture."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from bodyloop.annotate.alternatives import rank_fits
from bodyloop.annotate.estimates import MARGIN, crop_people, run_network
from bodyloop.annotate.people import fit_people, judge_people
from bodyloop.body import Bodies, BodyModel, builtin_body
from bodyloop.data.augment import Change
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.fit import FitConfig, FitProblem, Fits, Fitter, Surface
from bodyloop.fit.pool import CandidatePool, default_pool
from bodyloop.geometry import Camera, CropTransform, square_boxes
from bodyloop.nets.candidates import draw_candidate
from bodyloop.nets.cen import Cen
from bodyloop.nets.mrt import Mrt
from bodyloop.priors.gmm import default_mixture

FEWEST = 4
"""Keypoints by which candidates are found."""


@torch.no_grad()
def refine_people(
    network: Mrt,
    pixels: np.ndarray,
    evidence: Evidence,
    camera: Camera,
    body: BodyModel,
    candidates: Sequence[Bodies],
) -> list[Bodies]:
    """Candidates made better (Liu et al. 2021, section 3.2).

    Args:
        network: ready for use, on any device.
        pixels: (H, W, 3) uint8 RGB.
        evidence: N people; their boxes are cut out.
        camera: the photo's, one for all or one a person.
        body: whose bodies they are.
        candidates: K times N people in camera axes.

    Returns:
        K times N people.

    Raises:
        InputError: if an answer is not finite.
    """
    crops, place = crop_people(network, pixels, evidence, None, None, [])
    lens = _single(place.image_to_crop_camera(camera.expand(len(evidence)).to(place.center)), body)
    found = []
    for bodies in candidates:
        candidate = draw_candidate(body, bodies, lens, network.candidate_map)
        found.append(run_network(network, replace(crops, candidate=candidate), camera, place, body))
    return found


@torch.no_grad()
def picture_distances(
    network: Cen,
    pixels: np.ndarray,
    evidence: Evidence,
    camera: Camera,
    body: BodyModel,
    candidates: Sequence[Bodies],
) -> Tensor:
    """How far bodies are from what the picture shows: mean distance (K, N) in metres over the network's points.

    Arguments as of `refine_people`; the lowest is the one to choose (section 3.3).
    """
    like = next(network.parameters())
    side = network.config.resolution
    center, size = square_boxes(evidence.boxes.double().cpu(), MARGIN)
    place = CropTransform(center, size, side)
    lens = _single(place.image_to_crop_camera(camera.expand(len(evidence)).to(center)), body)
    pictures = [Change(CropTransform(center[i], size[i], side)).picture(pixels) for i in range(len(evidence))]
    image = torch.from_numpy(np.stack(pictures)).movedim(-1, 1).to(like) / 255
    scores = []
    for bodies in candidates:
        scores.append(network(image, network.view(body, bodies, lens).to(like)).mean(1))
    return torch.stack(scores).float().cpu()


@torch.no_grad()
def infer_paths(
    network: Mrt,
    pixels: np.ndarray,
    evidence: Evidence,
    camera: Camera,
    body: BodyModel | None = None,
    *,
    judge: Cen | None = None,
    paths: int = 5,
    refine: bool = False,
    surfaces: Sequence[Surface] | None = None,
    config: FitConfig | None = None,
    pool: CandidatePool | None = None,
) -> Fits:
    """All of MION: candidates by the keypoints, each made better by the picture, one chosen; with `refine`, each is
    fitted on before that.

    Args:
        network: ready for use, on any device.
        pixels, evidence, camera, body: as of `refine_people`; each person needs keypoints.
        judge: chooses what the picture is nearest to (section 3.3); the lowest energy is chosen if None.
        paths: candidates of each person.
        refine: whether to fit.
        surfaces: dense keypoints and parts of each person, for fits and energies.
        config: of fits and scores.
        pool: of candidates; the one that ships if None.

    Returns:
        N people; `Fits.tried` are the answers of all paths.

    Raises:
        InputError: if somebody has no keypoint, or an answer is not finite.
    """
    body = builtin_body() if body is None else body
    unseen = (evidence.confidence > 0).sum(1) < FEWEST
    if bool(unseen.any()):
        raise InputError(
            f"{int(unseen.sum())} of {len(evidence)} people have fewer than {FEWEST} keypoints, by which "
            "candidates are found; give keypoints, or another network"
        )
    found = (pool or default_pool()).search(body, FitProblem.build(body, evidence, camera), paths).bodies
    candidates = [
        Bodies(found.rotations[:, k], found.betas[:, k], found.translation[:, k]) for k in range(paths)
    ]
    fits = []
    for number, answer in enumerate(refine_people(network, pixels, evidence, camera, body, candidates), 1):
        if refine:
            one = fit_people(evidence, camera, body, config, ("network",), surfaces=surfaces, estimate=answer)
            fits.append(replace(one, start=(f"path {number}, refined",) * len(one)))
        else:
            fits.append(
                judge_people(f"path {number}", answer, evidence, camera, body, config, None, surfaces)
            )
    ranked = rank_fits(Fitter(body, default_mixture(), config or FitConfig()), fits, surfaces)
    if judge is None:
        return ranked.chosen(torch.zeros(len(evidence), dtype=torch.int64))
    bodies = [fits.bodies for fits in ranked.ranks]
    return ranked.chosen(picture_distances(judge, pixels, evidence, camera, body, bodies).argmin(0))


def _single(camera: Camera, body: BodyModel) -> Camera:
    """In single precision, where the body is."""
    where = body.v_template.device
    return Camera(camera.focal.float().to(where), camera.center.float().to(where), camera.size)
