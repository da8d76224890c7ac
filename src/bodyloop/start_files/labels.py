"""Starts from labels in JSON and in mmhuman3d's files: EFT, NeuralAnnot, Moon et al.'s 3DPW, HumanData."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bodyloop.data.formats.columns import is_rotation
from bodyloop.data.formats.format import Content, DatasetSpec, Tally, json_head
from bodyloop.data.formats.human_data import HUMAN_DATA
from bodyloop.data.formats.neuralannot import COCO_SMPL, MULTIVIEW, NEURALANNOT
from bodyloop.data.record import RecordSet
from bodyloop.errors import InputError
from bodyloop.geometry import WeakPerspective
from bodyloop.start_files.file import StartFile, coco_number
from bodyloop.start_files.people import Crop, Key, Pinhole, StartPerson

EFT = 'EFT\'s fits {"ver": ..., "data": [{"parm_pose": ..., "parm_cam": ...}]}'
LABELS = (COCO_SMPL, NEURALANNOT, HUMAN_DATA)
"""Data set formats whose SMPL labels can be starts."""
SIDE = 200.0
"""Pixels of box side for a ``bbox_scale`` of 1."""


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


def tells_eft(content: Content) -> bool:
    """Whether a file is EFT's."""
    data = content.json.get("data") if content.is_json and isinstance(content.json, dict) else None
    first = json_head(data) if isinstance(data, list) else None
    return isinstance(first, dict) and "parm_pose" in first


def read_eft(content: Content) -> StartFile:
    """Joo et al., "Exemplar Fine-Tuning for 3D Human Model Fitting Towards In-the-Wild 3D Human Pose Estimation", 2021.

    Rotations are matrices. ``parm_cam`` scales first and then shifts: s X + t, in a crop of 200 ``bbox_scale`` pixels
    (released code, ``docs/README_dataformat.md`` and ``demo/visEFTFit.py``).

    Raises:
        InputError: nothing that can be used.
    """
    keys, people, tally = [], [], Tally()
    for number, entry in enumerate(content.json["data"]):
        try:
            key, person = _eft_person(entry)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            tally.drop(
                f"{error}" if type(error) is ValueError else "a value that is missing or no number",
                f"{number}",
            )
            continue
        keys.append(key)
        people.append(person)
    if not keys:
        raise InputError(
            f"{content.path}: expected {EFT}, got none that can be used: {'; '.join(tally.lines(3))}; download it again"
        )
    return StartFile(content.path, EFT, keys, people.__getitem__, skipped=tally.lines())


def _eft_person(entry: Any) -> tuple[Key, StartPerson]:
    """A person of EFT's list.

    Raises:
        ValueError: saying what is wrong with a value; TypeError, KeyError: if one is missing or no number.
    """
    rotations = _numbers(entry, "parm_pose", 24, 3, 3)
    betas, camera = _numbers(entry, "parm_shape", 10), _numbers(entry, "parm_cam", 3)
    center, scale = _numbers(entry, "bbox_center", 2), _numbers(entry, "bbox_scale")
    image, label = entry["imageName"], entry.get("annotId")
    if not is_rotation(rotations.double().numpy()).all():
        raise ValueError("'parm_pose' that holds no rotations")
    if not (camera[0] > 0 and scale > 0):
        raise ValueError("a camera or box that sees nothing")
    if not isinstance(image, str) or not image:
        raise ValueError("no 'imageName'")
    side = float(scale) * SIDE
    half = torch.full((2,), side / 2)
    key = Key(image, str(label) if isinstance(label, int) and label > 0 else None, coco_number(image))
    projection = Crop(WeakPerspective.from_eft(camera[0], camera[1:]), center, side)
    plain = entry.get("smpltype", "smpl") == "smpl"
    box = torch.cat([center - half, center + half])
    return key, StartPerson(rotations, betas if plain else None, projection, box)


def _numbers(entry: Any, key: str, *shape: int) -> torch.Tensor:
    values = np.asarray(entry[key], dtype=np.float64)
    if values.shape != shape or not np.isfinite(values).all():
        raise ValueError(f"{key!r} of shape {values.shape} or not finite, expected {shape}")
    return torch.from_numpy(values.astype(np.float32))
