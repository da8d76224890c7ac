"""The best path against all paths."""

import itertools

import torch

from bodyloop.fit.paths import best_paths, steps_between


def test_the_best_path_is_the_best_of_all():
    g = torch.Generator().manual_seed(0)
    charges = torch.rand(2, 5, 3, generator=g) * 4
    joints = torch.randn(2, 5, 3, 24, 3, generator=g) * 0.05
    times = torch.tensor([[0.0, 0.03, 0.07, 0.1, 0.2], [0.0, 0.1, 0.13, 0.16, 0.2]])
    found = best_paths(charges, joints, times)
    for b in range(2):

        def cost(path: tuple[int, ...], b: int = b) -> float:
            total = sum(float(charges[b, t, s]) for t, s in enumerate(path))
            for t in range(1, 5):
                one = joints[b : b + 1, t - 1, path[t - 1], None], joints[b : b + 1, t, path[t], None]
                total += float(steps_between(*one, (times[b : b + 1, t] - times[b : b + 1, t - 1])))
            return total

        best = min(itertools.product(range(3), repeat=5), key=cost)
        assert tuple(found[b].tolist()) == best


def test_a_flip_of_one_frame_is_not_followed():
    """One frame in which the person seen from behind has the lower energy."""
    front = torch.randn(24, 3, generator=torch.Generator().manual_seed(0)) * 0.3
    back = front * torch.tensor([1.0, 1.0, -1.0])
    joints = torch.stack([front, back]).expand(1, 9, 2, 24, 3)
    charges = torch.tensor([0.0, 3.0]).repeat(1, 9, 1)
    charges[0, 4] = torch.tensor([5.0, 0.0])
    times = torch.arange(9)[None] / 30
    assert best_paths(charges, joints, times).eq(0).all()
    assert charges.argmin(-1)[0, 4] == 1


def test_where_the_person_stands_does_not_matter():
    g = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 1, 3, 24, 3, generator=g) * 0.05
    seconds = torch.tensor([0.04])
    moved = steps_between(first + 5, second - 3, seconds)
    assert torch.allclose(steps_between(first, second, seconds), moved, atol=1e-3)


def test_a_frame_whose_fits_all_failed_but_one_takes_that():
    charges = torch.full((1, 3, 2), torch.inf)
    charges[0, :, 1] = 4.0
    path = best_paths(charges, torch.zeros(1, 3, 2, 24, 3), torch.arange(3)[None] / 30)
    assert path.eq(1).all()
