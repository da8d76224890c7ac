"""ResNets (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1), of any width.

Parameters have torchvision's names, so that weights published for its ResNets load. As there, the stride of a
bottleneck is in its 3x3 convolution.
"""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

ResNetKind = Literal["resnet18", "resnet34", "resnet50", "resnet101"]


class _Basic(nn.Module):
    """Two 3x3 convolutions and a skip."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class _Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a skip."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = self.expansion * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


_KINDS: dict[str, tuple[type[_Basic] | type[_Bottleneck], tuple[int, ...]]] = {
    "resnet18": (_Basic, (2, 2, 2, 2)),
    "resnet34": (_Basic, (3, 4, 6, 3)),
    "resnet50": (_Bottleneck, (3, 4, 6, 3)),
    "resnet101": (_Bottleneck, (3, 4, 23, 3)),
}


class ResNet(nn.Module):
    """The convolutions of a ResNet, without the classifier.

    Args:
        kind: one of the paper's depths.
        width: channels of the first layer; 64 in the paper. All others follow.
        layers: how many of the four groups of blocks; the strides after them are 4, 8, 16, 32.

    Attributes:
        channels: C of what comes out.
    """

    def __init__(self, kind: ResNetKind, width: int = 64, layers: int = 4) -> None:
        super().__init__()
        block, depths = _KINDS[kind]
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        widths = [width, *(width * 2**i * block.expansion for i in range(layers))]
        self.depth = layers
        for i, (inputs, outputs) in enumerate(pairwise(widths)):
            inner = width * 2**i
            blocks = [block(inputs, inner, 1 if i == 0 else 2)]
            blocks += [block(outputs, inner, 1) for _ in range(depths[i] - 1)]
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.channels = widths[-1]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster, on CPUs too

    def maps(self, x: Tensor, beside: Tensor | None = None) -> Tensor:
        """Images (B, 3, H, W) to maps (B, C, H / stride, W / stride); see `groups`."""
        return self.groups(x, beside)[-1]

    def groups(self, x: Tensor, beside: Tensor | None = None) -> list[Tensor]:
        """The maps after each group of blocks.

        Args:
            x: images (B, 3, H, W).
            beside: (B, width, H / 2, W / 2), added to what the first convolution puts out: that of further channels.
        """
        x = self.conv1(x)
        x = torch.relu(self.bn1(x if beside is None else x + beside))
        x = torch.max_pool2d(x, 3, 2, 1)
        found = []
        for i in range(self.depth):
            x = self.get_submodule(f"layer{i + 1}")(x)
            found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) to features (B, C): the mean over all places."""
        return self.maps(x).mean((2, 3))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The skip, with a 1x1 convolution where shapes differ."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
