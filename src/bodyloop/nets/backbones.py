"""Backbones by name, and weights that somebody trained: from a local file, or from a hub if asked for."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bodyloop.errors import InputError
from bodyloop.nets.landmarks import LandmarkNet
from bodyloop.nets.resnet import ResNet, ResNetKind

HUB = "hub"
"""In place of a weights file: download what the backbone's makers published."""

SHIPPED = "shipped"
"""In place of a weights file: the small backbones that come with bodyloop (`bodyloop.train.backbone`)."""

LANDMARKS: dict[str, ResNetKind] = {"landmarks18": "resnet18"}
"""Names of backbones that say where landmarks are, and the ResNets in them."""

_WEIGHTS = Path(__file__).parent / "weights"

_ROLE = "backbone."
"""What the names of a backbone's weights begin with in the files of `Hmr`, `Pose2Pose` and `Pose2d`."""

_SUFFIXES = (".pth", ".pt", ".safetensors")

_PUBLISHED = "https://download.pytorch.org/models/"
_HUB_FILES = {
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
}
"""torchvision's ImageNet weights (BSD-3), first version; the names end with their checksums."""


class TimmBackbone(nn.Module):
    """Any classifier of the timm library, without its last layer.

    Args:
        name: timm's.
        pretrained: download timm's weights.

    Attributes:
        channels: of the features.

    Raises:
        InputError: if timm does not load, does not know the name, or cannot fetch the weights.
    """

    def __init__(self, name: str, pretrained: bool = False) -> None:
        super().__init__()
        try:
            import timm
        except (ImportError, RuntimeError) as error:  # torchvision of another build raises RuntimeError
            raise InputError(
                f"the backbone 'timm/{name}' needs timm, which does not load ({error}); pip install "
                "'bodyloop[backbones]' with a torchvision made for your torch, or use one of "
                f"{', '.join(get_args(ResNetKind))}"
            ) from error
        try:
            self.model: Any = timm.create_model(name, pretrained=pretrained, num_classes=0)
        except Exception as error:  # whatever the hub's client raises
            raise InputError(
                f"timm gives no backbone {name!r} ({type(error).__name__}: {error}); "
                + (
                    "download its weights elsewhere and name the file"
                    if pretrained
                    else "see timm.list_models()"
                )
            ) from error
        self.channels = int(self.model.head_hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) to features (B, channels)."""
        return self.model(x)


def check_backbone(name: str) -> None:
    """Raise InputError unless a backbone can have this name."""
    names = (*get_args(ResNetKind), *LANDMARKS)
    if name not in names and not name.startswith("timm/"):
        raise InputError(f"no backbone is called {name!r}; expected {', '.join(names)}, or timm/NAME")


def make_backbone(name: str, width: int = 64) -> ResNet | LandmarkNet | TimmBackbone:
    """A backbone with random weights: images (B, 3, H, W), normalised, to features (B, `channels`).

    Args:
        name: of a ResNet, of `LANDMARKS`, or "timm/" and a name of the timm library.
        width: of a ResNet's first layer; timm's have their own.

    Raises:
        InputError: for a name that nobody knows.
    """
    check_backbone(name)
    if name.startswith("timm/"):
        return TimmBackbone(name.removeprefix("timm/"))
    if name in LANDMARKS:
        return LandmarkNet(LANDMARKS[name], width)
    return ResNet(name, width)  # type: ignore[arg-type]


def load_backbone(backbone: nn.Module, name: str, source: str | Path, role: str = "image") -> None:
    """Put trained weights into a backbone that `make_backbone` made.

    Classifiers among them are left out; of networks that bodyloop trained, whose backbone is called so, all but that.
    Nothing is downloaded unless `source` says so.

    Args:
        backbone: changed in place.
        name: as for `make_backbone`.
        source: a file of torch (.pth, .pt: read without running code) or of safetensors; `HUB` downloads; `SHIPPED`
            needs no file.
        role: what the backbone looks at; the ones that ship differ in that.

    Raises:
        InputError: if the file is missing, no such file, or of another network, or if the hub cannot be reached.
    """
    if str(source) == HUB:
        state = _download(name)
    elif str(source) == SHIPPED:
        file = f"landmarks-{role}" if name in LANDMARKS else "backbone-small"
        state = _read(_WEIGHTS / f"{file}.safetensors")
    else:
        state = _read(Path(source))
    wanted = backbone.state_dict()
    prefix = "model." if name.startswith("timm/") else ""
    own = (
        {}
        if name in LANDMARKS
        else {k.removeprefix(_ROLE): v for k, v in state.items() if k.startswith(_ROLE)}
    )
    found = {prefix + key: value for key, value in (own or state).items() if prefix + key in wanted}
    # Files of torch before 0.4.1 do not count batches.
    missing = sorted(k for k in set(wanted) - set(found) if not k.endswith("num_batches_tracked"))
    wrong = [k for k, v in found.items() if v.shape != wanted[k].shape]
    if missing or wrong:
        example = (missing + wrong)[0]
        raise InputError(
            f"{source}: not the weights of {name} ({len(missing)} arrays missing, {len(wrong)} of other shapes, "
            f"for instance {example}); give weights of the same network and width"
        )
    backbone.load_state_dict(found)


def find_backbone(source: str | Path, name: str) -> str | Path:
    """The weights of one backbone among those of several.

    Args:
        source: `HUB`, a file, or a folder of files that begin with the backbones' names, as torchvision's do.
        name: of the backbone.

    Raises:
        InputError: if the folder has no such file, or several.
    """
    if str(source) == HUB or not Path(source).is_dir():
        return source
    found = [
        path
        for path in sorted(Path(source).iterdir())
        if path.suffix in _SUFFIXES and re.match(rf"{re.escape(name.removeprefix('timm/'))}\b", path.name)
    ]
    if len(found) != 1:
        raise InputError(
            f"{source}: expected one file of weights of {name}, such as {_HUB_FILES.get(name, name + '.pth')}, got "
            f"{', '.join(p.name for p in found) or 'none'}"
        )
    return found[0]


def weights_sum(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of the names and values of weights, in hexadecimal."""
    sum_ = hashlib.sha256()
    for name, value in sorted(state.items()):
        sum_.update(name.encode())
        sum_.update(np.ascontiguousarray(value.cpu().numpy()).tobytes())
    return sum_.hexdigest()


LANDMARKS_BESIDE = {_ROLE: _WEIGHTS / "landmarks-image.safetensors"}
"""What files of networks that ship leave out (`bodyloop.network_files.save_network`): the backbone that they see by."""


def _download(name: str) -> dict[str, Tensor]:
    if name.startswith("timm/"):
        model = TimmBackbone(name.removeprefix("timm/"), pretrained=True).model
        return dict(model.state_dict())
    if name not in _HUB_FILES:
        raise InputError(
            f"{HUB}: nobody publishes weights of {name}, only of {', '.join(_HUB_FILES)} and timm's; give the file of "
            "a network with this backbone, or leave it out: networks that see by landmarks begin with what ships"
        )
    address = _PUBLISHED + _HUB_FILES[name]
    try:
        return torch.hub.load_state_dict_from_url(
            address, progress=False, check_hash=True, map_location="cpu", weights_only=True
        )
    except (OSError, RuntimeError) as error:  # no network (URLError is an OSError), or another file
        raise InputError(
            f"cannot fetch {address} ({error}); download it elsewhere and name the file instead of {HUB!r}"
        ) from None


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; expected a backbone's weights (.pth or .safetensors), for instance one of "
            f"{_PUBLISHED}{{{','.join(_HUB_FILES.values())}}}"
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        Exception
    ) as error:  # torch's unpickler raises much, on broken files and on those that would run code
        raise InputError(
            f"{path}: cannot be read as plain weights ({type(error).__name__}); expected a state_dict in .pth, or "
            ".safetensors"
        ) from None
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"{path}: holds no state_dict; save the network's state_dict() and name that file")
    return state
