"""Errors of a network on stored crops of test people."""

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel, get_skeleton
from bodyloop.body.parts import partition
from bodyloop.body.skeletons import UNION45
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.crop_batches import CropBatches, CropSource, Lesson, Wanted
from bodyloop.data.mixture import Draw
from bodyloop.data.part_maps import UNKNOWN
from bodyloop.data.synthetic.streams import stream
from bodyloop.evaluate.metrics import mean_of_seen, mpjpe, pa_mpjpe, pa_mpjpe_axes, pve, pve_t
from bodyloop.evaluate.segmentation import confusion, draw_parts
from bodyloop.evaluate.tables import AXES, Figures
from bodyloop.geometry import Camera
from bodyloop.nets.estimator import Estimator
from bodyloop.nets.two_branch import TwoBranchConfig
from bodyloop.train.larder import Pantry
from bodyloop.train.recipes import Recipe, SyntheticData
from bodyloop.train.regressor import Regressor, project

CROP = 224.0
"""Side of the crop in whose pixels distances in the image are told, whatever the network's own."""
PARTS, KEYPOINTS = "densepose", "coco17"
PART_SIDE = 56
"""Side of the maps on which parts are compared: about that of the stored ones."""
BATCH = 50
"""People at a time."""


@torch.no_grad()
def measured(network: Estimator, recipe: Recipe, people: SyntheticData, pantry: Pantry) -> Figures:
    """Mean errors of a network on people who have all labels; their crops are not augmented.

    Joints are SMPL's 24. Networks without a camera of their own are placed by the true 2D keypoints.

    Args:
        network: on any device.
        recipe: that it was trained by.
        people: to judge it on.
        pantry: has their crops, or draws them.

    Raises:
        InputError: see `Pantry.crops`.
    """
    device = next(network.parameters()).device
    network.eval()
    body = pantry.body.to(device)
    regressor = Regressor(network, body)
    batches = _batches(recipe, people, pantry)
    count, scores = batches.sizes[0], dict[str, list[Tensor]]()
    for first in range(0, count, BATCH):
        draws = [Draw(0, row, row) for row in range(first, min(first + BATCH, count))]
        lesson = batches.lesson(draws, stream(0)).to(device)
        for name, values in _scores(regressor, lesson, body).items():
            scores.setdefault(name, []).append(values.double().cpu())
    return Figures(**{name: float(torch.cat(values).nanmean()) for name, values in scores.items()})


def _batches(recipe: Recipe, people: SyntheticData, pantry: Pantry) -> CropBatches:
    looked_at = recipe.network.partition if isinstance(recipe.network, TwoBranchConfig) else PARTS
    wanted = Wanted(
        looked_at if "parts" in recipe.inputs else None,
        "iuv" in recipe.inputs,
        PARTS,
        PART_SIDE,
    )
    mirror = None if pantry.surface is None else pantry.surface.mirror
    source = CropSource(pantry.crops(people, recipe), people.labels, people.skeleton, mirror)
    augment = AugmentConfig.none(recipe.augment.resolution, recipe.augment.margin)
    return CropBatches([source], augment, pantry.body, wanted)


def _scores(regressor: Regressor, lesson: Lesson, body: BodyModel) -> dict[str, Tensor]:
    """Errors (B,), named as in `Figures`."""
    batch = lesson.batch
    estimate = regressor.network(regressor.crops(batch))
    found, truth = regressor.placed(estimate, batch), batch.bodies
    joints, true = body.joints(found), body.joints(truth)
    vertices = body.vertices(found)
    scale = CROP / batch.image.shape[-1]
    rows = [UNION45.index(name) for name in get_skeleton(KEYPOINTS).keypoints]
    pixels = project(body.points(found, regressor.points), batch.camera)
    off = (pixels - batch.keypoints)[:, rows].norm(dim=-1)
    dense = project(body.surface_points(found, lesson.corners, lesson.barycentric), batch.camera)
    distance = (dense - batch.dense_pixels).abs().sum(-1)  # eq. 4 of Rong et al. takes L1
    axes = zip(AXES, pa_mpjpe_axes(joints, true).unbind(-1), strict=True)
    return {
        **dict(axes),
        "mpjpe_mm": mpjpe(joints, true),
        "pa_mpjpe_mm": pa_mpjpe(joints, true),
        "mpvpe_mm": pve(vertices, body.vertices(truth), joints[:, 0], true[:, 0]),
        "pve_t_mm": pve_t(found.betas, truth.betas, body),
        "keypoint_px": scale * mean_of_seen(off, batch.confidence[:, rows] > 0),
        "dkd_px": scale * mean_of_seen(distance, batch.dense_weight > 0),
        "part_iou": _part_iou(found.to(body.v_template), lesson, body),
    }


def _part_iou(found: Bodies, lesson: Lesson, body: BodyModel) -> Tensor:
    """Mean IoU (B,) of the parts, on the map of low resolution; NaN for people without one."""
    assert lesson.part_targets is not None, "lessons were asked for without maps of parts"
    truth = lesson.part_targets.long()
    side, full = truth.shape[-1], lesson.batch.image.shape[-1]
    scale, camera = side / full, lesson.batch.camera
    lens = Camera(camera.focal * scale, (camera.center + 0.5) * scale - 0.5, (side, side))
    drawn = torch.cat(list(draw_parts(found, lens, body, PARTS)))
    unknown = truth == UNKNOWN
    counts = confusion(drawn, torch.where(unknown, 0, truth) - 1, partition(PARTS).parts, unknown)
    iou = counts.iou()
    return torch.where(lesson.has_part_targets, iou, iou.new_tensor(float("nan")))
