"""`Track`: one person over time, and files of them."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from bodyloop import __version__
from bodyloop.body.bodies import Bodies
from bodyloop.errors import InputError
from bodyloop.geometry import Camera, axis_angle_to_rotmat, rotmat_to_axis_angle
from bodyloop.writing import write_atomic

Frame = Literal["camera", "world"]
"""Whose axes bodies are in. "camera": OpenCV's, x right, y down, z forward, of each frame's camera. "world": y up."""

FORMAT = "bodyloop-tracks"
LONE_FRAME_FPS = 30.0
"""Frames a second of a track of one frame, which has no rate of its own."""


@dataclass(frozen=True, eq=False)
class Track:
    """One person over time.

    Attributes:
        bodies: T >= 1 frames, metres.
        times: (T,) float64 seconds from the beginning of the video, rising; they need not be even.
        observed: (T,) bool, whether the person was seen in a frame; False where the body was bridged over a gap.
        camera: one for all frames, or one a frame with focal and centre (T, 2); None if there is none.
        name: of the person, e.g. "0"; names differ within a file.
        frame: whose axes the bodies are in.
        body_name: which body model they are for.
    """

    bodies: Bodies
    times: Tensor
    observed: Tensor
    camera: Camera | None
    name: str
    frame: Frame = "camera"
    body_name: str = "builtin"

    def __post_init__(self) -> None:
        shapes = tuple(self.bodies.batch_shape), tuple(self.times.shape), tuple(self.observed.shape)
        if len(shapes[0]) != 1 or shapes[0] == (0,) or len(set(shapes)) != 1:
            raise ValueError(
                "a Track needs bodies (T,) of at least one frame, times (T,) and observed (T,), got "
                f"{shapes[0]}, {shapes[1]} and {shapes[2]}"
            )
        if self.times.dtype != torch.float64 or self.observed.dtype != torch.bool:
            raise ValueError(
                f"a Track needs times of float64 and observed of bool, got {self.times.dtype} and {self.observed.dtype}"
            )
        if not self.times.isfinite().all() or not (self.times.diff() > 0).all():
            raise ValueError(f"a Track needs finite and rising times, those of {self.name!r} are not")
        numbers = self.bodies.rotations, self.bodies.betas, self.bodies.translation
        if not all(bool(values.isfinite().all()) for values in numbers):
            raise ValueError(f"a Track needs finite bodies, those of {self.name!r} hold NaN or infinity")
        if self.camera is not None:
            self.camera.expand(len(self))
        if self.frame not in get_args(Frame):
            raise ValueError(f"a Track's frame is 'camera' or 'world', got {self.frame!r}")

    def __len__(self) -> int:
        return len(self.times)

    @property
    def fps(self) -> float:
        """Frames a second, the mean over the track; `LONE_FRAME_FPS` for a single frame."""
        if len(self) == 1:
            return LONE_FRAME_FPS
        return (len(self) - 1) / float(self.times[-1] - self.times[0])

    def at(self, times: Tensor) -> "Track":
        """The track at other times.

        Rotations between two frames lie on the shortest arc, translation, shape and camera on a line, and such a frame
        counts as observed if both are. Before the first and after the last frame the person stands still, unobserved.

        Args:
            times: (S,) float64 seconds, rising.
        """
        between = np.interp(times.cpu().numpy(), self.times.cpu().numpy(), np.arange(len(self)))
        nearest = between.round()
        place = torch.from_numpy(np.where(abs(between - nearest) < 1e-6, nearest, between)).to(
            self.times.device
        )
        low, high = place.floor().long(), place.ceil().long()
        share = (place - low).to(self.bodies.translation)
        first, second = self.bodies[low], self.bodies[high]
        turn = rotmat_to_axis_angle(first.rotations.mT @ second.rotations)
        bodies = Bodies(
            first.rotations @ axis_angle_to_rotmat(turn * share[:, None, None]),
            torch.lerp(first.betas, second.betas, share[:, None]),
            torch.lerp(first.translation, second.translation, share[:, None]),
        )
        camera = self.camera
        if camera is not None and max(camera.focal.dim(), camera.center.dim()) > 1:
            full = camera.expand(len(self))
            focal, center = (
                torch.lerp(x[low], x[high], share[:, None].to(x)) for x in (full.focal, full.center)
            )
            camera = Camera(focal, center, camera.size)
        inside = (times >= self.times[0] - 1e-6) & (times <= self.times[-1] + 1e-6)
        observed = self.observed[low] & self.observed[high] & inside
        return replace(self, bodies=bodies, times=times, observed=observed, camera=camera)

    def even(self, fps: float | None = None) -> "Track":
        """The track at even steps from its first frame on, for files that know a frame rate and no times.

        Args:
            fps: frames a second; the track's own if None.

        Raises:
            ValueError: if fps is not positive.
        """
        rate = self.fps if fps is None else fps
        if not rate > 0:
            raise ValueError(f"fps should be positive, got {rate}")
        count = int(float(self.times[-1] - self.times[0]) * rate + 1e-6) + 1
        return self.at(self.times[0] + torch.arange(count, dtype=torch.float64) / rate)


def save_tracks(
    path: str | Path, tracks: Sequence[Track], extra: Mapping[str, np.ndarray] | None = None
) -> None:
    """Write people over time into one ``.npz`` of plain arrays, complete or not at all.

    Frames of all K people follow one another, N in all. Keys: format "bodyloop-tracks", version; name, frame, body and
    frames (K,), the number of frames of each; size (K, 2), image width and height, 0 without a camera; pose (N, 72)
    axis-angle, betas (N, 10), trans (N, 3) metres, times (N,) seconds, observed (N,), focal and center (N, 2) pixels,
    NaN without a camera.

    Args:
        path: file to write.
        tracks: any number of people.
        extra: further arrays of plain numbers or text by name, which `load_tracks` passes over.

    Raises:
        InputError: if the file cannot be written.
        ValueError: if two tracks have one name, or a further array has the name of another key or holds objects.
    """
    names = [track.name for track in tracks]
    if len(set(names)) != len(names):
        raise ValueError(f"need a different name for each track, got {names}")
    nothing = Camera(torch.ones(2), torch.ones(2), (0, 0))
    cameras = [(nothing if t.camera is None else t.camera).expand(len(t)) for t in tracks]
    unknown = [float("nan") if t.camera is None else 1.0 for t in tracks]
    columns: dict[str, list[Tensor]] = {
        "pose": [t.bodies.pose for t in tracks],
        "betas": [t.bodies.betas for t in tracks],
        "trans": [t.bodies.translation for t in tracks],
        "times": [t.times for t in tracks],
        "observed": [t.observed for t in tracks],
        "focal": [c.focal * n for c, n in zip(cameras, unknown, strict=True)],
        "center": [c.center * n for c, n in zip(cameras, unknown, strict=True)],
    }
    arrays: dict[str, Any] = {
        name: np.concatenate([np.zeros((0, *_ROWS[name]), _KINDS[name]), *(_array(x) for x in parts)])
        for name, parts in columns.items()
    }
    arrays |= {
        "format": np.array(FORMAT),
        "version": np.array(__version__),
        "name": np.array(names, np.str_),
        "frame": np.array([t.frame for t in tracks], np.str_),
        "body": np.array([t.body_name for t in tracks], np.str_),
        "frames": np.array([len(t) for t in tracks], np.int64),
        "size": np.array([c.size for c in cameras], np.int64).reshape(-1, 2),
    }
    for key, values in (extra or {}).items():
        if key in arrays or values.dtype.kind == "O":
            raise ValueError(f"array {key!r} ({values.dtype}) needs another name, or plain numbers or text")
        arrays[key] = values
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomic(path, buffer.getvalue())


def load_tracks(path: str | Path) -> list[Track]:
    """Read what `save_tracks` wrote; cameras that are the same in all frames become one.

    Raises:
        InputError: if the file cannot be read or is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except Exception as error:  # a damaged archive fails in zipfile, zlib, numpy ...
        raise InputError(f"{path}: not a readable .npz of plain arrays ({error})") from None
    if str(arrays.get("format")) != FORMAT:
        raise InputError(f"{path}: expected tracks that bodyloop wrote, got {', '.join(arrays) or 'nothing'}")
    missing = [key for key in (*_ROWS, *_EACH) if key not in arrays]
    if missing:
        raise InputError(f"{path}: damaged: lacks {', '.join(missing)}")
    try:
        return _tracks(arrays)
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        raise InputError(f"{path}: damaged: {error}") from None


_ROWS: dict[str, tuple[int, ...]] = {
    "pose": (72,), "betas": (10,), "trans": (3,), "times": (), "observed": (), "focal": (2,), "center": (2,),
}  # fmt: skip
"""Shape of a row of what there is for each frame."""
_KINDS = dict.fromkeys(_ROWS, np.float32) | {"times": np.float64, "observed": np.bool_}
_EACH = ("name", "frame", "body", "frames", "size")


def _tracks(arrays: dict[str, np.ndarray]) -> list[Track]:
    """Tracks of a file's arrays; ValueError if they do not go together."""
    counts = arrays["frames"].astype(np.int64)
    people, frames = len(counts), int(counts.sum())
    for key, row in _ROWS.items():
        if arrays[key].shape != (frames, *row):
            raise ValueError(f"expected {key} {(frames, *row)}, got {arrays[key].shape}")
    for key in _EACH:
        if arrays[key].shape[:1] != (people,):
            raise ValueError(f"expected {key} of {people} people, got {arrays[key].shape}")
    if (counts < 1).any() or len(set(arrays["name"].tolist())) != people:
        raise ValueError("expected people of at least one frame with names of their own")
    tracks = []
    for i, end in enumerate(np.cumsum(counts)):
        mine = {key: torch.from_numpy(arrays[key][end - counts[i] : end]) for key in _ROWS}
        width, height = (int(n) for n in arrays["size"][i])
        track = Track(
            Bodies.from_smpl(mine["pose"], mine["betas"], mine["trans"]),
            mine["times"].double(),
            mine["observed"],
            _camera(mine["focal"], mine["center"], (width, height)),
            str(arrays["name"][i]),
            str(arrays["frame"][i]),  # type: ignore[arg-type]  # checked by Track
            str(arrays["body"][i]),
        )
        tracks.append(track)
    return tracks


def _camera(focal: Tensor, center: Tensor, size: tuple[int, int]) -> Camera | None:
    """One camera if all (T, 2) are the same; None if they are NaN."""
    if focal.isnan().all():
        return None
    if bool((focal == focal[0]).all()) and bool((center == center[0]).all()):
        focal, center = focal[0], center[0]
    return Camera(focal, center, size)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
