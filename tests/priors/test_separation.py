"""The area under the curve against slow twins, and poses that nobody can take."""

import math

import pytest
import torch

from bodyloop.geometry import axis_angle_to_rotmat, rotmat_to_axis_angle
from bodyloop.priors.separation import LEAST, MOST, impossible_poses, separation


def drawn(count: int, seed: int, values: int | None) -> torch.Tensor:
    """Energies; of only a few `values` where ties are wanted."""
    g = torch.Generator().manual_seed(seed)
    return (
        torch.randn(count, generator=g)
        if values is None
        else torch.randint(values, (count,), generator=g) * 1.0
    )


def by_pairs(real: torch.Tensor, false: torch.Tensor) -> float:
    """All pairs one after the other; what cannot be compared counts one half."""
    won = 0.0
    for r in real.tolist():
        for f in false.tolist():
            won += 1.0 if f > r else 0.0 if f < r else 0.5
    return won / (len(real) * len(false))


@pytest.mark.parametrize("values", [None, 2, 5])
@pytest.mark.parametrize("shift", [0.0, 1.0, -2.0])
def test_against_two_slow_twins(values: int | None, shift: float):
    metrics = pytest.importorskip("sklearn.metrics")
    real, false = drawn(37, 0, values), drawn(23, 1, values) + shift
    labels = [0] * 37 + [1] * 23
    found = separation(real, false)
    assert found == pytest.approx(by_pairs(real, false), abs=1e-9)
    assert found == pytest.approx(metrics.roc_auc_score(labels, torch.cat([real, false]).numpy()), abs=1e-9)


def test_infinite_energies_and_none_at_all():
    """An infinite energy is higher than all others; what is not a number tells nothing."""
    real = torch.tensor([0.0, 1.0, math.inf, math.nan, -math.inf])
    false = torch.tensor([0.5, math.inf, math.nan, math.nan, 1.0])
    assert separation(real, false) == pytest.approx(by_pairs(real, false), abs=1e-9)
    lost = torch.full((4,), math.nan)
    assert separation(lost, lost) == 0.5
    assert separation(real[:2], lost) == 0.5
    assert separation(lost, real[:2]) == 0.5


def test_turning_the_question_around():
    real, false = drawn(40, 2, 6), drawn(30, 3, 6) + 1
    assert separation(real, false) + separation(false, real) == pytest.approx(1.0)
    assert separation(real, real) == pytest.approx(0.5)
    assert separation(real, real.max() + 1 + false.abs()) == 1
    assert separation(torch.exp(real), torch.exp(false)) == separation(real, false), "only the order matters"


def test_impossible_poses_change_one_joint_far():
    real = axis_angle_to_rotmat(torch.randn(600, 23, 3, generator=torch.Generator().manual_seed(0)) * 0.1)
    before = real.clone()
    false = impossible_poses(real, torch.Generator().manual_seed(1))
    assert torch.equal(real, before)
    changed = (real != false).any(-1).any(-1)
    assert (changed.sum(1) == 1).all()
    joint = changed.int().argmax(1)
    assert len(joint.unique()) >= 6, "knees, elbows, hips, spine, head"
    turned = false[torch.arange(600), joint]
    angle = torch.rad2deg(rotmat_to_axis_angle(turned).norm(dim=-1))
    assert angle.min() > LEAST - 0.01
    assert angle.max() < MOST + 0.01
    between = turned @ real[torch.arange(600), joint].mT
    assert torch.rad2deg(rotmat_to_axis_angle(between).norm(dim=-1)).min() > 40


def test_knees_never_bend_as_they_should():
    """Bent knees are positive turns about x; the impossible ones are negative."""
    real = torch.eye(3).expand(500, 23, 3, 3)
    turns = rotmat_to_axis_angle(impossible_poses(real, torch.Generator().manual_seed(2)))
    knees = turns[:, [3, 4]]  # joints 4 and 5 of SMPL
    assert (knees[..., 0] < -1).any(0).all()
    assert (knees[..., 0] <= 0).all()
    assert (knees[..., 1:].abs() < 1e-5).all()


def test_the_seed_decides():
    real = torch.eye(3).expand(50, 23, 3, 3)
    a, b, c = (impossible_poses(real, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
