"""Starts from regressors of videos: 4D-Humans' tracks (PHALP) and GVHMR.

Layouts after the released code: PHALP ``phalp/trackers/PHALP.py``, GVHMR ``tools/demo/demo.py``.
"""

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bodyloop.body.pickles import PickleRefusedError, load_joblib
from bodyloop.data.formats.columns import is_lens, is_rotation
from bodyloop.data.formats.format import Content, Tally
from bodyloop.errors import InputError
from bodyloop.geometry import Camera, axis_angle_to_rotmat
from bodyloop.start_files.file import StartFile, last_number
from bodyloop.start_files.people import Key, Pinhole, StartPerson

PHALP = "4D-Humans' tracks (PHALP's demo_NAME.pkl)"
GVHMR = "GVHMR's hmr4d_results.pt"

PHALP_FOCAL, PHALP_SIDE = 5000.0, 256.0
"""PHALP's camera: focal length in pixels of the frame padded to a square and scaled to this side."""


def tells_phalp(content: Content) -> bool:
    """Whether a file may be joblib's: a pickle, or one that zlib or gzip compressed."""
    return not content.is_folder and content.head.startswith((b"\x80", b"\x78", b"\x1f\x8b"))


def read_phalp(content: Content) -> StartFile:
    """People of each frame, in perspective of the full image. Ghosts, whom no detection met in a frame, are left out.

    Frames are known by their file's name, and by the number at its end; frames that were never files by their count
    from 0.

    Raises:
        InputError: a pickle that is refused or damaged, or nothing that can be used.
    """
    path, tally = content.path, Tally()
    try:
        frames = load_joblib(path.read_bytes())
    except PickleRefusedError as error:
        raise InputError(
            f"{path}: expected {PHALP}, got a pickle that is refused: {error}; only arrays, numbers, text, lists and "
            "dicts are read"
        ) from None
    except OSError as error:
        raise InputError(
            f"{path}: expected {PHALP}, got '{error.strerror or error}'; check the path"
        ) from None
    if not isinstance(frames, dict) or not all(isinstance(f, dict) and "smpl" in f for f in frames.values()):
        raise InputError(f"{path}: expected {PHALP}, got a pickle of something else; check the path")
    keys, people = [], []
    for count, (name, frame) in enumerate(frames.items()):
        key = _frame_key(name, frame, count)
        if not isinstance(frame["smpl"], list | np.ndarray):
            tally.drop("'smpl' that is no list", str(name))
            continue
        for number in range(len(frame["smpl"])):
            try:
                person = _phalp_person(frame, number)
            except (ValueError, TypeError, KeyError, IndexError) as error:
                reason = str(error) if type(error) is ValueError else "a value that is missing or no number"
                tally.drop(reason, f"{name}, person {number}")
                continue
            if person is not None:
                keys.append(key)
                people.append(person)
    if not keys:
        why = "; ".join(tally.lines(3)) or "nobody was tracked"
        raise InputError(f"{path}: expected {PHALP}, got none that can be used: {why}; write it again")
    return StartFile(path, PHALP, keys, people.__getitem__, skipped=tally.lines())


def _frame_key(name: str, frame: Mapping[str, Any], count: int) -> Key:
    image = frame.get("frame_path", name)
    if isinstance(image, str) and not image.startswith("("):
        return Key(image, number=last_number(Path(image).stem))
    time = frame.get("time")  # frames from a video that was not unpacked are (video, moment)
    return Key(number=time if isinstance(time, int) else count)


def _listed(frame: Mapping[str, Any], key: str) -> Any:
    value = frame[key]
    if not isinstance(value, list | np.ndarray):
        raise ValueError(f"{key!r} that is no list")
    return value


def _phalp_person(frame: Mapping[str, Any], number: int) -> StartPerson | None:
    """A person of a frame; None of a ghost."""
    if "tracked_time" in frame and _listed(frame, "tracked_time")[number] > 0:
        return None
    smpl = frame["smpl"][number]
    turns = [_array(smpl[key], key, *shape) for key, shape in _PHALP_TURNS.items()]
    rotations = np.concatenate(turns)
    if not is_rotation(rotations).all():
        raise ValueError("'smpl' that holds no rotations")
    height, width = (int(n) for n in _array(_listed(frame, "size")[number], "size", 2))
    place = _array(_listed(frame, "camera")[number], "camera", 3)
    x, y, w, h = _array(_listed(frame, "bbox")[number], "bbox", 4)
    if not (place[2] > 0 and min(width, height, w, h) > 0):
        raise ValueError("a camera, frame or box without extent")
    camera = Camera.from_focal(PHALP_FOCAL / PHALP_SIDE * max(width, height), width, height)
    return StartPerson(
        _tensor(rotations),
        _tensor(_array(smpl["betas"], "betas", 10)),
        Pinhole(camera, _tensor(place)),
        _tensor(np.array([x, y, x + w, y + h])),
        (width, height),
    )


_PHALP_TURNS = {"global_orient": (1, 3, 3), "body_pose": (23, 3, 3)}


def _array(value: Any, what: str, *shape: int) -> np.ndarray:
    array = np.asarray(value, dtype=np.float64)
    if array.size != math.prod(shape) or not np.isfinite(array).all():
        raise ValueError(f"{what!r} of shape {array.shape} or not finite, expected {shape}")
    return array.reshape(shape)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32))


def tells_gvhmr(content: Content) -> bool:
    """Whether a file is of torch, which keeps a pickle in a zip archive."""
    if not content.head.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(content.path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except Exception:  # a damaged archive: whoever reads it says so
        return False


@dataclass(frozen=True, eq=False)
class _Frames:
    """A person in F frames: rotations (F, 24, 3, 3), translation (F, 3), intrinsics (F, 3, 3)."""

    rotations: torch.Tensor
    translation: torch.Tensor
    lenses: torch.Tensor
    rows: list[int]

    def __call__(self, place: int) -> StartPerson:
        row = self.rows[place]
        k = self.lenses[row]
        size = (max(1, round(2 * float(k[0, 2]))), max(1, round(2 * float(k[1, 2]))))
        camera = Camera(torch.stack([k[0, 0], k[1, 1]]), k[:2, 2], size)
        return StartPerson(self.rotations[row], None, Pinhole(camera, self.translation[row]), size=size)


def read_gvhmr(content: Content) -> StartFile:
    """One person in every frame, counted from 0, in perspective of the full image.

    The body is SMPL-X's: its 21 joints are SMPL's without the hands, which stay straight; shape and the exact place
    belong to another mesh, so that only the pose is taken, and the place for telling people apart.

    Raises:
        InputError: a file that is damaged or holds more than tensors, or nothing that can be used.
    """
    path = content.path
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged and refused files fail in many ways
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path}: expected {GVHMR}, got a file that is refused or damaged ({reason})"
        ) from None
    found = data.get("smpl_params_incam") if isinstance(data, dict) else None
    if not isinstance(found, dict) or "K_fullimg" not in data:
        raise InputError(
            f"{path}: expected {GVHMR} with 'smpl_params_incam' and 'K_fullimg', got something else"
        )
    values = {**found, "K_fullimg": data["K_fullimg"]}
    pose = _frames_of(values, "body_pose", path, 63)
    root, place = _frames_of(values, "global_orient", path, 3), _frames_of(values, "transl", path, 3)
    lenses = _frames_of(values, "K_fullimg", path, 3, 3)
    counts = {len(x) for x in (pose, root, place, lenses)}
    if len(counts) > 1:
        raise InputError(
            f"{path}: expected as many frames of each array, got {sorted(counts)}; write it again"
        )
    straight = pose.new_zeros(len(pose), 6)
    rotations = axis_angle_to_rotmat(torch.cat([root, pose, straight], 1).unflatten(1, (24, 3)))
    fine = rotations.flatten(1).isfinite().all(1) & place.isfinite().all(1)
    rows = [
        row
        for row in torch.nonzero(fine)[:, 0].tolist()
        if is_lens(lenses[row].diagonal()[:2].numpy(), lenses[row, :2, 2].numpy())
    ]
    if not rows:
        raise InputError(
            f"{path}: expected {GVHMR}, got no frame with finite numbers and a camera; write it again"
        )
    tally = Tally()
    if len(rows) < len(pose):
        tally.drop("numbers that are not finite, or no camera", "a frame", len(pose) - len(rows))
    keys = [Key(number=row) for row in rows]
    return StartFile(path, GVHMR, keys, _Frames(rotations, place, lenses, rows), skipped=tally.lines())


def _frames_of(values: Mapping[str, Any], key: str, path: Path, *shape: int) -> torch.Tensor:
    value = values.get(key)
    if not isinstance(value, torch.Tensor) or value.shape[1:] != shape or not value.is_floating_point():
        got = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        raise InputError(f"{path}: expected {GVHMR} with {key!r} of shape (frames, {shape}), got {got}")
    return value.float()
