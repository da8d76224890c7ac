"""Differences over time and their bands."""

import pytest
import torch

from bodyloop.fit.smoothness import REFERENCE_FPS, band_of, banded_product, differenced, differences

EVEN = torch.arange(8, dtype=torch.float64)[None] / REFERENCE_FPS
UNEVEN = torch.tensor([[0.0, 0.02, 0.05, 0.07, 0.2, 0.21, 0.3, 0.4]], dtype=torch.float64)


@pytest.mark.parametrize("times", [EVEN, UNEVEN])
def test_what_stays_or_moves_on_evenly_has_no_differences(times: torch.Tensor):
    values = torch.stack([torch.ones_like(times), 2 + 3 * times, times.square() / 2], -1)
    first = differenced(differences(times, 1), values)
    second = differenced(differences(times, 2), values)
    assert first[..., 0].abs().max() < 1e-12
    assert first[..., 1].abs().min() > 0.01
    assert second[..., :2].abs().max() < 1e-10


def test_differences_of_even_steps_are_the_plain_ones():
    values = torch.randn(1, 8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(differenced(differences(EVEN, 1), values), values.diff(dim=1))
    accelerations = values.diff(n=2, dim=1) * REFERENCE_FPS**2
    assert torch.allclose(differenced(differences(EVEN, 2), values), accelerations)
    square = EVEN.square()[..., None] / 2
    assert torch.allclose(differenced(differences(EVEN, 2), square), torch.ones(6).double()[None, :, None])


def test_sums_over_time_do_not_depend_on_the_frame_rate():
    def sums(times: torch.Tensor) -> list[float]:
        values = torch.sin(3 * times)[..., None]
        return [float(differenced(differences(times, order), values).square().sum()) for order in (1, 2)]

    slow, fast = (sums(torch.linspace(0, 2, n, dtype=torch.float64)[None]) for n in (61, 241))
    assert slow == pytest.approx(fast, rel=0.03)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("frames", [1, 2, 3, 8])
def test_bands_are_products_of_differences(order: int, frames: int):
    times = UNEVEN[:, :frames]
    coefficients = differences(times, order)
    eye = torch.eye(frames, dtype=torch.float64)[None]
    dense = (
        differenced(coefficients, eye)[0] if frames > order else torch.zeros(0, frames, dtype=torch.float64)
    )
    want = dense.T @ dense
    band = band_of(coefficients, frames)[0]
    for t in range(frames):
        for k in range(order + 1):
            if t + k < frames:
                assert torch.isclose(band[t, k], want[t + k, t])
    values = torch.randn(1, frames, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    product = banded_product(band[None], values)
    assert torch.allclose(product[0].flatten(1), want @ values[0].flatten(1))
