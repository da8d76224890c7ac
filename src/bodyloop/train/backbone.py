"""Small backbones that know where keypoints are: what ImageNet's weights are to the papers' networks.

A row of a table may cost two cores no more than some hundred thousand crops, few to learn to see from. So small
networks all start from one backbone, which was trained for longer on 2D keypoints alone, the label that none of the
papers does without (`bodyloop.nets.landmarks.LandmarkNet`): as a plain ResNet, to be trained on, or with its landmarks,
to see by as it is.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bodyloop.body.parts import PARTITIONS
from bodyloop.data.batch import Batch
from bodyloop.nets.estimator import IMAGE_MEAN, IMAGE_SPREAD, InputKind
from bodyloop.nets.landmarks import LandmarkNet
from bodyloop.nets.resnet import ResNetKind
from bodyloop.nets.two_branch import PartColors
from bodyloop.terms import crop_coordinates, known_mean
from bodyloop.train.checkpoint import Checkpoint
from bodyloop.train.feed import Feed
from bodyloop.train.regressor import crops_of
from bodyloop.writing import make_folder

REPORT_EVERY = 500  # steps between reports and checkpoints
STANDARD = 64
"""Batches by which features are standardised."""
Look = Callable[[Batch], Tensor]
"""What a network looks at, (B, 3, R, R)."""


@dataclass(frozen=True)
class BackboneConfig:
    """Everything that a training run depends on, but for the data.

    Attributes:
        kind, width: of the ResNet.
        resolution: of the crops.
        looks_at: pictures, or maps drawn from the truth.
        landmarks: what is written: the whole network, or its ResNet alone.
        steps: of the optimiser.
        batch: people a step.
        rate: highest learning rate (AdamW, cosine).
        decay: of the weights.
        seed: of all random draws.
    """

    kind: ResNetKind = "resnet18"
    width: int = 16
    resolution: int = 64
    looks_at: InputKind = "image"
    landmarks: bool = False
    steps: int = 20_000
    batch: int = 32
    rate: float = 2e-3
    decay: float = 1e-2
    seed: int = 0


def keypoint_labels(batch: Batch) -> tuple[Tensor, Tensor]:
    """Crop coordinates (B, 45, 2), and which landmarks are known and within the crop."""
    places = crop_coordinates(batch.keypoints, batch.image.shape[-1])
    return places, (batch.confidence > 0) & (places.abs() < 1).all(-1)


def look_of(kind: InputKind, partition: str = "densepose") -> Look:
    """What networks that look at pictures, IUV maps or parts (in their first colours) give to their backbones."""
    colors = PartColors(len(PARTITIONS[partition].parts)).requires_grad_(False)

    def look(batch: Batch) -> Tensor:
        crops = crops_of(batch, (kind,))
        if kind == "parts":
            assert crops.parts is not None
            return colors(crops.parts).contiguous(memory_format=torch.channels_last)
        if kind == "iuv":
            assert crops.iuv is not None
            return crops.iuv.contiguous(memory_format=torch.channels_last)
        return normalised(batch.image)

    return look


def train_backbone(
    feed: Feed,
    path: Path,
    config: BackboneConfig,
    tell: Callable[[str], None],
    judge: Callable[[LandmarkNet], float] | None = None,
    workers: int = 0,
) -> LandmarkNet:
    """Train and write the backbone (safetensors, half precision); a killed run goes on from its checkpoint.

    Args:
        feed: lessons of `BackboneConfig.batch` people, with what `BackboneConfig.looks_at` says.
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
        network = LandmarkNet(config.kind, config.width)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), config.rate, weight_decay=config.decay)
    look, parts = look_of(config.looks_at), {"network": network, "optimiser": optimiser}
    checkpoint = Checkpoint(path.with_suffix(".ckpt"), config)
    generator, total = torch.Generator(), 0.0
    first = checkpoint.restore(parts, generator)
    for step, lesson in enumerate(feed.lessons(first, config.steps, workers), first + 1):
        for group in optimiser.param_groups:
            warm = min(1.0, step / (0.01 * config.steps))
            group["lr"] = config.rate * min(warm, 0.5 + 0.5 * math.cos(math.pi * step / config.steps))
        network.train()
        loss = keypoint_error(network, lesson.batch, look)
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
    network.eval()
    if config.landmarks:
        _standardise(network, feed, look)
    make_folder(path.parent)
    _write(network if config.landmarks else network.backbone, path)
    checkpoint.done()
    return network


def _write(module: nn.Module, path: Path) -> None:
    """Weights in half precision."""
    half = {k: v.half() if v.is_floating_point() else v for k, v in module.state_dict().items()}
    save_file({k: v.contiguous() for k, v in half.items()}, path)


@torch.no_grad()
def _standardise(network: LandmarkNet, feed: Feed, look: Look) -> None:
    """By the first people that it was trained with."""
    features = [network.raw_features(look(feed[step].batch)) for step in range(STANDARD)]
    network.standardise(torch.cat(features))


def normalised(images: Tensor) -> Tensor:
    """Pictures (B, 3, R, R) in [0, 1] as backbones expect them."""
    mean, spread = (images.new_tensor(v)[:, None, None] for v in (IMAGE_MEAN, IMAGE_SPREAD))
    return ((images - mean) / spread).contiguous(memory_format=torch.channels_last)


def keypoint_error(network: LandmarkNet, batch: Batch, look: Look) -> Tensor:
    """L1 in crop coordinates, the mean over known landmarks."""
    places, known = keypoint_labels(batch)
    found = network.places(look(batch))
    return known_mean((found - torch.where(known[..., None], places, 0.0)).abs().sum(-1), known)


@torch.no_grad()
def keypoint_distance(network: LandmarkNet, batch: Batch, look: Look) -> float:
    """Mean distance from the labels in pixels of a crop of 224."""
    places, known = keypoint_labels(batch)
    return float((network.places(look(batch)) - places).norm(dim=-1)[known].mean()) * 112
