"""Reading AMASS ``.npz`` files (SMPL-H, SMPL-X and SMPL poses) into `Motion`.

Mahmood et al., "AMASS: Archive of Motion Capture as Surface Shapes", ICCV 2019. World z up; rotated to y up
by default.
"""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import BodyModel
from bodyloop.data.motion import Motion
from bodyloop.data.skeleton_clip import MotionFileError, read_arrays, subject_of, take, tidy_fps
from bodyloop.geometry import axis_angle_to_rotmat, rotmat_to_axis_angle

_FPS_KEYS = ("mocap_framerate", "mocap_frame_rate")
_GENDERS = {"m": "male", "f": "female", "n": "neutral"}


def is_amass(arrays: dict[str, np.ndarray]) -> bool:
    """Whether the arrays of an ``.npz`` file are AMASS motion."""
    return "poses" in arrays and "trans" in arrays


def read_amass(
    path: str | Path,
    body: BodyModel,
    arrays: dict[str, np.ndarray] | None = None,
    to_y_up: bool = True,
    fps: float | None = None,
) -> Motion:
    """Read an AMASS file.

    Root and 21 body joints are taken; SMPL's two hand joints stay at rest, since SMPL-H's and SMPL-X's
    fingers have no counterpart. Soft-tissue coefficients (``dmpls``) are ignored.

    Args:
        path: the ``.npz`` file: poses (T, 156), (T, 165) or (T, 72) axis-angle, trans (T, 3) metres,
            betas (>= 10,), mocap_framerate or mocap_frame_rate, gender.
        body: the body that is to move; its rest pelvis is the point about which the root turns.
        arrays: its arrays, if they have been read already.
        to_y_up: rotate the world from z up to y up, (x, y, z) -> (x, z, -y).
        fps: frame rate for files that do not state theirs; it does not override a stated one.

    Raises:
        MotionFileError: a missing, misshapen, pickled or senseless array.
    """
    path = Path(path)
    arrays = read_arrays(path) if arrays is None else arrays
    poses = take(arrays, "poses", path, None, None)
    frames, width = poses.shape
    if width < 66 or width % 3:
        raise MotionFileError(
            f"{path}: 'poses' should have 72 (SMPL), 156 (SMPL-H) or 165 (SMPL-X) columns, got {width}"
        )
    if frames < 1:
        raise MotionFileError(f"{path}: the file holds no frames")
    full = np.zeros((frames, 72))
    full[:, :66] = poses[:, :66]
    if width == 72:
        full[:, 66:] = poses[:, 66:]
    pose, trans = torch.from_numpy(full), torch.from_numpy(take(arrays, "trans", path, frames, 3) * 1.0)
    if to_y_up:
        pose, trans = _z_up_to_y_up(pose, trans, body.rest_joints[0][0].double())
    return Motion.from_smpl(
        pose.float(),
        trans.float(),
        _fps(arrays, path, fps),
        path.stem,
        subject_of(path) or path.parent.name,
        betas=_betas(arrays, path),
        gender=_gender(arrays),
    )


def _z_up_to_y_up(pose: Tensor, trans: Tensor, pelvis: Tensor) -> tuple[Tensor, Tensor]:
    """Turn the world by -90 degrees about x; the root turns about ``pelvis`` (3,), so trans changes."""
    turn = axis_angle_to_rotmat(pose.new_tensor([-torch.pi / 2, 0.0, 0.0]))
    root = turn @ axis_angle_to_rotmat(pose[:, :3])
    pose = torch.cat([rotmat_to_axis_angle(root), pose[:, 3:]], -1)
    return pose, (trans + pelvis) @ turn.T - pelvis


def _fps(arrays: dict[str, np.ndarray], path: Path, default: float | None) -> float:
    """Frames per second, under either spelling."""
    key = next((k for k in _FPS_KEYS if k in arrays), None)
    if key is None:
        if default is None:
            raise MotionFileError(
                f"{path}: no {' or '.join(_FPS_KEYS)}; give the frame rate as fps. Found: {', '.join(arrays)}"
            )
        return default
    fps = float(take({key: arrays[key].reshape(-1)}, key, path, 1)[0])
    if not 0 < fps < 1e5 or not math.isfinite(fps):
        raise MotionFileError(f"{path}: {key!r} should be a positive number, got {fps}")
    return tidy_fps(fps)


def _betas(arrays: dict[str, np.ndarray], path: Path) -> torch.Tensor | None:
    """The first 10 shape coefficients; zeros fill a shorter vector."""
    if "betas" not in arrays:
        return None
    betas = take(arrays, "betas", path, *arrays["betas"].shape).reshape(-1)[:10]
    return torch.from_numpy(np.pad(betas, (0, 10 - len(betas)))).float()


def _gender(arrays: dict[str, np.ndarray]) -> str:
    """ "female", "male" or "neutral" from text, bytes or a one-element array of them."""
    if "gender" not in arrays or arrays["gender"].dtype.kind not in "US" or arrays["gender"].size != 1:
        return "neutral"
    value = arrays["gender"].reshape(-1)[0]
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    text = text.removeprefix("b'").strip().lower()  # some writers saved the repr of bytes
    return _GENDERS.get(text[:1], "neutral")
