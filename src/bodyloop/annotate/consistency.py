"""MION's second and third stage on a photo's people: candidates made better, and judged by the picture."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bodyloop.annotate.estimates import MARGIN, crop_people, run_network
from bodyloop.body import Bodies, BodyModel
from bodyloop.data.augment import Change
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.geometry import Camera, CropTransform, square_boxes
from bodyloop.nets.candidates import draw_candidate, draw_pncc
from bodyloop.nets.cen import Cen, load_cen
from bodyloop.nets.mrt import Mrt


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
    lens = place.image_to_crop_camera(camera.expand(len(evidence)).to(place.center))
    found = []
    for bodies in candidates:
        candidate = draw_candidate(body, bodies, _single(lens), network.candidate_map)
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
    lens = _single(place.image_to_crop_camera(camera.expand(len(evidence)).to(center)))
    pictures = [Change(CropTransform(center[i], size[i], side)).picture(pixels) for i in range(len(evidence))]
    image = torch.from_numpy(np.stack(pictures)).movedim(-1, 1).to(like) / 255
    scores = []
    for bodies in candidates:
        drawn = draw_pncc(body, bodies, lens, side).to(like)
        scores.append(network(image, drawn).mean(1))
    return torch.stack(scores).float().cpu()


def _single(camera: Camera) -> Camera:
    """In single precision."""
    return Camera(camera.focal.float(), camera.center.float(), camera.size)


@lru_cache(maxsize=1)
def default_cen() -> Cen:
    """The consistency network that ships.

    Raises:
        InputError: if none does.
    """
    path = Path(__file__).parents[1] / "nets" / "weights" / "cen-small.safetensors"
    if not path.is_file():
        raise InputError(f"{path}: no consistency network ships with this version; choose by energy")
    return load_cen(path)
