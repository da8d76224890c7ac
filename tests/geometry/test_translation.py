import torch

from bodyloop.geometry import look_at_points, solve_translation


def test_exact_translation_is_found():
    g = torch.Generator().manual_seed(0)
    points = torch.randn(30, 17, 3, generator=g, dtype=torch.float64) * 0.5
    trans = torch.randn(30, 3, generator=g, dtype=torch.float64) + torch.tensor([0, 0, 6.0])
    placed = points + trans[:, None]
    rays = placed[..., :2] / placed[..., 2:]
    weight = torch.rand(30, 17, generator=g, dtype=torch.float64)
    assert torch.allclose(solve_translation(points, rays, weight), trans, atol=2e-3)
    spoiled = rays.clone()
    spoiled[:, 3] = 7.0
    weight[:, 3] = 0
    assert torch.allclose(solve_translation(points, spoiled, weight), trans, atol=2e-3)


def test_degenerate_input_stays_finite():
    same = torch.zeros(2, 5, 3)
    assert torch.isfinite(solve_translation(same, torch.zeros(2, 5, 2), torch.ones(2, 5))).all()
    assert torch.isfinite(solve_translation(same, torch.zeros(2, 5, 2), torch.zeros(2, 5))).all()


def test_virtual_camera_undoes_where_the_person_stands():
    rays = torch.randn(4, 17, 2) * 0.1 + torch.tensor([0.5, -0.3])
    view = look_at_points(rays, torch.ones(4, 17, dtype=torch.bool))
    back = torch.cat([view.rays, torch.ones(4, 17, 1)], -1) @ view.turn.mT
    assert torch.allclose(back[..., :2] / back[..., 2:], rays, atol=1e-5)
    assert torch.allclose(torch.linalg.det(view.turn), torch.ones(4))
    assert view.rays.mean(1).norm(dim=-1).max() < 0.1  # the person is in the middle now
