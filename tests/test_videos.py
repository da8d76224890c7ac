"""Videos in, people over time out: files, notes, failures, and runs that go on."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import bodyloop.detect
from bodyloop import videos
from bodyloop.body import BodyModel
from bodyloop.cli import main
from bodyloop.detect.watch import SEARCH_EVERY
from bodyloop.errors import InputError
from bodyloop.evidence.videos import Video
from bodyloop.geometry import Camera
from bodyloop.track import load_tracks
from bodyloop.videos import VideoJob, fit_videos
from bodyloop.writing import write_atomic
from made_up_videos import SIZE, Knowing, turn_on_its_side, walk, write_video

pytest.importorskip("av")
COUNT = 34
TIMES = [i / 30 for i in range(COUNT)]


def knowing(body: BodyModel, *seen: range | list[int], camera: Camera | None = None) -> Knowing:
    everywhere = [(walk(COUNT, aside=-0.5 * i), frames) for i, frames in enumerate(seen)]
    return Knowing(body, everywhere, camera or Camera.from_focal(180, *SIZE))


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch):
    def install(detector: object) -> None:
        monkeypatch.setattr(bodyloop.detect, "load_detector", lambda name: detector)

    monkeypatch.setattr(videos, "SHARD", SEARCH_EVERY)
    return install


def job(tmp_path: Path, **changes: object) -> VideoJob:
    return VideoJob((str(tmp_path / "a.mp4"),), tmp_path / "out", **({"focal": 180.0} | changes))  # type: ignore[arg-type]


def test_a_person_who_is_hidden_for_a_while(tmp_path: Path, body: BodyModel, use):
    write_video(tmp_path / "a.mp4", TIMES)
    use(knowing(body, [n for n in range(COUNT) if not 16 <= n < 20]))
    told: list[str] = []
    (result,) = fit_videos(job(tmp_path), lambda done, total, text: told.append(text))
    assert result.failure == ""
    assert result.frames == COUNT
    (track,) = load_tracks(result.folder / "tracks.npz")
    assert track.observed.tolist() == [not 16 <= n < 20 for n in range(COUNT)]
    assert track.times.tolist() == pytest.approx(TIMES, abs=1e-4)
    (person,) = result.people
    assert person.frames == COUNT
    assert person.error_box < 0.05
    assert not person.doubts
    truth = walk(COUNT)
    joints, true = body.joints(track.bodies), body.joints(truth)
    assert ((joints - joints[:, :1]) - (true - true[:, :1])).norm(dim=-1).mean() < 0.12
    (world,) = load_tracks(result.folder / "world.npz")
    assert world.frame == "world"
    assert (result.folder / "people.glb").read_bytes()[:4] == b"glTF"
    assert Video(result.folder / "overlay.mp4").expected == COUNT
    summary = json.loads((result.folder / "summary.json").read_text())
    assert summary["people"][0]["frames"] == COUNT
    assert summary["focal_px"] == 180
    assert any("frames a second" in text for text in told)
    with np.load(result.folder / "tracks.npz") as arrays:
        assert arrays["keypoints"].shape == (COUNT, 17, 2)


def test_a_run_goes_on_where_it_was(tmp_path: Path, body: BodyModel, use, monkeypatch: pytest.MonkeyPatch):
    """The disk is full when the second shard is written; what was seen before is not looked at again."""
    write_video(tmp_path / "a.mp4", TIMES)
    first, second = knowing(body, range(COUNT)), knowing(body, range(COUNT))
    use(first)

    def full(path: str | Path, data: bytes) -> None:
        if Path(path).name == "00001.npz":
            raise InputError(f"{path}: cannot be written (No space left on device)")
        write_atomic(path, data)

    monkeypatch.setattr(videos, "write_atomic", full)
    (stopped,) = fit_videos(job(tmp_path, pictures=False))
    assert "No space left" in stopped.failure
    monkeypatch.setattr(videos, "write_atomic", write_atomic)
    use(second)
    (result,) = fit_videos(job(tmp_path, pictures=False))
    assert result.failure == ""
    assert min(number for number, _ in second.calls) == SEARCH_EVERY
    assert f"{SEARCH_EVERY} frames were looked at before" in result.notes
    third = knowing(body, range(COUNT))
    use(third)
    (again,) = fit_videos(job(tmp_path, pictures=False))
    assert third.calls == []
    tracks = [load_tracks(r.folder / "tracks.npz")[0] for r in (result, again)]
    assert torch.equal(tracks[0].bodies.translation, tracks[1].bodies.translation)


def test_another_video_of_the_same_name_is_looked_at_anew(tmp_path: Path, body: BodyModel, use):
    write_video(tmp_path / "a.mp4", TIMES)
    use(knowing(body, range(COUNT)))
    fit_videos(job(tmp_path, pictures=False, glb=False))
    write_video(tmp_path / "a.mp4", TIMES[:20])
    again = knowing(body, range(COUNT))
    use(again)
    (result,) = fit_videos(job(tmp_path, pictures=False, glb=False))
    assert result.frames == 20
    assert len(again.calls) == 20


def test_nobody_in_it(tmp_path: Path, body: BodyModel, use):
    write_video(tmp_path / "a.mp4", TIMES)
    use(knowing(body, [0, 1]))
    (result,) = fit_videos(job(tmp_path))
    assert "nobody found who is seen for long enough (somebody in 2 of 34 frames)" in result.failure


def test_a_cut_and_a_moving_camera(tmp_path: Path, body: BodyModel, use):
    write_video(tmp_path / "a.mp4", TIMES, tint=lambda n: 150 if n >= 17 else 0)
    use(knowing(body, range(COUNT)))
    (result,) = fit_videos(job(tmp_path, pictures=False, glb=False, moving_camera=True))
    assert [p.frames for p in result.people] == [17, 17]
    assert not (result.folder / "world.npz").exists()
    assert all(p.foot_skate is None for p in result.people)


def test_a_phone_held_upright(tmp_path: Path, body: BodyModel, use):
    write_video(tmp_path / "a.mp4", TIMES[:10])
    turn_on_its_side(tmp_path / "a.mp4", SIZE[1])

    class Sideways(Knowing):
        def __call__(self, pixels, boxes=None):
            assert pixels.shape[:2] == (SIZE[0], SIZE[1])
            return super().__call__(np.rot90(pixels), boxes)

    use(Sideways(body, [(walk(COUNT), range(COUNT))], Camera.from_focal(180, SIZE[1], SIZE[0])))
    (result,) = fit_videos(job(tmp_path, glb=False))
    assert result.failure == ""
    assert Video(result.folder / "overlay.mp4").size == (SIZE[1], SIZE[0])
    assert json.loads((result.folder / "summary.json").read_text())["size"] == [SIZE[1], SIZE[0]]


def test_no_overlay_is_no_reason_to_lose_the_rest(
    tmp_path: Path, body: BodyModel, use, monkeypatch: pytest.MonkeyPatch
):
    write_video(tmp_path / "a.mp4", TIMES[:12])
    use(knowing(body, range(COUNT)))

    def full(*_: object) -> None:
        raise InputError("overlay.mp4: cannot be written (No space left on device)")

    monkeypatch.setattr(videos, "_draw", full)
    (result,) = fit_videos(job(tmp_path))
    assert result.failure == ""
    assert any("no overlay" in note for note in result.notes)
    assert (result.folder / "summary.json").exists()


def test_a_failure_costs_only_its_video(tmp_path: Path, body: BodyModel, use):
    write_video(tmp_path / "a.mp4", TIMES[:12])
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.mp4").write_bytes(b"no video")
    use(knowing(body, range(COUNT)))
    inputs = (str(tmp_path / "bad" / "a.mp4"), str(tmp_path / "a.mp4"), str(tmp_path / "none.mp4"))
    results = fit_videos(VideoJob(inputs, tmp_path / "out", 180.0, pictures=False, glb=False))
    assert [bool(r.failure) for r in results] == [True, False, True]
    assert [r.folder.name for r in results] == ["a", "a_2", "none"]


def test_the_command_line(tmp_path: Path, body: BodyModel, use, capsys: pytest.CaptureFixture[str]):
    path = write_video(tmp_path / "a.mp4", TIMES[:12])
    use(knowing(body, range(COUNT)))
    out = str(tmp_path / "out")
    assert main(["fit", str(path), "-o", out, "--focal", "180", "--no-pictures"]) == 0
    text = capsys.readouterr().out
    assert "1 people, 12 frames" in text
    assert "tracks.npz" in text
    assert main(["fit", str(tmp_path / "none.mp4"), "-o", out]) == 1
    assert "none there" in capsys.readouterr().out
    assert main(["fit", str(path), "photo.jpg", "-o", out]) == 2
    assert main(["fit", str(path), "-o", out, "--prior", "flow"]) == 2
    assert "--prior: for photos only" in capsys.readouterr().err
    assert main(["fit", str(path), "-o", out, "--part-labels", "smpl"]) == 2
    assert "--part-labels: for photos only" in capsys.readouterr().err
    assert main(["fit", "photo.jpg", "-o", out, "--moving-camera"]) == 2
    assert "for videos only" in capsys.readouterr().err


@pytest.mark.parametrize("focal", [-1.0, float("nan")])
def test_focal_lengths_are_checked(tmp_path: Path, focal: float):
    with pytest.raises(InputError, match="--focal"):
        fit_videos(job(tmp_path, focal=focal))
