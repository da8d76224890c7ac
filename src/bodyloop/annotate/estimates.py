"""From a photo's people to their bodies by a network: crops, network, scores; and on from there by a fit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bodyloop.annotate.people import fit_people, judge_people
from bodyloop.annotate.surfaces import own_pixels
from bodyloop.body import Bodies, BodyModel, builtin_body
from bodyloop.data.augment import AugmentConfig, Change
from bodyloop.data.part_maps import UNKNOWN, merges_into
from bodyloop.data.part_maps import PartMap as PersonParts
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence, IuvMap, PartMap
from bodyloop.fit import FitConfig, Fits, Surface
from bodyloop.geometry import Camera, CropTransform, square_boxes
from bodyloop.nets.estimator import Crops, Estimator

_WEIGHTS = Path(__file__).parents[1] / "nets" / "weights"
SHIPPED = _WEIGHTS / "estimator.safetensors"
"""The network that is taken where none is named, once there is one."""
NAMED = {"mrt": _WEIGHTS / "mrt-small.safetensors"}
"""Others that ship, by the name that stands for their file."""

MARGIN = AugmentConfig.margin
"""Side of a crop as a multiple of the box's longer side: that of training."""

BATCH = 32
"""Most crops that go through a network at once."""


@dataclass(frozen=True)
class Inferred:
    """What became of N people.

    Attributes:
        people: what is kept of each: the network's answer, or the fit that started there.
        network: the network's answers; judged by the energy of the fits where there are any, so that both can be
            compared.
    """

    people: Fits
    network: Fits


def find_weights(path: Path | None = None, option: str = "--weights") -> Path:
    """The file of a network's weights: the one named, by a path or a name in `NAMED`; else the one that ships.

    Args:
        path: what was named.
        option: by which it is named.

    Raises:
        InputError: if none is named and none ships.
    """
    if path is None and not SHIPPED.is_file():
        raise InputError(
            f"{option}: expected a network's weights, got none, and no trained network ships yet; give the "
            ".safetensors file of one that was trained (docs/networks.md)"
        )
    if path is None:
        return SHIPPED
    return NAMED[str(path)] if str(path) in NAMED and not path.exists() else path


def find_device(name: str) -> torch.device:
    """A device that is there, by torch's name for it.

    Raises:
        InputError: if there is no such device.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except Exception as error:  # what torch raises depends on how it was built
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"--device {name}: cannot be used ({reason}); give cpu, or cuda where torch sees a GPU"
        ) from None
    return device


def part_labels_of(network: Estimator) -> str | None:
    """The partition whose parts a network looks at; None if it looks at none."""
    return str(network.config.partition) if "parts" in network.inputs else None


@torch.no_grad()
def estimate_people(
    network: Estimator,
    pixels: np.ndarray,
    evidence: Evidence,
    camera: Camera,
    body: BodyModel | None = None,
    iuv: IuvMap | None = None,
    parts: PartMap | None = None,
    notes: list[str] | None = None,
) -> Bodies:
    """Bodies of a photo's people as a network sees them.

    Args:
        network: ready for use (`load_estimator`), on any device.
        pixels: (H, W, 3) uint8 RGB.
        evidence: N people; their boxes are cut out. Keypoints say whose pixels of the maps are whose, nothing else.
        camera: the photo's, one for all.
        body: whose bodies the network recovers; the built-in one if None.
        iuv, parts: maps of the photo, for networks that look at them.
        notes: gets a line on each doubt about the maps.

    Returns:
        N people in camera axes, on the body's device and in its precision.

    Raises:
        InputError: if the network looks at a map that is not given, or its answer is not finite.
    """
    body = builtin_body() if body is None else body
    crops, place = crop_people(network, pixels, evidence, iuv, parts, [] if notes is None else notes)
    return run_network(network, crops, camera, place, body)


def crop_people(
    network: Estimator,
    pixels: np.ndarray,
    evidence: Evidence,
    iuv: IuvMap | None,
    parts: PartMap | None,
    notes: list[str],
) -> tuple[Crops, CropTransform]:
    """What a network looks at of N people, and where in the photo that lies; arguments as of `estimate_people`."""
    center, side = square_boxes(evidence.boxes.double().cpu(), MARGIN)
    place = CropTransform(center, side, network.resolution)
    changes = [Change(CropTransform(center[i], side[i], network.resolution)) for i in range(len(evidence))]
    image = charts = labels = None
    if "image" in network.inputs:
        image = _stacked([change.picture(pixels) for change in changes])
    if "iuv" in network.inputs and iuv is not None:
        owned = own_pixels(iuv.foreground, iuv.instance, evidence, iuv.image_to_map, notes)
        charts = _stacked(
            [_charts(change, iuv.without(~own)) for change, own in zip(changes, owned, strict=True)]
        )
    if "parts" in network.inputs and parts is not None:
        known = parts_for(network, parts)
        instance = None if iuv is None or iuv.size != parts.size else iuv.instance
        owned = own_pixels(known.labels > 0, instance, evidence, lambda places: places, notes)
        labels = part_indices(
            _stacked(
                [
                    change.parts(
                        PersonParts(np.where(own, known.labels, 0).astype(np.uint8), known.partition)
                    ).labels
                    for change, own in zip(changes, owned, strict=True)
                ]
            )
        )
    return Crops.from_pixels(image, charts, labels), place


def _stacked(maps: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(maps))


def _charts(change: Change, iuv: IuvMap) -> np.ndarray:
    """(R, R, 3) I, U, V of a crop."""
    seen = change.iuv(iuv, None)
    assert seen is not None, "only mirrored crops lose their charts"
    return np.concatenate([seen.part[..., None], seen.uv], -1).astype(np.float32)


def parts_for(network: Estimator, parts: PartMap) -> PersonParts:
    """A map of parts in the partition that a network looks at.

    Raises:
        InputError: if it does not follow from the map's.
    """
    wanted = part_labels_of(network)
    assert wanted is not None, "asked only of networks that look at parts"
    if not merges_into(parts.partition, wanted):
        raise InputError(
            f"--part-labels {parts.partition}: this network looks at the parts of {wanted!r}, which do not follow from "
            "these; give a map of those"
        )
    return PersonParts(parts.labels, parts.partition).merged(wanted)


def part_indices(labels: Tensor) -> Tensor:
    """Labels of part maps (0 background, part + 1, 255 unknown) as `Crops.parts`: int64, -1 where nothing is known."""
    labels = labels.long()
    return torch.where(labels == UNKNOWN, 0, labels) - 1


@torch.no_grad()
def run_network(
    network: Estimator, crops: Crops, camera: Camera, place: CropTransform, body: BodyModel
) -> Bodies:
    """Bodies of N people from their crops, some at a time.

    Args:
        network: in evaluation mode, on any device.
        crops: N of them.
        camera: of the image that the crops were cut from, one for all or N.
        place: where they lay in it: centre (N, 2), size (N,), upright.
        body: whose bodies they are.

    Returns:
        N people in camera axes, on the body's device and in its precision.

    Raises:
        InputError: if the network looks at a map that is not given, or its answer is not finite.
    """
    like = next(network.parameters())
    count, model = len(place.size), body.to(like.device)
    lens = camera.expand(count).to(like)
    done: list[Bodies] = []
    for first in range(0, count, BATCH):
        some = slice(first, first + BATCH)
        where = CropTransform(place.center[some].to(like), place.size[some].to(like), place.resolution)
        estimate = network(crops[some].to(like.device))
        seen = Camera(lens.focal[some], lens.center[some], lens.size)
        done.append(estimate.to_bodies(seen, where, model).to(body.v_template))
    bodies = Bodies.cat(done)
    numbers = (bodies.rotations, bodies.betas, bodies.translation)
    if not all(bool(values.isfinite().all()) for values in numbers):
        raise InputError("the network's answer holds NaN or infinity: its weights are damaged; give others")
    return bodies


def infer_people(
    network: Estimator,
    pixels: np.ndarray,
    evidence: Evidence,
    camera: Camera,
    body: BodyModel | None = None,
    *,
    iuv: IuvMap | None = None,
    parts: PartMap | None = None,
    refine: bool = False,
    surfaces: Sequence[Surface] | None = None,
    config: FitConfig | None = None,
    notes: list[str] | None = None,
) -> Inferred:
    """Bodies of a photo's people by a network, with scores; with `refine`, fitted on from there.

    As in SPIN (Kolotouros et al. 2019, section 3.4), the fit starts from all that the network says: pose, shape,
    orientation and place. Of each person the one of lower energy is kept; one of whom no keypoint is seen is left as
    the network has them.

    Args:
        network, pixels, evidence, camera, body, iuv, parts, notes: as of `estimate_people`.
        refine: whether to fit.
        surfaces: dense keypoints and parts of each person (`surfaces_of`), for the fit.
        config: of fits and scores.

    Raises:
        InputError: as `estimate_people`.
    """
    body = builtin_body() if body is None else body
    bodies = estimate_people(network, pixels, evidence, camera, body, iuv, parts, notes)
    if not refine:
        answers = judge_people("network", bodies, evidence, camera, body, config)
        return Inferred(answers, answers)
    fits = fit_people(evidence, camera, body, config, ("network",), surfaces=surfaces, estimate=bodies)
    answers = judge_people("network", bodies, evidence, camera, body, config, fits.noise, surfaces)
    better = (fits.energy < answers.energy) & (fits.seen > 0)
    fits = replace(fits, start=("refined",) * len(fits))
    return Inferred(fits.where(better, answers), answers)
