"""Small networks and crops for tests."""

import torch
from torch.nn.functional import interpolate

from bodyloop.geometry import axis_angle_to_rotmat
from bodyloop.nets.build import Config
from bodyloop.nets.estimator import Candidate, Crops
from bodyloop.nets.hmr import HmrConfig
from bodyloop.nets.mrt import MrtConfig
from bodyloop.nets.multistage import MultistageConfig
from bodyloop.nets.pose2pose import Pose2PoseConfig
from bodyloop.nets.two_branch import TwoBranchConfig

SIDE = 64

TINY: dict[str, Config] = {
    "hmr": HmrConfig("resnet18", 8, SIDE, 64, dropout=0.1),
    "one branch": TwoBranchConfig(("image",), "resnet18", "resnet18", 8, SIDE, 64),
    "iuv alone": TwoBranchConfig(("iuv",), "resnet18", "resnet18", 8, SIDE, 64, "rot6d"),
    "parts alone": TwoBranchConfig(("parts",), "resnet18", "resnet18", 8, SIDE, 64),
    "image and iuv": TwoBranchConfig(("image", "iuv"), "resnet50", "resnet18", 8, SIDE, 64),
    "image and parts": TwoBranchConfig(("image", "parts"), "resnet18", "resnet18", 8, SIDE, 64, "rot6d"),
    "latent stages": MultistageConfig("resnet18", 8, SIDE, "coco17", "densepose", 16, 3, 2, 1, 2),
    "ambient stages": MultistageConfig(
        "resnet18", 8, SIDE, "coco17", "lsp", 16, 3, 1, 1, 2, "ambient", "flow-aa"
    ),
    "candidates": MrtConfig("resnet18", 8, SIDE, 24, 2, 1, 1, 32),
    "strided, from candidates": MrtConfig(
        "resnet18", 8, SIDE, 24, 2, 1, 1, 32, 0.0, 2, "place", 3.0, "candidate"
    ),
    "candidates, by landmarks": MrtConfig("landmarks18", 8, SIDE, 24, 2, 1, 1, 32, stride=2),
    "joints": Pose2PoseConfig("resnet18", 8, SIDE, channels=16, depth=4, levels=3),
    "joints and code": Pose2PoseConfig("resnet50", 8, SIDE, channels=16, depth=4, levels=2, pose="latent"),
}


def random_crops(count: int, seed: int = 0, side: int = SIDE) -> Crops:
    """Blots of all colours: crops differ as wholes, not in their grain alone."""
    g = torch.Generator().manual_seed(seed)
    blots = torch.rand(count, 6, 4, 4, generator=g)
    image, iuv = interpolate(blots, (side, side), mode="bilinear").split(3, 1)
    labels = torch.randint(-1, 6, (count, 4, 4), generator=g)
    pncc = torch.rand(count, 3, side // 4, side // 4, generator=g)
    candidate = Candidate(pncc, axis_angle_to_rotmat(0.3 * torch.randn(count, 24, 3, generator=g)))
    parts = labels.repeat_interleave(side // 4, 1).repeat_interleave(side // 4, 2)
    return Crops(image, iuv, parts, candidate)
