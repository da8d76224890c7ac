import pytest
import torch

from bodyloop.geometry import axis_angle_to_rotmat
from bodyloop.nets.build import build
from bodyloop.nets.heatmaps import find_peaks
from bodyloop.nets.multistage import Multistage, MultistageConfig
from bodyloop.priors import load_prior
from made_up_crops import SIDE, TINY, random_crops

LATENT, AMBIENT = TINY["latent stages"], TINY["ambient stages"]


def test_every_module_shows_its_stages():
    estimate = build(LATENT)(random_crops(2))
    seen, side = estimate.seen, SIDE // 8
    assert [m.shape for m in seen.heatmaps] == [(2, 17, side, side)] * 2
    assert [m.shape for m in seen.part_logits] == [(2, 15, side, side)]
    assert len(estimate.all_stages) == 2
    places, confidence = find_peaks(seen.heatmaps[-1])
    assert torch.equal(seen.keypoints, places)
    assert torch.equal(seen.confidence, confidence)


def test_latents_are_decoded_by_the_prior():
    network = build(LATENT)
    estimate = network(random_crops(2))
    flow = load_prior("flow")
    assert torch.allclose(estimate.rotations[:, 1:], flow.decode(estimate.pose), atol=1e-5)
    assert torch.allclose(network.prior_energy(estimate), estimate.pose.square().sum(1) / 2)


def test_ambient_numbers_are_judged_by_the_prior():
    network = build(AMBIENT)
    estimate = network(random_crops(2))
    flow = load_prior("flow-aa")
    assert estimate.pose.shape == (2, 69)
    assert torch.allclose(network.prior_energy(estimate), flow.energy_at(estimate.pose), atol=1e-3)
    body = axis_angle_to_rotmat(estimate.pose.unflatten(1, (23, 3)))
    assert torch.allclose(estimate.rotations[:, 1:], body, atol=1e-5)


@pytest.mark.parametrize("prior", ["flow-light", "vae"])
def test_other_latent_spaces(prior: str):
    config = MultistageConfig("resnet18", 8, SIDE, "coco17", "lsp", 8, 3, 1, 1, 1, "latent", prior)
    network = build(config)
    estimate = network.eval()(random_crops(2))
    assert estimate.pose.shape == (2, network.prior.latent_size)


def test_the_prior_does_not_train():
    network = build(LATENT)
    assert isinstance(network, Multistage)
    assert network.training
    assert not network.prior.training
    assert not any(p.requires_grad for p in network.prior.parameters())


def test_stages_see_the_stages_before():
    """What the first pose stage puts out changes the second's answer, and not the other way round."""
    network, crops = build(LATENT).eval(), random_crops(2)
    before = network(crops)
    with torch.no_grad():
        network.pose_stages[0].stage.last.bias.add_(1.0)
    after = network(crops)
    assert not torch.allclose(before.betas, after.betas)
    with torch.no_grad():
        network.pose_stages[1].stage.last.bias.add_(1.0)
    assert torch.equal(network(crops).stages[0].betas, after.stages[0].betas)


def test_six_stages_of_about_24_million():
    """Zanfir et al., footnote 2, count 6 x 5 x 7 x 7 x 128 x 128; the first layers of stages differ from that."""
    network = build(MultistageConfig())
    weights = sum(p.numel() for p in network.pose_stages.parameters())
    assert len(network.pose_stages) == 6
    assert weights == pytest.approx(6 * 5 * 7 * 7 * 128 * 128, rel=0.1)
    middle = [m.weight.numel() for m in network.pose_stages[0].stage.layers if isinstance(m, torch.nn.Conv2d)]
    assert middle[1:] == [7 * 7 * 128 * 128] * 4 + [128 * 128]
