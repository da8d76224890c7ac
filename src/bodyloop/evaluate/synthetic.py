"""Recovered bodies of synthetic people against the truth: pose, shape, surface and segmentation in one go."""

import math
from typing import Literal

import torch
from torch import Tensor

from bodyloop.body import SMPL_JOINTS, Bodies, BodyModel, face_parts
from bodyloop.body.parts import partition
from bodyloop.body.skeletons import COCO17
from bodyloop.data.synthetic import SyntheticSample
from bodyloop.errors import InputError
from bodyloop.evaluate.evaluation import check_bodies
from bodyloop.evaluate.metrics import (
    auc,
    coco_head_size,
    joint_errors,
    mean_of_seen,
    pa_mpjpe_axes,
    pa_pve,
    pck,
    pckh,
    pve,
    pve_t,
)
from bodyloop.evaluate.scores import Scores
from bodyloop.evaluate.segmentation import CHUNK, Confusion, confusion
from bodyloop.geometry import Camera
from bodyloop.raster import NEAR, Fragments, part_map, rasterize
from bodyloop.terms.dense import dense_distance

POINTS = 125
"""Dense keypoints a person: COCO-DensePose has 100 to 150 (Rong et al. 2019, section 4)."""

Against = Literal["body", "image"]
"""What a drawn body is compared with: the true body drawn alone, or what the picture shows of the person, which ends
where other things are in front and is as wide as the clothes."""


def synthetic_scores(
    found: Bodies,
    samples: SyntheticSample,
    body: BodyModel,
    against: Against = "body",
    chunk: int = CHUNK,
) -> Scores:
    """Score N recovered people.

    - ``mpjpe_mm``, ``pa_mpjpe_mm``: over SMPL's 24 joints, after aligning the pelvis, or by similarity; ``pa_x_mm``,
      ``pa_y_mm``, ``pa_z_mm`` along the camera's axes. ``pck``, ``auc``, ``pa_pck``, ``pa_auc`` of the same errors,
      ``pck_abs`` of those of places as they are.
    - ``pckh``: of COCO's keypoints that lie in the picture, see `keypoint_shares`.
    - ``pve_mm``, ``pa_pve_mm``, ``pve_t_mm``: over all vertices, after aligning the pelvis, or by similarity; of the
      shapes alone in the T-pose.
    - ``dkd_px``: dense keypoint distance, see `surface_scores`.
    - ``part_iou_24``, ``part_iou_14``, ``silhouette_iou``, and FB and part accuracy and F1 over SPIN's six parts.

    Args:
        found: N people in the camera frame of their picture, on the body's device and in its precision.
        samples: their N samples (`SyntheticSample.stack`), on any device.
        body: the model of both.
        against: see `Against`. Against the image, pixels where the true body is behind something else are ignored.
        chunk: the most people drawn at once, which bounds the memory.

    Raises:
        InputError: if the numbers of people differ, or a found body is not finite, naming the people.
    """
    _check(found, samples)
    parts = [_score(found[s], _some(samples, s), body, against) for s in _slices(len(found), chunk)]
    return Scores.cat(parts)


def surface_scores(
    vertices: Tensor, seen: Fragments, camera: Camera, body: BodyModel, ignore: Tensor | None = None
) -> tuple[Tensor, Confusion]:
    """Dense keypoint distance and part counts of found meshes against what is seen of the true ones.

    The distance is that of Rong et al. 2019, eq. 4, over points of the surface that the true map shows, spread evenly
    over its pixels: |x - x'| + |y - y'| between the pixel and the same point of the found surface, projected. The mean
    over points, in the camera's pixels (table 5 of the paper says mm, which a distance in the image is not).

    Args:
        vertices: (N, V, 3) found, camera frame.
        seen: (N, H, W) faces of the body that each pixel truly sees.
        camera: one or N; its size is that of the maps.
        body: the model of both.
        ignore: (N, H, W) bool, pixels that do not count as seen, nor in the counts.

    Returns:
        The distance (N,) in pixels, NaN where nothing is seen, and the counts in the partition ``smpl``.
    """
    hidden = torch.zeros_like(seen.mask) if ignore is None else ignore
    faces, barycentric, pixels, known = _dense_keypoints(seen, hidden)
    camera = camera.expand(len(vertices))
    distance = dense_distance(
        _projected(vertices, camera), body.faces[faces], barycentric.to(vertices), pixels.to(vertices)
    )
    labels = face_parts(body)
    drawn = part_map(rasterize(vertices, body.faces, camera), labels)
    counts = confusion(drawn, part_map(seen, labels), partition("smpl").parts, ignore)
    return mean_of_seen(distance, known), counts


def keypoint_shares(found: Bodies, truth: Bodies, camera: Camera, body: BodyModel) -> Tensor:
    """PCKh@0.5 (N,) of COCO's keypoints that truly lie in the picture, whatever is in front of them; NaN without any.

    The head is as large as `coco_head_size` says, of the box around all of the true surface.

    Args:
        found, truth: N people in camera axes.
        camera: one or N; its size is the picture's.
        body: the model of both.
    """
    camera = camera.expand(len(found))
    points, known = body.keypoints(COCO17)
    pixels, true_pixels = (_projected(body.points(people, points), camera) for people in (found, truth))
    limits = pixels.new_tensor(camera.size) - 0.5
    seen = known.to(pixels.device) & ((true_pixels > -0.5) & (true_pixels < limits)).all(-1)
    surface = _projected(body.vertices(truth), camera)
    head = coco_head_size(true_pixels, seen, torch.cat([surface.amin(1), surface.amax(1)], 1))
    each = [
        pckh(pixels[one], true_pixels[one], seen[one], head[one])
        for one in (slice(i, i + 1) for i in range(len(found)))
    ]
    return torch.where(seen.any(1), torch.stack(each).to(pixels), torch.nan)


def _projected(points: Tensor, camera: Camera) -> Tensor:
    """Pixels (N, P, 2); what lies behind the camera goes far away in the image, not to its mirror image."""
    return camera.project(torch.cat([points[..., :2], points[..., 2:].clamp_min(NEAR)], -1))


def _dense_keypoints(seen: Fragments, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Faces (N, P), their weights (N, P, 3), pixels (N, P, 2) x, y, and whether there are any (N, P)."""
    height, width = seen.face_id.shape[-2:]
    mask = (seen.mask & ~hidden).flatten(1)
    count = mask.sum(1)
    # The k-th seen pixel is found by its rank; ranks are spread evenly over the rows, top to bottom.
    share = (torch.arange(POINTS, device=mask.device) + 0.5) / POINTS
    rank = (share * count[:, None]).long() + 1
    pixel = torch.searchsorted(mask.cumsum(1), rank).clamp_max(height * width - 1)
    faces = seen.face_id.flatten(1).gather(1, pixel).long().clamp_min(0)
    weights = seen.barycentric.flatten(1, 2).gather(1, pixel[..., None].expand(-1, -1, 3))
    place = torch.stack([pixel % width, pixel // width], -1)
    return faces, weights, place, (count > 0)[:, None].expand_as(faces)


def _score(found: Bodies, samples: SyntheticSample, body: BodyModel, against: Against) -> Scores:
    """`synthetic_scores` of a few people, where the found ones are."""
    device = found.translation.device
    truth, camera, shown = samples.bodies.to(found.translation), samples.camera.to(device), samples.fragments
    shown = Fragments(shown.face_id.to(device), shown.barycentric.to(device), shown.depth.to(device))
    joints, true_joints = body.joints(found), body.joints(truth)
    errors, aligned = joint_errors(joints, true_joints), joint_errors(joints, true_joints, "similarity")
    across = pa_mpjpe_axes(joints, true_joints)
    vertices, true_vertices = body.vertices(found), body.vertices(truth)
    drawn = rasterize(true_vertices, body.faces, camera)
    seen, ignore = (drawn, None) if against == "body" else (shown, drawn.mask & ~shown.mask)
    distance, counts = surface_scores(vertices, seen, camera, body, ignore)
    figures = {
        "mpjpe_mm": errors.mean(-1),
        "pa_mpjpe_mm": aligned.mean(-1),
        **{f"pa_{axis}_mm": across[:, i] for i, axis in enumerate("xyz")},
        "pve_mm": pve(vertices, true_vertices, joints[:, 0], true_joints[:, 0]),
        "pa_pve_mm": pa_pve(vertices, true_vertices),
        "pve_t_mm": pve_t(found.betas, truth.betas, body),
        "pck": pck(errors),
        "auc": auc(errors),
        "pa_pck": pck(aligned),
        "pa_auc": auc(aligned),
        "pck_abs": pck(joint_errors(joints, true_joints, "none")),
        "pckh": keypoint_shares(found, truth, camera, body),
        "dkd_px": distance,
        "silhouette_iou": counts.foreground().iou(),
        "part_iou_14": counts.merged("densepose").iou(),
        "part_iou_24": counts.iou(),
    }
    return Scores(
        f"synthetic people, against the {against}",
        tuple(str(index) for index in samples.index.tolist()),
        {key: value.double().cpu() for key, value in figures.items()},
        SMPL_JOINTS,
        errors.double().cpu(),
        {"foreground": counts.foreground().cpu(), "lsp": counts.merged("lsp").cpu()},
    )


def _check(found: Bodies, samples: SyntheticSample) -> None:
    if found.batch_shape != samples.bodies.batch_shape or len(found.batch_shape) != 1:
        raise InputError(
            f"expected as many found bodies as samples, in one row, got {tuple(found.batch_shape)} and "
            f"{tuple(samples.bodies.batch_shape)}; stack the samples with SyntheticSample.stack"
        )
    check_bodies(found, len(samples.bodies))


def _slices(count: int, size: int) -> list[slice]:
    return [slice(size * i, size * (i + 1)) for i in range(math.ceil(count / size))]


def _some(samples: SyntheticSample, some: slice) -> SyntheticSample:
    seen = samples.fragments
    return SyntheticSample(
        samples.image[some],
        samples.bodies[some],
        Camera(samples.camera.focal[some], samples.camera.center[some], samples.camera.size),
        Fragments(seen.face_id[some], seen.barycentric[some], seen.depth[some]),
        samples.index[some],
        samples.subject[some],
        samples.sequence[some],
    )
