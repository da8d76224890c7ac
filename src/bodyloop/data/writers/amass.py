"""Files like AMASS's: a ``.npz`` for each person, of one frame."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from bodyloop.body import BodyModel
from bodyloop.data.crowd import Labelled, npz_bytes
from bodyloop.writing import make_folder, write_atomic

CAMERA_TO_WORLD = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
"""From camera axes (x right, y down, z forward) to AMASS's world, z up: x right, y forward."""
FRAMES_PER_SECOND = 30.0
"""A single image has none; AMASS's readers want one."""


def write_amass(parts: Iterator[Labelled], out: Path, body: BodyModel) -> Path:
    """Write ``amass/NNNNNN/ID_poses.npz``, a folder for each part: poses (1, 156), betas (16,), trans (1, 3),
    mocap_framerate, gender.

    SMPL-H has fingers where SMPL has two hand joints, which are left out. The world is the camera's, turned so that z
    is up; ``camera_to_world`` (3, 3), ``focal``, ``princpt``, ``size`` and ``image`` say where it was. What an earlier
    call wrote there goes first.

    Raises:
        InputError: if they cannot be written.
    """
    folder = out / "amass"
    make_folder(folder)
    for old in folder.glob("[0-9]*/*_poses.npz"):  # or people would stay who are labelled no more
        old.unlink()
    turn = torch.tensor(CAMERA_TO_WORLD)
    for number, part in enumerate(parts):
        bodies = part.bodies()
        pelvis = body.rest_pelvis(bodies.betas.to(body.v_template)).cpu().float()
        world = bodies.turned(turn, pelvis)
        poses = np.zeros((len(part), 1, 156))
        poses[:, 0, :66] = world.pose[:, :66].numpy()
        betas = np.pad(part.betas.astype(np.float64), [(0, 0), (0, 6)])
        make_folder(folder / f"{number:06d}")
        for row, key in enumerate(part.crowd.ids.tolist()):
            arrays = {
                "poses": poses[row],
                "betas": betas[row],
                "trans": world.translation[row : row + 1].double().numpy(),
                "mocap_framerate": np.array(FRAMES_PER_SECOND),
                "gender": np.array("neutral"),
                "camera_to_world": turn.numpy(),
                "focal": part.focal[row],
                "princpt": part.center[row],
                "size": part.crowd.sizes[row],
                "image": np.array(part.crowd.images[row]),
            }
            write_atomic(folder / f"{number:06d}" / f"{_file_name(key)}_poses.npz", npz_bytes(arrays))
    return folder


def _file_name(key: str) -> str:
    """An id without what file names cannot have."""
    return "".join(c if c.isalnum() or c in "-_." else f"%{ord(c):02x}" for c in key)[:150]
