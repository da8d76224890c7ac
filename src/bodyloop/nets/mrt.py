"""The mesh refinement transformer of MION (Liu et al. 2021, section 3.2): candidate and picture, to a better body.

A fully convolutional network makes a map of the picture. The candidate, drawn as projected normalised coordinate code
(PNCC, eq. 3 and 4), is the map's positional encoding (eq. 5): where the picture shows the left knee, if the candidate
is right, the map is told so. A transformer's encoder relates all cells; its decoder has one query a joint, each of
which becomes the joint's rotation; two small networks see the first query's and put out shape and camera.

What the paper leaves open, and what is done here: the transformer is DETR's (Carion et al. 2020: 6 layers each, 8
heads, 2048 hidden), rotations are 6D, and the answer is absolute. `MrtConfig.start` = "candidate", ours, lets the
rotations be corrections of the candidate's. Ours as well are small networks whose map is made of what a backbone of
landmarks sees, which is all that they need of a picture and can be kept for training.
"""

import math
from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from bodyloop.errors import InputError
from bodyloop.geometry import rotmat_to_rot6d
from bodyloop.nets.backbones import LANDMARKS, check_backbone, make_backbone
from bodyloop.nets.estimator import Crops, Estimate, Estimator, InputKind, check_choice, check_positive
from bodyloop.nets.heatmaps import cell_centers
from bodyloop.nets.landmarks import LandmarkNet
from bodyloop.nets.parameters import Parameters
from bodyloop.nets.resnet import ResNet, ResNetKind

Encoding = Literal["pncc", "place"]

SLOWEST = 10_000.0
"""The base of the encoding's wavelengths, eq. 5."""
UPSAMPLINGS = 3
"""Deconvolutions, each of which doubles the map: from a stride of 32 to one of 4."""


@dataclass(frozen=True)
class MrtConfig:
    """Sizes of `Mrt`; as they stand, the paper's.

    Attributes:
        backbone: a ResNet, or one of landmarks (`bodyloop.nets.landmarks`), whose map is made at half the side.
        width: of the backbone.
        resolution: R of the crops; the map has R / 4 cells a side.
        features: channels of the map and of the transformer, a multiple of 6.
        heads: of attention.
        encoders, decoders: layers.
        hidden: width of the layers' own networks.
        dropout: in training.
        stride: cells of the map, a side, that become one token. 1 is the paper's; attention costs its fourth power
            less.
        encoding: "pncc", or "place", the usual sines of the cell's place (table 2, "w/o PNCC-PE"), which tells the
            network nothing of the candidate.
        waves: factor of the encoded numbers; 1 is eq. 5, in which no sine comes round even once.
        start: of the rotations: the mean pose, or the candidate's.
    """

    backbone: str = "resnet50"
    width: int = 64
    resolution: int = 224
    features: int = 384
    heads: int = 8
    encoders: int = 6
    decoders: int = 6
    hidden: int = 2048
    dropout: float = 0.1
    stride: int = 1
    encoding: Encoding = "pncc"
    waves: float = 1.0
    start: Literal["mean", "candidate"] = "mean"

    def __post_init__(self) -> None:
        check_backbone(self.backbone)
        check_choice("encoding", self.encoding, Encoding)
        check_choice("start", self.start, Literal["mean", "candidate"])
        check_positive(
            width=self.width,
            heads=self.heads,
            encoders=self.encoders,
            decoders=self.decoders,
            hidden=self.hidden,
        )
        if self.backbone not in (*get_args(ResNetKind), *LANDMARKS):
            raise InputError(f"this network needs a ResNet's maps, got {self.backbone!r}")
        if self.resolution < 32 or self.resolution % 32:
            raise InputError(f"resolution should be a multiple of 32, got {self.resolution}")
        if self.features % 12 or self.features % self.heads:
            raise InputError(
                f"features should be a multiple of 12 and of the heads, got {self.features} and {self.heads}"
            )
        if self.stride < 1 or self.cells % self.stride:
            raise InputError(f"stride should divide the map's {self.cells} cells, got {self.stride}")
        if self.backbone in LANDMARKS and self.stride % 2:
            raise InputError(f"with a backbone of landmarks the stride should be even, got {self.stride}")
        if not 0 <= self.dropout < 1 or self.waves <= 0:
            raise InputError(
                f"dropout should be at least 0 and below 1, waves above 0, got {self.dropout} and {self.waves}"
            )

    @property
    def cells(self) -> int:
        """S, the side of the map."""
        return self.resolution // 4

    @classmethod
    def small(cls, encoding: Encoding = "pncc") -> Self:
        """A twin that trains on two cores, and sees by the backbone of landmarks that ships."""
        return cls(
            "landmarks18",
            32,
            96,
            96,
            4,
            2,
            2,
            192,
            dropout=0.0,
            stride=2,
            encoding=encoding,
            waves=2 * math.pi,
            start="candidate",
        )


def sines(values: Tensor, channels: int, waves: float = 1.0) -> Tensor:
    """Eq. 5: maps (B, C, S, S) to (B, C x channels, S, S), each number as sines and cosines of falling frequency.

    Args:
        values: what is encoded, in [0, 1].
        channels: of each number, even.
        waves: factor of the numbers.
    """
    i = torch.arange(0, channels, 2, device=values.device, dtype=values.dtype)
    angles = waves * values[:, :, None] / SLOWEST ** (i / channels)[:, None, None]
    return torch.stack([angles.sin(), angles.cos()], 3).flatten(1, 3)


class Mrt(Estimator):
    """Image and candidate to 6D rotations, betas and a weak-perspective camera."""

    config: MrtConfig
    mean: Tensor
    needs_candidate = True
    looks_for = "maps"

    def __init__(self, config: MrtConfig) -> None:
        super().__init__(config)
        self.parameters_of = Parameters("rot6d")
        d = config.features
        backbone = make_backbone(config.backbone, config.width)
        assert isinstance(backbone, ResNet | LandmarkNet)
        self.backbone = backbone
        channels, doublings = backbone.channels, UPSAMPLINGS
        if isinstance(backbone, LandmarkNet):
            channels, doublings = backbone.backbone.channels, UPSAMPLINGS - 1
            self.finer = nn.Conv2d(channels // 2, d, 1)
            backbone.heatmaps.requires_grad_(False)  # of no use here
        self.upsampling = nn.Sequential()
        for before in (channels, d, d)[:doublings]:
            deconvolution = nn.ConvTranspose2d(before, d, 4, 2, 1, bias=False)
            self.upsampling.extend([deconvolution, nn.BatchNorm2d(d), nn.ReLU()])
        sizes = d, config.heads, config.hidden, config.dropout
        layer = nn.TransformerEncoderLayer(*sizes, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, config.encoders, enable_nested_tensor=False)
        answering = nn.TransformerDecoderLayer(*sizes, batch_first=True)
        self.decoder = nn.TransformerDecoder(answering, config.decoders)
        self.queries = nn.Parameter(torch.randn(24, d))
        self.rotation = nn.Linear(d, 6)
        self.shape, self.camera = (
            nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, d), nn.ReLU(), nn.Linear(d, n))
            for n in (10, 3)
        )
        for last in (self.rotation, self.shape[4], self.camera[4]):
            nn.init.xavier_uniform_(last.weight, gain=0.01)  # type: ignore[arg-type]
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.register_buffer("mean", self.parameters_of.mean())

    def backbones(self) -> dict[str, tuple[str, nn.Module]]:
        """One."""
        return {"image": (self.config.backbone, self.backbone)}

    @property
    def candidate_map(self) -> int:
        """Side of the candidate's PNCC."""
        return self.config.cells

    def look(self, crops: Crops, kind: InputKind = "image") -> Tensor:
        """The backbone's maps of the image, one behind the other, (B, numbers); raises as `forward`."""
        image = self.normalised_image(crops)
        if isinstance(self.backbone, LandmarkNet):
            return self.backbone.flat_maps(image)
        return self.backbone.maps(image).flatten(1)

    def _maps(self, numbers: Tensor) -> Tensor:
        """What `look` said, to the map (B, features, S, S), or half the side."""
        if isinstance(self.backbone, LandmarkNet):
            coarse, finer = self.backbone.unflat_maps(numbers, self.config.resolution)
            return self.upsampling[3:](self.upsampling[:3](coarse) + self.finer(finer))
        side = self.config.resolution // 32
        return self.upsampling(numbers.unflatten(1, (-1, side, side)))

    def forward(self, crops: Crops) -> Estimate:
        """Bodies of the B people in the crops, from their images and candidates; raises as `Estimator.forward`."""
        pncc, rotations = crops.get_candidate(self.config.cells)
        maps = self._maps(self.looked(crops)["image"])
        side = self.config.cells // self.config.stride
        tokens = _pooled(maps, side) + _pooled(self._encoding(pncc.to(maps)).to(maps), side)
        seen = self.encoder(tokens.flatten(2).mT)
        joints = self.decoder(self.queries.to(seen).expand(len(seen), -1, -1), seen)
        pose, betas, camera = self.mean.expand(len(seen), -1).split([self.parameters_of.pose_size, 10, 3], 1)
        if self.config.start == "candidate":
            pose = rotmat_to_rot6d(rotations).flatten(1)
        first = joints[:, 0]
        numbers = [
            pose + self.rotation(joints).flatten(1),
            betas + self.shape(first),
            camera + self.camera(first),
        ]
        return self.parameters_of.estimate(torch.cat(numbers, 1))

    def _encoding(self, pncc: Tensor) -> Tensor:
        """(B, features, S, S)."""
        if self.config.encoding == "pncc":
            return sines(pncc, self.config.features // 3, self.config.waves)
        cells = (1 + cell_centers(self.config.cells, pncc)) / 2
        grid = torch.stack(torch.meshgrid(cells, cells, indexing="xy")).expand(len(pncc), -1, -1, -1)
        return sines(grid, self.config.features // 2, self.config.waves)


def _pooled(maps: Tensor, side: int) -> Tensor:
    """Maps (B, C, H, H) of another side."""
    return maps if maps.shape[-1] == side else avg_pool2d(maps, maps.shape[-1] // side)
