"""Fits that start from a file's bodies."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from bodyloop.annotate import fit_people
from bodyloop.annotate.people import PriorKind, StartKind
from bodyloop.annotate.start_names import StartChoice
from bodyloop.body import BodyModel
from bodyloop.evidence import Evidence
from bodyloop.fit import FitConfig, Fits, Surface
from bodyloop.geometry import Camera
from bodyloop.start_files.file import StartFile

START = "file"
"""`Fits.start` of people whose fit from the file's body won."""


def fit_from_file(
    file: StartFile,
    image: Path,
    evidence: Evidence,
    camera: Camera,
    body: BodyModel,
    choice: StartChoice,
    prior: PriorKind = "gmm",
    surfaces: Sequence[Surface] | None = None,
    notes: list[str] | None = None,
    config: FitConfig | None = None,
) -> Fits:
    """Fits of a photo's people from a file's bodies, near whose pose they stay, and from the chosen other starts.

    People whom the file does not know are fitted from the other starts, or from the usual ones if there are none.

    Args:
        file: whose bodies to start from.
        image: the photo's path.
        evidence: its N people.
        camera: the photo's, one for all.
        body: their model.
        choice: of the starts.
        prior, surfaces: as of `fit_people`.
        notes: gets a line if the file does not know everybody.
        config: as of `fit_people`.

    Raises:
        InputError: as of `StartFile.for_people`.
    """
    found = file.for_people(image, evidence, camera, body)
    strangers = [label for label, known in zip(evidence.labels, found.known, strict=True) if not known]
    if strangers and notes is not None:
        notes.append(f"{file.path} has no body for person {', '.join(strangers)}: started as without it")
    with_file: tuple[StartKind, ...] = ("network", *choice.kinds)
    parts = []
    for some, kinds in ((found.known, with_file), (~found.known, choice.usual)):
        if some.any():
            estimate = found.bodies[some.to(found.bodies.betas.device)] if kinds is with_file else None
            own = None if surfaces is None else [surfaces[i] for i in _numbers(some)]
            fits = fit_people(evidence[some], camera, body, config, kinds, prior, own, estimate)
            parts.append(fits)
    order = torch.tensor([*_numbers(found.known), *_numbers(~found.known)], dtype=torch.int64).argsort()
    fits = replace(Fits.cat(parts)[order], camera=camera, evidence=evidence)
    return replace(fits, start=tuple(START if name == "network" else name for name in fits.start))


def _numbers(mask: Tensor) -> list[int]:
    return mask.nonzero()[:, 0].tolist()
