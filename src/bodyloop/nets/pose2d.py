"""The 2D pose network of Xiao et al., "Simple Baselines for Human Pose Estimation and Tracking", ECCV 2018, section 2.

A ResNet, three deconvolutions of 4x4 with 256 channels, and a convolution of 1x1 to a heatmap a keypoint. Moon et al.
2023 start their annotation network from its ResNet (their second recipe); a file that `save_pose2d` writes serves as
weights of any network's backbone of the same kind and width (`bodyloop.nets.backbones.load_backbone`).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from bodyloop.body import SKELETONS, Skeleton
from bodyloop.errors import InputError
from bodyloop.nets.estimator import IMAGE_MEAN, IMAGE_SPREAD, check_choice, check_positive
from bodyloop.nets.resnet import ResNet, ResNetKind
from bodyloop.network_files import read_network, save_network

_NAME = "pose2d"


@dataclass(frozen=True)
class Pose2dConfig:
    """Sizes of `Pose2d`; as they stand, the paper's, but for square crops.

    Attributes:
        backbone: a ResNet.
        width: of the backbone.
        resolution: R of the crops.
        skeleton: of the keypoints.
        channels: of the deconvolutions.
        deconvolutions: how many; heatmaps have R / 32 x 2^deconvolutions cells each way.
    """

    backbone: ResNetKind = "resnet50"
    width: int = 64
    resolution: int = 256
    skeleton: str = "coco17"
    channels: int = 256
    deconvolutions: int = 3

    def __post_init__(self) -> None:
        check_choice("backbone", self.backbone, ResNetKind)
        if self.skeleton not in SKELETONS:
            raise InputError(f"skeleton should be one of {', '.join(SKELETONS)}, got {self.skeleton!r}")
        check_positive(
            width=self.width,
            resolution=self.resolution,
            channels=self.channels,
            deconvolutions=self.deconvolutions,
        )

    @classmethod
    def small(cls) -> Self:
        """A twin that trains on two cores."""
        return cls("resnet18", 16, 64, channels=64)


class Pose2d(nn.Module):
    """Images to heatmaps of keypoints."""

    _mean: Tensor
    _spread: Tensor

    def __init__(self, config: Pose2dConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = ResNet(config.backbone, config.width)
        layers: list[nn.Module] = []
        inputs = self.backbone.channels
        for _ in range(config.deconvolutions):
            layers += [
                nn.ConvTranspose2d(inputs, config.channels, 4, 2, 1, bias=False),
                nn.BatchNorm2d(config.channels),
                nn.ReLU(),
            ]
            inputs = config.channels
        self.deconvolutions = nn.Sequential(*layers)
        self.heatmaps = nn.Conv2d(inputs, len(self.skeleton), 1)
        for module in (*self.deconvolutions, self.heatmaps):
            if isinstance(module, nn.ConvTranspose2d | nn.Conv2d):
                nn.init.normal_(module.weight, std=0.001)
        nn.init.zeros_(self.heatmaps.bias)  # type: ignore[arg-type]
        for name, values in (("_mean", IMAGE_MEAN), ("_spread", IMAGE_SPREAD)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    @property
    def skeleton(self) -> Skeleton:
        """Of the keypoints."""
        return SKELETONS[self.config.skeleton]

    def forward(self, images: Tensor) -> Tensor:
        """Heatmaps (B, K, S, S) of crops (B, 3, R, R), RGB in [0, 1]; `find_peaks` tells where their peaks are.

        Raises:
            InputError: for crops of another resolution.
        """
        side = self.config.resolution
        if images.ndim != 4 or images.shape[1:] != (3, side, side):
            raise InputError(
                f"this network needs images of shape (B, 3, {side}, {side}), got {tuple(images.shape)}; crop to "
                f"{side} pixels"
            )
        return self.heatmaps(self.deconvolutions(self.backbone.maps((images - self._mean) / self._spread)))


def build_pose2d(config: Pose2dConfig, seed: int = 0) -> Pose2d:
    """A network with random weights, in training mode; torch's own generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Pose2d(config)


def save_pose2d(network: Pose2d, path: str | Path) -> None:
    """Write weights in single precision, with the configuration in the metadata (safetensors).

    Raises:
        InputError: if the file cannot be written.
    """
    text = {"network": _NAME, "config": json.dumps(asdict(network.config))}
    save_network(network, path, text, torch.float32)


def load_pose2d(path: str | Path) -> Pose2d:
    """The network that `save_pose2d` wrote, in evaluation mode.

    Raises:
        InputError: if the file is missing, or not such a file.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; expected a network that 'bodyloop train pose2d' wrote")
    try:
        metadata, state = read_network(path)
        if metadata["network"] != _NAME:
            raise ValueError(f"it is of the kind {metadata['network']}")
        network = Pose2d(Pose2dConfig(**json.loads(metadata["config"])))
        network.load_state_dict(state)
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: not a 2D pose network of bodyloop ({error})") from None
    return network.eval()
