import pytest
import torch

from bodyloop.geometry import Camera, WeakPerspective, default_focal


def test_unproject_inverts_project():
    camera = Camera.from_focal(900, 640, 480)
    points = torch.rand(7, 20, 3) + torch.tensor([0, 0, 2.0])
    pixels = camera.project(points)
    assert torch.allclose(camera.unproject(pixels, points[..., 2]), points, atol=1e-5)
    homogeneous = points @ camera.intrinsics().T
    assert torch.allclose(pixels, homogeneous[..., :2] / homogeneous[..., 2:], atol=1e-3)


def test_the_image_centre_is_between_the_middle_pixels():
    camera = Camera.from_focal(500, 640, 480)
    assert camera.project(torch.tensor([[0.0, 0, 3]])).tolist() == [[319.5, 239.5]]
    assert default_focal(3, 4) == 5


def test_focal_must_be_positive():
    with pytest.raises(ValueError, match="positive"):
        Camera.from_focal(0, 10, 10)
    with pytest.raises(ValueError, match=r"\(\.\.\., 2\)"):
        Camera(torch.ones(3), torch.ones(2), (1, 1))


def test_weak_perspective_round_trip_and_meaning():
    camera = Camera.from_focal(5000, 1000, 800)
    weak = WeakPerspective(torch.tensor([0.9, 0.5]), torch.tensor([[0.1, -0.2], [0.0, 0.3]]))
    center, size = torch.tensor([[300.0, 500], [700, 200]]), torch.tensor([224.0, 100])
    trans = weak.to_translation(camera, center, size)
    back = WeakPerspective.from_translation(trans, camera, center, size)
    assert torch.allclose(back.scale, weak.scale)
    assert torch.allclose(back.shift, weak.shift, atol=1e-5)
    # far from the camera, a flat body is seen where the weak camera says
    flat = torch.rand(2, 9, 3) * torch.tensor([1.0, 1, 0]) - 0.5
    flat[..., 2] = 0
    full = camera.expand(2).project(flat + trans[:, None])
    crop = (full - center[:, None]) / (size[:, None, None] / 2)
    assert torch.allclose(crop, weak.project(flat), atol=1e-3)


def test_efts_camera_scales_first():
    points = torch.rand(4, 5, 3)
    scale, shift = torch.rand(4) + 0.5, torch.rand(4, 2)
    spin = WeakPerspective.from_eft(scale, shift)
    assert torch.allclose(
        spin.project(points), scale[:, None, None] * points[..., :2] + shift[:, None], atol=1e-6
    )
