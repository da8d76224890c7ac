"""Small backbones that know where keypoints are: what ImageNet's weights are to the papers' networks.

A row of a table may cost two cores no more than some hundred thousand crops, few to learn to see from. So small
networks all start from one backbone, which was trained for longer on 2D keypoints alone, the label that none of the
papers does without: heatmaps from its last two groups, each read out as the mean place.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import interpolate

from bodyloop.body.skeletons import UNION45
from bodyloop.data.batch import Batch
from bodyloop.nets.estimator import IMAGE_MEAN, IMAGE_SPREAD
from bodyloop.nets.resnet import ResNet, ResNetKind
from bodyloop.terms import crop_coordinates, known_mean
from bodyloop.train.checkpoint import Checkpoint
from bodyloop.train.feed import Feed

REPORT_EVERY = 500  # steps between reports and checkpoints


@dataclass(frozen=True)
class BackboneConfig:
    """Everything that a training run depends on, but for the data.

    Attributes:
        kind, width: of the ResNet.
        resolution: of the crops.
        steps: of the optimiser.
        batch: people a step.
        rate: highest learning rate (AdamW, cosine).
        decay: of the weights.
        seed: of all random draws.
    """

    kind: ResNetKind = "resnet18"
    width: int = 16
    resolution: int = 64
    steps: int = 20_000
    batch: int = 32
    rate: float = 2e-3
    decay: float = 1e-2
    seed: int = 0


class KeypointNet(nn.Module):
    """A ResNet, and heatmaps of the union's landmarks from its last two groups.

    Args:
        kind, width: of the ResNet.
    """

    def __init__(self, kind: ResNetKind, width: int) -> None:
        super().__init__()
        self.backbone = ResNet(kind, width)
        last, inner = self.backbone.channels, self.backbone.channels // 2
        self.from_last, self.from_before = nn.Conv2d(last, inner, 1), nn.Conv2d(inner, inner, 1)
        self.heatmaps = nn.Conv2d(inner, len(UNION45), 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Crops (B, 3, R, R), normalised, to crop coordinates (B, 45, 2)."""
        *_, before, last = self.backbone.groups(images)
        coarse = interpolate(self.from_last(last), size=before.shape[-2:], mode="nearest")
        maps = self.heatmaps(torch.relu(coarse + self.from_before(before)))
        share = maps.flatten(2).softmax(-1).unflatten(2, maps.shape[-2:])
        side = torch.arange(maps.shape[-1], device=maps.device, dtype=maps.dtype)
        places = (2 * side + 1) / maps.shape[-1] - 1
        return torch.stack([(share.sum(2) * places).sum(-1), (share.sum(3) * places).sum(-1)], -1)


def keypoint_labels(batch: Batch) -> tuple[Tensor, Tensor]:
    """Crop coordinates (B, 45, 2), and which landmarks are known and within the crop."""
    places = crop_coordinates(batch.keypoints, batch.image.shape[-1])
    return places, (batch.confidence > 0) & (places.abs() < 1).all(-1)


def train_backbone(
    feed: Feed,
    path: Path,
    config: BackboneConfig,
    tell: Callable[[str], None],
    judge: Callable[[KeypointNet], float] | None = None,
    workers: int = 0,
) -> KeypointNet:
    """Train and write the backbone (safetensors, half precision); a killed run goes on from its checkpoint.

    Args:
        feed: lessons of `BackboneConfig.batch` people.
        path: of the weights; the checkpoint stands beside it.
        config: settings.
        tell: called with a line now and then.
        judge: error of the network on other people, for those lines.
        workers: processes that make batches; they do not matter to the result.

    Raises:
        InputError: if the checkpoint is of another run.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = KeypointNet(config.kind, config.width)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), config.rate, weight_decay=config.decay)
    parts = {"network": network, "optimiser": optimiser}
    checkpoint = Checkpoint(path.with_suffix(".ckpt"), config)
    generator, total = torch.Generator(), 0.0
    first = checkpoint.restore(parts, generator)
    for step, lesson in enumerate(feed.lessons(first, config.steps, workers), first + 1):
        for group in optimiser.param_groups:
            warm = min(1.0, step / (0.01 * config.steps))
            group["lr"] = config.rate * min(warm, 0.5 + 0.5 * math.cos(math.pi * step / config.steps))
        network.train()
        loss = keypoint_error(network, lesson.batch)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        total += float(loss.detach())
        if step % REPORT_EVERY == 0 or step == config.steps:
            network.eval()
            judged = "" if judge is None else f", {judge(network):.2f} px of 224 on other people"
            tell(f"step {step:,} of {config.steps:,}: loss {total / REPORT_EVERY:.4f}{judged}")
            total = 0.0
            checkpoint.keep(parts, generator, step)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = network.backbone.state_dict()
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    save_file({k: v.contiguous() for k, v in half.items()}, path)
    checkpoint.done()
    return network.eval()


def normalised(images: Tensor) -> Tensor:
    """Pictures (B, 3, R, R) in [0, 1] as backbones expect them."""
    mean, spread = (images.new_tensor(v)[:, None, None] for v in (IMAGE_MEAN, IMAGE_SPREAD))
    return ((images - mean) / spread).contiguous(memory_format=torch.channels_last)


def keypoint_error(network: KeypointNet, batch: Batch) -> Tensor:
    """L1 in crop coordinates, the mean over known landmarks."""
    places, known = keypoint_labels(batch)
    return known_mean(
        (network(normalised(batch.image)) - torch.where(known[..., None], places, 0.0)).abs().sum(-1), known
    )
