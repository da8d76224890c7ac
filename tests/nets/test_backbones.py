import pickle
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bodyloop.errors import InputError
from bodyloop.nets import backbones
from bodyloop.nets.backbones import HUB, find_backbone, load_backbone, make_backbone
from bodyloop.nets.build import build
from bodyloop.nets.resnet import ResNet
from made_up_crops import TINY


def published(kind: str, width: int) -> dict[str, torch.Tensor]:
    """A state as torchvision's files have it: with a classifier."""
    torch.manual_seed(5)
    state = dict(ResNet(kind, width).state_dict())
    return state | {"fc.weight": torch.zeros(1000, 3), "fc.bias": torch.zeros(1000)}


def test_one_of_several_files_is_found_by_the_backbones_name(tmp_path: Path):
    for name in (
        "resnet18-0123.pth",
        "resnet180.pth",
        "resnet50.safetensors",
        "resnet50.txt",
        "wide_resnet101.pth",
    ):
        (tmp_path / name).write_bytes(b"")
    assert find_backbone(tmp_path, "resnet18") == tmp_path / "resnet18-0123.pth"
    assert find_backbone(tmp_path, "resnet50") == tmp_path / "resnet50.safetensors"
    assert find_backbone(HUB, "resnet50") == HUB
    assert find_backbone(tmp_path / "resnet180.pth", "resnet50") == tmp_path / "resnet180.pth"
    with pytest.raises(InputError, match=r"such as resnet101-63fe2227\.pth, got none"):
        find_backbone(tmp_path, "resnet101")
    (tmp_path / "resnet18.pt").write_bytes(b"")
    with pytest.raises(InputError, match=r"got resnet18-0123\.pth, resnet18\.pt"):
        find_backbone(tmp_path, "resnet18")


@pytest.mark.parametrize(
    ("kind", "channels"), [("resnet18", 64), ("resnet34", 64), ("resnet50", 256), ("resnet101", 256)]
)
def test_channels_and_strides(kind: str, channels: int):
    net = make_backbone(kind, 8)
    images = torch.rand(2, 3, 64, 64)
    assert net.channels == channels
    assert net.maps(images).shape == (2, channels, 2, 2)
    assert torch.allclose(net(images), net.maps(images).mean((2, 3)), atol=1e-3)
    trunk = ResNet(kind, 8, 2)
    assert trunk.maps(images).shape == (2, trunk.channels, 8, 8)


def test_torchvision_names():
    names = set(ResNet("resnet50").state_dict())
    assert {
        "conv1.weight",
        "bn1.running_var",
        "layer1.0.downsample.0.weight",
        "layer3.5.conv3.weight",
    } <= names
    assert sum(p.numel() for p in ResNet("resnet50").parameters()) == 25_557_032 - 1000 * 2049
    assert sum(p.numel() for p in ResNet("resnet18").parameters()) == 11_689_512 - 1000 * 513


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_published_weights_load(tmp_path, suffix: str):
    state = published("resnet18", 8)
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file({k: v.contiguous() for k, v in state.items()}, str(path))
    network = build(TINY["hmr"], backbones={"image": path})
    assert all(torch.equal(v, state[k]) for k, v in network.backbone.state_dict().items())


def test_trunks_take_the_first_layers(tmp_path):
    torch.save(published("resnet18", 8), tmp_path / "w.pth")
    network = build(TINY["latent stages"], backbones={"image": tmp_path / "w.pth"})
    assert torch.equal(network.trunk.conv1.weight, published("resnet18", 8)["conv1.weight"])


class Evil:
    def __reduce__(self):
        return print, ("this must not run",)


@pytest.mark.parametrize("kind", ["missing", "noise", "pickle", "list", "other width", "other depth"])
def test_what_is_no_such_weights_is_refused(tmp_path, kind: str, capsys):
    path = tmp_path / "w.pth"
    if kind == "noise":
        path.write_bytes(b"\x00\x01noise" * 50)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Evil(), protocol=2))
    elif kind == "list":
        torch.save([torch.zeros(3)], path)
    elif kind != "missing":
        torch.save(published("resnet18", 16) if kind == "other width" else published("resnet34", 4), path)
    with pytest.raises(InputError, match=r"w\.pth"):
        load_backbone(make_backbone("resnet18", 8), "resnet18", path)
    assert "must not run" not in capsys.readouterr().out


def test_the_hub_is_asked_only_when_named(monkeypatch):
    calls = []

    def no_network(address: str, **_) -> None:
        calls.append(address)
        raise OSError("no route to host")

    monkeypatch.setattr(backbones.torch.hub, "load_state_dict_from_url", no_network)
    build(TINY["hmr"])
    assert calls == []
    with pytest.raises(InputError, match="download it elsewhere and name the file"):
        load_backbone(make_backbone("resnet50"), "resnet50", HUB)
    assert calls[0].endswith("resnet50-0676ba61.pth")


def test_unknown_names_and_roles():
    with pytest.raises(InputError, match="no backbone is called 'vgg'"):
        make_backbone("vgg")
    with pytest.raises(InputError, match="no backbone for 'iuv'"):
        build(TINY["hmr"], backbones={"iuv": "w.pth"})


def test_timm_missing_or_unfit_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"needs timm, which does not load"):
        make_backbone("timm/mobilenetv3_small_050")


def test_timm_backbones_where_there_is_timm():
    try:
        import timm  # noqa: F401
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"timm does not load: {error}")
    for name in ("mobilenetv3_small_050", "resnet10t", "vit_tiny_patch16_224"):
        net = make_backbone(f"timm/{name}")
        assert net(torch.rand(2, 3, 224, 224)).shape == (2, net.channels)
    with pytest.raises(InputError, match="no backbone 'mobilenot'"):
        make_backbone("timm/mobilenot")
