"""Recovered bodies of synthetic people against the truth: pose, shape, surface and segmentation in one go."""

import math
from typing import Literal

import torch
from torch import Tensor

from bodyloop.body import SMPL_JOINTS, Bodies, BodyModel, face_parts
from bodyloop.body.parts import partition
from bodyloop.data.synthetic import SyntheticSample
from bodyloop.errors import InputError
from bodyloop.evaluate.metrics import joint_errors, mean_of_seen, pve, pve_t
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

    - ``mpjpe_mm``, ``pa_mpjpe_mm``: over SMPL's 24 joints, after aligning the pelvis, or by similarity.
    - ``pve_mm``, ``pve_t_mm``: over all vertices, after aligning the pelvis; of the shapes alone in the T-pose.
    - ``dkd_px``: dense keypoint distance, see `surface_scores`.
    - ``part_iou_24``, ``part_iou_14``, ``silhouette_iou``, and FB and part accuracy and F1 over SPIN's six parts.

    Args:
        found: N people in the camera frame of their picture, on the body's device and in its precision.
        samples: their N samples (`SyntheticSample.stack`).
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
    # What lies behind the camera goes far away in the image, not to its mirror image.
    projected = camera.project(torch.cat([vertices[..., :2], vertices[..., 2:].clamp_min(NEAR)], -1))
    distance = dense_distance(projected, body.faces[faces], barycentric.to(vertices), pixels.to(vertices))
    labels = face_parts(body)
    drawn = part_map(rasterize(vertices, body.faces, camera), labels)
    counts = confusion(drawn, part_map(seen, labels), partition("smpl").parts, ignore)
    return mean_of_seen(distance, known), counts


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
    """`synthetic_scores` of a few people."""
    truth, camera = samples.bodies, samples.camera
    joints, true_joints = body.joints(found), body.joints(truth)
    errors = joint_errors(joints, true_joints)
    vertices, true_vertices = body.vertices(found), body.vertices(truth)
    drawn = rasterize(true_vertices, body.faces, camera)
    seen, ignore = (
        (drawn, None) if against == "body" else (samples.fragments, drawn.mask & ~samples.fragments.mask)
    )
    distance, counts = surface_scores(vertices, seen, camera, body, ignore)
    figures = {
        "mpjpe_mm": errors.mean(-1),
        "pa_mpjpe_mm": joint_errors(joints, true_joints, "similarity").mean(-1),
        "pve_mm": pve(vertices, true_vertices, joints[:, 0], true_joints[:, 0]),
        "pve_t_mm": pve_t(found.betas, truth.betas, body),
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
    if not len(found):
        raise InputError("expected at least one person, got none")
    finite = torch.stack(
        [values.flatten(1).isfinite().all(1) for values in (found.rotations, found.betas, found.translation)]
    ).all(0)
    if not finite.all():
        bad = (~finite).nonzero()[:, 0].tolist()
        raise InputError(
            f"{len(bad)} of {len(found)} found bodies hold NaN or infinity, people {', '.join(map(str, bad[:5]))}"
            f"{' ...' if len(bad) > 5 else ''}; leave them out, or put the method's fallback in their place"
        )


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
