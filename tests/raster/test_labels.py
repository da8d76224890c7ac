"""Maps of a drawn body: what they say of a pixel is true of the surface that the pixel sees."""

import pytest
import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.body.atlas import Atlas, builtin_atlas
from bodyloop.body.parts import face_parts
from bodyloop.geometry import Camera
from bodyloop.raster import Fragments, interpolate, rasterize
from bodyloop.raster.labels import depth_map, iuv_map, normal_map, part_map, pncc_map
from made_up import random_bodies

CAMERA = Camera.from_focal(400, 160, 200)


@pytest.fixture(scope="module")
def vertices(body: BodyModel) -> torch.Tensor:
    return body.vertices(random_bodies(2, dtype=torch.float32))


@pytest.fixture(scope="module")
def fragments(body: BodyModel, vertices: torch.Tensor) -> Fragments:
    drawn = rasterize(vertices, body.faces, CAMERA)
    assert drawn.mask.sum() > 3000
    return drawn


def test_iuv_leads_back_to_the_point_that_was_seen(body: BodyModel, vertices, fragments):
    atlas = builtin_atlas()
    iuv = iuv_map(fragments, atlas)
    assert iuv.shape == (2, 200, 160, 3)
    assert (iuv[~fragments.mask] == 0).all()
    seen = interpolate(fragments, body.faces, vertices)
    for one in range(2):
        mask = fragments.mask[one]
        corners, weights = atlas.locate(*iuv[one][mask].T)
        found = (vertices[one][corners] * weights[..., None]).sum(1)
        assert (found - seen[one][mask]).norm(dim=1).max() < 2e-3


def test_iuv_stays_within_the_charts(fragments):
    iuv = iuv_map(fragments, builtin_atlas())[fragments.mask]
    assert set(iuv[:, 0].tolist()) <= set(range(1, 25))
    assert iuv[:, 1:].min() >= 0
    assert iuv[:, 1:].max() <= 1


def test_parts_are_those_of_the_faces(body: BodyModel, fragments):
    labels = face_parts(body, "densepose")
    found = part_map(fragments, labels)
    assert found.dtype == labels.dtype
    assert torch.equal(found[fragments.mask], labels[fragments.face_id[fragments.mask].long()])
    assert (found[~fragments.mask] == -1).all()
    assert (part_map(fragments, labels, background=99)[~fragments.mask] == 99).all()


def test_pncc_is_the_place_on_the_mean_body(body: BodyModel, fragments):
    pncc = pncc_map(fragments, body)
    assert pncc.min() >= 0
    assert pncc.max() <= 1
    low, high = body.v_template.amin(0), body.v_template.amax(0)
    place = interpolate(fragments, body.faces, body.v_template)[fragments.mask]
    torch.testing.assert_close(low + pncc[fragments.mask] * (high - low), place, rtol=0, atol=1e-5)
    assert (pncc[~fragments.mask] == 0).all()


def test_pncc_of_the_mean_body_runs_along_the_image(body: BodyModel):
    pose = torch.zeros(72)
    pose[0] = torch.pi
    standing = body.vertices(Bodies.from_smpl(pose, None, torch.tensor([0.0, 0, 4])))
    drawn = rasterize(standing, body.faces, CAMERA)
    y, x = drawn.mask.nonzero().T
    code = pncc_map(drawn, body)[drawn.mask]
    assert torch.corrcoef(torch.stack([code[:, 0], x.float()]))[0, 1] > 0.99, (
        "left of the body is right of the image"
    )
    assert torch.corrcoef(torch.stack([code[:, 1], y.float()]))[0, 1] < -0.99


def test_normals_face_the_camera(body: BodyModel, vertices, fragments):
    normals = normal_map(fragments, body.faces, vertices)
    torch.testing.assert_close(normals.norm(dim=-1), fragments.mask.float())
    assert (normals[fragments.mask][:, 2] < 0).float().mean() > 0.9


def test_depth_has_a_finite_background(fragments):
    depth = depth_map(fragments)
    assert torch.equal(depth[fragments.mask], fragments.depth[fragments.mask])
    assert (depth[~fragments.mask] == 0).all()
    assert (depth_map(fragments, 9.0)[~fragments.mask] == 9).all()


def test_one_mesh_is_as_one_of_a_batch(body: BodyModel, vertices, fragments):
    single, atlas = rasterize(vertices[1], body.faces, CAMERA), builtin_atlas()
    assert torch.equal(iuv_map(single, atlas), iuv_map(fragments, atlas)[1])
    assert torch.equal(pncc_map(single, body), pncc_map(fragments, body)[1])
    assert torch.equal(
        normal_map(single, body.faces, vertices[1]), normal_map(fragments, body.faces, vertices)[1]
    )


def test_labels_of_another_mesh_are_refused(body: BodyModel, fragments):
    with pytest.raises(ValueError, match="labels of 10 faces"):
        part_map(fragments, face_parts(body)[:10])
    atlas = builtin_atlas()
    with pytest.raises(ValueError, match="labels of 10 faces"):
        iuv_map(fragments, Atlas(atlas.faces[:10], atlas.charts[:10], atlas.uv[:10]))
