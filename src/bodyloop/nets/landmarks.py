"""A backbone that says where landmarks are: what small networks see by.

A ResNet whose features are a mean over the picture has to learn by itself where limbs are, for which a small network of
a table has too few pictures. Here heatmaps of the union's landmarks are read out as places, and these are features as
well: trained on 2D keypoints alone, the label that none of the papers does without.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from bodyloop.body.skeletons import UNION45
from bodyloop.nets.resnet import ResNet, ResNetKind


class LandmarkNet(nn.Module):
    """A ResNet, and heatmaps of the union's landmarks from its last two groups.

    Args:
        kind, width: of the ResNet.

    Attributes:
        channels: of the features: those of the ResNet, and x, y and spread of each landmark.
    """

    center: Tensor
    spread: Tensor

    def __init__(self, kind: ResNetKind, width: int) -> None:
        super().__init__()
        self.backbone = ResNet(kind, width)
        last, inner = self.backbone.channels, self.backbone.channels // 2
        self.from_last, self.from_before = nn.Conv2d(last, inner, 1), nn.Conv2d(inner, inner, 1)
        self.heatmaps = nn.Conv2d(inner, len(UNION45), 3, padding=1)
        self.channels = last + 3 * len(UNION45)
        self.register_buffer("center", torch.zeros(self.channels))
        self.register_buffer("spread", torch.ones(self.channels))

    def places(self, images: Tensor) -> Tensor:
        """Crops (B, 3, R, R), normalised, to crop coordinates (B, 45, 2)."""
        return self._read(images)[1]

    def raw_features(self, images: Tensor) -> Tensor:
        """Images (B, 3, R, R), normalised, to features (B, channels) as they come."""
        last, places, spread = self._read(images)
        return torch.cat([last.mean((2, 3)), places.flatten(1), spread], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, R, R), normalised, to features (B, channels) about 0 with a spread of about 1."""
        return (self.raw_features(images) - self.center) / self.spread

    def places_among(self, features: Tensor) -> Tensor:
        """The places (B, 45, 2) that are part of features (B, channels)."""
        raw = features * self.spread + self.center
        places = raw[:, self.backbone.channels : self.backbone.channels + 2 * len(UNION45)]
        return places.unflatten(1, (-1, 2))

    @torch.no_grad()
    def standardise(self, features: Tensor) -> None:
        """Take the mean and spread of features (N, channels) as those that `forward` takes off."""
        self.center.copy_(features.mean(0))
        self.spread.copy_(features.std(0).clamp_min(1e-3))

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, R, R), normalised, to the last maps (B, C, R / 32, R / 32), and to those of which heatmaps are
        made, (B, C / 2, R / 16, R / 16)."""
        *_, before, last = self.backbone.groups(images)
        coarse = interpolate(self.from_last(last), size=before.shape[-2:], mode="nearest")
        return last, torch.relu(coarse + self.from_before(before))

    def flat_maps(self, images: Tensor) -> Tensor:
        """The same, one behind the other, (B, numbers)."""
        return torch.cat([m.flatten(1) for m in self.maps(images)], 1)

    def unflat_maps(self, numbers: Tensor, resolution: int) -> tuple[Tensor, Tensor]:
        """What `flat_maps` said of images of R pixels, as `maps` does."""
        side, channels = resolution // 32, self.backbone.channels
        last, finer = numbers.tensor_split([channels * side**2], 1)
        return last.unflatten(1, (-1, side, side)), finer.unflatten(1, (-1, 2 * side, 2 * side))

    def _read(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The last maps (B, C, H, W); mean places (B, 45, 2) and their standard deviation (B, 45)."""
        last, finer = self.maps(images)
        maps = self.heatmaps(finer)
        share = maps.flatten(2).softmax(-1).unflatten(2, maps.shape[-2:])
        cells = torch.arange(maps.shape[-1], device=maps.device, dtype=maps.dtype)
        grid = (2 * cells + 1) / maps.shape[-1] - 1
        across, down = share.sum(2), share.sum(3)
        places = torch.stack([(across * grid).sum(-1), (down * grid).sum(-1)], -1)
        squares = (across * grid**2).sum(-1) + (down * grid**2).sum(-1)
        variance = squares - places.square().sum(-1)
        return last, places, variance.clamp_min(1e-6).sqrt()
