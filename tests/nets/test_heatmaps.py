from itertools import product

import pytest
import torch

from bodyloop.nets.heatmaps import cell_centers, draw_gaussians, find_peaks, soft_argmax


def places(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 17, 2, generator=torch.Generator().manual_seed(seed)) * 1.4 - 0.7


def test_what_is_drawn_is_found():
    """To a tenth of a cell, which is 2 / 28 wide."""
    truth = places(5)
    found, height = find_peaks(draw_gaussians(truth, torch.ones(5, 17), 28))
    assert (found - truth).abs().max() < 0.1 * 2 / 28
    assert (height > 0.75).all()


def test_the_middle_of_a_cell_is_exact():
    cells = cell_centers(16, torch.zeros(1))
    truth = torch.stack([cells[5], cells[9]]).expand(1, 1, 2)
    found, height = find_peaks(draw_gaussians(truth, torch.ones(1, 1), 16))
    assert torch.allclose(found, truth, atol=1e-6)
    assert torch.allclose(height, torch.ones(1, 1))


def test_x_runs_along_rows_and_crop_edges_are_one():
    maps = torch.zeros(1, 8, 8)
    maps[0, 2, 7] = 1.0
    assert torch.allclose(find_peaks(maps)[0], torch.tensor([[7 / 8, -3 / 8]]))
    assert torch.allclose(cell_centers(4, maps), torch.tensor([-0.75, -0.25, 0.25, 0.75]))


def test_unseen_and_empty_maps():
    maps = draw_gaussians(places(2), torch.zeros(2, 17), 8)
    assert (maps == 0).all()
    found, height = find_peaks(maps - 1)
    assert torch.isfinite(found).all()
    assert (height == 0).all()


def test_far_bumps_do_not_pull():
    truth = torch.tensor([[[-0.5, -0.5]]])
    bump = 0.8 * draw_gaussians(-truth, torch.ones(1, 1), 28)
    one = draw_gaussians(truth, torch.ones(1, 1), 28)
    assert torch.allclose(find_peaks(one)[0], find_peaks(one + bump)[0], atol=1e-4)


def test_gradients_against_finite_differences():
    maps = draw_gaussians(places(1), torch.ones(1, 17), 10)[:, :2].double().clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda m: find_peaks(m)[0], maps, atol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_soft_argmax_is_the_mean_place_of_the_softmax(dims: int):
    """Beside a loop over all cells, in float64."""
    sizes = (3, 4, 5)[-dims:]
    g = torch.Generator().manual_seed(dims)
    logits = torch.randn(2, 3, *sizes, generator=g, dtype=torch.float64)
    shares = logits.flatten(-dims).softmax(-1).unflatten(-1, sizes)
    wanted = torch.zeros(2, 3, dims, dtype=torch.float64)
    for cell in product(*map(range, sizes)):
        place = [(2 * i + 1) / size - 1 for i, size in zip(cell, sizes, strict=True)][::-1]
        wanted += shares[(..., *cell)][..., None] * torch.tensor(place, dtype=torch.float64)
    torch.testing.assert_close(soft_argmax(logits, dims), wanted)


def test_soft_argmax_follows_peaks_and_mirrors():
    logits = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    mirrored = soft_argmax(logits.flip(-1))
    torch.testing.assert_close(mirrored, soft_argmax(logits) * torch.tensor([-1.0, 1.0]))
    logits[..., 6, 1] = 100.0
    torch.testing.assert_close(soft_argmax(logits)[0, 0], torch.tensor([3 / 8 - 1, 13 / 8 - 1]))
