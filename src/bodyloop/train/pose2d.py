"""Training of 2D pose networks: heatmaps of the keypoints that are labelled, and nothing else.

Xiao et al., "Simple Baselines for Human Pose Estimation and Tracking", ECCV 2018, section 2: the mean square between
heatmaps and Gaussians at the keypoints.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bodyloop.body.skeletons import UNION45
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.batch import Batch
from bodyloop.data.crop_batches import CropBatches
from bodyloop.data.mixture import Draw
from bodyloop.data.synthetic.streams import stream
from bodyloop.errors import InputError
from bodyloop.nets.backbones import load_backbone
from bodyloop.nets.heatmaps import draw_gaussians, find_peaks
from bodyloop.nets.pose2d import Pose2d, build_pose2d, load_pose2d, save_pose2d
from bodyloop.terms import crop_coordinates, heatmap_loss
from bodyloop.train.checkpoint import Checkpoint
from bodyloop.train.config import Data, Pose2dRecipe
from bodyloop.train.feed import Feed
from bodyloop.train.larder import Pantry, Tools, source_of
from bodyloop.train.run import NO_CLASSIFIER, Log, Machine
from bodyloop.train.run_files import LAST, LOG, STATE, begun_with, settle

CROP = 224.0
"""Side of the crop in whose pixels errors are told, whatever the network's own."""
ERROR = "keypoint_px"
"""Mean distance of the heatmaps' peaks from the keypoints."""


@dataclass(frozen=True)
class TrainedPose2d:
    """What came of a run.

    Attributes:
        weights: of the last step.
        error: in pixels of a 224-pixel crop, on the validation people.
    """

    weights: Path
    error: float


def pose2d_targets(network: Pose2d, batch: Batch) -> tuple[Tensor, Tensor]:
    """Crop coordinates (B, K, 2) of the network's keypoints, and which (B, K) are labelled and within the crop."""
    rows = [UNION45.index(name) for name in network.skeleton.keypoints]
    places = crop_coordinates(batch.keypoints[:, rows], batch.image.shape[-1])
    return places, (batch.confidence[:, rows] > 0) & (places.abs() < 1).all(-1)


def pose2d_loss(network: Pose2d, batch: Batch, spread: float) -> Tensor:
    """Mean square of the heatmaps of labelled keypoints, with Gaussians of so many cells."""
    places, known = pose2d_targets(network, batch)
    found = network(batch.image).float()
    weight = known.to(places)
    return heatmap_loss(found, draw_gaussians(places, weight, found.shape[-1], spread), weight)


@torch.no_grad()
def pose2d_error(network: Pose2d, people: CropBatches, batch: int, device: torch.device) -> float:
    """`ERROR` over all people of one source; the network is left in training mode."""
    network.eval()
    total, count = 0.0, 0
    for first in range(0, people.sizes[0], batch):
        draws = [Draw(0, row, row) for row in range(first, min(first + batch, people.sizes[0]))]
        some = people.lesson(draws, stream(0)).batch.to(device)
        places, known = pose2d_targets(network, some)
        found, _ = find_peaks(network(some.image).float())
        total += float((found - places).norm(dim=-1)[known].sum())
        count += int(known.sum())
    network.train()
    return total / max(count, 1) * CROP / 2


def train_pose2d(
    recipe: Pose2dRecipe,
    out: Path,
    pantry: Pantry,
    tools: Tools,
    machine: Machine | None = None,
    *,
    resume: bool = False,
    backbone: str | Path | None = None,
) -> TrainedPose2d:
    """Train a 2D pose network, on one device and in single precision.

    The folder gets recipe.json, log.csv, the weights (`LAST`), and while it lasts a state to go on from. A killed run
    that is gone on with ends with the same weights as one that was not.

    Args:
        recipe: what to do.
        out: folder of this run alone.
        pantry: has the crops.
        tools: what is told, and progress.
        machine: its accelerator and workers count.
        resume: go on with the run in the folder, if there is one.
        backbone: trained weights to begin with, or "hub".

    Raises:
        InputError: a folder that holds another run, several devices, a classifier that is not given, or data that are
            not there.
    """
    machine = machine or Machine()
    if recipe.start == "classifier" and backbone is None:
        raise InputError(NO_CLASSIFIER)
    device = machine.device
    network, begun = build_pose2d(recipe.network, recipe.seed), None
    if backbone is not None:  # A wrong file is told now, not when everybody is drawn.
        load_backbone(network.backbone, recipe.network.backbone, backbone)
        begun = begun_with({"image": network.backbone}, {"image": backbone})
    settle(recipe, out, resume, begun)
    people = _batches((recipe.validation,), recipe, pantry, AugmentConfig.none(recipe.augment.resolution))
    batch = recipe.optimiser.batch
    if (out / LAST).exists():
        trained = load_pose2d(out / LAST).to(device)
        return TrainedPose2d(out / LAST, pose2d_error(trained, people, batch, device))
    batches = _batches(recipe.data, recipe, pantry, recipe.augment)
    feed = Feed(batches, [data.weight for data in recipe.data], batch, seed=recipe.seed)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    chosen = recipe.optimiser
    kind = torch.optim.AdamW if chosen.decay else torch.optim.Adam
    optimiser = kind(network.parameters(), chosen.rate, weight_decay=chosen.decay)
    parts = {"network": network, "optimiser": optimiser}
    checkpoint, generator = Checkpoint(out / STATE, recipe), torch.Generator()
    first, error = checkpoint.restore(parts, generator), 0.0
    log = Log(out / LOG, ("step", "rate", "loss", ERROR), first)
    network.train()
    for step, lesson in enumerate(feed.lessons(first, recipe.steps, machine.workers), first):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate_at(step)
        loss = pose2d_loss(network, lesson.batch.to(device), recipe.spread)
        optimiser.zero_grad()
        loss.backward()
        longest = float("inf") if chosen.clip is None else chosen.clip
        if bool(torch.isfinite(nn.utils.clip_grad_norm_(network.parameters(), longest))):
            optimiser.step()
        done = step + 1
        tools.progress("training", done, recipe.steps)
        if done % recipe.report_every == 0 or done == recipe.steps:
            error = pose2d_error(network, people, batch, device)
            tools.tell(f"step {done:,} of {recipe.steps:,}: keypoints {error:.2f} px of {CROP:.0f}")
            log.write(
                {"step": done, "rate": recipe.rate_at(step), "loss": float(loss.detach()), ERROR: error}
            )
            checkpoint.keep(parts, generator, done)
    save_pose2d(network, out / LAST)
    checkpoint.done()
    return TrainedPose2d(out / LAST, error)


def _batches(
    data: tuple[Data, ...], recipe: Pose2dRecipe, pantry: Pantry, augment: AugmentConfig
) -> CropBatches:
    sources = [source_of(one, recipe, pantry) for one in data]
    return CropBatches(sources, augment, pantry.body)
