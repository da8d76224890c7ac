"""Starts from labels in JSON and in mmhuman3d's files: EFT, NeuralAnnot, Moon et al.'s 3DPW, HumanData."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bodyloop.data.formats.eft import EFT, EftPerson, eft_people
from bodyloop.data.formats.format import Content, DatasetSpec, Tally
from bodyloop.data.formats.human_data import HUMAN_DATA
from bodyloop.data.formats.neuralannot import COCO_SMPL, MULTIVIEW, NEURALANNOT
from bodyloop.data.record import RecordSet
from bodyloop.errors import InputError
from bodyloop.geometry import WeakPerspective
from bodyloop.start_files.file import StartFile, coco_number
from bodyloop.start_files.people import Crop, Key, Pinhole, StartPerson

LABELS = (COCO_SMPL, NEURALANNOT, HUMAN_DATA)
"""Data set formats whose SMPL labels can be starts."""


@dataclass(frozen=True, eq=False)
class _Labels:
    """Records of a data set that have SMPL parameters; called with a place, one of them."""

    records: RecordSet
    rows: Sequence[int]

    def __call__(self, place: int) -> StartPerson:
        record = self.records.make(self.rows[place])
        label = record.body
        assert label is not None, "only records with a body are among the places"
        sees = record.camera is not None and label.has_translation
        return StartPerson(
            label.bodies.rotations,
            label.bodies.betas if label.has_betas else None,
            Pinhole(record.camera, label.bodies.translation) if sees and record.camera is not None else None,
            None if record.box is None else torch.tensor(record.box),
            record.size,
        )


def tells_labels(content: Content) -> bool:
    """Whether a file is of one of these formats, or of NeuralAnnot's for several views, which is refused by name."""
    return any(known.tells(content) for known in (*LABELS, MULTIVIEW))


def read_labels(content: Content, annotations: Path | None) -> StartFile:
    """SMPL labels of a data set.

    Args:
        content: a file that `tells_labels`.
        annotations: COCO's annotations, for the images and boxes of NeuralAnnot's labels.

    Raises:
        InputError: nothing that can be used, or poses in a world's axes.
    """
    path = content.path
    if MULTIVIEW.tells(content):
        raise InputError(
            f"{path}: expected poses in the axes of the image's camera, got NeuralAnnot's for several views, which are "
            "in the world's; give labels of single images"
        )
    known = next(known for known in LABELS if known.tells(content))
    with warnings.catch_warnings():  # what is left out is told in `skipped`
        warnings.simplefilter("ignore", UserWarning)
        records = known.read(content, DatasetSpec(path, annotations=annotations))
    keys, rows = [], []
    for row in records.rows.tolist():
        record = records.make(row)
        if record.body is not None and record.body.frame == "camera":
            image = str(record.image) if isinstance(record.image, Path) else None
            number = None if image is None else coco_number(image)
            keys.append(Key(image, None if known is HUMAN_DATA else record.id, number))
            rows.append(row)
    if not keys:
        raise InputError(
            f"{path}: expected {known.what} with SMPL parameters, got none; give labels that have them"
        )
    return StartFile(path, known.what, keys, _Labels(records, rows), skipped=records.skipped)


def read_eft(content: Content) -> StartFile:
    """EFT's fits (`bodyloop.data.formats.eft`): weak perspective in a crop.

    Raises:
        InputError: nothing that can be used.
    """
    keys, people, tally = [], [], Tally()
    for _, person in eft_people(content, tally):
        keys.append(Key(person.image, person.label, coco_number(person.image)))
        people.append(_eft_start(person))
    if not keys:
        raise InputError(
            f"{content.path}: expected {EFT.what}, got none that can be used: {'; '.join(tally.lines(3))}; download it "
            "again"
        )
    return StartFile(content.path, EFT.what, keys, people.__getitem__, skipped=tally.lines())


def _eft_start(person: EftPerson) -> StartPerson:
    center, half = torch.from_numpy(person.center).float(), person.side / 2
    projection = None
    if person.camera is not None:
        camera = torch.from_numpy(person.camera)
        projection = Crop(WeakPerspective.from_eft(camera[0], camera[1:]), center, person.side)
    return StartPerson(
        torch.from_numpy(person.rotations),
        torch.from_numpy(person.betas) if person.smpl else None,
        projection,
        torch.cat([center - half, center + half]),
    )
