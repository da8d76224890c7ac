"""Laws of the adversarial prior and of its two losses."""

from pathlib import Path

import pytest
import torch

from bodyloop.geometry import axis_angle_to_rotmat
from bodyloop.priors.adversarial import Adversarial, discriminator_loss, generator_loss
from bodyloop.priors.prior import PosePrior
from bodyloop.priors.representation import to_coordinates

G = torch.Generator().manual_seed(0)
POSES = axis_angle_to_rotmat(torch.randn(12, 23, 3, generator=G) * 0.5)


def small(joints: int = 23, seed: int = 0) -> Adversarial:
    torch.manual_seed(seed)
    return Adversarial(joints, embedding=6, width=20).eval()


@pytest.mark.parametrize("joints", [1, 5, 23])
def test_a_score_a_joint_and_one_of_the_whole(joints: int):
    assert small(joints).scores(POSES[:, :joints]).shape == (12, joints + 1)
    assert small(joints).scores(POSES.unflatten(0, (3, 4))[:, :, :joints]).shape == (3, 4, joints + 1)


def test_a_joints_score_depends_on_this_joint_and_the_last_on_all():
    prior, other = small(), POSES.clone()
    other[:, 7] = POSES[:, 7] @ POSES[:, 8]
    changed = prior.scores(other) != prior.scores(POSES)
    assert changed[:, [7, 23]].all()
    assert not changed[:, [j for j in range(23) if j != 7]].any()


def test_no_energy_where_all_scores_are_one():
    prior = small()
    with torch.no_grad():
        prior.heads.zero_()
        prior.offsets.fill_(1.0)
        last = prior.whole[-1]
        last.weight.zero_()
        last.bias.fill_(1.0)
        assert torch.equal(prior.energy(POSES), torch.zeros(12))
        prior.offsets[3] = 1.5
        prior.offsets[4] = 0.0
        last.bias.fill_(3.0)
        assert torch.allclose(prior.energy(POSES), torch.full((12,), 0.25 + 1 + 4))


def test_energy_is_hmrs_loss_of_each_pose():
    prior = small()
    by_hand = [sum((d - 1) ** 2 for d in prior.scores(pose).tolist()) for pose in POSES]
    assert torch.allclose(prior.energy(POSES), torch.tensor(by_hand), rtol=1e-4)
    assert generator_loss(prior.scores(POSES)).item() == pytest.approx(sum(by_hand) / 12, rel=1e-4)
    residual = prior.residual_at(to_coordinates(POSES, "axis_angle"))
    assert torch.allclose(0.5 * residual.square().sum(-1), prior.energy(POSES), rtol=1e-4)


def test_losses_against_loops():
    real = torch.randn(5, 4, generator=G, dtype=torch.float64)
    fake = torch.randn(7, 4, generator=G, dtype=torch.float64)
    to_one = sum((float(d) - 1) ** 2 for row in real for d in row) / 5
    to_zero = sum(float(d) ** 2 for row in fake for d in row) / 7
    fooled = sum((float(d) - 1) ** 2 for row in fake for d in row) / 7
    assert float(discriminator_loss(real, fake)) == pytest.approx(to_one + to_zero)
    assert float(generator_loss(fake)) == pytest.approx(fooled)
    assert float(discriminator_loss(torch.ones(3, 4), torch.zeros(2, 4))) == 0
    assert float(generator_loss(torch.ones(3, 4))) == 0


def test_save_and_load(tmp_path: Path):
    prior = small()
    prior.save(tmp_path / "a.safetensors")
    back = Adversarial.load(tmp_path / "a.safetensors")
    assert (back.joints, back.embedding, back.width) == (23, 6, 20)
    assert not any(p.requires_grad for p in back.parameters())
    assert torch.allclose(back.scores(POSES), prior.scores(POSES), atol=1e-2)
    back.save(tmp_path / "b.safetensors")
    again = Adversarial.load(tmp_path / "b.safetensors")
    assert torch.equal(again.scores(POSES), back.scores(POSES)), "the second rounding changes nothing"


def test_energy_falls_down_its_gradient():
    prior = small().requires_grad_(False)
    x = to_coordinates(POSES, "axis_angle").requires_grad_(True)
    energies = []
    for _ in range(60):
        energy = prior.energy_at(x)
        (gradient,) = torch.autograd.grad(energy.sum(), x)
        energies.append(energy.detach())
        x = (x - 0.05 * gradient).detach().requires_grad_(True)
    assert (torch.stack(energies).diff(dim=0) < 0).all(), "every small step"
    assert (energies[-1] < energies[0] - 0.5).all()


def test_two_passes_give_what_a_pass_for_each_head_gives():
    prior = Adversarial(4, 8, 16).double()
    poses = torch.randn(5, 12, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    quick, slow = prior.quadratic_at(poses), PosePrior.quadratic_at(prior, poses)
    for ours, theirs in zip(quick, slow, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-12)
    assert slow[1].abs().max() > 1e-3
