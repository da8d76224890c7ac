import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bodyloop.geometry import Camera
from bodyloop.raster import NEAR, rasterize, zbuffer
from bodyloop.raster.tensors import draw_meshes

sys.path.insert(0, str(Path(__file__).parent))
from raycast import raycast

CAMERA = Camera.from_focal(60, 48, 40)


@pytest.fixture(params=["compiled loops", "tensor operations"], autouse=True)
def way(request, monkeypatch):
    """Every test runs both ways, whatever the device."""
    if request.param == "tensor operations":
        monkeypatch.setattr(zbuffer, "_draw", draw_meshes)


def _sphere(subdivisions=2, radius=0.8, place=(0.1, -0.05, 3.0)):
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return torch.tensor(mesh.vertices) + torch.tensor(place, dtype=torch.float64), torch.tensor(mesh.faces)


def _decided(vertices, faces, camera):
    """Ray-cast ids, and where they are the same for rays a hundredth of a pixel around."""
    ids, weights, depth = raycast(vertices, faces, camera, NEAR)
    same = np.ones(ids.shape, bool)
    for shift in ((0.01, 0.004), (-0.004, 0.01), (-0.01, -0.004), (0.004, -0.01)):
        same &= raycast(vertices, faces, camera, NEAR, shift)[0] == ids
    return ids, weights, depth, same


def test_agrees_with_the_ray_caster_on_jumbled_shapes():
    rng = np.random.default_rng(0)
    total = agreed = 0
    for seed in range(4):
        parts = [_sphere(2, 0.5, rng.normal(size=3) * [0.6, 0.5, 0.5] + [0, 0, 2.5]) for _ in range(3)]
        box = trimesh.creation.box(extents=rng.uniform(0.5, 2, 3))
        box.apply_transform(trimesh.transformations.random_rotation_matrix(rng.uniform(size=3)))
        parts.append((torch.tensor(box.vertices) + torch.tensor([0, 0, 2.0]), torch.tensor(box.faces)))
        first = np.cumsum([0] + [len(v) for v, _ in parts])
        vertices = torch.cat([v for v, _ in parts])
        faces = torch.cat([f + n for (_, f), n in zip(parts, first, strict=False)])
        out = rasterize(vertices, faces, CAMERA)
        ids, weights, depth = raycast(vertices.numpy(), faces.numpy(), CAMERA, NEAR)
        same = out.face_id.numpy() == ids
        total, agreed = total + same.size, agreed + same.sum()
        np.testing.assert_allclose(out.depth.numpy()[same], depth[same], rtol=1e-4, err_msg=str(seed))
        np.testing.assert_allclose(out.barycentric.numpy()[same], weights[same], atol=1e-3)
    assert agreed / total >= 0.995


corner = st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(-1.5, 3))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(corner, corner, corner), min_size=1, max_size=4))
def test_random_triangles_also_behind_the_camera(triangles):
    vertices = np.array(triangles, np.float64).reshape(-1, 3)
    faces = np.arange(len(vertices)).reshape(-1, 3)
    a, b, c = vertices.reshape(-1, 3, 3).transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1)
    assume((length > 1e-3).all())
    assume((np.abs((normal * a).sum(1)) > 0.01 * length).all())  # not seen edge-on
    # A crooked camera: round coordinates shall not fall on pixel centres, where ties are decided by rule.
    camera = Camera(torch.tensor([13.91, 14.13]), torch.tensor([8.137, 5.713]), (17, 13))
    out = rasterize(torch.tensor(vertices), torch.tensor(faces), camera)
    ids, weights, depth, decided = _decided(vertices, faces, camera)
    np.testing.assert_array_equal(out.face_id.numpy()[decided], ids[decided])
    # Crossing faces may be equally deep at a pixel; elsewhere depth and weights follow.
    hit = decided & (ids >= 0)
    np.testing.assert_allclose(out.depth.numpy()[hit], depth[hit], rtol=1e-3)
    np.testing.assert_allclose(out.barycentric.numpy()[hit], weights[hit], atol=2e-3)


def test_depth_of_a_sphere_is_the_analytic_one():
    vertices, faces = _sphere(5)
    out = rasterize(vertices, faces, CAMERA)
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(48.0), indexing="ij")
    rays = CAMERA.unproject(torch.stack([x, y], -1).flatten(0, 1), torch.ones(40 * 48)).double()
    center = torch.tensor([0.1, -0.05, 3.0], dtype=torch.float64)
    b, a = rays @ center, (rays**2).sum(-1)
    root = b**2 - a * (center @ center - 0.64)
    depth = ((b - root.clamp_min(0).sqrt()) / a).reshape(40, 48)
    inside = root.reshape(40, 48) > 0.05
    assert out.mask[inside].all()
    assert not out.mask[root.reshape(40, 48) < 0].any()
    torch.testing.assert_close(out.depth[inside], depth[inside].float(), rtol=0, atol=2e-3)


def test_floor_that_runs_under_and_behind_the_camera():
    floor = torch.tensor([[-500.0, 1, -300], [500, 1, -300], [500, 1, 900], [-500, 1, 900]])
    out = rasterize(floor, torch.tensor([[0, 1, 2], [0, 2, 3]]), CAMERA)
    rows = torch.arange(40.0)
    depth = 60 / (rows - 19.5)
    below = (depth > 0) & (depth < 899)
    assert out.mask[below].all()
    assert not out.mask[~below].any()
    torch.testing.assert_close(out.depth[below], depth[below, None].expand(-1, 48), rtol=1e-4, atol=1e-4)
    x = (torch.arange(48.0) - 23.5) / 60 * out.depth
    place = (
        floor[torch.tensor([[0, 1, 2], [0, 2, 3]])][out.face_id.long()] * out.barycentric[..., None]
    ).sum(-2)
    torch.testing.assert_close(place[below][..., 0], x[below], rtol=1e-3, atol=2e-3)


def test_each_pixel_of_a_closed_surface_is_hit_once_from_the_front():
    vertices, faces = _sphere(2)
    camera = Camera.from_focal(200, 160, 128)
    counts = torch.zeros(128, 160, dtype=torch.int64)
    for face in faces:
        counts += rasterize(vertices, face[None], camera, cull=True).mask
    mask = rasterize(vertices, faces, camera).mask
    assert set(counts.unique().tolist()) == {0, 1}
    assert torch.equal(counts == 1, mask)
    for line in [*mask, *mask.T]:  # a convex outline: no holes
        where = line.nonzero()
        assert len(where) == 0 or len(where) == where.max() - where.min() + 1


def test_top_left_rule_on_pixel_centres():
    square = torch.tensor([[2.0, 2], [5, 2], [5, 5], [2, 5]])
    camera = Camera(torch.ones(2), torch.zeros(2), (8, 8))
    vertices = torch.cat([square, torch.ones(4, 1)], 1)
    both = torch.tensor([[0, 1, 2], [0, 2, 3]])
    out = rasterize(vertices, both, camera)
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[2:5, 2:5] = True
    assert torch.equal(out.mask, expected)
    alone = [rasterize(vertices, face[None], camera).mask.int() for face in both]
    assert torch.equal(alone[0] + alone[1], expected.int())
    assert torch.equal(rasterize(vertices, both.flip(1), camera).mask, expected)  # whatever the winding


gap, length = st.floats(1.7, 2.6), st.floats(2e3, 3e4)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 15), st.floats(0, 11), st.booleans(), st.floats(0, 7), gap, gap, st.tuples(*[length] * 3))
def test_a_fan_covers_each_pixel_once_however_long_its_edges(x, y, on_centre, start, second, third, lengths):
    if on_centre:
        x, y = round(x), round(y)
    angles = np.cumsum([start, second, third])
    outer = np.stack([np.cos(angles), np.sin(angles), np.zeros(3)], -1) * np.array(lengths)[:, None]
    vertices = torch.tensor(np.vstack([np.zeros((1, 3)), outer])) + torch.tensor([x, y, 1.0]).double()
    camera = Camera(torch.ones(2), torch.zeros(2), (16, 12))
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1]])
    total = sum(rasterize(vertices, face[None], camera).mask.int() for face in faces)
    assert (total == 1).all()


def test_batches_equal_single_meshes_and_keep_their_dimensions():
    vertices, faces = _sphere(1)
    batch = vertices + torch.randn(2, 3, 1, 3, generator=torch.Generator().manual_seed(0)) * 0.3
    focal = torch.tensor([[50.0, 50], [60, 60], [80, 70]]).expand(2, 3, 2)
    camera = Camera(focal, torch.tensor([20.0, 18]).expand(2, 3, 2), (44, 36))
    out = rasterize(batch.float(), faces, camera)
    assert out.face_id.shape == (2, 3, 36, 44)
    assert out.barycentric.shape == (2, 3, 36, 44, 3)
    for i in range(2):
        for j in range(3):
            one = rasterize(
                batch[i, j].float(), faces.int(), Camera(focal[i, j], camera.center[i, j], (44, 36))
            )
            assert torch.equal(one.face_id, out.face_id[i, j])
            assert torch.equal(one.depth, out.depth[i, j])


def test_a_window_is_a_part_of_the_picture():
    vertices, faces = _sphere(3)
    full = rasterize(vertices, faces, CAMERA)
    part = rasterize(vertices, faces, Camera(CAMERA.focal, CAMERA.center - torch.tensor([10.0, 7]), (20, 9)))
    assert (part.face_id == full.face_id[7:16, 10:30]).float().mean() > 0.999


def test_culling_leaves_the_front_of_a_closed_surface():
    vertices, faces = _sphere(2)
    assert torch.equal(
        rasterize(vertices, faces, CAMERA).face_id, rasterize(vertices, faces, CAMERA, cull=True).face_id
    )
    inner = rasterize(vertices, faces.flip(1), CAMERA, cull=True)  # turned inside out: the far wall
    outer = rasterize(vertices, faces, CAMERA)
    assert (inner.mask == outer.mask).float().mean() > 0.99
    assert (inner.depth > outer.depth)[inner.mask & outer.mask].all()


def test_nothing_to_see():
    vertices, faces = _sphere(1)
    for v, f in ((vertices, faces[:0]), (vertices - torch.tensor([0, 0, 9.0]), faces), (vertices * 0, faces)):
        out = rasterize(v, f, CAMERA)
        assert not out.mask.any()
        assert (out.barycentric == 0).all()
        assert torch.isinf(out.depth).all()
    assert rasterize(vertices[None][:0], faces, CAMERA).face_id.shape == (0, 40, 48)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vertices": torch.full((3, 3), torch.nan)}, "NaN"),
        ({"vertices": torch.zeros(3, 2)}, "V, 3"),
        ({"faces": torch.tensor([[0, 1, 3]])}, "name vertices"),
        ({"faces": torch.tensor([[0, -1, 2]])}, "name vertices"),
        ({"near": 0.0}, "near"),
    ],
)
def test_bad_input_is_named(change, message):
    good = {"vertices": torch.rand(3, 3), "faces": torch.tensor([[0, 1, 2]]), "near": NEAR}
    with pytest.raises(ValueError, match=message):
        rasterize(camera=CAMERA, **{**good, **change})
