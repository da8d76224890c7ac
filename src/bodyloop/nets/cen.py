"""The consistency network of MION (Liu et al. 2021, section 3.3): does this body match that picture?

A ResNet sees the picture and the body, drawn as projected normalised coordinate code, one behind the other as six
channels, and says how far each vertex is from where it should be (eq. 10). Of several bodies of a person the one with
the lowest mean distance is chosen.

Small networks, ours, see the picture by a backbone of landmarks, which stays as it is; the body's drawing meets what it
makes of the picture.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Self, get_args

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.functional import interpolate, softplus

from bodyloop.errors import InputError
from bodyloop.nets.backbones import LANDMARKS, check_backbone, make_backbone
from bodyloop.nets.estimator import IMAGE_MEAN, IMAGE_SPREAD, check_positive
from bodyloop.nets.landmarks import LandmarkNet
from bodyloop.nets.resnet import ResNet, ResNetKind
from bodyloop.network_files import read_network, save_network

VERTICES = 13_718
"""Of the built-in body."""


@dataclass(frozen=True)
class CenConfig:
    """Sizes of `Cen`; as they stand, the paper's, for the built-in body.

    Attributes:
        backbone: a ResNet, or one of landmarks.
        width: of the backbone.
        resolution: R of picture and PNCC.
        points: whose distances are put out: all vertices of the body, or fewer, spread over it
            (`BodyModel.spread_vertices`), which say as much of the mean.
    """

    backbone: str = "resnet34"
    width: int = 64
    resolution: int = 224
    points: int = VERTICES

    def __post_init__(self) -> None:
        check_backbone(self.backbone)
        if self.backbone not in (*get_args(ResNetKind), *LANDMARKS):
            raise InputError(f"this network needs a ResNet, got {self.backbone!r}")
        check_positive(width=self.width, resolution=self.resolution, points=self.points)
        if self.backbone in LANDMARKS and self.resolution % 32:
            raise InputError(f"resolution should be a multiple of 32, got {self.resolution}")

    @classmethod
    def small(cls) -> Self:
        """A twin that trains on two cores."""
        return cls("landmarks18", 32, 96, 300)


class Cen(nn.Module):
    """Picture and body to the body's distances from the truth."""

    _mean: Tensor
    _spread: Tensor

    def __init__(self, config: CenConfig) -> None:
        super().__init__()
        self.config = config
        backbone = make_backbone(config.backbone, config.width)
        assert isinstance(backbone, ResNet | LandmarkNet)
        self.backbone = backbone
        if isinstance(backbone, LandmarkNet):
            backbone.requires_grad_(False)
            self.meeting = _Meeting(backbone.backbone.channels)
            channels = self.meeting.channels
        else:
            # A convolution of six channels is the sum of two of three: so weights published for pictures fit.
            self.of_body = nn.Conv2d(3, config.width, 7, 2, 3, bias=False)
            nn.init.kaiming_normal_(self.of_body.weight, mode="fan_out", nonlinearity="relu")
            channels = backbone.channels
        self.distances = nn.Linear(channels, config.points)
        for name, values in (("_mean", IMAGE_MEAN), ("_spread", IMAGE_SPREAD)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def train(self, mode: bool = True) -> Self:
        """Learn, or not; a backbone of landmarks never does."""
        super().train(mode)
        if isinstance(self.backbone, LandmarkNet):
            self.backbone.eval()
        return self

    def look(self, image: Tensor) -> Tensor:
        """What a backbone of landmarks makes of pictures, (B, numbers), for `forward`; raises as that does."""
        assert isinstance(self.backbone, LandmarkNet), "a ResNet sees picture and body together"
        self._check(image)
        return self.backbone.flat_maps((image - self._mean) / self._spread)

    def forward(self, image: Tensor | None, pncc: Tensor, seen: Tensor | None = None) -> Tensor:
        """Distances (B, points) in metres, of bodies with their pelvises in one place and the picture's orientation.

        Args:
            image: (B, 3, R, R) RGB in [0, 1].
            pncc: (B, 3, R, R) of the bodies (`bodyloop.raster.pncc_map`).
            seen: what `look` said of the pictures, if that is known: then they are not looked at.

        Raises:
            InputError: if they are of another resolution.
        """
        self._check(pncc)
        body = 2 * pncc - 1
        if isinstance(self.backbone, LandmarkNet):
            if seen is None:
                assert image is not None, "give the picture, or what was seen of it"
                seen = self.look(image)
            features = self.meeting(*self.backbone.unflat_maps(seen, self.config.resolution), body)
        else:
            assert image is not None, "a ResNet looks at the picture"
            self._check(image)
            maps = self.backbone.maps((image - self._mean) / self._spread, self.of_body(body))
            features = maps.mean((2, 3))
        return softplus(self.distances(features))

    def _check(self, maps: Tensor) -> None:
        wanted = (3, self.config.resolution, self.config.resolution)
        if maps.shape[1:] != wanted:
            raise InputError(
                f"this network needs pictures and PNCC maps (B, {', '.join(map(str, wanted))}), got "
                f"{tuple(maps.shape)}; crop to {self.config.resolution} pixels"
            )


class _Meeting(nn.Module):
    """Maps of a picture and the drawing of a body, to features (B, `channels`).

    Args:
        seen: channels of the backbone's last maps; those before have half as many.
    """

    def __init__(self, seen: int) -> None:
        super().__init__()
        inner = seen // 4
        self.channels = 2 * inner
        widths = [3, max(inner // 4, 4), max(inner // 2, 4), inner, inner]
        layers = [_strided(a, b, 7 if a == 3 else 3) for a, b in pairwise(widths)]
        self.of_body = nn.Sequential(*layers)
        self.of_last, self.of_finer = nn.Conv2d(seen, inner, 1), nn.Conv2d(seen // 2, inner, 1)
        self.together = nn.Sequential(
            nn.Conv2d(2 * inner, 2 * inner, 3, padding=1, bias=False),
            nn.BatchNorm2d(2 * inner),
            nn.ReLU(),
            _strided(2 * inner, 2 * inner, 3),
        )

    def forward(self, last: Tensor, finer: Tensor, body: Tensor) -> Tensor:
        coarse = interpolate(self.of_last(last), size=finer.shape[-2:], mode="nearest")
        picture = torch.relu(coarse + self.of_finer(finer))
        return self.together(torch.cat([picture, self.of_body(body)], 1)).mean((2, 3))


def _strided(inputs: int, outputs: int, size: int) -> nn.Module:
    """Half the side."""
    convolution = nn.Conv2d(inputs, outputs, size, 2, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def save_cen(
    network: Cen,
    path: str | Path,
    precision: torch.dtype = torch.half,
    beside: Mapping[str, Path] | None = None,
) -> None:
    """Write weights, with the configuration in the metadata (safetensors).

    Args:
        network: on any device.
        path: the file.
        precision: of the weights.
        beside: what is left out, as of `bodyloop.network_files.save_network`.

    Raises:
        InputError: if the file cannot be written.
    """
    sizes = {"network": "cen", "config": json.dumps(asdict(network.config))}
    save_network(network, path, sizes, precision, beside)


def load_cen(path: str | Path) -> Cen:
    """The network that `save_cen` wrote, in evaluation mode.

    Raises:
        InputError: if the file is missing, or not such a file.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; expected a consistency network of bodyloop (safetensors)")
    try:
        metadata, state = read_network(path)
        if metadata.get("network") != "cen":
            raise ValueError(f"it holds {metadata.get('network')!r}")
        network = Cen(CenConfig(**json.loads(metadata["config"])))
        network.load_state_dict(state)
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: not a consistency network of bodyloop ({error})") from None
    return network.eval()


@lru_cache(maxsize=1)
def default_cen() -> Cen:
    """The consistency network that ships.

    Raises:
        InputError: if none does.
    """
    path = Path(__file__).parent / "weights" / "cen-small.safetensors"
    if not path.is_file():
        raise InputError(f"{path}: no consistency network ships with this version; choose by energy")
    return load_cen(path)
