"""Banded systems against dense ones, and how their cost grows."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bodyloop.fit import banded
from bodyloop.fit.banded import BandedSystem, solve_banded

SIZE, SHARED = 5, 3


def random_system(
    frames: int, reach: int, seed: int = 0, count: int = 2
) -> tuple[Tensor, Tensor, BandedSystem]:
    """Dense matrix and right side, and the same as a banded system whose blocks beyond the end are rubbish."""
    g = torch.Generator().manual_seed(seed)
    shared = list(range(frames * SIZE, frames * SIZE + SHARED))
    dense = torch.eye(frames * SIZE + SHARED, dtype=torch.float64).repeat(count, 1, 1)
    for t in range(frames):
        near = list(range(t * SIZE, min(t + reach + 1, frames) * SIZE))
        index = torch.tensor(near + shared)
        rows = torch.randn(count, len(index) // 2, len(index), generator=g, dtype=torch.float64)
        dense[:, index[:, None], index] += rows.mT @ rows
    gradient = torch.randn(count, len(dense[0]), generator=g, dtype=torch.float64)
    band = torch.full((count, frames, reach + 1, SIZE, SIZE), 9e9, dtype=torch.float64)
    for t in range(frames):
        for k in range(min(reach + 1, frames - t)):
            rows_of = slice((t + k) * SIZE, (t + k + 1) * SIZE)
            band[:, t, k] = dense[:, rows_of, t * SIZE : (t + 1) * SIZE]
    end = frames * SIZE
    border = dense[:, end:, :end].unflatten(-1, (frames, SIZE)).transpose(1, 2)
    system = BandedSystem(
        band, border, dense[:, end:, end:], gradient[:, :end].unflatten(-1, (frames, SIZE)), gradient[:, end:]
    )
    return dense, gradient, system


@pytest.mark.parametrize(("frames", "reach"), [(4, 0), (6, 1), (7, 2), (9, 3), (2, 2), (1, 2)])
def test_banded_is_dense(frames: int, reach: int):
    dense, gradient, system = random_system(frames, reach)
    found = solve_banded(system)
    assert found.good.all()
    joined = torch.cat([found.frames.flatten(1), found.shared], 1)
    assert torch.allclose(joined, -torch.linalg.solve(dense, gradient), atol=1e-12)
    covariance = torch.linalg.inv(dense)[:, -SHARED:, -SHARED:]
    assert torch.allclose(torch.linalg.inv(found.information), covariance, atol=1e-12)


@pytest.mark.parametrize("at_once", [1, 2, 4, 6])
@pytest.mark.parametrize("reach", [0, 1, 2, 3])
def test_chains_longer_than_what_is_put_together_at_once(
    at_once: int, reach: int, monkeypatch: pytest.MonkeyPatch
):
    """What is left of a frame goes on across the borders of the parts, wherever these fall."""
    system = random_system(11, reach)[2]
    whole = solve_banded(system)
    monkeypatch.setattr(banded, "BLOCKS_AT_ONCE", at_once)
    found = solve_banded(system)
    for name in ("frames", "shared", "information"):
        assert torch.allclose(getattr(found, name), getattr(whole, name), atol=1e-12)


def test_damping_multiplies_the_diagonal():
    dense, gradient, system = random_system(5, 2)
    damping = torch.tensor([0.5, 3.0], dtype=torch.float64)
    found = solve_banded(system, damping)
    diagonal = dense.diagonal(dim1=1, dim2=2)
    matrix = dense + (damping[:, None] * diagonal + 1e-9).diag_embed()
    joined = torch.cat([found.frames.flatten(1), found.shared], 1)
    assert torch.allclose(joined, -torch.linalg.solve(matrix, gradient), atol=1e-12)
    assert torch.equal(system.band, random_system(5, 2)[2].band), "the system itself stays"


def test_a_chain_that_is_not_positive_definite_says_so_and_spares_the_others():
    dense, gradient, system = random_system(5, 1)
    system.band[1, 3, 0] -= 1e4 * torch.eye(SIZE)
    found = solve_banded(system)
    assert found.good.tolist() == [True, False]
    whole = torch.cat([found.frames[0].flatten(), found.shared[0]])
    assert torch.allclose(whole, -torch.linalg.solve(dense[0], gradient[0]), atol=1e-12)


class Work(TorchDispatchMode):
    """Counts operations and the numbers that they give."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.calls += 1
        self.numbers += out.numel() if isinstance(out, Tensor) else 0
        return out


def test_work_grows_linearly_with_the_frames():
    def work(frames: int) -> tuple[int, int]:
        system = random_system(frames, 2)[2]
        with Work() as counted:
            solve_banded(system)
        return counted.calls, counted.numbers

    few, more, many = work(20), work(30), work(40)
    for i in range(2):
        assert more[i] - few[i] == many[i] - more[i] > 0, "each frame costs the same"
