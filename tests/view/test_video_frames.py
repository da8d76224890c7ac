from pathlib import Path

import numpy as np
import pytest

from bodyloop.errors import InputError
from bodyloop.evidence.videos import turned
from bodyloop.view.video_frames import AHEAD, VideoFrames

RATE = 10


def write_video(path: Path, frames: int, size: tuple[int, int] = (64, 48)) -> None:
    """Frame i is grey, 10 (i mod 25), and shown at i / 10 seconds."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *size, "yuv420p", 4_000_000
        for i in range(frames):
            pixels = np.full((size[1], size[0], 3), 10 * (i % 25), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def number(pixels: np.ndarray) -> int:
    return round(pixels.mean() / 10)


def test_frames_are_found_by_time_in_any_order(tmp_path: Path):
    write_video(tmp_path / "a.mp4", 60)
    video = VideoFrames(tmp_path / "a.mp4")
    order = [0, 1, 2, 9, 3, 50, 51, 4, 59, 0, int(RATE * AHEAD) + 25, 20, 20]
    for i in order:
        frame = video.at(i / RATE)
        assert frame.shape == (48, 64, 3)
        assert number(frame) == i % 25
    assert number(video.at(2.04)) == 20
    assert number(video.at(2.06)) == 21
    assert number(video.at(100)) == 59 % 25


def test_what_is_no_video_is_refused(tmp_path: Path):
    pytest.importorskip("av")
    (tmp_path / "text.mp4").write_text("hello")
    for name in ("text.mp4", "missing.mp4"):
        with pytest.raises(InputError, match="expected a video"):
            VideoFrames(tmp_path / name)


def test_a_truncated_video_shows_what_it_has(tmp_path: Path):
    write_video(tmp_path / "a.avi", 60)
    whole = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(whole[: len(whole) // 2])
    video = VideoFrames(tmp_path / "a.avi")
    assert number(video.at(0.3)) == 3
    assert video.at(5.9).shape == (48, 64, 3)


def test_without_av_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(InputError, match="bodyloop\\[video\\]"):
        VideoFrames(tmp_path / "a.mp4")


def test_pictures_turn_counter_clockwise():
    pixels = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    assert turned(pixels, 90).shape == (2, 1, 3)
    np.testing.assert_array_equal(turned(pixels, 90)[:, 0], pixels[0, ::-1])
    np.testing.assert_array_equal(turned(turned(pixels, 90), -90), pixels)
    np.testing.assert_array_equal(turned(pixels, 180.0), pixels[::-1, ::-1])
