import torch
import trimesh

from bodyloop.geometry import Camera
from bodyloop.raster import downsample, interpolate, lit_colors, rasterize, supersampled, vertex_normals

CAMERA = Camera.from_focal(40, 30, 24)


def _sphere():
    mesh = trimesh.creation.icosphere(subdivisions=2)
    return torch.tensor(mesh.vertices).float() + torch.tensor([0, 0, 3.0]), torch.tensor(mesh.faces)


def test_interpolated_places_lie_on_their_pixels_rays():
    vertices, faces = _sphere()
    out = rasterize(vertices, faces, CAMERA)
    places = interpolate(out, faces, vertices)
    y, x = out.mask.nonzero().T
    seen = places[out.mask]
    torch.testing.assert_close(CAMERA.project(seen), torch.stack([x, y], -1).float(), rtol=0, atol=1e-3)
    torch.testing.assert_close(seen[:, 2], out.depth[out.mask])
    assert (places[~out.mask] == 0).all()


def test_compiled_and_tensor_ways_agree_for_shared_and_own_attributes():
    vertices, faces = _sphere()
    batch = torch.stack([vertices, vertices + torch.tensor([0.3, 0.1, 1.0])])
    out = rasterize(batch, faces, CAMERA)
    for table in (torch.rand(len(vertices), 5), torch.rand(2, len(vertices), 5)):
        quick = interpolate(out, faces, table, background=-1.0)
        slow = interpolate(out, faces, table.double(), background=-1.0)
        assert quick.shape == (2, 24, 30, 5)
        torch.testing.assert_close(quick, slow.float())
        own = table if table.ndim == 2 else table[1]
        single = rasterize(batch[1], faces, CAMERA)
        torch.testing.assert_close(quick[1], interpolate(single, faces, own, background=-1.0))


def test_gradients_reach_the_attributes():
    vertices, faces = _sphere()
    out = rasterize(vertices, faces, Camera.from_focal(6, 5, 4))
    table = torch.rand(len(vertices), 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: interpolate(out, faces, t), table)


def test_normals_of_a_sphere_point_outwards():
    vertices, faces = _sphere()
    torch.testing.assert_close(
        vertex_normals(vertices, faces), vertices - torch.tensor([0, 0, 3.0]), atol=0.03, rtol=0
    )
    lonely = torch.cat([vertices, torch.ones(1, 3)])
    assert (vertex_normals(lonely, faces)[-1] == 0).all()


def test_light_comes_from_the_camera_and_from_above():
    vertices, faces = _sphere()
    normals = vertex_normals(vertices, faces)
    lit = lit_colors(vertices, normals, torch.tensor([0.8, 0.6, 0.4]))
    assert lit.min() >= 0
    assert lit.max() <= 1
    offset = vertices - torch.tensor([0, 0, 3.0])
    front, rim = offset[:, 2] < -0.9, (offset[:, 2].abs() < 0.1) & (offset[:, 1] > 0)
    assert lit[front].mean() > lit[rim].mean() + 0.05
    top, bottom = (offset[:, 1] < -0.5) & (offset[:, 2] < -0.3), (offset[:, 1] > 0.5) & (offset[:, 2] < -0.3)
    assert lit[top].mean() > lit[bottom].mean()


def test_samples_lie_evenly_within_their_pixel():
    fine = supersampled(CAMERA, 2)
    point = torch.tensor([[0.3, -0.2, 2.0]])
    x, y = CAMERA.project(point)[0]
    torch.testing.assert_close(fine.project(point)[0], torch.stack([2 * x + 0.5, 2 * y + 0.5]))
    ramp = torch.arange(8.0).reshape(1, 8, 1).expand(4, 8, 1)
    assert downsample(ramp, 2)[..., 0].tolist() == [[0.5, 2.5, 4.5, 6.5]] * 2
    assert downsample(ramp, 1) is ramp
