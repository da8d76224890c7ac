"""The backbone of landmarks: places are means of heatmaps, features stand about 0, and parts have fixed colours."""

import pytest
import torch

from bodyloop.errors import InputError
from bodyloop.nets.backbones import SHIPPED, load_backbone, make_backbone
from bodyloop.nets.build import build
from bodyloop.nets.estimator import Crops
from bodyloop.nets.hmr import HmrConfig
from bodyloop.nets.landmarks import LandmarkNet
from bodyloop.nets.multistage import MultistageConfig
from bodyloop.nets.two_branch import PartColors, TwoBranchConfig


@pytest.fixture
def network() -> LandmarkNet:
    torch.manual_seed(0)
    return LandmarkNet("resnet18", 8).eval()


def sharp(network: LandmarkNet, bias: float) -> None:
    """Heatmaps that see one channel of the maps, so that places depend on the picture."""
    with torch.no_grad():
        network.heatmaps.weight.mul_(bias)


@torch.no_grad()
def test_places_are_means_of_heatmaps(network: LandmarkNet):
    sharp(network, 0.0)
    places = network.places(torch.rand(2, 3, 64, 64))
    assert places.shape == (2, 45, 2)
    torch.testing.assert_close(places, torch.zeros_like(places), atol=1e-6, rtol=0)


@torch.no_grad()
def test_places_follow_a_shift_of_the_picture(network: LandmarkNet):
    """By as many pixels as the last two groups have strides: the maps move by whole cells, but for the margins."""
    sharp(network, 50.0)
    picture = torch.zeros(1, 3, 256, 256)
    picture[..., 96:128, 96:128] = torch.rand(3, 32, 32) * 4
    moved = picture.roll((32, 64), (2, 3))
    first, second = network(picture), network(moved)
    assert not torch.equal(first, second)
    step = (network.places(moved) - network.places(picture))[0]
    wanted = 2 * torch.tensor([64.0, 32.0]) / 256
    held = (step - wanted).norm(dim=-1) < 0.2
    assert held.float().mean() > 0.5


@torch.no_grad()
def test_features_are_standardised(network: LandmarkNet):
    pictures = torch.rand(40, 3, 64, 64) * torch.linspace(0.2, 3, 40)[:, None, None, None]
    assert network(pictures).shape == (40, network.channels) == (40, 64 + 3 * 45)
    network.standardise(network.raw_features(pictures))
    found = network(pictures)
    torch.testing.assert_close(found.mean(0), torch.zeros(network.channels), atol=1e-3, rtol=0)
    assert found.std(0).max() < 1.01
    varied = network.raw_features(pictures).std(0) > 1e-2
    assert varied.any()
    torch.testing.assert_close(found.std(0)[varied], torch.ones(int(varied.sum())), atol=1e-3, rtol=0)


@torch.no_grad()
def test_spreads_are_those_of_heatmaps(network: LandmarkNet):
    """Even heatmaps: the variance of even cells between -1 and 1, both ways."""
    sharp(network, 0.0)
    spread = network.raw_features(torch.rand(1, 3, 128, 128))[0, -45:]
    cells = torch.arange(8).double() / 4 + 1 / 8 - 1
    torch.testing.assert_close(
        spread.double(), (2 * cells.var(correction=0)).sqrt().expand(45), rtol=1e-4, atol=0
    )


@pytest.mark.parametrize("role", ["image", "iuv", "parts"])
def test_those_that_ship_fit_the_networks_that_see_by_them(role: str):
    config = TwoBranchConfig.sighted((role,))  # type: ignore[arg-type]
    backbone = make_backbone("landmarks18", config.width_of(role))  # type: ignore[arg-type]
    load_backbone(backbone, "landmarks18", SHIPPED, role)
    assert isinstance(backbone, LandmarkNet)
    assert float(backbone.spread.min()) > 0
    with pytest.raises(InputError, match="not the weights of landmarks18"):
        load_backbone(make_backbone("landmarks18", 8), "landmarks18", SHIPPED, role)


@torch.no_grad()
def test_features_stand_for_what_was_looked_at():
    crops = Crops(torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64), torch.randint(-1, 14, (2, 64, 64)))
    for config in (
        HmrConfig("landmarks18", 8, 64, 32),
        TwoBranchConfig(("image", "parts"), "landmarks18", "landmarks18", 8, 64, 32, map_width=4),
        TwoBranchConfig(("iuv",), "landmarks18", "landmarks18", 8, 64, 32),
    ):
        network = build(config).eval()
        whole, short = network(crops), network(Crops(features=network.looked(crops)))
        torch.testing.assert_close(whole.rotations, short.rotations, rtol=0, atol=0)
    assert network.look(crops, "iuv").shape == (2, 64 + 135)


def test_networks_that_look_at_maps_have_no_features_to_keep():
    network = build(MultistageConfig("resnet18", 8, 64, "coco17", "densepose", 16, 3, 1, 1, 2))
    with pytest.raises(InputError, match="versions=0"):
        network.look(Crops(torch.rand(1, 3, 64, 64)), "image")


def test_parts_have_the_same_colours_every_time_and_none_that_are_alike():
    first, second = (PartColors(24).colors.weight.detach() for _ in range(2))
    assert torch.equal(first, second)
    distance = torch.cdist(first, first) + 10 * torch.eye(25)
    assert float(distance.min()) > 0.5
    assert float(first.abs().max()) <= 2
