"""The consistency network of MION (Liu et al. 2021, section 3.3): does this body match that picture?

A ResNet sees the picture and the body, drawn as projected normalised coordinate code, one behind the other as six
channels, and says how far each vertex is from where it should be (eq. 10). Of several bodies of a person the one with
the lowest mean distance is chosen.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.functional import softplus

from bodyloop.errors import InputError
from bodyloop.nets.backbones import check_backbone
from bodyloop.nets.estimator import IMAGE_MEAN, IMAGE_SPREAD, check_positive
from bodyloop.nets.resnet import ResNet
from bodyloop.network_files import read_network, save_network

VERTICES = 13_718
"""Of the built-in body."""


@dataclass(frozen=True)
class CenConfig:
    """Sizes of `Cen`; as they stand, the paper's, for the built-in body.

    Attributes:
        backbone: a ResNet.
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
        if self.backbone.startswith("timm/"):
            raise InputError(f"this network needs a ResNet, got {self.backbone!r}")
        check_positive(width=self.width, resolution=self.resolution, points=self.points)

    @classmethod
    def small(cls) -> Self:
        """A twin that trains on two cores."""
        return cls("resnet18", 16, 64, 300)


class Cen(nn.Module):
    """Picture and body to the body's distances from the truth."""

    _mean: Tensor
    _spread: Tensor

    def __init__(self, config: CenConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = ResNet(config.backbone, config.width)  # type: ignore[arg-type]
        # A convolution of six channels is the sum of two of three: so weights published for pictures fit.
        self.of_body = nn.Conv2d(3, config.width, 7, 2, 3, bias=False)
        nn.init.kaiming_normal_(self.of_body.weight, mode="fan_out", nonlinearity="relu")
        self.distances = nn.Linear(self.backbone.channels, config.points)
        for name, values in (("_mean", IMAGE_MEAN), ("_spread", IMAGE_SPREAD)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, image: Tensor, pncc: Tensor) -> Tensor:
        """Distances (B, points) in metres, of bodies with their pelvises in one place and the picture's orientation.

        Args:
            image: (B, 3, R, R) RGB in [0, 1].
            pncc: (B, 3, R, R) of the bodies (`bodyloop.raster.pncc_map`).

        Raises:
            InputError: if they are of another resolution.
        """
        wanted = (3, self.config.resolution, self.config.resolution)
        if image.shape[1:] != wanted or pncc.shape[1:] != wanted:
            raise InputError(
                f"this network needs pictures and PNCC maps (B, {', '.join(map(str, wanted))}), got "
                f"{tuple(image.shape)} and {tuple(pncc.shape)}; crop to {self.config.resolution} pixels"
            )
        features = self.backbone.maps((image - self._mean) / self._spread, self.of_body(2 * pncc - 1))
        return softplus(self.distances(features.mean((2, 3))))


def save_cen(network: Cen, path: str | Path, precision: torch.dtype = torch.half) -> None:
    """Write weights, with the configuration in the metadata (safetensors).

    Raises:
        InputError: if the file cannot be written.
    """
    save_network(network, path, {"network": "cen", "config": json.dumps(asdict(network.config))}, precision)


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
