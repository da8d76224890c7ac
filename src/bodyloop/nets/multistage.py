"""The network of Zanfir et al. 2020 (section 2.3): keypoints, then parts, then pose and shape, each in stages.

    image -> trunk -> keypoint heatmaps -> part segmentation -> pose and shape

Every stage is five convolutions of 7x7x128, one of 1x1x128, and one without activation that puts out the stage's maps.
A pose stage ends in two dense layers, one for the pose and one for the shape. Later stages see what earlier ones put
out, and each may have a loss. The body pose is put out in the latent space of a prior (`pose="latent"`), or as the
numbers that the prior judges (`pose="ambient"`); the global orientation is 6D.

What the paper leaves open, and what is done here: the trunk (the first layers of a ResNet, to a stride of 8), the
number of stages for keypoints and parts (two each), how maps become a vector before the dense layers (their mean; cells
also know where they lie in the crop), batch normalisation of the stages' convolutions (without it, the first hundred
steps teach next to nothing).
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, Self, cast

import torch
from torch import Tensor, nn

from bodyloop.body import SKELETONS, Bodies, BodyModel, Skeleton
from bodyloop.body.parts import PARTITIONS
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence, place_in_view
from bodyloop.geometry import Camera, CropTransform, rot6d_to_rotmat, rotmat_to_rot6d
from bodyloop.nets.estimator import (
    Crops,
    Estimate,
    Estimator,
    check_choice,
    check_positive,
    mean_pose,
    uncropped,
)
from bodyloop.nets.heatmaps import cell_centers, find_peaks
from bodyloop.nets.resnet import ResNet, ResNetKind
from bodyloop.priors import load_prior
from bodyloop.priors.prior import LatentPrior, latent_energy
from bodyloop.priors.representation import to_coordinates, to_rotations

PoseSpace = Literal["latent", "ambient"]

_TRUNK_LAYERS = 2
"""Groups of blocks of the trunk; its stride is 8."""


@dataclass(frozen=True)
class MultistageConfig:
    """Sizes of `Multistage`; as they stand, the paper's where it gives them.

    Attributes:
        trunk: a ResNet.
        width: of the trunk.
        resolution: R of the crops.
        skeleton: of the keypoints.
        partition: of the parts.
        channels: of all stages' convolutions.
        kernel: side of the larger convolutions, odd.
        keypoint_stages, part_stages, pose_stages: how many.
        pose: space in which the body pose is put out.
        prior: name of a prior with a latent space (`bodyloop.priors.load_prior`).
    """

    trunk: ResNetKind = "resnet50"
    width: int = 64
    resolution: int = 224
    skeleton: str = "coco17"
    partition: str = "densepose"
    channels: int = 128
    kernel: int = 7
    keypoint_stages: int = 2
    part_stages: int = 2
    pose_stages: int = 6
    pose: PoseSpace = "latent"
    prior: str = "flow"

    def __post_init__(self) -> None:
        check_choice("trunk", self.trunk, ResNetKind)
        check_choice("pose", self.pose, PoseSpace)
        for what, name, known in (
            ("skeleton", self.skeleton, SKELETONS),
            ("partition", self.partition, PARTITIONS),
        ):
            if name not in known:
                raise InputError(f"{what} should be one of {', '.join(known)}, got {name!r}")
        stages = {k: getattr(self, k) for k in ("keypoint_stages", "part_stages", "pose_stages")}
        check_positive(
            width=self.width, resolution=self.resolution, channels=self.channels, kernel=self.kernel, **stages
        )
        if self.kernel % 2 == 0:
            raise InputError(f"kernel should be odd, so that maps keep their size, got {self.kernel}")

    @classmethod
    def small(cls) -> Self:
        """A twin that trains on two cores."""
        return cls("resnet18", 16, 96, channels=24, kernel=5, keypoint_stages=1, part_stages=1, pose_stages=3)


@dataclass(frozen=True, eq=False)
class Seen:
    """What the first two modules find in B crops.

    Attributes:
        keypoints: (B, K, 2) crop coordinates in [-1, 1], from the last heatmaps.
        confidence: (B, K) in [0, 1].
        skeleton: of the keypoints.
        heatmaps: one (B, K, S, S) a keypoint stage; `draw_gaussians` makes what they should be.
        part_logits: one (B, 1 + parts, S, S) a part stage; class 0 is the background.
    """

    keypoints: Tensor
    confidence: Tensor
    skeleton: Skeleton
    heatmaps: tuple[Tensor, ...]
    part_logits: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class StagedEstimate(Estimate):
    """An `Estimate` with all that the losses of Zanfir et al. (eq. 8 to 11) ask for.

    Attributes:
        pose: (B, D) the body pose in the space it is put out in: latents, or the prior's numbers.
        seen: keypoints and parts; the same for all stages.
    """

    pose: Tensor
    seen: Seen

    def to_bodies(self, camera: Camera, crop: CropTransform, body: BodyModel) -> Bodies:
        """The people in the full image's camera, with the translation that fits the network's keypoints best.

        In closed form (`place_in_view`), and differentiable; arguments and result as of `Estimate.to_bodies`.
        """
        seen = self.seen
        pixels = crop.crop_to_image((seen.keypoints * crop.resolution + crop.resolution - 1) / 2)
        confidence = seen.confidence
        if crop.flip:
            swap = list(seen.skeleton.flip)
            pixels, confidence = pixels[:, swap], confidence[:, swap]
        bodies = uncropped(
            Bodies(self.rotations, self.betas, torch.zeros_like(self.betas[:, :3])), crop, body
        )
        return place_in_view(body, bodies, Evidence.from_keypoints(seen.skeleton, pixels, confidence), camera)


class Stage(nn.Module):
    """Five convolutions, one of 1x1, and one without activation that puts out `outputs` maps."""

    def __init__(self, inputs: int, outputs: int, channels: int, kernel: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for wide, before in [(kernel, inputs), *[(kernel, channels)] * 4, (1, channels)]:
            convolution = nn.Conv2d(before, channels, wide, padding=wide // 2, bias=False)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            layers += [convolution, nn.BatchNorm2d(channels), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.last = nn.Conv2d(channels, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, inputs, S, S) to maps (B, outputs, S, S)."""
        return self.last(self.layers(maps))


class PoseStage(nn.Module):
    """A stage whose maps, one a parameter, become pose and shape by a dense layer each."""

    def __init__(self, inputs: int, pose_start: Tensor, channels: int, kernel: int) -> None:
        super().__init__()
        outputs = len(pose_start) + 10
        self.stage = Stage(inputs, outputs, channels, kernel)
        self.pose = nn.Linear(outputs, len(pose_start))
        self.shape = nn.Linear(outputs, 10)
        for layer, start in ((self.pose, pose_start), (self.shape, torch.zeros(10))):
            nn.init.xavier_uniform_(layer.weight, gain=0.1)
            with torch.no_grad():
                layer.bias.copy_(start)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The stage's maps, pose numbers (B, 6 + D) and betas (B, 10)."""
        maps = self.stage(maps)
        mean = maps.mean((2, 3))
        return maps, self.pose(mean), self.shape(mean)


class Multistage(Estimator):
    """Image to keypoints, parts, rotations and betas; `stages` are those of the pose."""

    config: MultistageConfig

    def __init__(self, config: MultistageConfig) -> None:
        super().__init__(config)
        prior = load_prior(config.prior)
        if not isinstance(prior, LatentPrior) or not isinstance(prior, nn.Module):
            raise InputError(f"the prior {config.prior!r} has no latent space; choose a flow, or vae")
        self.prior: LatentPrior = prior
        self.skeleton = SKELETONS[config.skeleton]
        points, parts = len(self.skeleton), 1 + len(PARTITIONS[config.partition].parts)
        channels, kernel = config.channels, config.kernel
        self.trunk = ResNet(config.trunk, config.width, _TRUNK_LAYERS)
        self.features = nn.Conv2d(self.trunk.channels, channels, 1)

        def stages(count: int, inputs: int, outputs: int) -> nn.ModuleList:
            return nn.ModuleList(
                Stage(inputs + (outputs if i else 0), outputs, channels, kernel) for i in range(count)
            )

        self.keypoint_stages = stages(config.keypoint_stages, channels, points)
        self.part_stages = stages(config.part_stages, channels + points, parts)
        start, inputs = self._start(), points + parts + 2
        self.pose_stages = nn.ModuleList(
            PoseStage(inputs + (len(start) + 10 if i else 0), start, channels, kernel)
            for i in range(config.pose_stages)
        )

    def _start(self) -> Tensor:
        """Pose numbers (6 + D,) that stages start from: facing the camera, in the prior's middle."""
        facing = rotmat_to_rot6d(mean_pose()[0])
        if self.config.pose == "latent":
            return torch.cat([facing, torch.zeros(self.prior.latent_size)])
        return torch.cat([facing, to_coordinates(self.prior.middle(), self.prior.representation)])

    def train(self, mode: bool = True) -> Self:
        """Training mode for all but the prior, which is a fixed function."""
        super().train(mode)
        cast(nn.Module, self.prior).eval()
        return self

    def backbones(self) -> dict[str, tuple[str, nn.Module]]:
        """The trunk."""
        return {"image": (self.config.trunk, self.trunk)}

    def forward(self, crops: Crops) -> StagedEstimate:
        """Bodies of the B people in the crops, from their images; raises as `Estimator.forward`."""
        features = torch.relu(self.features(self.trunk.maps(self.normalised_image(crops))))
        heatmaps = _run(self.keypoint_stages, features)
        part_logits = _run(self.part_stages, torch.cat([features, heatmaps[-1]], 1))
        precise = self._mean.dtype  # of the weights; under autocast maps and dense layers are coarser
        seen = Seen(*find_peaks(heatmaps[-1].to(precise)), self.skeleton, tuple(heatmaps), tuple(part_logits))
        inputs = torch.cat([heatmaps[-1], part_logits[-1].softmax(1), _coordinates(features)], 1)
        maps, done = inputs, list[StagedEstimate]()
        for stage in self.pose_stages:
            out, numbers, betas = stage(maps)
            rotations, pose = self._rotations(numbers.to(precise))
            done.append(
                StagedEstimate(rotations, betas.to(precise), stages=tuple(done), pose=pose, seen=seen)
            )
            maps = torch.cat([inputs, out], 1)
        return done[-1]

    def _rotations(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Rotations (B, 24, 3, 3), and the body pose's numbers (B, D), of pose numbers (B, 6 + D)."""
        facing, pose = numbers[:, :6], numbers[:, 6:]
        if self.config.pose == "latent":
            with full_precision(pose):
                body = self.prior.decode(pose)
        else:
            body = to_rotations(pose, self.prior.representation)
        return torch.cat([rot6d_to_rotmat(facing)[:, None], body], 1), pose

    def prior_energy(self, estimate: StagedEstimate) -> Tensor:
        """The prior's energy (B,) of an estimate of this network: eq. 6 for latents, eq. 5 for numbers."""
        if self.config.pose == "latent":
            return latent_energy(estimate.pose)
        return self.prior.energy_at(estimate.pose)


def full_precision(like: Tensor) -> AbstractContextManager[object]:
    """No autocast: a flow's matrices are too ill-conditioned for half precision."""
    kind = like.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def _run(stages: nn.ModuleList, inputs: Tensor) -> list[Tensor]:
    """Maps of all stages; each but the first also sees the maps of the one before."""
    maps: list[Tensor] = []
    for stage in stages:
        maps.append(stage(torch.cat([inputs, *maps[-1:]], 1)))
    return maps


def _coordinates(like: Tensor) -> Tensor:
    """Crop coordinates (B, 2, S, S) of all cells of maps (B, C, S, S)."""
    cells = cell_centers(like.shape[-1], like)
    grid = torch.stack(torch.meshgrid(cells, cells, indexing="xy"))
    return grid.expand(like.shape[0], -1, -1, -1)
