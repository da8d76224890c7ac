"""A person over time in the layout of AMASS's files, which `bodyloop.data.amass` and many tools read.

Mahmood et al., "AMASS: Archive of Motion Capture as Surface Shapes", ICCV 2019.
"""

import io
from pathlib import Path

import numpy as np
import torch

from bodyloop import __version__
from bodyloop.body import BodyModel
from bodyloop.track import Track
from bodyloop.view.actors import of_one_shape, upright
from bodyloop.writing import write_atomic

BODY_NUMBERS = 66
"""Of a pose: the root and 21 joints, which SMPL and SMPL-H share."""
SMPLH_NUMBERS = 156
"""Of a pose of SMPL-H, fingers included."""


def save_amass(path: str | Path, body: BodyModel, track: Track, fps: float | None = None) -> None:
    """AMASS's ``.npz``: SMPL-H's poses with z up, metres, at even steps.

    SMPL's two hand joints have no counterpart in SMPL-H: their rotations are left out and fingers are at rest, which
    moves no joint. Frames and shape as of `save_bvh`. The shape coefficients are those of the body model that the key
    ``body`` names: the built-in body's mean nothing to SMPL-H, whose mean shape then serves better.

    Keys: poses (T, 156) axis-angle, trans (T, 3), betas (16,), dmpls (T, 8) zeros, mocap_framerate, gender "neutral";
    beyond AMASS: body, start (seconds, of the first frame), observed (T,), version.

    Args:
        path: file to write.
        body: the person's model.
        track: the person.
        fps: frames a second; the track's own mean rate if None.

    Raises:
        InputError: if the file cannot be written, or the track is for another body model.
    """
    rate = track.fps if fps is None else fps
    even = track.even(rate)
    [standing] = upright([even], body)
    bodies = of_one_shape(standing.bodies.to(body.v_template), body)
    y_up_to_z_up = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]).to(bodies.rotations)
    bodies = bodies.turned(y_up_to_z_up, body.rest_pelvis(bodies.betas))
    poses = np.zeros((len(bodies), SMPLH_NUMBERS))
    poses[:, :BODY_NUMBERS] = bodies.pose[:, :BODY_NUMBERS].cpu().numpy()
    arrays = {
        "poses": poses,
        "trans": bodies.translation.double().cpu().numpy(),
        "betas": np.pad(bodies.betas[0].double().cpu().numpy(), (0, 6)),
        "dmpls": np.zeros((len(bodies), 8)),
        "mocap_framerate": np.array(rate),
        "gender": np.array("neutral"),
        "body": np.array(body.name),
        "start": np.array(float(even.times[0])),
        "observed": even.observed.cpu().numpy(),
        "version": np.array(__version__),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())
