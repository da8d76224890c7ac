"""Reading videos frame by frame: upright, with true times, and with clear errors (extra ``video``: PyAV)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bodyloop.errors import InputError

if TYPE_CHECKING:
    from types import ModuleType

SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp"})
"""Endings of names that are taken for videos."""
MIN_SIDE = 32
"""Pixels; smaller pictures show nobody."""
USUAL_FPS = 30.0
"""Where a file does not say how long a frame lasts."""


def is_video(path: str | Path) -> bool:
    """Whether a name is that of a video."""
    return Path(path).suffix.lower() in SUFFIXES


def import_av() -> "ModuleType":
    """PyAV.

    Raises:
        InputError: if it is not installed, with the remedy.
    """
    try:
        import av
    except ImportError as error:
        raise InputError(
            f"videos need PyAV, which does not load ({error}): pip install 'bodyloop[video]'"
        ) from None
    return av


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """One frame.

    Attributes:
        number: from 0.
        time: seconds from the first frame, rising; steps need not be even.
        pixels: (H, W, 3) uint8 RGB, upright.
    """

    number: int
    time: float
    pixels: np.ndarray


class Video:
    """A video file; its first frame is read on construction.

    Attributes:
        path: the file.
        size: (width, height) in pixels, upright.
        turned: degrees counter-clockwise by which the file says that its pictures are to be turned.
        fps: frames a second, as the file says.
        expected: number of frames as the file says; 0 if it does not.
        note: what the user should know, filled in by `frames`: that the file ends early.

    Raises:
        InputError: no such file, not a video, no frame that can be read, or pictures too small to show anybody.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self.note = Path(path), ""
        self._av = import_av()
        if not self.path.is_file():
            raise InputError(f"{path}: expected a video file, got none there; check the path")
        with self._opened() as container:
            stream = container.streams.video[0]
            rate = float(stream.average_rate or 0.0)
            self.fps = rate if math.isfinite(rate) and rate > 0 else USUAL_FPS
            lasting = (
                float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
            )
            self.expected = int(stream.frames) or round(lasting * self.fps)
            try:
                first = next(iter(container.decode(stream)), None)
            except self._av.error.FFmpegError as error:
                raise InputError(
                    f"{path}: no frame can be decoded ({error}); copy or download it again"
                ) from None
            if first is None:
                raise InputError(f"{path}: expected a video with frames, got none; copy or record it again")
            self.turned = round(first.rotation / 90) * 90 % 360
            width, height = first.width, first.height
        self.size: tuple[int, int] = (height, width) if self.turned in (90, 270) else (width, height)
        if min(self.size) < MIN_SIDE:
            raise InputError(
                f"{path}: expected pictures of at least {MIN_SIDE} x {MIN_SIDE} pixels, got {width} x {height}"
            )

    def _opened(self) -> Any:
        try:
            container = self._av.open(str(self.path))
        except (self._av.error.FFmpegError, OSError) as error:
            raise InputError(
                f"{self.path}: expected a video that can be read, got one that cannot ({error}); it may be "
                "truncated: copy or download it again"
            ) from None
        if not container.streams.video:
            container.close()
            raise InputError(f"{self.path}: expected a video, got a file without pictures")
        container.streams.video[0].thread_type = "AUTO"
        return container

    def frames(self, first: int = 0) -> Iterator[VideoFrame]:
        """Frames from number `first` on, one in memory at a time.

        A file that breaks off gives the frames until there, and says so in `note`. Pictures whose size differs from the
        first one's are left out.
        """
        last, number, broken = -math.inf, -1, ""
        begin = None
        with self._opened() as container:
            decoded = iter(container.decode(container.streams.video[0]))
            while True:
                try:
                    frame = next(decoded, None)
                except self._av.error.FFmpegError as error:
                    broken = str(error)
                    break
                if frame is None:
                    break
                number += 1
                time = frame.time
                begin = time if begin is None else begin
                now = last + 1 / self.fps if time is None or begin is None else time - begin
                if not math.isfinite(now):
                    now = 0.0
                if now <= last:  # a broken or repeated time stamp
                    now = last + 0.5 / self.fps
                last = now
                if number < first:
                    continue
                pixels = turned(frame.to_ndarray(format="rgb24"), self.turned)
                if pixels.shape[1::-1] == self.size:
                    yield VideoFrame(number, now, pixels)
        count = number + 1
        if broken or count < 0.98 * self.expected - 1:
            reason = f" ({broken})" if broken else ""
            self.note = (
                f"the video breaks off after {count} of about {self.expected or count} frames{reason}: truncated? "
                "What is there was used"
            )


def turned(pixels: np.ndarray, degrees: float) -> np.ndarray:
    """Pixels (H, W, 3) turned counter-clockwise by the nearest multiple of a right angle."""
    return np.ascontiguousarray(np.rot90(pixels, round(degrees / 90)))
