"""One person over time as plain arrays, for notebooks."""

from pathlib import Path

import numpy as np
import torch

from bodyloop.body import SMPL_JOINTS, BodyModel
from bodyloop.track import Track, save_tracks
from bodyloop.view.actors import check_model


def save_person(path: str | Path, body: BodyModel, track: Track) -> None:
    """The ``.npz`` of `save_tracks` with one person in it, and besides joints (T, 24, 3), metres, joint_names (24,).

    Bodies keep the track's own axes, frames their true times. `load_tracks` reads the file too.

    Raises:
        InputError: if the file cannot be written, or the track is for another body model.
    """
    check_model(track, body)
    with torch.no_grad():
        joints = body.joints(track.bodies.to(body.v_template)).cpu().numpy()
    save_tracks(path, [track], {"joints": joints, "joint_names": np.array(SMPL_JOINTS)})
