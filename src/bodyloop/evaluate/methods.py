"""What recovers the people that are evaluated: a network, the fitter, or bodies that are there already.

Networks and fits look at upright crops around people (`bodyloop.data`), whose cameras have the axes and the origin of
the image's: what is recovered in a crop stands in the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from bodyloop.annotate import fit_people
from bodyloop.annotate.estimates import part_indices, part_labels_of, run_network
from bodyloop.body import Bodies, BodyModel
from bodyloop.data.augment import AugmentConfig, assumed_camera
from bodyloop.data.batch import Batch, Layout
from bodyloop.data.mixture import RecordDataset
from bodyloop.data.record import Record
from bodyloop.errors import InputError
from bodyloop.evidence.photos import photo_sizes
from bodyloop.geometry import Camera, CropTransform
from bodyloop.nets.estimator import Crops, Estimator

FIT_RESOLUTION = 224
"""Side of the crops in whose pixels keypoints are fitted; nothing depends on it."""


@dataclass(frozen=True)
class Needs:
    """What a method looks at.

    Attributes:
        image, keypoints, iuv: whether it looks at these.
        parts: partition of the parts that it looks at; None if it does not.
        resolution: of the crops.
    """

    image: bool = False
    keypoints: bool = False
    iuv: bool = False
    parts: str | None = None
    resolution: int = FIT_RESOLUTION


@dataclass(frozen=True, eq=False)
class Subject:
    """One person who is to be recovered.

    Attributes:
        id: of the record.
        crop: what the method looks at; None for methods that look at nothing.
        camera: of the image, with its size.
    """

    id: str
    crop: Batch | None
    camera: Camera


class Method(Protocol):
    """Recovers people."""

    @property
    def name(self) -> str:
        """In words, for tables."""

    @property
    def needs(self) -> Needs | None:
        """What is looked at; None for nothing."""

    def problem(self, record: Record) -> str:
        """Why a person cannot be recovered; empty if they can."""

    def __call__(self, subjects: Sequence[Subject]) -> tuple[Bodies, list[Camera]]:
        """N people in camera axes, and the cameras that these are of."""


@dataclass(frozen=True)
class NetworkMethod:
    """A network's answers.

    Attributes:
        network: ready for use, on the device where it runs.
        body: whose bodies it recovers.
        label: for tables.
    """

    network: Estimator
    body: BodyModel
    label: str

    @property
    def name(self) -> str:
        """As `Method`."""
        return f"network {self.label}"

    @property
    def needs(self) -> Needs:
        """As `Method`."""
        looks = self.network.inputs
        parts = part_labels_of(self.network)
        return Needs("image" in looks, False, "iuv" in looks, parts, self.network.resolution)

    def problem(self, record: Record) -> str:
        """As `Method`."""
        return ""

    def __call__(self, subjects: Sequence[Subject]) -> tuple[Bodies, list[Camera]]:
        """As `Method`."""
        batch = _stacked(subjects)
        charts = None if batch.iuv is None else batch.iuv / batch.iuv.new_tensor([24.0, 1, 1])[:, None, None]
        parts = None if batch.parts is None else part_indices(batch.parts)
        crops = Crops(batch.image if self.needs.image else None, charts, parts)
        side = self.network.resolution
        middle = torch.full((len(subjects), 2), (side - 1) / 2)
        place = CropTransform(middle, torch.full((len(subjects),), float(side)), side)
        found = run_network(self.network, crops, batch.camera, place, self.body)
        return found, [subject.camera for subject in subjects]


@dataclass(frozen=True)
class FitMethod:
    """Fits to the records' 2D keypoints (`fit_people`).

    Attributes:
        body: that is fitted, on the device where fits run.
    """

    body: BodyModel
    name: str = "fits to 2D keypoints"
    needs: Needs = field(default_factory=lambda: Needs(keypoints=True))

    def problem(self, record: Record) -> str:
        """As `Method`."""
        keypoints = record.keypoints
        return "" if keypoints is not None and bool((keypoints.confidence > 0).any()) else "no 2D keypoints"

    def __call__(self, subjects: Sequence[Subject]) -> tuple[Bodies, list[Camera]]:
        """As `Method`."""
        batch = _stacked(subjects)
        fits = fit_people(batch.evidence(), batch.camera, self.body)
        return fits.bodies, [subject.camera for subject in subjects]


@dataclass(frozen=True)
class SavedMethod:
    """Bodies that somebody recovered before.

    Attributes:
        found: record id to one person (1, ...) and the camera in whose axes they are.
        label: where they are from.
        body: their model.
    """

    found: dict[str, tuple[Bodies, Camera]]
    label: str
    body: BodyModel
    needs: Needs | None = None

    @property
    def name(self) -> str:
        """As `Method`."""
        return f"bodies of {self.label}"

    def problem(self, record: Record) -> str:
        """As `Method`."""
        return "" if record.id in self.found else f"nobody in {self.label} is this person"

    def __call__(self, subjects: Sequence[Subject]) -> tuple[Bodies, list[Camera]]:
        """As `Method`."""
        chosen = [self.found[subject.id] for subject in subjects]
        return Bodies.cat([bodies for bodies, _ in chosen]).to(self.body.v_template), [c for _, c in chosen]


def _stacked(subjects: Sequence[Subject]) -> Batch:
    return Batch.stack([subject.crop for subject in subjects if subject.crop is not None])


def subject_of(record: Record, needs: Needs | None, body: BodyModel) -> Subject:
    """A person as a method gets to see them.

    Args:
        record: with the labels that the method may look at.
        needs: what it looks at.
        body: any; crops of records need one.

    Raises:
        InputError: if something that it looks at is missing or cannot be read, with few words that many records share.
    """
    if needs is None:
        return Subject(record.id, None, record.camera or assumed_camera(record.size or (1, 1)))
    record = sized(record)
    if record.camera is None and record.size is None and not needs.image:
        raise InputError("neither the camera nor the image's size is known; give the images")
    for kind, wanted in (("image", needs.image), ("iuv", needs.iuv), ("parts", needs.parts is not None)):
        if wanted and getattr(record, kind) is None:
            raise InputError(f"no {kind}, which the network looks at")
    seen = replace(
        record,
        image=record.image if needs.image else None,
        keypoints=record.keypoints if needs.keypoints else None,
        iuv=record.iuv if needs.iuv else None,
        parts=record.parts if needs.parts is not None else None,
        joints=None,
        body=None,
        dense=None,
        silhouette=None,
    )
    layout = Layout(dense=0, parts=needs.parts, iuv=needs.iuv)
    crop = RecordDataset([seen], AugmentConfig.none(needs.resolution), layout, body=body, strict=True)[0]
    if needs.parts is not None and not bool(crop.has_parts):
        raise InputError(f"parts from which those of {needs.parts!r} do not follow")
    size = record.size or (1, 1) if record.camera is None else record.camera.size
    return Subject(record.id, crop, record.camera or assumed_camera(size))


def sized(record: Record) -> Record:
    """The same record with the size of its image, if that can be told without reading the whole image."""
    if record.size is not None or record.image is None:
        return record
    if isinstance(record.image, np.ndarray):
        size = (record.image.shape[1], record.image.shape[0])
    else:
        found = photo_sizes([Path(record.image)])
        if not found:
            return record
        (size,) = found.values()
    return replace(record, size=size)
