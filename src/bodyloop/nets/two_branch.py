"""The network of Rong et al. 2019 (section 3, figure 2): one or two encoders, then two fully connected layers.

A main encoder sees one kind of input; beside it, an auxiliary one may see IUV maps or parts where the main one sees
the image. Each ends in a layer of 1024, the features are concatenated, and two layers put out what is added to the mean
parameters. The paper does not give the widths: with 1024 everywhere, all four rows of its table 2 come out, operations
and sizes (a multiply and an add are one operation there, and a MB has 2^20 bytes).
"""

from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor, nn

from bodyloop.body.parts import PARTITIONS
from bodyloop.errors import InputError
from bodyloop.nets.backbones import check_backbone, make_backbone
from bodyloop.nets.estimator import Crops, Estimate, Estimator, InputKind, check_choice, check_positive
from bodyloop.nets.parameters import Parameters
from bodyloop.priors.representation import Representation


@dataclass(frozen=True)
class TwoBranchConfig:
    """Sizes of `TwoBranch`; as they stand, the paper's single branch.

    Attributes:
        inputs: what the encoders see: one kind, or "image" and another.
        main: backbone of the first encoder, a name for `make_backbone`.
        auxiliary: backbone of the second, if there are two inputs.
        width: of the backbones.
        map_width: of those that look at IUV maps or parts, if another.
        resolution: R of the crops.
        hidden: width of all hidden layers.
        rotation: representation that is put out; the paper's is axis-angle.
        partition: of part labels (a name of `bodyloop.body.parts.PARTITIONS`).
    """

    inputs: tuple[InputKind, ...] = ("image",)
    main: str = "resnet101"
    auxiliary: str = "resnet18"
    width: int = 64
    resolution: int = 224
    hidden: int = 1024
    rotation: Representation = "axis_angle"
    partition: str = "densepose"
    map_width: int = field(default=0, metadata={"later": True})  # see `bodyloop.train.settings.LATER`

    def __post_init__(self) -> None:
        for kind in self.inputs:
            check_choice("an input", kind, InputKind)
        if len(self.inputs) != 1 and (
            len(self.inputs) != 2 or self.inputs[0] != "image" or self.inputs[1] == "image"
        ):
            raise InputError(
                f"inputs should be one of image, iuv, parts, or image with one of the others, got {self.inputs}"
            )
        check_choice("rotation", self.rotation, Representation)
        if self.partition not in PARTITIONS:
            raise InputError(f"partition should be one of {', '.join(PARTITIONS)}, got {self.partition!r}")
        for name in (self.main, self.auxiliary):
            check_backbone(name)
        check_positive(width=self.width, resolution=self.resolution, hidden=self.hidden)

    @classmethod
    def two(cls, auxiliary_input: InputKind = "iuv") -> Self:
        """The paper's two branches, about as large as its single one."""
        return cls(("image", auxiliary_input), main="resnet50")

    @classmethod
    def small(cls, inputs: tuple[InputKind, ...] = ("image",)) -> Self:
        """A twin that trains on two cores; 6D, since that trains faster (SPIN section 3.2)."""
        return cls(inputs, "resnet18", "resnet18", width=16, resolution=64, hidden=256, rotation="rot6d")

    @classmethod
    def sighted(cls, inputs: tuple[InputKind, ...] = ("image",)) -> Self:
        """One that sees by the backbones of landmarks that ship."""
        backbone, maps = "landmarks18", 16
        return cls(inputs, backbone, backbone, 32, 96, hidden=512, rotation="rot6d", map_width=maps)

    def width_of(self, kind: InputKind) -> int:
        """Of the backbone that looks at one of the inputs."""
        return self.map_width if self.map_width and kind != "image" else self.width


_SPREAD = 1.2207440846057596
"""The root of x^4 = x + 1, whose powers fill three dimensions evenly."""


class PartColors(nn.Module):
    """Part labels as pictures: each part, and the background, has a learned colour.

    So a backbone for images serves parts as well, whatever their number. The first colours are spread evenly, and
    always the same, so that a backbone that was trained with them finds them again.
    """

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.colors = nn.Embedding(parts + 1, 3)
        steps = torch.arange(1, parts + 2)[:, None] / torch.tensor(_SPREAD) ** torch.arange(1, 4)
        with torch.no_grad():
            self.colors.weight.copy_(4 * (steps % 1) - 2)

    def forward(self, labels: Tensor) -> Tensor:
        """Labels (B, R, R), -1 for the background, to (B, 3, R, R)."""
        return self.colors(labels + 1).movedim(-1, 1)


class Encoder(nn.Module):
    """A backbone and a fully connected layer."""

    def __init__(self, backbone: str, width: int, hidden: int) -> None:
        super().__init__()
        self.backbone = make_backbone(backbone, width)
        self.fc = nn.Linear(self.backbone.channels, hidden)

    def forward(self, features: Tensor) -> Tensor:
        """Of the backbone (B, C), to those of the encoder (B, hidden)."""
        return torch.relu(self.fc(features))


class TwoBranch(Estimator):
    """Image, IUV map or parts, or image and one of these, to rotations, betas and a weak-perspective camera."""

    config: TwoBranchConfig
    mean: Tensor

    def __init__(self, config: TwoBranchConfig) -> None:
        super().__init__(config)
        self.inputs = config.inputs
        self.parameters_of = Parameters(config.rotation)
        names = (config.main, config.auxiliary)[: len(config.inputs)]
        self.encoders = nn.ModuleList(
            Encoder(name, config.width_of(kind), config.hidden)
            for name, kind in zip(names, config.inputs, strict=True)
        )
        if "parts" in config.inputs:
            self.part_colors = PartColors(len(PARTITIONS[config.partition].parts))
        self.estimator = nn.Sequential(
            nn.Linear(len(names) * config.hidden, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, self.parameters_of.size),
        )
        last = self.estimator[2]
        nn.init.xavier_uniform_(last.weight, gain=0.01)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.register_buffer("mean", self.parameters_of.mean())

    def backbones(self) -> dict[str, tuple[str, nn.Module]]:
        """One an input."""
        names = (self.config.main, self.config.auxiliary)
        modules = (encoder.get_submodule("backbone") for encoder in self.encoders)
        return {kind: (name, m) for kind, name, m in zip(self.inputs, names, modules, strict=False)}

    def _maps(self, crops: Crops, kind: InputKind) -> Tensor:
        if kind == "image":
            return self.normalised_image(crops)
        given = crops.get(kind, self.resolution)
        return self.part_colors(given) if kind == "parts" else given

    def look(self, crops: Crops, kind: InputKind) -> Tensor:
        """Of one input; raises as `forward`."""
        encoder = self.encoders[self.inputs.index(kind)]
        found: Tensor = encoder.get_submodule("backbone")(self._maps(crops, kind))
        return found

    def forward(self, crops: Crops) -> Estimate:
        """Bodies of the B people in the crops; raises as `Estimator.forward`."""
        found = self.looked(crops)
        encoded = [encoder(found[kind]) for kind, encoder in zip(self.inputs, self.encoders, strict=True)]
        return self.parameters_of.estimate(self.mean + self.estimator(torch.cat(encoded, 1)))
