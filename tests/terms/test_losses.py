"""Losses: values by hand, gradients against finite differences, and masks that nothing leaks through."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from bodyloop.body import Bodies
from bodyloop.data.part_maps import UNKNOWN
from bodyloop.priors import load_prior
from bodyloop.terms import (
    betas_loss,
    dense_loss,
    heatmap_loss,
    joint_loss,
    keypoint_loss,
    known_mean,
    mesh_loss,
    part_map_loss,
    prior_loss,
    rotation_loss,
    scale_loss,
    shape_loss,
)
from bodyloop.terms.losses import SIGMA, UNKNOWN_PART
from made_up import random_bodies

ROOTS = torch.tensor([1, 2])
SIDE = 64


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some(*shape: int, seed: int = 3) -> Tensor:
    chosen = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.6
    chosen.view(-1)[0] = False
    return chosen


# Each: shape of the label, shape of its mask, and the loss of prediction, label and mask.
MASKED: dict[str, tuple[tuple[int, ...], tuple[int, ...], Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "joints": ((4, 5, 3), (4, 5), lambda f, t, k: joint_loss(f, t, k, ROOTS)),
    "joints, L1": ((4, 5, 3), (4, 5), lambda f, t, k: joint_loss(f, t, k, ROOTS, "absolute")),
    "joints, norm": ((4, 5, 3), (4, 5), lambda f, t, k: joint_loss(f, t, k, ROOTS, "norm")),
    "rotations, norm": ((4, 5, 3, 3), (4, 5), lambda f, t, k: rotation_loss(f, t, k, "norm")),
    "betas, norm": ((4, 10), (4,), lambda f, t, k: betas_loss(f, t, k, "norm")),
    "keypoints, sum": ((4, 5, 2), (4, 5), lambda f, t, k: keypoint_loss(f, t, k.double(), SIDE, "sum")),
    "rotations": ((4, 5, 3, 3), (4, 5), rotation_loss),
    "betas": ((4, 10), (4,), betas_loss),
    "keypoints": ((4, 5, 2), (4, 5), lambda f, t, k: keypoint_loss(f, t, k.double() * 0.7, SIDE)),
    "keypoints, robust": ((4, 5, 2), (4, 5), lambda f, t, k: keypoint_loss(f, t, k.double(), SIDE, "robust")),
    "dense": ((4, 7, 2), (4, 7), lambda f, t, k: dense_loss(f, t, k.double(), SIDE)),
    "mesh": ((4, 9, 3), (4,), mesh_loss),
    "mesh, squared": ((4, 9, 3), (4,), lambda f, t, k: mesh_loss(f, t, k, "squared")),
    "heatmaps": ((4, 5, 6, 6), (4, 5), lambda f, t, k: heatmap_loss(f, t, k.double())),
}


@pytest.mark.parametrize("name", MASKED)
def test_gradients_are_those_of_finite_differences(name: str):
    shape, mask, loss = MASKED[name]
    found, truth, known = numbers(*shape).requires_grad_(), numbers(*shape, seed=1), some(*mask)
    assert gradcheck(lambda f: loss(f, truth, known), found)


@pytest.mark.parametrize("name", MASKED)
def test_what_is_masked_does_not_matter(name: str):
    shape, mask, loss = MASKED[name]
    found, truth, known = numbers(*shape), numbers(*shape, seed=1), some(*mask)
    assert known.any()
    assert not known.all()
    spoilt = truth.clone()
    spoilt[~known] = torch.nan
    results = []
    for label in (truth, spoilt):
        moved = found.clone().requires_grad_()
        value = loss(moved, label, known)
        (gradient,) = torch.autograd.grad(value, moved)
        results.append((value.detach(), gradient))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    if "joints" not in name:  # there a known joint's error counts from its root
        assert (results[0][1][~known] == 0).all()


@pytest.mark.parametrize("name", MASKED)
def test_without_labels_there_is_neither_loss_nor_gradient(name: str):
    shape, mask, loss = MASKED[name]
    found = numbers(*shape).requires_grad_()
    value = loss(
        found, torch.full(shape, torch.nan, dtype=torch.float64), torch.zeros(mask, dtype=torch.bool)
    )
    assert value == 0
    (gradient,) = torch.autograd.grad(value, found)
    assert (gradient == 0).all()


@pytest.mark.parametrize("name", MASKED)
def test_a_prediction_that_is_right_pays_nothing(name: str):
    shape, mask, loss = MASKED[name]
    truth = numbers(*shape)
    assert loss(truth.clone(), truth, some(*mask)) == 0


@pytest.mark.parametrize("name", MASKED)
def test_more_of_the_same_labels_do_not_change_the_balance(name: str):
    shape, mask, loss = MASKED[name]
    found, truth, known = numbers(*shape), numbers(*shape, seed=1), some(*mask)
    twice = (torch.cat([x, x]) for x in (found, truth, known))
    assert float(loss(*twice)) == pytest.approx(float(loss(found, truth, known)))


def test_joints_by_hand():
    truth = torch.tensor([[[0.0, 0, 5], [1, 0, 5], [-1, 0, 5], [0, 2, 5]]])
    found = truth + torch.tensor([3.0, -2, 7])  # a place says nothing
    known = torch.ones(1, 4, dtype=torch.bool)
    assert joint_loss(found, truth, known, ROOTS) == 0
    found[0, 3] += torch.tensor([0.3, 0.0, 0.6])
    assert float(joint_loss(found, truth, known, ROOTS)) == pytest.approx((0.09 + 0.36) / 3 / 4)
    assert float(joint_loss(found, truth, known, ROOTS, "absolute")) == pytest.approx(0.9 / 3 / 4)
    known[0, 1] = False  # now the known joints' mean is the root
    off = torch.tensor([0.3, 0, 0.6])
    expected = ((off * 2 / 3).square().mean() + 2 * (off / 3).square().mean()) / 3
    assert float(joint_loss(found, truth, known, ROOTS)) == pytest.approx(float(expected))


def test_keypoints_by_hand():
    seen = torch.zeros(1, 2, 2)
    found = torch.tensor([[[SIDE / 2, 0.0], [0, SIDE]]])  # half a crop is 1
    confidence = torch.tensor([[1.0, 0.5]])
    assert float(keypoint_loss(found, seen, confidence, SIDE)) == pytest.approx((0.5 + 0.5 * 1) / 1.5)
    squared = keypoint_loss(found, seen, confidence, SIDE, "squared")
    assert float(squared) == pytest.approx((0.5 + 0.5 * 2) / 1.5)
    far = keypoint_loss(found * 1e6, seen, torch.ones(1, 2), SIDE, "robust")
    assert float(far) == pytest.approx(SIGMA**2 / 2, rel=1e-3)
    assert float(keypoint_loss(found, seen, confidence, SIDE, "sum")) == pytest.approx(1 + 0.5 * 2)


def test_norms_by_hand():
    """Of a person's parameters, as in eq. 1 of Rong et al."""
    truth, found = torch.zeros(2, 2, 3, 3), torch.zeros(2, 2, 3, 3)
    found[0, 0, 0, 0], found[0, 1, 2, 1], found[1, 0, 0, 0] = 3, 4, 100
    known = torch.tensor([[True, True], [False, True]])
    assert float(rotation_loss(found, truth, known, "norm")) == pytest.approx(5 / 2, rel=1e-5)
    betas = torch.tensor([[3.0, 4.0]])
    assert float(betas_loss(betas, 0 * betas, torch.ones(1), "norm")) == pytest.approx(5, rel=1e-5)


def test_weighted_means():
    values = torch.tensor([1.0, 3.0, torch.nan])
    assert known_mean(values, torch.tensor([1.0, 3.0, 0.0])) == 2.5
    assert known_mean(values, torch.zeros(3)) == 0


def test_priors_and_regularisers_pull_the_right_way(body):
    bodies = random_bodies(3, dtype=torch.float64)
    prior = load_prior("gmm").to(torch.float64)
    rotations = bodies.rotations.clone().requires_grad_()
    found = prior_loss(prior, rotations)
    assert found.item() == pytest.approx(float(prior.energy(bodies.rotations[:, 1:]).mean()))
    (gradient,) = torch.autograd.grad(found, rotations)
    assert (gradient[:, 0] == 0).all()  # the global orientation is not judged
    assert float(prior_loss(prior, Bodies.rest(1).rotations.double())) < found.item()
    assert shape_loss(torch.full((2, 10), 2.0)) == 40
    assert shape_loss(torch.full((2, 10), 2.0), torch.tensor([False, False])) == 0
    assert shape_loss(torch.tensor([[1.0] * 10, [2.0] * 10]), torch.tensor([True, False])) == 10
    assert scale_loss(torch.tensor([1.0])) < 1e-8
    assert scale_loss(torch.tensor([-0.5])) > 1
    assert gradcheck(scale_loss, (0.1 * numbers(4)).requires_grad_())
    assert gradcheck(shape_loss, numbers(4, 10).requires_grad_())


def test_part_maps_are_sampled_where_the_cells_are():
    assert UNKNOWN_PART == UNKNOWN
    labels = torch.zeros(2, 8, 8, dtype=torch.uint8)
    labels[:, 4:, :4] = 2
    labels[0, 0, 0] = UNKNOWN_PART
    logits = numbers(2, 3, 4, 4).requires_grad_()
    known = torch.tensor([True, False])
    assert gradcheck(lambda x: part_map_loss(x, labels, known), logits)
    (gradient,) = torch.autograd.grad(part_map_loss(logits, labels, known), logits)
    assert (gradient[1] == 0).all()
    right = torch.zeros(2, 3, 4, 4)
    right[:, 0], right[:, 2] = 50.0, 0.0
    right[:, 0, 2:, :2], right[:, 2, 2:, :2] = 0.0, 50.0
    assert part_map_loss(right, labels, known) < 1e-6
    assert part_map_loss(right.flip(-1), labels, known) > 10
    whole = torch.full((1, 4, 4), UNKNOWN_PART, dtype=torch.uint8)
    assert part_map_loss(right[:1], whole, torch.tensor([True])) == 0
