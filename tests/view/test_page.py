import base64
import dataclasses
import io
import re

import numpy as np
import pytest
import torch
from made_up_scene import DISC, LENS, ball_scene, disc_picture, standing
from PIL import Image
from unpack import page_content, skinned, unpacked, unpacked_places

from bodyloop.body import Bodies, BodyModel
from bodyloop.errors import InputError
from bodyloop.view.glb import INFLUENCES, strongest
from bodyloop.view.page import FRAME_SIDE, PHOTO_SIDE, save_page, scene_page
from bodyloop.view.scene import Figure, Moment, Scene
from made_up import random_bodies, smpl_file_arrays


def people(count: int, names: tuple[str, ...] | None = None) -> tuple[Bodies, tuple[str, ...]]:
    return random_bodies(count, spread=0.2, dtype=torch.float32), names or ("",) * count


def test_a_body_at_one_moment_is_exact(body: BodyModel):
    bodies, names = people(1)
    page = scene_page(Scene("", body, (Moment("", 0.0, LENS),), (Figure("a", 0, (0,), bodies, names),)))
    header, data = page_content(page)
    [figure] = header["figures"]
    assert figure["motion"] is None
    assert header["skin"] is None
    np.testing.assert_allclose(unpacked_places(data, figure["places"]), body.vertices(bodies)[0], atol=2e-5)
    np.testing.assert_array_equal(unpacked(data, header["faces"]), body.faces)
    assert len(page) < 500_000  # a photo apart, somebody will send it by mail


def test_a_body_at_several_moments_moves_by_its_bones(body: BodyModel):
    bodies, names = people(3)
    bodies = Bodies(bodies.rotations, bodies.betas[:1].repeat(3, 1), bodies.translation)
    moments = tuple(Moment(str(i), i / 10, LENS) for i in range(4))
    page = scene_page(Scene("", body, moments, (Figure("a", 0, (0, 1, 3), bodies, names),), True))
    header, data = page_content(page)
    [figure] = header["figures"]
    assert figure["moments"] == [0, 1, 3]
    index, weight = (torch.from_numpy(x) for x in strongest(body.weights.numpy(), INFLUENCES))
    kept = torch.zeros_like(body.weights).scatter_add(1, index, weight.float())
    vertices = dataclasses.replace(body, weights=kept).vertices(bodies).numpy()
    for row in range(3):
        np.testing.assert_allclose(skinned(header, data, figure, row), vertices[row], atol=3e-4)


def test_a_changing_shape_becomes_its_mean_and_the_pelvis_stays(ball: BodyModel):
    bodies = standing((0.0, 0.0, 3.0), (0.5, 0.0, 3.0))
    shapes = torch.randn(len(ball.v_template), 3, 10, generator=torch.Generator().manual_seed(0)) * 0.01
    soft = BodyModel(
        "soft", ball.v_template, shapes, ball.weights, ball.joint_regressor, ball.faces, ball.parents
    )
    bodies.betas[1] = 2.0
    moments = (Moment("", 0.0, LENS), Moment("", 1.0, LENS))
    header, data = page_content(
        scene_page(Scene("", soft, moments, (Figure("", 0, (0, 1), bodies, ("", "")),)))
    )
    mean = Bodies(bodies.rotations, bodies.betas.mean(0).repeat(2, 1), bodies.translation)
    want = soft.vertices(mean) + (soft.joints(bodies) - soft.joints(mean))[:, :1]
    for row in range(2):
        np.testing.assert_allclose(skinned(header, data, header["figures"][0], row), want[row], atol=1e-4)


def test_pose_correctives_stay_at_one_moment():
    from bodyloop.body.files import _to_model

    own = _to_model(smpl_file_arrays(), "own")
    bodies, names = people(1)
    header, data = page_content(
        scene_page(Scene("", own, (Moment("", 0.0, LENS),), (Figure("", 0, (0,), bodies, names),)))
    )
    np.testing.assert_allclose(
        unpacked_places(data, header["figures"][0]["places"]), own.vertices(bodies)[0], atol=1e-4
    )


def test_pictures_and_dots_are_inside(ball: BodyModel):
    header, data = page_content(scene_page(ball_scene(ball)))
    assert [one["seconds"] for one in header["moments"]] == [0.0, 0.5, 1.0]
    for one in header["moments"]:
        image = Image.open(io.BytesIO(base64.b64decode(one["picture"].partition(",")[2])))
        assert image.size == LENS.size
        seen = np.abs(np.asarray(image.convert("RGB")).astype(int) - DISC).sum(-1) < 90
        assert seen.any()
        [dots] = one["dots"]
        assert unpacked(data, dots["places"]).shape == (1, 3)
        assert dots["limbs"] is None
    shifts = [figure["shifts"] for figure in header["figures"]]
    assert shifts[0] == [0, 0, 0]
    assert min(shifts[1]) > 0.6


@pytest.mark.parametrize("video", [False, True])
def test_large_pictures_shrink(ball: BodyModel, video: bool):
    pixels = np.zeros((900, 1800, 3), np.uint8)
    scene = Scene("", ball, (Moment("", 0.0, LENS, lambda: pixels),), (), video)
    url = page_content(scene_page(scene))[0]["moments"][0]["picture"]
    image = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert image.width == (FRAME_SIDE if video else PHOTO_SIDE)


def test_no_text_gets_out_of_its_place(ball: BodyModel):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    scene = Scene(
        evil, ball, (Moment(evil, 0.0, LENS),), (Figure(evil, 0, (0,), standing((0.0, 0.0, 3.0)), (evil,)),),
        notes=(evil,),
    )  # fmt: skip
    page = scene_page(scene)
    assert "<img" not in page
    assert page.count("</script>") == 4
    assert page_content(page)[0]["figures"][0]["captions"] == [evil]


def test_a_page_asks_nobody_for_anything(ball: BodyModel):
    page = scene_page(ball_scene(ball))
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:)?//", page)
    assert scene_page(ball_scene(ball)) == page  # the same scene gives the same bytes


def test_a_page_is_written_or_not(ball: BodyModel, tmp_path):
    save_page(tmp_path / "a.html", ball_scene(ball))
    assert page_content((tmp_path / "a.html").read_text())[0]["video"] is True
    with pytest.raises(InputError, match="cannot be written"):
        save_page(tmp_path / "no" / "a.html", ball_scene(ball))


def test_the_disc_is_where_the_ball_is():
    picture = disc_picture((0.0, 0.0, 3.0))
    y, x = np.nonzero((picture == DISC).all(-1))
    np.testing.assert_allclose([x.mean(), y.mean()], LENS.center, atol=0.5)
