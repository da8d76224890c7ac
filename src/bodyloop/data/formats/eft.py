"""EFT's JSON: fits of a network's weights to 2D keypoints, for COCO, MPII, LSPET and others.

Joo, Neverova, Vedaldi, "Exemplar Fine-Tuning for 3D Human Model Fitting Towards In-the-Wild 3D Human Pose
Estimation", 2020; docs/README_dataformat.md of its repository.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bodyloop.body import Bodies, get_skeleton
from bodyloop.data.formats.columns import KeypointColumn, is_rotation
from bodyloop.data.formats.format import Content, DatasetSpec, Format, Tally
from bodyloop.data.record import BodyLabel, Record, RecordSet
from bodyloop.evidence.json_files import RecordError, describe, to_numbers

WHAT = 'EFT\'s fits {"ver": ..., "data": [{"parm_pose": ..., "bbox_center": ...}, ...]}'
UNIT = 200.0
"""Pixels of a crop's side for a ``bbox_scale`` of 1."""
MARGIN = 1.2
"""By how much EFT's squares are larger than the person; `Record.box` has no margin."""


@dataclass(frozen=True, eq=False)
class _Rows:
    name: str
    images: Path
    ids: list[str]
    files: list[str]
    rotations: np.ndarray
    betas: np.ndarray
    boxes: np.ndarray
    keypoints: KeypointColumn

    def __call__(self, row: int) -> Record:
        x0, y0, x1, y1 = self.boxes[row].tolist()
        bodies = Bodies(
            torch.from_numpy(self.rotations[row]), torch.from_numpy(self.betas[row]), torch.zeros(3)
        )
        return Record(
            self.name,
            self.ids[row],
            self.images / self.files[row].replace("\\", "/"),
            box=(x0, y0, x1, y1),
            keypoints=self.keypoints.at(row),
            body=BodyLabel(bodies, "camera", True, False),
            gender="neutral",
        )


def read_eft(content: Content, spec: DatasetSpec) -> RecordSet:
    """Records of EFT's files: SMPL pose and shape in camera axes, SPIN's 49 keypoints in image pixels where they are.

    The id is the annotation's, or the number of the entry. EFT stores a weak-perspective camera of the crop, so the
    place in front of the image's camera is unknown. Boxes are squares of 200 ``bbox_scale`` pixels, 1.2 times the
    person, as SPIN's.

    Raises:
        InputError: nothing can be used.
    """
    tally = Tally()
    ids: list[str] = []
    files: list[str] = []
    found: tuple[list[np.ndarray], ...] = ([], [], [], [])
    for number, entry in enumerate(content.json["data"]):
        try:
            values = _entry(entry)
        except RecordError as error:
            tally.drop(str(error), f"entry {number}")
            continue
        ids.append(str(entry.get("annotId", number)))
        files.append(str(entry["imageName"]))
        for store, value in zip(found, values, strict=True):
            store.append(value)
    if not ids:
        tally.settle(spec, WHAT, 0)
    rotations, betas, boxes, seen = (np.stack(store) for store in found)
    keypoints = KeypointColumn.clean(get_skeleton("spin49"), seen, tally, np.arange(49) < 25)
    rows = _Rows(spec.label, spec.image_folder(), ids, files, rotations, betas, boxes, keypoints)
    kept = np.arange(len(ids))
    return RecordSet(spec.label, spec.path, rows, kept, tally.settle(spec, WHAT, len(kept)))


def _entry(entry: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rotations (24, 3, 3), betas (10,), box (4,) and keypoints (49, 3) of an entry.

    Raises:
        RecordError: if one is missing or none.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("imageName"), str):
        raise RecordError(f"an entry must be an object with 'imageName', got {describe(entry)}")
    if entry.get("smpltype", "smpl") != "smpl":
        raise RecordError(f"'smpltype' {entry['smpltype']!r} is another body than SMPL's")
    rotations = to_numbers(_flat(entry.get("parm_pose")), "'parm_pose'")
    if rotations.size != 216 or not is_rotation(rotations.reshape(24, 3, 3)).all():
        raise RecordError("'parm_pose' must be 24 rotation matrices")
    betas = to_numbers(entry.get("parm_shape"), "'parm_shape'")
    center = to_numbers(entry.get("bbox_center"), "'bbox_center'")
    scale = to_numbers([entry.get("bbox_scale")], "'bbox_scale'")
    if betas.size != 10 or not np.isfinite(betas).all() or not (np.abs(betas) < 1e3).all():
        raise RecordError("'parm_shape' must be 10 finite numbers")
    if center.size != 2 or not np.isfinite(center).all() or not 0 < float(scale[0]) < 1e4:
        raise RecordError("'bbox_center' and 'bbox_scale' must be a box")
    half = float(scale[0]) * UNIT / 2 / MARGIN
    box = np.concatenate([center - half, center + half])
    keypoints = np.zeros((49, 3))
    if entry.get("gt_keypoint_2d"):
        numbers = to_numbers(entry["gt_keypoint_2d"], "'gt_keypoint_2d'")
        if numbers.size != 147:
            raise RecordError(f"'gt_keypoint_2d' must be 49 keypoints, got {numbers.size} numbers")
        keypoints = numbers.reshape(49, 3)
    matrices = rotations.reshape(24, 3, 3).astype(np.float32)
    return matrices, betas.astype(np.float32), box, keypoints.astype(np.float32)


def _flat(value: Any) -> Any:
    """The outer level of nested lists taken away; anything else as it is."""
    if isinstance(value, list) and value and isinstance(value[0], list):
        return [row for rows in value for row in (rows if isinstance(rows, list) else [rows])]
    return value


def _tells(content: Content) -> bool:
    if not content.is_json or not isinstance(content.json, dict):
        return False
    entries = content.json.get("data")
    return isinstance(entries, list) and any(isinstance(e, dict) and "parm_pose" in e for e in entries[:100])


EFT = Format("eft", WHAT, _tells, read_eft)
