import pytest
import torch

from bodyloop.nets.build import build
from bodyloop.nets.estimator import Crops
from bodyloop.nets.size import measure_size
from bodyloop.nets.two_branch import TwoBranchConfig
from made_up_crops import SIDE, TINY, random_crops


@pytest.mark.parametrize(
    ("config", "operations", "megabytes"),
    [
        (TwoBranchConfig(), 7.803, 174.97),
        (TwoBranchConfig(main="resnet50"), 4.090, 102.27),
        (TwoBranchConfig.two(), 5.905, 150.97),
        (TwoBranchConfig.two("parts"), 5.905, 150.97),
        (TwoBranchConfig(("image", "iuv"), main="resnet18"), 3.630, 97.783),
    ],
    ids=["101", "50", "50 and 18", "50 and 18, parts", "18 and 18"],
)
def test_table_2(config: TwoBranchConfig, operations: float, megabytes: float):
    """Rong et al., table 2; files differ by what they hold beside the numbers."""
    size = measure_size(build(config))
    assert size.multiply_adds == pytest.approx(operations, abs=0.001)
    assert size.megabytes == pytest.approx(megabytes, rel=0.001)


def test_each_input_matters():
    network, crops, other = build(TINY["image and parts"]).eval(), random_crops(2), random_crops(2, 1)
    first = network(crops).betas
    assert not torch.equal(first, network(Crops(other.image, None, crops.parts)).betas)
    assert not torch.equal(first, network(Crops(crops.image, None, other.parts)).betas)
    assert torch.equal(first, network(Crops(crops.image, other.iuv, crops.parts)).betas)


def test_parts_are_labels_not_amounts():
    """Renaming the parts along with their colours changes nothing."""
    network = build(TINY["parts alone"]).eval()
    labels = random_crops(2).parts
    first = network(Crops(parts=labels)).betas
    order = torch.randperm(15, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.part_colors.colors.weight.copy_(network.part_colors.colors.weight[order.argsort()])
    assert torch.allclose(first, network(Crops(parts=order[labels + 1] - 1)).betas, atol=1e-6)


def test_both_rotations_start_at_the_same_mean():
    axis_angle, rot6d = (
        build(TwoBranchConfig(("image",), "resnet18", "resnet18", 8, SIDE, 16, rotation))
        for rotation in ("axis_angle", "rot6d")
    )
    for network in (axis_angle, rot6d):
        torch.nn.init.zeros_(network.estimator[2].weight)
    crops = random_crops(2)
    assert torch.allclose(axis_angle(crops).rotations, rot6d(crops).rotations, atol=1e-5)
    assert (axis_angle.parameters_of.size, rot6d.parameters_of.size) == (85, 157)
