"""Pose2Pose, its body part (Moon, Choi, Lee, "Accurate 3D Hand Pose Estimation for Whole-Body 3D Human Mesh
Estimation", CVPRW 2022): joints first, then rotations from what the image shows at the joints.

    image -> ResNet -> 3D heatmaps -> soft-argmax -> joints -> features at the joints -> orientation and pose
                   \\-> mean features -> shape and camera

Both networks of Moon et al., "Three Recipes for Better 3D Pseudo-GTs", 2023, are of this kind: the estimation network
puts out 6D rotations (`pose="direct"`), the annotation network the code of a prior in whose latent space poses are unit
Gaussian (`pose="latent"`; the paper's is VPoser, "vae"), with L2 on the code (`Pose2Pose.prior_energy`).

What is ours: square crops; the small twin's maps, too coarse at a stride of 32, are joined with those of earlier groups
(`levels`); keypoints are COCO's, the set that is labelled everywhere; all answers are added to the mean body.
"""

from dataclasses import dataclass
from typing import Literal, Self, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, interpolate

from bodyloop.body import SKELETONS, Skeleton
from bodyloop.errors import InputError
from bodyloop.geometry import WeakPerspective, rot6d_to_rotmat, rotmat_to_rot6d
from bodyloop.nets.estimator import Crops, Estimate, Estimator, check_choice, check_positive, mean_pose
from bodyloop.nets.heatmaps import soft_argmax
from bodyloop.nets.multistage import full_precision
from bodyloop.nets.parameters import MEAN_SCALE
from bodyloop.nets.resnet import ResNet, ResNetKind
from bodyloop.priors import load_prior
from bodyloop.priors.prior import LatentPrior, latent_energy

CodeSpace = Literal["direct", "latent"]


@dataclass(frozen=True)
class Pose2PoseConfig:
    """Sizes of `Pose2Pose`.

    Attributes:
        backbone: a ResNet.
        width: of the backbone.
        resolution: R of the crops.
        skeleton: of the joints at which features are taken.
        channels: of those features.
        depth: cells of the heatmaps away from the camera.
        levels: groups of the backbone's blocks whose maps are joined, the last first; heatmaps are as fine as the first
            of them.
        pose: how the body pose is put out: 6D rotations, or the code of a prior.
        prior: name of a prior with a latent space (`bodyloop.priors.load_prior`), for "latent".
    """

    backbone: ResNetKind = "resnet50"
    width: int = 64
    resolution: int = 224
    skeleton: str = "coco17"
    channels: int = 512
    depth: int = 8
    levels: int = 1
    pose: CodeSpace = "direct"
    prior: str = "vae"

    def __post_init__(self) -> None:
        check_choice("backbone", self.backbone, ResNetKind)
        check_choice("pose", self.pose, CodeSpace)
        if self.skeleton not in SKELETONS:
            raise InputError(f"skeleton should be one of {', '.join(SKELETONS)}, got {self.skeleton!r}")
        sizes = {k: getattr(self, k) for k in ("width", "resolution", "channels", "depth", "levels")}
        check_positive(**sizes)
        if self.levels > 4:
            raise InputError(f"levels should be at most 4, the groups of a ResNet, got {self.levels}")

    @classmethod
    def small(cls, pose: CodeSpace = "direct", prior: str = "vae") -> Self:
        """A twin that trains on two cores."""
        return cls("resnet18", 16, 64, channels=64, levels=3, pose=pose, prior=prior)


@dataclass(frozen=True, eq=False, kw_only=True)
class JointEstimate(Estimate):
    """An `Estimate` with the joints that it was read off at.

    Attributes:
        places: (B, K, 3) x and y in crop coordinates, and metres behind the middle of the hips, both in [-1, 1].
        skeleton: of the K joints.
        code: (B, L) of the body pose; None where rotations are put out.
    """

    places: Tensor
    skeleton: Skeleton
    code: Tensor | None = None


class Pose2Pose(Estimator):
    """Image to joints, rotations, betas and a weak-perspective camera."""

    config: Pose2PoseConfig

    def __init__(self, config: Pose2PoseConfig) -> None:
        super().__init__(config)
        self.prior: LatentPrior | None = None
        if config.pose == "latent":
            prior = load_prior(config.prior)
            if not isinstance(prior, LatentPrior) or not isinstance(prior, nn.Module):
                raise InputError(f"the prior {config.prior!r} has no latent space; choose a flow, or vae")
            self.prior = prior
        self.skeleton = SKELETONS[config.skeleton]
        self.backbone = ResNet(config.backbone, config.width)
        wide, points = self.backbone.channels, len(self.skeleton)
        self.levels = nn.ModuleList(
            nn.Conv2d(wide // 2**i, config.channels, 1, bias=False) for i in range(config.levels)
        )
        self.norm = nn.BatchNorm2d(config.channels)
        self.heatmaps = nn.Conv2d(config.channels, points * config.depth, 1)
        start = self._start()
        self.pose = nn.Linear(points * (config.channels + 3), len(start))
        self.shape, self.camera = nn.Linear(wide, 10), nn.Linear(wide, 3)
        starts = (start, torch.zeros(10), torch.tensor([MEAN_SCALE, 0.0, 0.0]))
        # The whole picture's features are not normalised: those of random deep backbones are large.
        gains = (0.01, 0.001, 0.001)
        for layer, bias, gain in zip((self.pose, self.shape, self.camera), starts, gains, strict=True):
            nn.init.xavier_uniform_(layer.weight, gain)
            with torch.no_grad():
                layer.bias.copy_(bias)

    def _start(self) -> Tensor:
        """Pose numbers (6 + D,) of the mean: facing the camera, in the middle of the prior or the mixture's mean."""
        pose = rotmat_to_rot6d(mean_pose())
        if self.prior is None:
            return pose.flatten()
        return torch.cat([pose[0], torch.zeros(self.prior.latent_size)])

    def train(self, mode: bool = True) -> Self:
        """Training mode for all but the prior, which is a fixed function."""
        super().train(mode)
        if self.prior is not None:
            cast(nn.Module, self.prior).eval()
        return self

    def backbones(self) -> dict[str, tuple[str, nn.Module]]:
        """One."""
        return {"image": (self.config.backbone, self.backbone)}

    def forward(self, crops: Crops) -> JointEstimate:
        """Bodies of the B people in the crops, from their images; raises as `Estimator.forward`."""
        groups = self.backbone.groups(self.normalised_image(crops))[::-1]
        precise = self._mean.dtype  # of the weights; under autocast maps are coarser
        maps = self._joined(groups[: self.config.levels])
        logits = self.heatmaps(maps).to(precise).unflatten(1, (len(self.skeleton), self.config.depth))
        places = soft_argmax(logits, 3)
        # Crop coordinates are what grid_sample takes if corners are not aligned.
        shown = grid_sample(maps.to(precise), places[:, None, :, :2], align_corners=False)[:, :, 0].mT
        numbers = self.pose(torch.cat([shown, places], -1).flatten(1)).to(precise)
        whole = groups[0].mean((2, 3))
        betas, camera = self.shape(whole).to(precise), self.camera(whole).to(precise)
        facing, pose = numbers[:, :6], numbers[:, 6:]
        if self.prior is None:
            body, code = rot6d_to_rotmat(pose.unflatten(1, (23, 6))), None
        else:
            with full_precision(pose):
                body, code = self.prior.decode(pose), pose
        return JointEstimate(
            torch.cat([rot6d_to_rotmat(facing)[:, None], body], 1),
            betas,
            WeakPerspective(camera[:, 0], camera[:, 1:]),
            places=places,
            skeleton=self.skeleton,
            code=code,
        )

    def _joined(self, groups: list[Tensor]) -> Tensor:
        """Maps (B, channels, S, S), of the size of the finest of the groups' maps (B, C, ...), coarsest first."""
        finest = groups[-1].shape[-2:]
        own = (level(maps) for level, maps in zip(self.levels, groups, strict=True))
        alike = [maps if maps.shape[-2:] == finest else interpolate(maps, finest) for maps in own]
        return torch.relu(self.norm(torch.stack(alike).sum(0)))

    def prior_energy(self, estimate: JointEstimate) -> Tensor:
        """|code|^2 / 2 (B,) of an estimate of this network, the L2 regulariser of the third recipe.

        Raises:
            InputError: if the network puts out rotations.
        """
        if estimate.code is None:
            raise InputError('this network puts out rotations and has no code; give it pose="latent"')
        return latent_energy(estimate.code)
