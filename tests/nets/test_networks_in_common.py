"""What every regression network does, whatever its architecture."""

import json
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file

from bodyloop.body import BodyModel
from bodyloop.errors import InputError
from bodyloop.geometry import Camera, CropTransform, geodesic_distance
from bodyloop.nets.build import NETWORKS, Config, build, load_estimator, name_of, read_config, save_estimator
from bodyloop.nets.estimator import Crops, Estimator, mean_pose
from bodyloop.nets.hmr import HmrConfig
from bodyloop.nets.multistage import Multistage, MultistageConfig, StagedEstimate
from bodyloop.nets.pose2pose import Pose2Pose, Pose2PoseConfig
from bodyloop.nets.two_branch import TwoBranchConfig
from bodyloop.priors import load_prior
from made_up import random_bodies
from made_up_crops import SIDE, TINY, random_crops

every_network = pytest.mark.parametrize("name", TINY)
CROP = CropTransform(torch.tensor([[320.0, 200.0]] * 3), torch.tensor([150.0] * 3), SIDE)
CAMERA = Camera.from_focal(600, 640, 480)


def outputs(network: Estimator, crops: Crops) -> list[torch.Tensor]:
    estimate = network(crops)
    return [t for stage in estimate.all_stages for t in (stage.rotations, stage.betas)]


@every_network
def test_shapes_and_rotations(name: str):
    estimate = build(TINY[name])(random_crops(3))
    for stage in estimate.all_stages:
        assert stage.rotations.shape == (3, 24, 3, 3)
        assert stage.betas.shape == (3, 10)
        assert torch.allclose(stage.rotations @ stage.rotations.mT, torch.eye(3), atol=1e-5)
        assert torch.allclose(torch.linalg.det(stage.rotations), torch.ones(3, 24), atol=1e-5)
        if isinstance(stage, StagedEstimate):
            assert stage.camera is None
        else:
            assert (stage.camera.scale.shape, stage.camera.shift.shape) == ((3,), (3, 2))


@every_network
def test_mixed_precision_gives_true_rotations(name: str):
    network, crops = build(TINY[name]).eval(), random_crops(2)
    with torch.autocast("cpu", torch.bfloat16):
        estimate = network(crops)
    assert estimate.betas.dtype == torch.float32
    assert torch.allclose(estimate.rotations @ estimate.rotations.mT, torch.eye(3), atol=1e-5)
    assert geodesic_distance(estimate.rotations, network(crops).rotations).max() < 0.05


@every_network
def test_gradients_reach_every_parameter(name: str, body: BodyModel):
    network = build(TINY[name])
    estimate = network(random_crops(3))
    loss = sum(t.square().mean() for t in estimate.to_bodies(CAMERA, CROP, body).to(torch.float64).rotations)
    g = torch.Generator().manual_seed(0)
    for stage in estimate.all_stages:
        bodies = stage.to_bodies(CAMERA, CROP, body)
        for t in (bodies.rotations, bodies.betas, bodies.translation):
            loss = loss + (t * torch.randn(t.shape, generator=g)).sum()
    if isinstance(estimate, StagedEstimate):
        maps = (*estimate.seen.heatmaps, *estimate.seen.part_logits)
        loss = loss + sum((m * torch.randn(m.shape, generator=g)).sum() for m in maps)
    loss.backward()
    for key, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, key
            assert torch.isfinite(parameter.grad).all(), key
            assert parameter.grad.abs().max() > 0, key
        else:
            assert key.startswith(("prior.", "backbone.heatmaps.")), key


@every_network
def test_the_seed_alone_decides(name: str):
    torch.manual_seed(7)
    first = build(TINY[name], seed=3).eval()
    drawn = torch.rand(1)
    torch.manual_seed(8)
    second, other = build(TINY[name], seed=3).eval(), build(TINY[name], seed=4).eval()
    torch.manual_seed(7)
    assert torch.equal(torch.rand(1), drawn), "torch's own generator stays as it was"
    crops = random_crops(2)
    assert all(torch.equal(a, b) for a, b in zip(outputs(first, crops), outputs(second, crops), strict=True))
    assert not torch.equal(outputs(first, crops)[-1], outputs(other, crops)[-1])


@every_network
def test_people_do_not_see_each_other_in_evaluation(name: str):
    network, crops = build(TINY[name]).eval(), random_crops(5)
    together = outputs(network, crops)
    for i in range(5):
        alone = outputs(network, crops[i : i + 1])
        assert all(torch.allclose(a[i : i + 1], b, atol=1e-5) for a, b in zip(together, alone, strict=True))


@every_network
def test_starts_near_the_mean(name: str):
    """Untrained networks say the mean, or what they start from, with small corrections."""
    network, crops = build(TINY[name]).eval(), random_crops(2)
    estimate = network(crops)
    pose = mean_pose()
    if getattr(network.config, "start", "") == "candidate":
        pose = crops.candidate.rotations
    if isinstance(network, Multistage) or (isinstance(network, Pose2Pose) and network.prior is not None):
        pose[1:] = load_prior(network.config.prior).middle()
    assert geodesic_distance(estimate.rotations, pose.expand(2, 24, 3, 3)).max() < 0.3
    assert estimate.betas.abs().max() < 0.3


@every_network
def test_file_round_trip_is_exact(name: str, tmp_path):
    network, crops = build(TINY[name]), random_crops(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)
    save_estimator(network, tmp_path / "n.safetensors")
    back = load_estimator(tmp_path / "n.safetensors")
    assert back.config == TINY[name]
    assert not back.training
    assert all(
        torch.equal(a, b) for a, b in zip(outputs(network.eval(), crops), outputs(back, crops), strict=True)
    )


def test_the_file_keeps_the_prior_that_it_was_trained_with(tmp_path):
    network = build(TINY["latent stages"])
    with torch.no_grad():
        network.prior.mixings[0].center.add_(1.0)
    save_estimator(network, tmp_path / "n.safetensors")
    back = load_estimator(tmp_path / "n.safetensors")
    assert torch.equal(back.prior.middle(), network.prior.middle())


def overfit(network: Estimator, steps: int) -> tuple[float, float]:
    """Mean angle to made-up rotations in radians, before and after training on 8 crops."""
    crops = random_crops(8, side=network.resolution)
    truth = random_bodies(8, 1, 0.2, torch.float32).rotations
    truth[:, 1:] = load_prior("flow").sample(8, torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)

    def angle() -> float:
        with torch.no_grad():
            return float(geodesic_distance(network(crops).rotations, truth).mean())

    first = angle()
    for _ in range(steps):
        loss = sum((s.rotations - truth).square().mean() for s in network(crops).all_stages)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return first, angle()


@pytest.mark.parametrize(
    ("config", "steps"),
    [
        (HmrConfig.small(), 20),
        (TwoBranchConfig.small(), 20),
        (TwoBranchConfig.small(("image", "iuv")), 20),
        (MultistageConfig.small(), 70),
        (Pose2PoseConfig.small(), 20),
    ],
    ids=["hmr", "one branch", "two branches", "stages", "joints"],
)
def test_small_twins_learn_eight_people_by_heart(config: Config, steps: int):
    torch.manual_seed(0)
    before, after = overfit(build(config), steps)
    assert after < 0.5 * before


@pytest.mark.parametrize(
    "config",
    [
        HmrConfig.small(),
        TwoBranchConfig.small(("image", "iuv")),
        MultistageConfig.small(),
        Pose2PoseConfig.small("latent"),
    ],
)
def test_small_twins_are_small(config):
    assert sum(p.numel() for p in build(config).parameters() if p.requires_grad) < 2e6


def test_missing_and_wrong_inputs_are_named():
    network = build(TINY["image and iuv"])
    crops = random_crops(2)
    with pytest.raises(InputError, match="'iuv', which the crops do not have"):
        network(Crops(crops.image))
    with pytest.raises(InputError, match="crop to 64 pixels"):
        network(random_crops(2, side=32))


def test_crops_from_pixels():
    g = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (2, 4, 4, 3), generator=g, dtype=torch.uint8)
    iuv = torch.rand(2, 4, 4, 3, generator=g)
    iuv[..., 0] = 24
    crops = Crops.from_pixels(image, iuv, torch.zeros(2, 4, 4, dtype=torch.int32))
    assert torch.allclose(crops.image[1, 2, 3, 0], image[1, 3, 0, 2] / 255)
    assert (crops.iuv[:, 0] == 1).all()
    assert torch.equal(crops.iuv[:, 1], iuv[..., 1])
    moved = crops.to(torch.float64)
    assert (moved.image.dtype, moved.parts.dtype) == (torch.float64, torch.int64)


@pytest.mark.parametrize(
    ("metadata", "match"),
    [
        ({}, "not a regression network"),
        ({"network": "hmr"}, "not a regression network"),
        ({"network": "smplify", "config": "{}"}, "no network is called"),
        ({"network": "hmr", "config": "{"}, "is not JSON"),
        ({"network": "hmr", "config": '{"depth": 3}'}, "should have backbone"),
        ({"network": "hmr", "config": '{"width": "wide"}'}, "should be like 64"),
        ({"network": "hmr", "config": '{"width": 0}'}, "at least 1"),
        ({"network": "hmr", "config": '{"dropout": 1}'}, "below 1"),
        ({"network": "hmr", "config": '{"backbone": "vgg"}'}, "no backbone is called"),
        ({"network": "hmr", "config": '{"backbone": "resnet18", "width": 8}'}, "not a regression network"),
        ({"network": "two_branch", "config": '{"inputs": ["parts", "iuv"]}'}, "or image with one"),
        ({"network": "two_branch", "config": '{"inputs": [3]}'}, "an input should be one of"),
        ({"network": "multistage", "config": '{"prior": "gmm"}'}, "no latent space"),
        ({"network": "multistage", "config": '{"kernel": 4}'}, "odd"),
        ({"network": "pose2pose", "config": '{"pose": "latent", "prior": "gmm"}'}, "no latent space"),
        ({"network": "pose2pose", "config": '{"levels": 5}'}, "at most 4"),
        ({"network": "pose2pose", "config": '{"pose": "sitting"}'}, "pose should be one of"),
        ({"network": "pose2pose", "config": '{"skeleton": "octopus"}'}, "skeleton should be one of"),
        ({"network": "multistage", "config": '{"skeleton": "octopus"}'}, "skeleton should be one of"),
    ],
)
def test_other_files_are_refused(tmp_path, metadata, match):
    save_file({"a": torch.zeros(1)}, str(tmp_path / "n.safetensors"), metadata)
    with pytest.raises(InputError, match=match):
        load_estimator(tmp_path / "n.safetensors")


def test_no_file_and_no_safetensors(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_estimator(tmp_path / "n.safetensors")
    (tmp_path / "n.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a regression network"):
        load_estimator(tmp_path / "n.safetensors")


def test_configurations_survive_json():
    for config in (*TINY.values(), HmrConfig(dropout=0)):
        assert read_config(name_of(config), json.dumps(asdict(config))) == config
    assert {name_of(c) for c in TINY.values()} == set(NETWORKS)
