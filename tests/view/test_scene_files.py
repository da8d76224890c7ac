from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_scene import LENS, disc_picture, one_dot, standing
from test_video_frames import write_video

from bodyloop.errors import InputError
from bodyloop.fit import Hypotheses
from bodyloop.track import Track, save_tracks
from bodyloop.view.export import save_npz, save_picture
from bodyloop.view.scene_files import read_scene

PLACES = [(0.0, 0.0, 3.0), (0.5, 0.0, 4.0)]


def scores(photo: Path, count: int = 2) -> dict[str, np.ndarray]:
    evidence = one_dot(PLACES[0], "anna")
    labels = np.array(["anna", "ben"][:count])
    return {
        "photo": np.array(str(photo)), "label": labels, "start": np.array(["lifter", "mean"][:count]),
        "energy": np.array([1.5, 20.0][:count]), "doubts": np.array(["", "few keypoints"][:count]),
        "skeleton": np.array("coco17"), "keypoints": evidence.keypoints.repeat(count, 1, 1).numpy(),
        "confidence": evidence.confidence.repeat(count, 1).numpy(),
    }  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder of results of one photo, which lies elsewhere."""
    photo = tmp_path / "photos" / "party.png"
    (tmp_path / "out" / "party").mkdir(parents=True)
    photo.parent.mkdir()
    save_picture(photo, disc_picture(PLACES[0]))
    save_npz(tmp_path / "out" / "party" / "body.npz", standing(*PLACES), LENS, "ball", scores(photo))
    return tmp_path / "out"


def test_a_photo_with_its_people(ball, results: Path):
    for path in (results, results / "party", results / "party" / "body.npz"):
        scene = read_scene(path, ball)
        [moment] = scene.moments
        assert moment.name == "party.png"
        assert moment.camera.size == LENS.size
        np.testing.assert_array_equal(moment.picture(), disc_picture(PLACES[0]))
        assert [figure.person for figure in scene.figures] == ["anna", "ben"]
        assert [figure.captions for figure in scene.figures] == [
            ("anna: lifter, energy 1.5",),
            ("ben: mean, energy 20.0, not to be trusted: few keypoints",),
        ]
        assert [dots.person for dots in scene.dots(0)] == ["anna", "ben"]
        assert not scene.video
        assert scene.notes == ()


def test_several_photos_follow_each_other(ball, results: Path):
    (results / "alone").mkdir()
    save_npz(results / "alone" / "body.npz", standing(PLACES[0]), LENS, "ball")
    scene = read_scene(results, ball)
    assert [moment.name for moment in scene.moments] == ["alone", "party.png"]
    assert [figure.moments for figure in scene.figures] == [(0,), (1,), (1,)]
    assert [figure.number for figure in scene.figures] == [0, 0, 1]
    assert any("does not tell its photo" in note for note in scene.notes)
    assert scene.moments[0].evidence is None


def test_a_photo_that_has_moved_is_found_or_missed(ball, results: Path, tmp_path: Path):
    photo = tmp_path / "photos" / "party.png"
    elsewhere = tmp_path / "elsewhere" / "deep"
    elsewhere.mkdir(parents=True)
    photo.rename(elsewhere / "party.png")
    missing = read_scene(results, ball)
    assert missing.moments[0].picture is None
    assert any("--pictures" in note for note in missing.notes)
    for place in (tmp_path / "elsewhere", elsewhere / "party.png"):
        assert read_scene(results, ball, place).moments[0].picture is not None
    (elsewhere / "party.png").rename(results / "party" / "party.png")
    assert read_scene(results, ball).moments[0].picture is not None
    with pytest.raises(InputError, match="expected a photo or a folder"):
        read_scene(results, ball, tmp_path / "nowhere")


def test_another_photo_of_that_name_is_not_shown(ball, results: Path, tmp_path: Path):
    save_picture(tmp_path / "photos" / "party.png", np.zeros((50, 60, 3), np.uint8))
    scene = read_scene(results, ball)
    assert scene.moments[0].picture is None
    assert any("expected a photo of 320 x 240 pixels, got 60 x 50" in note for note in scene.notes)


def test_other_hypotheses_come_with_what_they_cost(ball, results: Path):
    file = results / "party" / "body.npz"
    tried = Hypotheses(
        standing(PLACES[0], PLACES[0], PLACES[1], PLACES[1]),
        torch.tensor([0, 0, 1, 1]),
        torch.tensor([10.0, 14.5, 30.0, 20.0]),
        ("lifter", "mean, front", "lifter", "mean"),
    )
    save_npz(file, standing(*PLACES), LENS, "ball", scores(Path("party.png")) | tried.arrays())
    others = [figure for figure in read_scene(results, ball).figures if not figure.chosen]
    assert [(figure.person, figure.number, figure.captions[0]) for figure in others] == [
        ("anna", 0, "anna: mean, front, energy +4.5"),
        ("ben", 1, "ben: lifter, energy +10.0"),
    ]
    hopeless = tried.arrays() | {"tried_energy": np.array([10.0, np.inf, 30.0, 20.0])}
    save_npz(file, standing(*PLACES), LENS, "ball", scores(Path("party.png")) | hopeless)
    assert read_scene(results, ball).figures[1].captions == ("anna: mean, front, failed",)
    broken = tried.arrays() | {"tried_person": np.array([0, 1, 2, 3])}
    save_npz(file, standing(*PLACES), LENS, "ball", scores(Path("party.png")) | broken)
    scene = read_scene(results, ball)
    assert len(scene.figures) == 2
    assert any("people other than" in note for note in scene.notes)


def test_what_cannot_be_drawn_is_told(ball, results: Path):
    file = results / "party" / "body.npz"
    people = standing(*PLACES)
    people.translation[1, 0] = torch.nan
    odd = {"skeleton": np.array("octopus8")}
    save_npz(file, people, LENS, "ball", scores(Path("party.png")) | odd)
    scene = read_scene(results, ball)
    assert [figure.person for figure in scene.figures] == ["anna"]
    assert any("person ben left out" in note for note in scene.notes)
    assert any("octopus8" in note for note in scene.notes)
    odd = {"keypoints": np.zeros((2, 3, 2))}
    save_npz(file, standing(*PLACES), LENS, "ball", scores(Path("party.png")) | odd)
    assert any("keypoints are not drawn" in note for note in read_scene(results, ball).notes)


def test_nothing_to_see(ball, results: Path, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for path, word in ((tmp_path / "no", "no such file"), (empty, "without .npz files")):
        with pytest.raises(InputError, match=word):
            read_scene(path, ball)
    np.savez(empty / "other.npz", x=np.zeros(3))
    with pytest.raises(InputError, match="with people in them"):
        read_scene(empty, ball)
    with pytest.raises(InputError, match="lacks"):
        read_scene(empty / "other.npz", ball)
    save_npz(empty / "nobody.npz", standing(*PLACES)[:0], LENS, "ball")
    with pytest.raises(InputError, match="with people in them"):
        read_scene(empty, ball)
    save_npz(empty / "nobody.npz", standing(*PLACES), LENS, "another")
    with pytest.raises(InputError, match="--body"):
        read_scene(empty, ball)


def test_a_damaged_file_costs_only_itself(ball, results: Path):
    whole = (results / "party" / "body.npz").read_bytes()
    (results / "bad").mkdir()
    save_npz(results / "bad" / "body.npz", standing(*PLACES), LENS, "ball", {"pose_": np.zeros((2, 70))})
    with np.load(results / "bad" / "body.npz") as archive:
        arrays = dict(archive) | {"pose": np.zeros((2, 70))}
    np.savez(results / "bad" / "body.npz", **arrays)
    scene = read_scene(results, ball)
    assert len(scene.moments) == 1
    assert any("left out" in note and "damaged" in note for note in scene.notes)
    with pytest.raises(InputError, match="damaged"):
        read_scene(results / "bad" / "body.npz", ball)
    (results / "party" / "body.npz").write_bytes(whole[:200])
    with pytest.raises(InputError, match="damaged"):
        read_scene(results, ball)


def track(name: str, times: list[float], first: tuple[float, float, float], **more) -> Track:
    places = [(first[0] + 0.1 * i, first[1], first[2]) for i in range(len(times))]
    observed = torch.tensor([i != 1 for i in range(len(times))])
    camera = more.pop("camera", LENS)
    return Track(
        standing(*places),
        torch.tensor(times, dtype=torch.float64),
        observed,
        camera,
        name,
        body_name="ball",
        **more,
    )


def test_people_over_time(ball, tmp_path: Path):
    save_tracks(
        tmp_path / "tracks.npz",
        [track("anna", [1.0, 1.1, 1.2], PLACES[0]), track("ben", [1.1, 1.2, 1.4], PLACES[1])],
    )
    scene = read_scene(tmp_path, ball)
    assert scene.video
    assert [round(moment.seconds, 3) for moment in scene.moments] == [0.0, 0.1, 0.2, 0.4]
    assert [figure.moments for figure in scene.figures] == [(0, 1, 2), (1, 2, 3)]
    assert scene.figures[0].captions == ("anna", "anna (not seen)", "anna")
    assert all(moment.camera is not None for moment in scene.moments)


def test_frames_behind_people_over_time(ball, tmp_path: Path):
    save_tracks(tmp_path / "tracks.npz", [track("anna", [0.0, 0.1], PLACES[0])])
    frames = tmp_path / "frames"
    frames.mkdir()
    save_picture(frames / "frame_0.png", disc_picture(PLACES[0]))
    with pytest.raises(InputError, match="each of the 2 frames of the tracks, got 1"):
        read_scene(tmp_path / "tracks.npz", ball, frames)
    save_picture(frames / "frame_1.png", disc_picture(PLACES[1]))
    scene = read_scene(tmp_path / "tracks.npz", ball, frames)
    for moment, place in zip(scene.moments, PLACES, strict=True):
        np.testing.assert_array_equal(moment.picture(), disc_picture(place))
    save_picture(frames / "frame_0.png", np.zeros((50, 50, 3), np.uint8))
    scene = read_scene(tmp_path / "tracks.npz", ball, frames)
    assert scene.moments[0].picture is None
    assert any("not shown" in note for note in scene.notes)


def test_a_video_behind_people_over_time(ball, tmp_path: Path):
    save_tracks(tmp_path / "tracks.npz", [track("anna", [0.2, 0.5, 0.3 + 0.6], PLACES[0])])
    write_video(tmp_path / "video.mp4", 20, LENS.size)
    scene = read_scene(tmp_path / "tracks.npz", ball, tmp_path / "video.mp4")
    assert [round(moment.picture().mean() / 10) for moment in scene.moments] == [2, 5, 9]
    told = {"video": np.array(str(tmp_path / "video.mp4"))}
    save_tracks(tmp_path / "telling.npz", [track("anna", [0.5, 0.9], PLACES[0])], told)
    scene = read_scene(tmp_path / "telling.npz", ball)
    assert [round(moment.picture().mean() / 10) for moment in scene.moments] == [5, 9]
    (tmp_path / "video.mp4").unlink()
    scene = read_scene(tmp_path / "telling.npz", ball)
    assert scene.moments[0].picture is None
    assert any("name it with --pictures" in note for note in scene.notes)
    write_video(tmp_path / "other.mp4", 3, (64, 64))
    scene = read_scene(tmp_path / "tracks.npz", ball, tmp_path / "other.mp4")
    assert scene.moments[0].picture is None
    assert any("not shown" in note for note in scene.notes)


def test_a_moving_camera_is_that_of_each_frame(ball, tmp_path: Path):
    focal = torch.tensor([[300.0, 300], [400, 400]])
    camera = type(LENS)(focal, LENS.center.expand(2, 2), LENS.size)
    save_tracks(tmp_path / "tracks.npz", [track("anna", [0.0, 0.1], PLACES[0], camera=camera)])
    scene = read_scene(tmp_path, ball)
    assert [float(moment.camera.focal[0]) for moment in scene.moments] == [300, 400]


def test_a_world_has_no_pictures(ball, tmp_path: Path):
    world = track("anna", [0.0, 0.1], PLACES[0], frame="world", camera=None)
    save_tracks(tmp_path / "a_world.npz", [world])
    scene = read_scene(tmp_path, ball)
    assert scene.axes == "world"
    assert scene.moments[0].camera is None
    save_tracks(tmp_path / "b_camera.npz", [track("anna", [0.0, 0.1], PLACES[0])])
    scene = read_scene(tmp_path, ball)
    assert scene.axes == "camera"
    assert any("a_world.npz" in note for note in scene.notes)
    save_tracks(tmp_path / "a_world.npz", [world, track("ben", [0.0], PLACES[0])])
    with pytest.raises(InputError, match="got both"):
        read_scene(tmp_path / "a_world.npz", ball)
