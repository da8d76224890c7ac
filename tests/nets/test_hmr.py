import torch

from bodyloop.geometry import rotmat_to_rot6d
from bodyloop.nets.build import build
from bodyloop.nets.estimator import mean_pose
from bodyloop.nets.hmr import Hmr, HmrConfig
from bodyloop.nets.parameters import MEAN_SCALE
from bodyloop.nets.size import measure_size
from made_up_crops import TINY, random_crops


def test_without_corrections_every_round_is_the_mean():
    network = build(TINY["hmr"]).eval()
    torch.nn.init.zeros_(network.correction.weight)
    estimate = network(random_crops(2))
    assert len(estimate.all_stages) == 3
    for stage in estimate.all_stages:
        assert torch.allclose(stage.rotations, mean_pose().expand(2, 24, 3, 3), atol=1e-6)
        assert torch.equal(stage.betas, torch.zeros(2, 10))
        assert torch.equal(stage.camera.scale, torch.full((2,), MEAN_SCALE))
        assert torch.equal(stage.camera.shift, torch.zeros(2, 2))


def test_rounds_correct_the_round_before():
    """A slow twin: the rounds written out, from the network's own layers."""
    network = build(TINY["hmr"]).eval()
    assert isinstance(network, Hmr)
    torch.nn.init.normal_(network.correction.weight, std=0.02)
    crops = random_crops(2)
    estimate = network(crops)
    features = network.backbone(network.normalised_image(crops))
    pose = rotmat_to_rot6d(mean_pose()).flatten()  # columns one after the other
    numbers = torch.cat([pose, torch.zeros(10), torch.tensor([MEAN_SCALE, 0, 0])]).repeat(2, 1)
    for stage in estimate.all_stages:
        numbers = numbers + network.correction(network.regressor(torch.cat([features, numbers], 1)))
        first = torch.nn.functional.normalize(numbers[:, :3], dim=1)
        assert torch.allclose(stage.rotations[:, 0, :, 0], first, atol=1e-5)
        assert torch.allclose(stage.betas, numbers[:, 144:154], atol=1e-5)
        assert torch.allclose(stage.camera.scale, numbers[:, 154], atol=1e-5)


def test_as_large_as_zanfir_et_al_count_it():
    """Their footnote 2: about 27 million trainable parameters; rotations are 6D here."""
    assert round(measure_size(build(HmrConfig())).parameters) == 27
