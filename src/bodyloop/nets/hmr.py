"""SPIN's regressor (Kolotouros et al. 2019, section 3.2): a ResNet, and three rounds of correction.

The design is HMR's (Kanazawa et al., "End-to-end Recovery of Human Shape and Pose", CVPR 2018, section 3.2): a small
network sees the image's features and the present parameters and says how to change them; the first parameters are the
mean's, and the rounds share their weights. SPIN's change is that rotations are 6D; here in this project's layout
(`bodyloop.geometry.rotations`), which is not SPIN's.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from bodyloop.errors import InputError
from bodyloop.nets.backbones import check_backbone, make_backbone
from bodyloop.nets.estimator import Crops, Estimate, Estimator, InputKind, check_positive
from bodyloop.nets.parameters import Parameters


@dataclass(frozen=True)
class HmrConfig:
    """Sizes of `Hmr`; as they stand, the papers'.

    Attributes:
        backbone: name for `make_backbone`.
        width: of the backbone.
        resolution: R of the crops.
        hidden: width of the regressor's two hidden layers.
        rounds: of correction.
        dropout: after each hidden layer, in training.
    """

    backbone: str = "resnet50"
    width: int = 64
    resolution: int = 224
    hidden: int = 1024
    rounds: int = 3
    dropout: float = 0.5

    def __post_init__(self) -> None:
        check_backbone(self.backbone)
        check_positive(width=self.width, resolution=self.resolution, hidden=self.hidden, rounds=self.rounds)
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout should be at least 0 and below 1, got {self.dropout}")

    @classmethod
    def small(cls) -> Self:
        """A twin that trains on two cores."""
        return cls("resnet18", width=16, resolution=64, hidden=256, dropout=0.2)

    @classmethod
    def sighted(cls) -> Self:
        """One that sees by the backbone of landmarks that ships."""
        return cls("landmarks18", width=32, resolution=96, hidden=512, dropout=0.1)


class Hmr(Estimator):
    """Image to 6D rotations, betas and a weak-perspective camera; `stages` are the rounds."""

    config: HmrConfig
    mean: Tensor

    def __init__(self, config: HmrConfig) -> None:
        super().__init__(config)
        self.parameters_of = Parameters("rot6d")
        self.backbone = make_backbone(config.backbone, config.width)
        size, hidden = self.parameters_of.size, config.hidden
        self.regressor = nn.Sequential(
            nn.Linear(self.backbone.channels + size, hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
        )
        self.correction = nn.Linear(hidden, size)
        nn.init.xavier_uniform_(self.correction.weight, gain=0.01)
        nn.init.zeros_(self.correction.bias)
        self.register_buffer("mean", self.parameters_of.mean())

    def backbones(self) -> dict[str, tuple[str, nn.Module]]:
        """One."""
        return {"image": (self.config.backbone, self.backbone)}

    def look(self, crops: Crops, kind: InputKind = "image") -> Tensor:
        """Of the image; raises as `forward`."""
        return self.backbone(self.normalised_image(crops))

    def forward(self, crops: Crops) -> Estimate:
        """Bodies of the B people in the crops, from their images; raises as `Estimator.forward`."""
        features = self.looked(crops)["image"]
        numbers = self.mean.expand(features.shape[0], -1)
        rounds: list[Estimate] = []
        for _ in range(self.config.rounds):
            hidden = self.regressor(torch.cat([features, numbers], 1))
            numbers = numbers + self.correction(hidden)
            rounds.append(self.parameters_of.estimate(numbers, tuple(rounds)))
        return rounds[-1]
