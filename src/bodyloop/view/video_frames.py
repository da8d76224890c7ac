"""Frames of a video by their time, for pictures behind people over time."""

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from bodyloop.errors import InputError
from bodyloop.evidence.videos import import_av, turned

if TYPE_CHECKING:
    from collections.abc import Iterator

AHEAD = 2.0
"""Seconds up to which frames are decoded one after the other; what is farther is looked up in the file."""


class VideoFrames:
    """A video whose frames are asked for by time, fastest one after the other. May be used from several threads."""

    def __init__(self, path: str | Path) -> None:
        """Open a file.

        Raises:
            InputError: without PyAV, or if the file is no video.
        """
        av = import_av()
        self.path, self._lock = Path(path), Lock()
        try:
            self._container = av.open(str(path))
        except (OSError, ValueError) as error:  # av's errors are also of these kinds
            raise InputError(f"{path}: expected a video, got what cannot be opened ({error})") from None
        if not self._container.streams.video:
            raise InputError(f"{path}: expected a video, got a file without pictures")
        self._stream = self._container.streams.video[0]
        self._begin = float((self._stream.start_time or 0) * (self._stream.time_base or 0))
        self._tolerance = 0.5 / float(self._stream.average_rate or 25)
        self._coming: Iterator[Any] = self._container.decode(self._stream)
        self._now, self._last = -1.0, None

    def at(self, seconds: float) -> np.ndarray:
        """The frame (H, W, 3) uint8 RGB that is shown at a time, turned as the file says.

        Args:
            seconds: since the beginning of the video; after its end, the last frame.

        Raises:
            InputError: if nothing can be decoded there.
        """
        with self._lock:
            if seconds < self._now - self._tolerance or seconds > self._now + AHEAD:
                self._seek(seconds)
            try:
                while self._last is None or self._now < seconds - self._tolerance:
                    frame = next(self._coming, None)
                    if frame is None:
                        break
                    if frame.time is not None:
                        self._last, self._now = frame, float(frame.time) - self._begin
            except (OSError, ValueError):  # the rest of a damaged file
                pass
            if self._last is None:
                raise InputError(
                    f"{self.path}: expected a frame at {seconds:.2f} s, got none that can be decoded"
                )
            return turned(self._last.to_ndarray(format="rgb24"), self._last.rotation)

    def _seek(self, seconds: float) -> None:
        base = float(self._stream.time_base or 1)
        place = max(0, int((seconds - self._tolerance + self._begin) / base))
        try:
            self._container.seek(place, stream=self._stream)
        except (OSError, ValueError):  # no index, or a place that is none: from the beginning
            self._container.seek(0)
        self._coming = self._container.decode(self._stream)
        self._now, self._last = -1.0, None
