"""Laws of the pose autoencoder, and of the 6D numbers it decodes to."""

from pathlib import Path

import pytest
import torch

from bodyloop.geometry import axis_angle_to_rotmat, rotmat_to_rot6d
from bodyloop.priors.prior import LatentPrior, latent_energy
from bodyloop.priors.representation import to_coordinates
from bodyloop.priors.vae import Vae, rot6d_lengths_and_angles

G = torch.Generator().manual_seed(0)
POSES = axis_angle_to_rotmat(torch.randn(40, 23, 3, generator=G) * 0.5)


def small(seed: int = 0) -> Vae:
    """Small, with statistics of batches that are not those of a fresh network."""
    torch.manual_seed(seed)
    vae = Vae(latent_size=5, width=16)
    for _ in range(20):
        vae.posterior(torch.randn(30, 69) * 0.4 + 0.2)
    return vae


def test_the_papers_decoder_has_344_190_numbers():
    assert sum(p.numel() for p in Vae(joints=21).decoder.parameters()) == 344_190


def test_decoded_poses_are_rotations():
    poses = small().eval().decode(torch.randn(3, 4, 5, generator=G) * 3)
    assert poses.shape == (3, 4, 23, 3, 3)
    assert torch.allclose(poses @ poses.mT, torch.eye(3).expand_as(poses), atol=1e-5)
    assert torch.allclose(torch.linalg.det(poses), torch.ones(3, 4, 23), atol=1e-5)


def test_save_and_load_in_half_precision(tmp_path: Path):
    vae = small().eval()
    vae.save(tmp_path / "v.safetensors")
    back = Vae.load(tmp_path / "v.safetensors")
    assert (back.joints, back.latent_size, back.width) == (23, 5, 16)
    assert (tmp_path / "v.safetensors").stat().st_size < 2.5 * sum(p.numel() for p in vae.parameters()) + 3000
    assert torch.allclose(back.encode(POSES), vae.encode(POSES), atol=1e-2)
    z = torch.randn(6, 5, generator=G)
    assert torch.allclose(back.decode(z), vae.decode(z), atol=1e-2)
    back.save(tmp_path / "again.safetensors")
    again = Vae.load(tmp_path / "again.safetensors")
    assert torch.equal(again.encode(POSES), back.encode(POSES)), "the second rounding changes nothing"


def test_frozen_and_without_dropout_after_loading(tmp_path: Path):
    vae = small()
    vae.save(tmp_path / "v.safetensors")
    back = Vae.load(tmp_path / "v.safetensors")
    assert not any(p.requires_grad for p in back.parameters())
    assert all(p.dtype == torch.float32 for p in back.parameters())
    before = {name: value.clone() for name, value in back.state_dict().items()}
    z = torch.randn(6, 5, generator=G)
    assert torch.equal(back.decode(z), back.decode(z))
    assert torch.equal(back.encode(POSES), back.encode(POSES))
    assert not torch.equal(vae.decode(z), vae.decode(z)), "while training there is dropout"
    for name, value in back.state_dict().items():
        assert torch.equal(value, before[name]), f"{name} changes where poses are judged"


def test_a_pose_is_judged_alone():
    vae = small().eval()
    alone = torch.cat([vae.energy(pose[None]) for pose in POSES])
    assert torch.allclose(vae.energy(POSES), alone, rtol=1e-4)
    assert torch.allclose(vae.energy(POSES.unflatten(0, (4, 10))), alone.unflatten(0, (4, 10)), rtol=1e-4)


def test_energy_is_half_the_squared_norm_of_the_posteriors_mean():
    vae = small().eval()
    mean, spread = vae.posterior(to_coordinates(POSES, "axis_angle"))
    assert torch.allclose(vae.energy(POSES), 0.5 * mean.square().sum(-1), rtol=1e-4)
    assert torch.allclose(vae.energy(POSES), latent_energy(vae.encode(POSES)))
    assert (spread > 0).all()


def test_the_lengths_of_6d_numbers_do_not_matter_to_the_code():
    vae = small().eval()
    numbers = to_coordinates(POSES, "rot6d")
    assert torch.allclose(vae.encode_coordinates(2 * numbers), vae.encode_coordinates(numbers), atol=1e-4)


def test_orthonormal_numbers_have_no_error_and_others_do():
    numbers = rotmat_to_rot6d(POSES.double()).flatten(-2)
    assert rot6d_lengths_and_angles(numbers).abs().max() < 1e-10
    first, second = torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0])
    bent = torch.tensor([0.6, 0.8, 0])
    for spoiled, error in (
        (torch.cat([2 * first, second]), 9.0),  # |a|^2 - 1, squared
        (torch.cat([first, 0 * second]), 1.0),
        (torch.cat([first, bent]), 2 * 0.36),  # the angle enters twice
    ):
        assert float(rot6d_lengths_and_angles(spoiled)) == pytest.approx(error, rel=1e-5)
    joints = torch.cat([2 * first, second, first, bent])
    assert float(rot6d_lengths_and_angles(joints)) == pytest.approx(9.72, rel=1e-5), "joints add up"
    rough = torch.randn(50, 138, generator=G)
    assert (rot6d_lengths_and_angles(rough) > 0).all()


def test_derivatives_worked_out_forwards_are_those_of_automatic_differentiation():
    torch.manual_seed(0)
    vae = Vae(latent_size=5, width=16).double().eval()
    z, rows = torch.randn(3, 5).double(), torch.randn(3, 7, 6 * vae.joints).double()
    torch.testing.assert_close(vae.pull_decoded(z, rows), LatentPrior.pull_decoded(vae, z, rows))
