"""Writing videos (extra ``video``: PyAV), with the times that the frames had."""

import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from bodyloop.errors import InputError
from bodyloop.evidence.videos import import_av

CLOCK = 90_000
"""Ticks a second of the files' clock."""


class VideoFile:
    """An MP4 file (H.264) that is written frame by frame; it has its name only once it is complete.

    Args:
        path: the file.
        size: (width, height) of the pictures; an odd last row or column is left out, as H.264 has none.
        fps: usual frames a second, for players that ask.

    Raises:
        InputError: without PyAV, or if the file cannot be written.
    """

    def __init__(self, path: str | Path, size: tuple[int, int], fps: float) -> None:
        self._av = import_av()
        self.path = Path(path)
        self._temporary = self.path.with_name(f".{self.path.name}.part")
        self._width, self._height = size[0] // 2 * 2, size[1] // 2 * 2
        try:
            self._temporary.touch()  # FFmpeg says that it cannot write only when it does
            self._container: Any = self._av.open(str(self._temporary), "w", format="mp4")
            self._stream = self._container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        except (self._av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from None
        self._stream.width, self._stream.height = self._width, self._height
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": "20", "preset": "veryfast"}
        self._stream.codec_context.time_base = Fraction(1, CLOCK)

    def __enter__(self) -> "VideoFile":
        return self

    def add(self, pixels: np.ndarray, time: float) -> None:
        """Write a picture (H, W, 3) uint8 RGB that is shown from `time`, seconds, on."""
        cut = np.ascontiguousarray(pixels[: self._height, : self._width])
        frame = self._av.VideoFrame.from_ndarray(cut, format="rgb24")
        frame.pts, frame.time_base = round(time * CLOCK), Fraction(1, CLOCK)
        self._write(frame)

    def _write(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (self._av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._write(None)
            self._container.close()
            if kind is None:
                os.replace(self._temporary, self.path)
        except (self._av.error.FFmpegError, OSError) as failure:
            if kind is None:
                raise self._failed(failure) from None
        finally:
            self._temporary.unlink(missing_ok=True)

    def _failed(self, error: Exception) -> InputError:
        return InputError(f"{self.path}: cannot be written ({error}); is the disk full, may you write there?")
