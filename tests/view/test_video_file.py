"""Written videos, and people on their frames."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bodyloop.body import BodyModel
from bodyloop.errors import InputError
from bodyloop.evidence.videos import Video, VideoFrame
from bodyloop.geometry import Camera
from bodyloop.track import Track
from bodyloop.view.video_file import VideoFile
from bodyloop.view.video_overlay import overlay_frame
from made_up_videos import picture, walk

pytest.importorskip("av")


def test_odd_sizes_lose_a_row_and_a_column(tmp_path: Path):
    with VideoFile(tmp_path / "a.mp4", (161, 97), 25.0) as file:
        file.add(picture(5, (161, 97)), 0.0)
    assert Video(tmp_path / "a.mp4").size == (160, 96)


def test_a_file_that_was_not_finished_is_not_there(tmp_path: Path):
    def stopped() -> None:
        with VideoFile(tmp_path / "a.mp4", (160, 96), 25.0) as file:
            file.add(picture(0), 0.0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stopped()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(InputError, match="cannot be written"):
        VideoFile(tmp_path / "none" / "a.mp4", (160, 96), 25.0)


def test_people_are_drawn_where_they_are_when_they_are(body: BodyModel):
    camera = Camera.from_focal(150, 160, 96)
    bodies = walk(3)
    seen = torch.tensor([True, False, True])
    track = Track(bodies, torch.tensor([0.0, 0.1, 0.2]).double(), seen, camera, "0")
    plain = np.full((96, 160, 3), 60, np.uint8)
    drawn = [
        overlay_frame(VideoFrame(i, t, plain), [track], body) for i, t in enumerate((0.0, 0.1, 0.2, 0.3))
    ]
    changed = [np.abs(p.astype(int) - 60).sum() for p in drawn]
    assert changed[0] > 3 * changed[1] / 2 > 0, "who was bridged is faint"
    assert changed[3] == 0, "nobody is there then"
    middle = camera.project(body.joints(bodies[:1])[:, 0])[0].round().long().reshape(-1)
    assert (drawn[0][middle[1], middle[0]] != 60).any()
    assert (drawn[0][:5, :5] == 60).all()
