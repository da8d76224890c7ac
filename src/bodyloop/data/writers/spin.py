"""SPIN's ``.npz``: a row for each person."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from bodyloop.body import BodyModel
from bodyloop.data.crowd import Labelled
from bodyloop.data.formats.spin import MARGIN, UNIT
from bodyloop.data.writers.columns import growing_columns
from bodyloop.data.writers.eft import spin49
from bodyloop.geometry import square_boxes


def write_spin(parts: Iterator[Labelled], out: Path, body: BodyModel) -> Path:
    """Write ``spin.npz`` after SPIN's ``datasets/preprocess``: imgname, center, scale, keypoints, pose, shape.

    Keypoints are OpenPose's (``openpose``) or annotators' (``part``). Translation and camera have no place there and
    are kept under names of our own, ``trans``, ``focal`` and ``princpt``, which SPIN does not read; so is
    ``annot_id``. Only one part is held in memory.

    Raises:
        InputError: if it cannot be written.
    """
    path = out / "spin.npz"
    with growing_columns(out) as columns:
        for part in parts:
            center, side = square_boxes(torch.from_numpy(part.crowd.boxes), MARGIN)
            keypoints = spin49(part.crowd)
            columns.add(
                imgname=part.crowd.images.astype(str),
                center=center.double().numpy(),
                scale=(side.double() / UNIT).numpy(),
                openpose=keypoints[:, :25],
                part=keypoints[:, 25:],
                pose=part.pose,
                shape=part.betas,
                has_smpl=np.ones(len(part), np.uint8),
                trans=part.trans,
                focal=part.focal,
                princpt=part.center,
                annot_id=part.crowd.ids.astype(str),
            )
        columns.save(path)
    return path
