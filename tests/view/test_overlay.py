import dataclasses
import importlib.resources

import numpy as np
import pytest
import torch

from bodyloop.body import Bodies, get_skeleton, load_body
from bodyloop.evidence import Evidence
from bodyloop.geometry import Camera
from bodyloop.view import overlay, side_view

CAMERA = Camera.from_focal(160, 120, 90)
GREY = np.full((90, 120, 3), 128, np.uint8)


def _at(*places):
    return dataclasses.replace(
        Bodies.rest(len(places)), translation=torch.tensor(places, dtype=torch.float32)
    )


def _changed(picture, ground=GREY):
    return (picture != ground).any(-1)


def _middle(mask):
    y, x = np.nonzero(mask)
    return x.mean(), y.mean()


def test_people_appear_where_the_camera_sees_them(ball):
    picture = overlay(GREY, ball, _at([-0.4, -0.3, 3.0]), CAMERA)
    x, y = CAMERA.project(torch.tensor([[-0.4, -0.3, 3.0]]))[0].tolist()
    found = _middle(_changed(picture))
    assert abs(found[0] - x) < 1
    assert abs(found[1] - y) < 1
    radius = (_changed(picture).sum() / np.pi) ** 0.5
    assert abs(radius - 0.3 / 3 * 160) < 1
    assert (GREY == 128).all()


def test_the_nearer_person_hides_the_other_in_any_order(ball):
    near, far = [0.0, 0, 2.0], [0.15, 0, 3.0]
    first = overlay(GREY, ball, _at(near, far), CAMERA)[45, 60].astype(int)
    second = overlay(GREY, ball, _at(far, near), CAMERA)[45, 60].astype(int)
    alone = overlay(GREY, ball, _at(near), CAMERA)[45, 60].astype(int)
    assert abs(first - alone).max() <= 1  # the near one has the first colour
    assert abs(second - alone).max() > 20  # and here the second


def test_opacity(ball):
    people = _at([0.0, 0, 2.0])
    assert not _changed(overlay(GREY, ball, people, CAMERA, alpha=0.0)).any()
    half, full = (overlay(GREY, ball, people, CAMERA, alpha=a)[45, 60].astype(float) for a in (0.5, 1.0))
    np.testing.assert_allclose(half, (full + 128) / 2, atol=1)


def test_rims_are_smooth(ball):
    picture = overlay(np.zeros_like(GREY), ball, _at([0.0, 0, 2.0]), CAMERA, alpha=1.0)
    inside = picture[45, 60].max()
    rim = picture.max(-1)
    assert ((rim > 0) & (rim < inside * 0.3)).any()


def test_people_out_of_sight_behind_or_broken_are_left_out(ball):
    people = _at([9.0, 0, 3], [0, 0, -3], [float("nan"), 0, 3], [0, 0, 3])
    picture = overlay(GREY, ball, people, CAMERA)
    fourth = overlay(GREY, ball, _at([9.0, 0, 3], [9.0, 0, 3], [9.0, 0, 3], [0, 0, 3]), CAMERA)
    np.testing.assert_array_equal(picture, fourth)  # and everyone keeps their colour
    assert not _changed(overlay(GREY, ball, people[:3], CAMERA)).any()
    assert not _changed(overlay(GREY, ball, people[:0], CAMERA)).any()


def test_a_person_around_the_camera_does_not_break_the_picture(ball):
    assert _changed(overlay(GREY, ball, _at([0, 0, 0.1]), CAMERA)).all()


def test_bands_leave_no_seams(ball, monkeypatch):
    people = _at([-0.2, 0, 2.0], [0.2, 0.1, 2.3])
    whole = overlay(GREY, ball, people, CAMERA)
    monkeypatch.setattr("bodyloop.view.render.BAND_PIXELS", 1000)
    np.testing.assert_allclose(overlay(GREY, ball, people, CAMERA).astype(int), whole, atol=2)


def test_only_observed_keypoints_are_drawn(ball):
    skeleton = get_skeleton("coco17")
    points = torch.full((1, 17, 2), 20.0)
    points[0, 0] = torch.tensor([80.0, 70])
    confidence = torch.zeros(1, 17)
    confidence[0, 0] = 0.9
    evidence = Evidence.from_keypoints(skeleton, points, confidence)
    found = _changed(overlay(GREY, ball, _at([9.0, 0, 3]), CAMERA, evidence))
    assert np.hypot(*(np.array(_middle(found)) - [80, 70])) < 0.6
    confidence[0, 5:7] = 1.0
    points[0, 5:7] = torch.tensor([[10.0, 10], [10, 60]])
    limb = overlay(
        GREY, ball, _at([9.0, 0, 3]), CAMERA, Evidence.from_keypoints(skeleton, points, confidence)
    )
    assert (limb[35, 10] > 200).all()
    np.testing.assert_array_equal(limb[10, 10], [235, 94, 85])  # a left shoulder


def test_wrong_photos_and_cameras_are_refused(ball):
    people = _at([0, 0, 3])
    for photo in (GREY[:, :60], GREY[..., 0], GREY / 255.0):
        with pytest.raises(ValueError, match="photo of the camera's size"):
            overlay(photo, ball, people, CAMERA)
    two = Camera(torch.tensor([[100.0, 100], [200, 200]]), CAMERA.center.expand(2, 2), CAMERA.size)
    with pytest.raises(ValueError, match="one camera"):
        overlay(GREY, ball, people, two)
    same = overlay(GREY, ball, people, CAMERA.expand(2))
    np.testing.assert_array_equal(same, overlay(GREY, ball, people, CAMERA))


def test_from_the_side_the_nearer_person_stands_on_the_left(ball):
    people = _at([0, 0, 2.0], [0, 0, 4.0])
    picture = side_view(ball, people, (200, 150)).astype(int)
    assert picture.shape == (150, 200, 3)
    blue = picture[..., 2] - picture[..., 0] > 40
    orange = picture[..., 0] - picture[..., 2] > 40
    assert _middle(blue)[0] < 80 < 120 < _middle(orange)[0]
    back = side_view(ball, people, (200, 150), degrees=-90).astype(int)
    assert _middle(back[..., 2] - back[..., 0] > 40)[0] > 120


def test_the_side_view_holds_everyone_above_the_ground(ball):
    picture = side_view(ball, _at([0, 0, 2.0], [3, -1, 4.0], [-2, 0.4, 9.0]), (160, 200)).astype(int)
    coloured = np.ptp(picture, axis=-1) > 25
    assert coloured.sum() > 100
    assert not coloured[[0, -1]].any()
    assert not coloured[:, [0, -1]].any()
    assert (np.ptp(side_view(ball, _at([0, 0, 2.0])[:0], (20, 20)), axis=(0, 1)) == 0).all()


@pytest.mark.skipif(
    not importlib.resources.files("bodyloop.body").joinpath("assets/builtin_body.npz").is_file(),
    reason="the built-in body's file is not there",
)
def test_the_builtin_body_stands_upright_with_its_left_on_the_right():
    body = load_body()
    pose = torch.zeros(1, 72)
    pose[0, 0] = torch.pi  # facing the camera, upright
    person = Bodies.from_smpl(pose, None, torch.tensor([[0.0, 0.2, 3.0]]))
    places = CAMERA.project(body.joints(person))[0]
    joint = {name: places[i] for i, name in ((15, "head"), (7, "left_ankle"), (20, "left"), (21, "right"))}
    assert joint["head"][1] < joint["left_ankle"][1]
    assert joint["left"][0] > joint["right"][0]
    seen = _changed(overlay(GREY, body, person, CAMERA))
    for x, y in places[[0, 3, 6, 12, 4, 5]].round().long().tolist():
        assert seen[y, x]
