"""A track is what it says, between its frames too, and comes back from its file."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bodyloop.body import Bodies
from bodyloop.errors import InputError
from bodyloop.geometry import Camera, geodesic_distance
from bodyloop.track import Track, load_tracks, save_tracks
from made_up_tracks import CAMERA, track


def same(a: Track, b: Track) -> None:
    torch.testing.assert_close(a.bodies.rotations, b.bodies.rotations, atol=2e-6, rtol=0)
    assert torch.equal(a.bodies.betas, b.bodies.betas)
    assert torch.equal(a.bodies.translation, b.bodies.translation)
    assert torch.equal(a.times, b.times)
    assert torch.equal(a.observed, b.observed)
    assert (a.name, a.frame, a.body_name) == (b.name, b.frame, b.body_name)
    assert (a.camera is None) == (b.camera is None)
    if a.camera is not None and b.camera is not None:
        assert torch.equal(a.camera.focal, b.camera.focal)
        assert torch.equal(a.camera.center, b.camera.center)
        assert a.camera.size == b.camera.size


def test_people_come_back(tmp_path: Path):
    zooming = Camera(torch.rand(4, 2) + 500, torch.rand(4, 2) + 300, (1920, 1080))
    people = [
        track("anna", 7),
        dataclasses.replace(track("ben", 4, seed=1, start=0.1, frame="world"), camera=zooming),
        dataclasses.replace(track("çà 3", 1, seed=2), camera=None, body_name="SMPL_NEUTRAL"),
    ]
    save_tracks(tmp_path / "tracks.npz", people)
    for a, b in zip(people, load_tracks(tmp_path / "tracks.npz"), strict=True):
        same(a, b)
    with np.load(tmp_path / "tracks.npz") as archive:  # plain arrays
        assert archive["pose"].shape == (12, 72)
        assert archive["frames"].tolist() == [7, 4, 1]


def test_nobody_and_further_arrays(tmp_path: Path):
    save_tracks(tmp_path / "a.npz", [])
    assert load_tracks(tmp_path / "a.npz") == []
    save_tracks(tmp_path / "a.npz", [track()], {"joints": np.zeros((9, 24, 3))})
    same(load_tracks(tmp_path / "a.npz")[0], track())
    for extra in ({"pose": np.zeros(3)}, {"x": np.array([{}])}):
        with pytest.raises(ValueError, match="another name"):
            save_tracks(tmp_path / "b.npz", [track()], extra)
    with pytest.raises(ValueError, match="different name"):
        save_tracks(tmp_path / "b.npz", [track(), track()])
    assert not (tmp_path / "b.npz").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"times": torch.zeros(9, dtype=torch.float64)},
        {"times": torch.arange(9)},
        {"times": torch.full((9,), torch.nan, dtype=torch.float64)},
        {"observed": torch.ones(8, dtype=torch.bool)},
        {"observed": torch.ones(9)},
        {"bodies": Bodies.rest(9, 1)},
        {"bodies": Bodies.rest()},
        {"bodies": dataclasses.replace(Bodies.rest(9), translation=torch.full((9, 3), torch.inf))},
        {"camera": Camera(torch.ones(3, 2), torch.ones(3, 2), (4, 4))},
        {"frame": "room"},
    ],
)
def test_what_does_not_go_together_is_refused(change: dict[str, Any]):
    with pytest.raises(ValueError, match=r"need|frame"):
        dataclasses.replace(track(), **change)


def test_the_track_at_its_own_times_is_itself():
    whole = track(fps=29.97)
    again = whole.at(whole.times)
    same(whole, again)
    assert whole.fps == pytest.approx(29.97)
    assert track(frames=1).fps == 30


def test_between_frames_lies_the_middle():
    whole = track()
    middle = whole.at((whole.times[1:] + whole.times[:-1]) / 2)
    before, after = whole.bodies[:-1], whole.bodies[1:]
    full = geodesic_distance(before.rotations, after.rotations)
    for end in (before, after):
        half = geodesic_distance(end.rotations, middle.bodies.rotations)
        torch.testing.assert_close(half, full / 2, atol=2e-3, rtol=1e-3)
    places = (before.translation + after.translation) / 2
    torch.testing.assert_close(middle.bodies.translation, places)
    assert torch.equal(middle.observed, whole.observed[1:] & whole.observed[:-1])


def test_outside_the_person_stands_still_unseen():
    whole = dataclasses.replace(track(start=1.0), observed=torch.ones(9, dtype=torch.bool))
    out = whole.at(torch.tensor([0.0, 1.0, 99.0], dtype=torch.float64))
    assert out.observed.tolist() == [False, True, False]
    assert torch.equal(out.bodies.translation, whole.bodies.translation[[0, 0, -1]])


def test_uneven_frames_become_even():
    times = torch.tensor([0.0, 0.1, 0.4, 1.0], dtype=torch.float64)
    bodies = dataclasses.replace(Bodies.rest(4), translation=times.float()[:, None].expand(4, 3))
    focal = 500 + 100 * times.float()[:, None].expand(4, 2)
    camera = Camera(focal, CAMERA.center, CAMERA.size)
    whole = Track(bodies, times, torch.ones(4, dtype=torch.bool), camera, "a")
    even = whole.even(10)
    assert len(even) == 11
    torch.testing.assert_close(even.bodies.translation[:, 0].double(), torch.arange(11).double() / 10)
    assert even.camera is not None
    torch.testing.assert_close(even.camera.focal[:, 1].double(), 500 + 10 * torch.arange(11).double())
    assert len(whole.even()) == 4
    with pytest.raises(ValueError, match="positive"):
        whole.even(0)


def broken(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "broken.npz"
    save_tracks(path, [track(), track("ben", 3)])
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    arrays |= changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"format": np.array("other")},
        {"format": None},
        {"pose": None},
        {"size": None},
        {"pose": np.zeros((12, 71))},
        {"pose": np.full((12, 72), np.nan)},
        {"pose": np.full((12, 72), "x")},
        {"frames": np.array([9, 4])},
        {"frames": np.array([13, -1])},
        {"frames": np.array(12)},
        {"frames": np.array(["a", "b"])},
        {"name": np.array(["a", "a"])},
        {"frame": np.array(["camera", "room"])},
        {"observed": np.ones(12)},
        {"times": np.zeros(12)},
        {"focal": -np.ones((12, 2))},
        {"size": np.zeros((2, 1), np.int64)},
    ],
    ids=str,
)
def test_broken_files_are_explained(tmp_path: Path, changes: dict[str, Any]):
    with pytest.raises(InputError, match=r"broken\.npz: (expected|damaged)"):
        load_tracks(broken(tmp_path, **changes))


def test_files_that_cannot_be_read_are_named(tmp_path: Path):
    np.savez(tmp_path / "objects.npz", format=np.array([{}], dtype=object))
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    for name in ("objects", "text", "array", "none"):
        with pytest.raises(InputError, match=name):
            load_tracks(tmp_path / f"{name}.npz")
    with pytest.raises(InputError, match="cannot be written"):
        save_tracks(tmp_path / "none" / "a.npz", [track()])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.floats(0, 1), insert=st.binary(max_size=40), skip=st.integers(0, 60))
def test_damaged_files_raise_nothing_else(tmp_path: Path, cut: float, insert: bytes, skip: int):
    save_tracks(tmp_path / "whole.npz", [track(frames=2)])
    whole = (tmp_path / "whole.npz").read_bytes()
    place = int(cut * len(whole))
    (tmp_path / "damaged.npz").write_bytes(whole[:place] + insert + whole[place + skip :])
    try:
        found = load_tracks(tmp_path / "damaged.npz")
    except InputError:
        return
    assert all(one.bodies.translation.isfinite().all() for one in found)
