"""Part alignment against a brute-force twin, values and gradients."""

import pytest
import torch
from torch import Tensor

from bodyloop.terms import PartTargets, part_alignment
from bodyloop.terms.parts import nearest_vertices

PARTS, SIZE = 4, (40, 56)


def scene(seed: int, spread: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Label map of smooth blobs (some of them empty), points in and around it (N, 2), their labels."""
    g = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    labels = torch.zeros(SIZE, dtype=torch.long)
    for k in range(1, PARTS):  # the last part is not shown
        middle = torch.rand(2, generator=g) * torch.tensor([SIZE[1], SIZE[0]])
        labels[(x - middle[0]).square() + (y - middle[1]).square() < 90] = k
    points = (torch.rand(300, 2, generator=g, dtype=torch.float64) - 0.5) * spread + 0.5
    return labels, points * torch.tensor([SIZE[1], SIZE[0]]), torch.randint(0, PARTS, (300,), generator=g)


def brute_force(points: Tensor, labels: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
    """Eq. 7 as it is written."""
    forward = backward = points.new_zeros(())
    for k in range(PARTS):
        rows, columns = (shown == k + 1).nonzero(as_tuple=True)
        pixels, own = torch.stack([columns, rows], -1).to(points), points[labels == k]
        if len(pixels) and len(own):
            distance = (pixels[:, None] - own).square().sum(-1).clamp_min(1e-300).sqrt()
            forward, backward = forward + distance.amin(1).sum(), backward + distance.amin(0).sum()
    return forward, backward


@pytest.mark.parametrize("spread", [0.9, 2.5])
@pytest.mark.parametrize("seed", range(5))
def test_values_and_gradients_are_those_of_brute_force(seed: int, spread: float):
    shown, points, labels = scene(seed, spread)
    points.requires_grad_()
    found = part_alignment(points, labels, PartTargets.of(shown, PARTS))
    expected = brute_force(points, labels, shown)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.item() == pytest.approx(theirs.item(), rel=1e-4)
        (gradient,) = torch.autograd.grad(mine, points, retain_graph=True)
        (twin,) = torch.autograd.grad(theirs, points, retain_graph=True)
        off = (gradient - twin).norm(dim=1)
        assert (off < 1e-6).float().mean() > 0.98  # two pixels may be nearly equally far
        assert off.norm() < 0.1 * twin.norm()


def test_gradients_are_those_of_finite_differences():
    shown, points, labels = scene(7)
    targets = PartTargets.of(shown, PARTS)
    points.requires_grad_()
    total = sum(part_alignment(points, labels, targets))
    (gradient,) = torch.autograd.grad(total, points)
    way = torch.randn(points.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    step = 1e-6
    up, down = (sum(part_alignment((points + s * way).detach(), labels, targets)) for s in (step, -step))
    assert float((up - down) / (2 * step)) == pytest.approx(float((gradient * way).sum()), rel=1e-4)


def test_a_body_on_its_own_pixels_pays_nothing_backwards():
    shown, _, _ = scene(1)
    rows, columns = (shown == 2).nonzero(as_tuple=True)
    points = torch.stack([columns, rows], -1).double()
    forward, backward = part_alignment(points, torch.full((len(points),), 1), PartTargets.of(shown, PARTS))
    assert backward == 0
    assert forward == 0


def test_pixels_attract_vertices_from_afar():
    """The pull reaches vertices that are nowhere near: following it ends on the pixels."""
    shown, points, labels = scene(2, 4.0)
    targets, x = PartTargets.of(shown, PARTS), points.clone().requires_grad_()
    before = sum(part_alignment(x, labels, targets)).item()
    optimiser = torch.optim.SGD([x], lr=0.5)
    for _ in range(300):
        optimiser.zero_grad()
        part_alignment(x, labels, targets)[1].backward()
        optimiser.step()
    assert part_alignment(x, labels, targets)[1].item() < 0.05 * before


def test_parts_without_pixels_or_vertices_charge_nothing():
    shown, points, labels = scene(3)
    forward, backward = part_alignment(
        points, torch.full_like(labels, PARTS - 1), PartTargets.of(shown, PARTS)
    )
    assert (forward, backward) == (0, 0)
    empty = PartTargets.of(torch.zeros_like(shown), PARTS)
    assert sum(part_alignment(points, labels, empty)) == 0
    assert len(nearest_vertices(points, labels, empty)) == 0


def test_a_stride_thins_the_pixels():
    shown, _, _ = scene(4)
    full, thin = PartTargets.of(shown, PARTS), PartTargets.of(shown, PARTS, stride=2)
    assert len(thin.pixels) == int((shown[::2, ::2] > 0).sum())
    assert len(full.pixels) == int((shown > 0).sum())


@pytest.mark.parametrize("wrong", [torch.full(SIZE, PARTS + 1), torch.full(SIZE, -1), torch.zeros(3, 4, 5)])
def test_wrong_maps_are_refused(wrong: Tensor):
    with pytest.raises(ValueError, match="part labels"):
        PartTargets.of(wrong.long(), PARTS)


def test_searching_finds_what_the_maps_say():
    generator = torch.Generator().manual_seed(4)
    labels = torch.randint(0, 4, (30, 40), generator=generator)
    labels[labels == 3] = 0
    mapped, searched = (PartTargets.of(labels, 3, maps=maps) for maps in (True, False))
    points = 50 * torch.rand(200, 2, generator=generator) - 5
    parts = torch.randint(0, 3, (200,), generator=generator)
    a, b = (targets.nearest_pixels(points, parts) for targets in (mapped, searched))
    assert torch.equal(a < 0, b < 0)
    assert (a[parts == 2] == -1).all(), "a part that is not shown"
    seen = a >= 0
    far = [(points[seen] - mapped.pixels[found[seen]]).norm(dim=-1) for found in (a, b)]
    assert (far[1] <= far[0] + 1e-4).all()
    assert (far[0] - far[1]).max() < 0.3
