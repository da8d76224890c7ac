"""Videos: upright, in order, at their own times; and what is told of broken ones."""

from pathlib import Path

import numpy as np
import pytest

from bodyloop.errors import InputError
from bodyloop.evidence import videos
from bodyloop.evidence.videos import Video, is_video
from made_up_videos import SIZE, number_of, turn_on_its_side, write_video

pytest.importorskip("av")
EVEN = [i / 30 for i in range(12)]


def test_frames_come_in_order_with_their_times(tmp_path: Path):
    video = Video(write_video(tmp_path / "a.mp4", EVEN))
    frames = list(video.frames())
    assert video.size == SIZE
    assert video.turned == 0
    assert video.expected == 12
    assert [f.number for f in frames] == [number_of(f.pixels) for f in frames] == list(range(12))
    assert [f.time for f in frames] == pytest.approx(EVEN, abs=1e-4)
    assert all(f.pixels.shape == (96, 160, 3) and f.pixels.dtype == np.uint8 for f in frames)
    assert video.note == ""


def test_variable_frame_rates_keep_their_times(tmp_path: Path):
    times = [0.0, 0.02, 0.1, 0.11, 0.5, 0.53]
    video = Video(write_video(tmp_path / "a.mp4", times))
    assert [f.time for f in video.frames()] == pytest.approx(times, abs=1e-4)


def test_reading_goes_on_anywhere(tmp_path: Path):
    video = Video(write_video(tmp_path / "a.mp4", EVEN))
    later = list(video.frames(7))
    assert [number_of(f.pixels) for f in later] == list(range(7, 12))
    assert later[0].time == pytest.approx(EVEN[7], abs=1e-4)


def test_a_phone_held_upright(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", EVEN)
    turn_on_its_side(path, SIZE[1])
    video = Video(path)
    first = next(video.frames())
    assert video.size == (96, 160)
    assert first.pixels.shape == (160, 96, 3)
    corner = first.pixels[4, -4].astype(int)
    assert corner[0] > 200 > 100 > corner[1], (
        "clockwise: the left end of the top row is now the right column's top"
    )
    assert number_of(np.rot90(first.pixels)) == 0


def test_a_truncated_video_gives_what_there_is(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", [i / 30 for i in range(60)])
    data = path.read_bytes()
    # the index is at the end: move it before the pictures, then cut them off
    index, pictures = data.index(b"moov") - 4, data.index(b"mdat") - 4
    assert index > pictures
    whole = data[:pictures] + _shifted(data[index:], len(data) - index) + data[pictures:index]
    path.write_bytes(whole)
    assert len(list(Video(path).frames())) == 60
    path.write_bytes(whole[: len(whole) - (index - pictures) // 2])
    video = Video(path)
    frames = list(video.frames())
    assert 0 < len(frames) < 60
    assert f"after {len(frames)} of about 60 frames" in video.note


def _shifted(index: bytes, by: int) -> bytes:
    """The index of a file whose pictures move back by so many bytes."""
    out = bytearray(index)
    table = out.index(b"stco")
    count = int.from_bytes(out[table + 8 : table + 12], "big")
    for i in range(count):
        at = table + 12 + 4 * i
        out[at : at + 4] = (int.from_bytes(out[at : at + 4], "big") + by).to_bytes(4, "big")
    return bytes(out)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot"),
        (b"hello, I am a text" * 100, "cannot"),
        (None, "none there"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes | None, message: str):
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        Video(path)


def test_a_video_cut_off_before_its_index_is_refused(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", EVEN)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(InputError, match="truncated"):
        Video(path)


def test_a_video_without_frames_is_refused(tmp_path: Path):
    path = tmp_path / "a.mp4"
    with pytest.raises(InputError):
        Video(write_video(path, []))


def test_sound_without_pictures_is_refused(tmp_path: Path):
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="without pictures"):
        Video(path)


def test_tiny_pictures_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="at least"):
        Video(write_video(tmp_path / "a.mp4", EVEN, (16, 16)))


def test_names_of_videos():
    assert is_video("holiday.MP4")
    assert is_video(Path("a/b.mov"))
    assert not is_video("photo.jpg")


def test_without_pyav_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(InputError, match=r"bodyloop\[video\]"):
        videos.import_av()
