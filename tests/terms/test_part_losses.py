"""Part alignment of batches: the compiled search against tensors and the term of one person, gradients, masks."""

import pytest
import torch
from torch import Tensor

from bodyloop.terms import PartTargets, part_alignment, part_loss
from bodyloop.terms.losses import UNKNOWN_PART, crop_coordinates
from bodyloop.terms.part_losses import part_partners, tensor_partners

PARTS, SIDE, RESOLUTION = 5, 12, 48


def scene(seed: int = 0, people: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Projected vertices (B, N, 2), their labels (N,), maps (B, M, M); the last part shows no pixel."""
    g = torch.Generator().manual_seed(seed)
    points = (torch.rand(people, 60, 2, generator=g, dtype=torch.float64) * 1.6 - 0.3) * RESOLUTION
    labels = torch.randint(0, PARTS, (60,), generator=g)
    maps = torch.randint(0, PARTS, (people, SIDE, SIDE), generator=g).to(torch.uint8)
    return points, labels, maps * (torch.rand(people, SIDE, SIDE, generator=g) < 0.4)


@pytest.mark.parametrize("seed", range(4))
def test_both_searches_find_partners_equally_near(seed: int):
    points, labels, maps = scene(seed)
    places = crop_coordinates(points, RESOLUTION)
    found, twin = part_partners(places, labels, maps), tensor_partners(places, labels, maps)
    middles = crop_coordinates(torch.arange(SIDE, dtype=torch.float64), SIDE)
    grid = torch.stack(torch.meshgrid(middles, middles, indexing="xy"), -1).flatten(0, 1)
    people = torch.arange(len(places))[:, None]
    vertex, pixel = ([f[k] for f in (found, twin)] for k in (0, 1))
    assert torch.equal(vertex[0] >= 0, vertex[1] >= 0)
    assert torch.equal(pixel[0] >= 0, pixel[1] >= 0)
    a, b = ((places[people, v.clamp_min(0)] - grid).norm(dim=-1)[v >= 0] for v in vertex)
    assert torch.allclose(a, b, atol=1e-6)
    a, b = ((places - grid[p.clamp_min(0)]).norm(dim=-1)[p >= 0] for p in pixel)
    assert torch.allclose(a, b, atol=1e-6)
    own = labels.expand(len(places), -1)[people, vertex[0].clamp_min(0)]
    shown = maps.flatten(1).long() - 1
    assert torch.equal(own[vertex[0] >= 0], shown[vertex[0] >= 0])


def test_of_one_person_it_is_the_term_of_fits():
    points, labels, maps = scene(people=1)
    cells = (crop_coordinates(points, RESOLUTION) + 1) * SIDE / 2 - 0.5
    targets = PartTargets.of(maps[0].long(), PARTS)
    forward, backward = part_alignment(cells[0], labels, targets)
    own = [k for k in range(PARTS) if (labels == k).any()]
    pixels = sum(int((maps == k + 1).sum()) for k in own)
    vertices = sum(int((labels == k).sum()) for k in own if (maps == k + 1).any())
    expected = (forward / pixels + backward / vertices) * 2 / SIDE
    found = part_loss(points, labels, maps, torch.tensor([True]), RESOLUTION)
    assert float(found) == pytest.approx(float(expected), rel=1e-3)


def test_gradients_are_those_of_finite_differences():
    points, labels, maps = scene(1)
    known = torch.ones(3, dtype=torch.bool)
    points.requires_grad_()
    (gradient,) = torch.autograd.grad(part_loss(points, labels, maps, known, RESOLUTION), points)
    way = torch.randn(points.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    step = 1e-5
    up, down = (
        part_loss((points + s * way).detach(), labels, maps, known, RESOLUTION) for s in (step, -step)
    )
    assert float((up - down) / (2 * step)) == pytest.approx(float((gradient * way).sum()), rel=1e-3)


def test_people_without_a_map_do_not_matter():
    points, labels, maps = scene(2)
    known = torch.tensor([True, False, True])
    points.requires_grad_()
    value = part_loss(points, labels, maps, known, RESOLUTION)
    (gradient,) = torch.autograd.grad(value, points)
    assert (gradient[1] == 0).all()
    others = part_loss(points[[0, 2]], labels, maps[[0, 2]], known[[0, 2]], RESOLUTION)
    assert float(value.detach()) == pytest.approx(float(others.detach()))
    empty = torch.full_like(maps, UNKNOWN_PART)
    value = part_loss(points, labels, empty, ~known | known, RESOLUTION)
    assert value == 0
    assert (torch.autograd.grad(value, points)[0] == 0).all()


def test_following_it_brings_vertices_to_their_pixels():
    points, labels, maps = scene(3)
    known = torch.ones(3, dtype=torch.bool)
    moved = points.clone().requires_grad_()
    optimiser = torch.optim.Adam([moved], lr=1.0)
    before = float(part_loss(moved, labels, maps, known, RESOLUTION).detach())
    for _ in range(100):
        optimiser.zero_grad()
        part_loss(moved, labels, maps, known, RESOLUTION).backward()
        optimiser.step()
    assert float(part_loss(moved, labels, maps, known, RESOLUTION).detach()) < 0.4 * before
