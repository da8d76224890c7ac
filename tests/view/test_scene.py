import math

import numpy as np
import pytest
import torch
from made_up_scene import LENS, ball_scene, one_dot, standing

from bodyloop.body import PARTITIONS
from bodyloop.view.scene import Figure, Moment, Scene, Viewpoint, field_of_view, part_colors


def project(places):
    return LENS.project(torch.from_numpy(np.asarray(places)).float()).numpy()


def test_the_camera_sees_the_picture_where_it_was(ball):
    corners = ball_scene(ball).backdrop(0)
    width, height = LENS.size
    want = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
    np.testing.assert_allclose(project(corners), want, atol=1e-3)


def test_the_picture_stands_behind_everybody(ball):
    scene = ball_scene(ball, video=False)
    for i in range(len(scene.moments)):
        surface = [ball.vertices(scene.figures[a].bodies[r : r + 1]) for a, r in scene.cast[i]]
        assert scene.backdrop(i)[0, 2] > max(float(vertices[..., 2].max()) for vertices in surface)


def test_the_picture_of_a_video_stands_still(ball):
    depths = {float(ball_scene(ball).backdrop(i)[0, 2]) for i in range(3)}
    assert len(depths) == 1
    assert len({float(ball_scene(ball, video=False).backdrop(i)[0, 2]) for i in range(3)}) == 3


def test_dots_cover_their_pixels_before_the_body(ball):
    scene = ball_scene(ball)
    [dots] = scene.dots(1)
    assert dots.person == "anna"
    np.testing.assert_allclose(project(dots.places), scene.moments[1].evidence.keypoints[0, :1], atol=1e-3)
    nearest = ball.vertices(scene.figures[0].bodies)[1, :, 2].min()
    assert 0 < dots.places[0, 2] < nearest
    assert len(dots.limbs) == 0


def test_limbs_join_seen_keypoints_alone(ball):
    evidence = one_dot((0.0, 0.0, 3.0), "anna")
    names = evidence.skeleton.keypoints
    for name in ("left_shoulder", "left_elbow", "right_wrist"):
        evidence.confidence[0, names.index(name)] = 0.5
    figure = Figure("anna", 0, (0,), standing((0.0, 0.0, 3.0)), ("",))
    [dots] = Scene("", ball, (Moment("", 0.0, LENS, None, evidence),), (figure,)).dots(0)
    assert len(dots.places) == 4
    ends = {names[i] for i, c in enumerate(evidence.confidence[0]) if c > 0}
    assert ends == {"nose", "left_shoulder", "left_elbow", "right_wrist"}
    [(a, b)] = dots.limbs.tolist()
    assert {a, b} == {1, 2}  # the shoulder and the elbow, second and third of those seen
    assert dots.colors[1].tolist() == dots.colors[2].tolist() != dots.colors[3].tolist()


def test_nobody_has_dots_without_a_body(ball):
    moment = Moment("", 0.0, LENS, None, one_dot((0.0, 0.0, 3.0), "ben"))
    assert Scene("", ball, (moment,), ()).dots(0) == []


def test_hypotheses_stand_side_by_side(ball):
    places = [(0.0, 0.0, 3.0), (0.9, 0.0, 4.0), (0.1, 0.0, 3.2), (1.5, 0.0, 3.1)]
    figures = tuple(
        Figure("ab"[i % 2], i % 2, (0,), standing(place), ("",), chosen=i < 2)
        for i, place in enumerate(places)
    )
    scene = Scene("", ball, (Moment("", 0.0, LENS),), figures)
    steps = scene.shifts(0)
    assert (steps[:2] == 0).all()
    assert (steps[:, 1:] == 0).all()
    middles = np.array([x for x, _, _ in places]) + steps[:, 0]
    assert (np.diff(middles[1:]) >= 0.6).all()  # no two of these balls overlap, seen from anywhere


def test_the_cameras_view_holds_the_picture_and_turns_about_the_people(ball):
    scene = ball_scene(ball)
    view = scene.viewpoint(1)
    assert (view.eye == 0).all()
    np.testing.assert_allclose(
        np.cross(view.target, scene.backdrop(1).mean(0)), 0, atol=1e-9
    )  # on the ray through the picture's middle
    assert view.target[2] == pytest.approx(np.mean([3.4, 3.9]), abs=0.02)
    assert view.up.tolist() == [0, -1, 0]


def test_hypotheses_side_by_side_are_all_in_sight(ball):
    scene = ball_scene(ball)
    empty = Scene("", ball, (Moment("", 0.0, None),), (), axes="world")
    for moment in (1, 2):
        wide = scene.viewpoint(moment, others=True)
        row = [ball.vertices(scene.figures[i].bodies)[at].numpy() + step
               for (i, at), step in zip(scene.cast[moment], scene.shifts(moment), strict=True)]  # fmt: skip
        assert (wide.eye == 0).all()
        for places in row:
            seen = Viewpoint(wide.eye, wide.target, wide.up, places)
            assert field_of_view(seen, 1.3) < field_of_view(wide, 1.3)
    assert empty.viewpoint(0, others=True).corners.shape == (8, 3)


@pytest.mark.parametrize("aspect", [0.5, 1.0, 2.5])
def test_the_field_of_view_is_the_least_that_holds_all_corners(aspect):
    z = 2.0
    corners = np.array([[-1, -0.5, z], [1, -0.5, z], [1, 0.5, z], [-1, 0.5, z]], float)
    view = Viewpoint(np.zeros(3), np.array([0, 0, 1.0]), np.array([0, -1.0, 0]), corners)
    half = math.tan(field_of_view(view, aspect) / 2)
    assert half == pytest.approx(max(0.25, 0.5 / aspect))
    turn = np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]])
    turned = Viewpoint(turn @ view.eye + 3, turn @ view.target + 3, turn @ view.up, corners @ turn.T + 3)
    assert field_of_view(turned, aspect) == pytest.approx(field_of_view(view, aspect))


def test_without_a_camera_people_are_seen_from_the_front(ball):
    figure = Figure("a", 0, (0,), standing((5.0, 1.0, -2.0)), ("",))
    for axes, side in (("world", 1), ("camera", -1)):
        scene = Scene("", ball, (Moment("", 0.0, None),), (figure,), axes=axes)
        view = scene.viewpoint(0)
        assert scene.backdrop(0) is None
        np.testing.assert_allclose(view.target, [5, 1, -2], atol=0.05)
        assert (view.eye - view.target)[2] * side > 0
        assert view.up[1] == side
        assert 0 < field_of_view(view, 1.5) < math.radians(120)


def test_a_moment_without_people_has_its_picture(ball):
    scene = Scene("", ball, (Moment("", 0.0, LENS),), ())
    assert scene.backdrop(0).shape == (4, 3)
    assert scene.viewpoint(0).target[2] > 0
    assert Scene("", ball, (Moment("", 0.0, None),), ()).viewpoint(0).corners.shape == (8, 3)


def test_scenes_are_checked(ball):
    with pytest.raises(ValueError, match="at least one moment"):
        Scene("", ball, (), ())
    for moments, names in (((0, 1), ("",)), ((3,), ("",)), ((), ())):
        figure = Figure("a", 0, moments, standing((0.0, 0.0, 3.0))[: len(names)], names)
        with pytest.raises(ValueError, match="as many bodies"):
            Scene("", ball, (Moment("", 0.0, LENS),), (figure,))


def test_hypotheses_are_greyer():
    chosen = Figure("a", 1, (0,), standing((0.0, 0.0, 3.0)), ("",))
    other = Figure("a", 1, (0,), standing((0.0, 0.0, 3.0)), ("",), chosen=False)
    assert max(chosen.color) - min(chosen.color) > max(other.color) - min(other.color)


@pytest.mark.parametrize("name", sorted(PARTITIONS))
def test_parts_have_colours_of_their_own(name):
    parts = PARTITIONS[name].parts
    colors = np.array(part_colors(parts))
    assert ((colors >= 0) & (colors <= 1)).all()
    assert len({tuple(np.round(255 * color)) for color in colors}) == len(parts)
