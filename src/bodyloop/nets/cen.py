"""The consistency network of MION (Liu et al. 2021, section 3.3): does this body match that picture?

A ResNet sees the picture and the body, drawn as projected normalised coordinate code, one behind the other as six
channels, and says how far each vertex is from where it should be (eq. 10; the paper's distances are in a "normalized
point cloud space" that it does not describe, ours are metres with the pelvises in one place). Of several bodies of a
person the one with the lowest mean distance is chosen.

Small networks, ours, see the picture by a backbone of landmarks, which stays as it is, and in place of a drawing of the
body where its landmarks are in the picture and in depth, how far each is from where the picture has it, and all
rotations. A small network that was shown drawings told good from bad no better than chance.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self, get_args

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.functional import softplus

from bodyloop.body import Bodies, BodyModel
from bodyloop.body.skeletons import UNION45
from bodyloop.errors import InputError
from bodyloop.geometry import Camera, rotmat_to_rot6d
from bodyloop.nets.backbones import LANDMARKS, check_backbone, make_backbone
from bodyloop.nets.candidates import draw_pncc
from bodyloop.nets.estimator import IMAGE_MEAN, IMAGE_SPREAD, check_positive
from bodyloop.nets.landmarks import LandmarkNet
from bodyloop.nets.resnet import ResNet, ResNetKind
from bodyloop.network_files import read_network, save_network

VERTICES = 13_718
"""Of the built-in body."""
PLACES, FARTHEST, DROPOUT = 2 * len(UNION45), 3.0, 0.1
"""Numbers of all places of landmarks; the largest of them, in halves of a crop's side; of the layers behind."""


@dataclass(frozen=True)
class CenConfig:
    """Sizes of `Cen`; as they stand, the paper's, for the built-in body.

    Attributes:
        backbone: a ResNet, or one of landmarks.
        width: of the backbone.
        resolution: R of picture and PNCC.
        points: whose distances are put out: all vertices of the body, or fewer, spread over it
            (`BodyModel.spread_vertices`), which say as much of the mean.
        hidden: width of the layers behind a backbone of landmarks.
    """

    backbone: str = "resnet34"
    width: int = 64
    resolution: int = 224
    points: int = VERTICES
    hidden: int = 512

    def __post_init__(self) -> None:
        check_backbone(self.backbone)
        if self.backbone not in (*get_args(ResNetKind), *LANDMARKS):
            raise InputError(f"this network needs a ResNet, got {self.backbone!r}")
        check_positive(width=self.width, resolution=self.resolution, points=self.points, hidden=self.hidden)

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
            self.comparing = _Comparing(backbone.channels, config.hidden)
            channels = config.hidden
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
        """What a backbone of landmarks makes of pictures, (B, C), for `forward`; raises as that does."""
        assert isinstance(self.backbone, LandmarkNet), "a ResNet sees picture and body together"
        self._check(image)
        return self.backbone((image - self._mean) / self._spread)

    def view(self, body: BodyModel, bodies: Bodies, camera: Camera) -> Tensor:
        """What the network wants to know of bodies (B,), on their device.

        Args:
            body: their model.
            bodies: in the axes of the crops' cameras.
            camera: (B,) of the crops, which are square.

        Returns:
            PNCC (B, 3, R, R); for networks that see by landmarks, numbers (B, 279).
        """
        if isinstance(self.backbone, LandmarkNet):
            return landmark_numbers(body, bodies, camera)
        return draw_pncc(body, bodies, camera, self.config.resolution)

    def forward(self, image: Tensor | None, view: Tensor, seen: Tensor | None = None) -> Tensor:
        """Distances (B, points) in metres, of bodies with their pelvises in one place and the picture's orientation.

        Args:
            image: (B, 3, R, R) RGB in [0, 1].
            view: of the bodies, as the method says.
            seen: what `look` said of the pictures, if that is known: then they are not looked at.

        Raises:
            InputError: if they are of another resolution.
        """
        if isinstance(self.backbone, LandmarkNet):
            if seen is None:
                assert image is not None, "give the picture, or what was seen of it"
                seen = self.look(image)
            features = self.comparing(seen, self.backbone.places_among(seen), view)
        else:
            assert image is not None, "a ResNet looks at the picture"
            self._check(image)
            self._check(view)
            maps = self.backbone.maps((image - self._mean) / self._spread, self.of_body(2 * view - 1))
            features = maps.mean((2, 3))
        return softplus(self.distances(features))

    def _check(self, maps: Tensor) -> None:
        wanted = (3, self.config.resolution, self.config.resolution)
        if maps.shape[1:] != wanted:
            raise InputError(
                f"this network needs pictures and PNCC maps (B, {', '.join(map(str, wanted))}), got "
                f"{tuple(maps.shape)}; crop to {self.config.resolution} pixels"
            )


@torch.no_grad()
def landmark_numbers(body: BodyModel, bodies: Bodies, camera: Camera) -> Tensor:
    """Of bodies (B,) in crops: places of the union's landmarks in crop coordinates (90), their depths behind the first
    in metres (45), and all rotations as 6D (144)."""
    there = bodies.to(body.v_template)
    points = body.points(there, body.keypoints(UNION45)[0])
    depth = points[..., 2] - points[..., :1, 2]
    places = (2 * camera.project(points) + 1) / points.new_tensor(camera.size) - 1
    numbers = [
        places.clamp(-FARTHEST, FARTHEST).flatten(1),
        depth,
        rotmat_to_rot6d(there.rotations).flatten(1),
    ]
    return torch.cat(numbers, 1).nan_to_num(FARTHEST, FARTHEST, -FARTHEST)


class _Comparing(nn.Module):
    """Features of a picture and numbers of a body, to features (B, hidden).

    Args:
        seen: channels of the picture's.
        hidden: of what comes out.
    """

    def __init__(self, seen: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(seen + 2 * PLACES + len(UNION45) + 24 * 6, hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(hidden, hidden)
            )
            for _ in range(2)
        )

    def forward(self, seen: Tensor, places: Tensor, view: Tensor) -> Tensor:
        off = (places.flatten(1) - view[:, :PLACES]).clamp(-FARTHEST, FARTHEST)
        x = torch.relu(self.first(torch.cat([seen, view, off], 1)))
        for block in self.blocks:
            x = x + block(x)
        return torch.relu(x)


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
    """The consistency network that ships."""
    return load_cen(Path(__file__).parent / "weights" / "cen-small.safetensors")
