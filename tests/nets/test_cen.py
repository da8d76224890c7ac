"""The consistency network, and the drawing of candidates that it sees."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bodyloop.body import BodyModel
from bodyloop.body.skeletons import UNION45
from bodyloop.errors import InputError
from bodyloop.geometry import Camera, rotmat_to_rot6d
from bodyloop.nets.candidates import draw_pncc
from bodyloop.nets.cen import VERTICES, Cen, CenConfig, load_cen, save_cen
from made_up import random_bodies

TINY = CenConfig("resnet18", 8, 64, 20)
CROP = Camera(torch.tensor([300.0, 300.0]), torch.tensor([31.5, 31.5]), (64, 64))


def test_it_is_a_resnet_of_six_channels():
    """The first convolution of pictures and bodies, one behind the other, is the sum of two."""
    torch.manual_seed(0)
    network = Cen(TINY).eval()
    image, pncc = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    weight = torch.cat([network.backbone.conv1.weight, network.of_body.weight], 1)
    whole = torch.cat([(image - network._mean) / network._spread, 2 * pncc - 1], 1)
    first = torch.conv2d(whole, weight, stride=2, padding=3)
    kept = []
    network.backbone.bn1.register_forward_hook(lambda module, inputs, output: kept.append(inputs[0]))
    assert (network(image, pncc) > 0).all()
    assert torch.allclose(kept[0], first, atol=1e-4)


def test_a_backbone_of_landmarks_stays_as_it_is_and_what_it_saw_is_enough():
    network = Cen(replace(TINY, backbone="landmarks18")).train()
    image, numbers = torch.rand(4, 3, 64, 64), torch.rand(4, 279)
    before = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    network(image, numbers).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in network.backbone.state_dict().items())
    assert all(p.grad is None for p in network.backbone.parameters())
    assert all(p.grad is not None for p in network.comparing.parameters())
    network.eval()
    found = network(image, numbers)
    assert torch.allclose(network(None, numbers, network.look(image)), found, atol=1e-5)
    for other in (network(image.flip(0), numbers), network(image, numbers.flip(0))):
        assert not torch.allclose(other, found, atol=1e-4), "both matter"


def test_numbers_of_a_body_are_its_landmarks_and_rotations(body: BodyModel):
    bodies = random_bodies(3, 0, 0.2, torch.float32)
    bodies.translation[2] = torch.nan
    found = Cen(replace(TINY, backbone="landmarks18")).view(body, bodies, CROP)
    assert found.shape == (3, 279)
    assert torch.isfinite(found).all()
    points = body.points(bodies, body.keypoints(UNION45)[0])[:2]
    places = (CROP.project(points) + 0.5) / 32 - 1
    torch.testing.assert_close(found[:2, :90], places.clamp(-3, 3).flatten(1))
    torch.testing.assert_close(found[:2, 90:135], (points - points[:, :1])[..., 2])
    torch.testing.assert_close(found[:2, 135:], rotmat_to_rot6d(bodies.rotations[:2]).flatten(1))


def test_where_the_picture_has_landmarks_is_among_its_features():
    network = Cen(replace(TINY, backbone="landmarks18")).eval()
    with torch.no_grad():
        network.backbone.standardise(torch.randn(50, network.backbone.channels))
    image = torch.rand(2, 3, 64, 64)
    normalised = (image - network._mean) / network._spread
    torch.testing.assert_close(
        network.backbone.places_among(network.look(image)), network.backbone.places(normalised)
    )


def test_the_paper_has_a_distance_for_every_vertex(body: BodyModel):
    assert CenConfig().points == VERTICES == len(body.v_template)


@pytest.mark.parametrize("backbone", ["resnet18", "landmarks18"])
def test_saved_and_loaded(tmp_path: Path, backbone: str, body: BodyModel):
    network = Cen(replace(TINY, backbone=backbone)).eval()
    save_cen(network, tmp_path / "cen.safetensors")
    back = load_cen(tmp_path / "cen.safetensors")
    image, view = torch.rand(2, 3, 64, 64), network.view(body, random_bodies(2, 0, 0.2, torch.float32), CROP)
    assert torch.allclose(back(image, view), network(image, view), rtol=2e-2, atol=2e-3)


def test_what_is_no_such_network_is_told(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        load_cen(tmp_path / "none.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="consistency network"):
        load_cen(tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="crop to 64"):
        Cen(TINY)(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32))


def test_drawings_of_any_size_show_the_same(body: BodyModel):
    bodies = random_bodies(3, 0, 0.2, torch.float32)
    fine, coarse = (draw_pncc(body, bodies, CROP, side) for side in (256, 64))
    assert fine.shape == (3, 3, 256, 256)
    shrunk = torch.nn.functional.avg_pool2d(fine, 4)
    inside = (torch.nn.functional.avg_pool2d((fine.amax(1) > 0).float(), 4) == 1)[:, None].expand_as(coarse)
    assert inside.any()
    assert (shrunk - coarse)[inside].abs().mean() < 0.02


def test_who_is_behind_the_camera_or_nowhere_is_not_drawn(body: BodyModel):
    bodies = random_bodies(3, 0, 0.2, torch.float32)
    bodies.translation[1, 2] = -4.0
    bodies.translation[2, 0] = torch.nan
    maps = draw_pncc(body, bodies, CROP, 32)
    assert maps[0].amax() > 0
    assert torch.equal(maps[1:], torch.zeros(2, 3, 32, 32))
    one = draw_pncc(body, bodies[:1], CROP, 32)
    assert torch.allclose(one[0], maps[0], atol=1e-4)


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(InputError):
        replace(TINY, points=0)
    with pytest.raises(InputError):
        replace(TINY, backbone="timm/x")
