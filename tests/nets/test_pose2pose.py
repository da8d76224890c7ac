"""Pose2Pose: joints within the crop, features at the joints, codes of a prior."""

from dataclasses import replace

import pytest
import torch

from bodyloop.errors import InputError
from bodyloop.nets.build import build
from bodyloop.nets.pose2pose import Pose2Pose, Pose2PoseConfig
from bodyloop.priors import load_prior
from made_up_crops import TINY, random_crops

DIRECT, LATENT = TINY["joints"], TINY["joints and code"]


@pytest.mark.parametrize("config", [DIRECT, LATENT])
def test_joints_lie_within_the_crop(config: Pose2PoseConfig):
    estimate = build(config)(random_crops(3))
    assert estimate.places.shape == (3, 17, 3)
    assert (estimate.places.abs() < 1).all()
    assert (estimate.code is None) == (config is DIRECT)


@pytest.mark.parametrize("prior", ["vae", "flow"])
def test_codes_are_decoded_by_the_prior(prior: str):
    network = build(replace(LATENT, backbone="resnet18", prior=prior))
    assert isinstance(network, Pose2Pose)
    estimate = network(random_crops(2))
    decoded = load_prior(prior).decode(estimate.code)  # type: ignore[union-attr]
    torch.testing.assert_close(estimate.rotations[:, 1:], decoded, atol=1e-5, rtol=0)
    torch.testing.assert_close(network.prior_energy(estimate), estimate.code.square().sum(1) / 2)
    assert not network.prior.training  # type: ignore[union-attr]
    assert not any(p.requires_grad for p in network.prior.parameters())  # type: ignore[union-attr]


def test_rotations_have_no_code_to_judge():
    network = build(DIRECT)
    assert isinstance(network, Pose2Pose)
    with pytest.raises(InputError, match='pose="latent"'):
        network.prior_energy(network(random_crops(2)))


def test_features_are_taken_where_the_joints_are(monkeypatch: pytest.MonkeyPatch):
    """Maps that hold their own cells' places give back the places of the joints."""
    network, crops = build(DIRECT).eval(), random_crops(2)
    assert isinstance(network, Pose2Pose)
    seen: list[torch.Tensor] = []
    network.pose.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    side, channels = 32, DIRECT.channels
    cells = (2 * torch.arange(side) + 1) / side - 1
    grid = torch.stack(torch.meshgrid(cells, cells, indexing="xy")).repeat(channels // 2, 1, 1)
    monkeypatch.setattr(network, "_joined", lambda groups: grid.expand(2, -1, -1, -1))
    network(crops)
    joints = seen[0].unflatten(1, (17, channels + 3))
    torch.testing.assert_close(joints[..., :2], joints[..., channels : channels + 2], atol=1e-5, rtol=0)


def test_the_papers_size():
    """ResNet-50 and 512 channels; as many cells as a stride of 32 leaves."""
    network = build(Pose2PoseConfig(pose="latent"))
    assert isinstance(network, Pose2Pose)
    assert network.backbone.channels == 2048
    assert network.pose.in_features == 17 * (512 + 3)
    assert network.pose.out_features == 6 + 32
