"""Errors of recovered bodies against the truth: places in millimetres, pixels as shares or pixels.

All take any leading batch dimensions and give a value for each person. A mask says which points are known; a person of
whom nothing is known gets NaN, which `bodyloop.evaluate.scores` leaves out of its means and counts.
"""

from typing import Literal

import torch
from torch import Tensor

from bodyloop.body import BodyModel
from bodyloop.geometry import align_similarity

Alignment = Literal["none", "root", "similarity"]
"""What is taken away before errors are measured: nothing; the root joint's place; the best similarity (Procrustes)."""

PCK_MM = 150.0
"""3DPCK's threshold (Mehta et al., "Monocular 3D Human Pose Estimation In The Wild", 2017, section 6)."""

AUC_MM = tuple(float(mm) for mm in range(0, 151, 5))
"""Thresholds over which MPI-INF-3DHP's AUC is the mean PCK: 0 to 150 mm in steps of 5, both ends (the test set's own
``mpii_compute_3d_pck``)."""


def mean_of_seen(values: Tensor, seen: Tensor | None = None) -> Tensor:
    """Mean over the last dimension of what is seen; NaN where nothing is.

    Args:
        values: (..., J); those that are not seen may be anything.
        seen: (..., J) bool, or None for all.
    """
    if seen is None:
        return values.mean(-1)
    seen = seen.expand(values.shape)
    return torch.where(seen, values, 0.0).sum(-1) / seen.sum(-1)


def joint_errors(
    found: Tensor,
    truth: Tensor,
    align: Alignment = "root",
    root: int | Tensor = 0,
    seen: Tensor | None = None,
) -> Tensor:
    """Distance of each joint from the truth (..., J) in mm.

    Args:
        found, truth: (..., J, 3) metres, in the same frame.
        align: see `Alignment`.
        root: the joint to align by "root"; or the two roots' places, (2, ..., 3) found and true, where the root is none
            of the joints (Human3.6M's pelvis, which the 14 joints lack).
        seen: (..., J) bool, which joints are known; the similarity is that of the known ones. Errors of the others are
            NaN, and all of a person's are where the root joint is not known or, for "similarity", fewer than three are.

    Raises:
        ValueError: if the shapes differ.
    """
    _check(found, truth, seen)
    if align == "root":
        places = torch.stack([found[..., root, :], truth[..., root, :]]) if isinstance(root, int) else root
        found, truth = found - places[0][..., None, :], truth - places[1][..., None, :]
    elif align == "similarity":
        found = _procrustes(found, truth, seen)
    errors = 1000 * (found - truth).norm(dim=-1)
    if seen is None:
        return errors
    known = seen
    if align == "root" and isinstance(root, int):
        known = seen & seen[..., root, None]
    elif align == "similarity":
        known = seen & (seen.sum(-1, keepdim=True) >= 3)
    return torch.where(known, errors, torch.nan)


def _check(found: Tensor, truth: Tensor, seen: Tensor | None) -> None:
    if found.shape != truth.shape or (seen is not None and seen.shape != found.shape[:-1]):
        mask = "" if seen is None else f", seen {tuple(seen.shape)}"
        raise ValueError(
            "need found and truth of one shape (..., J, 3), and seen (..., J) or None, got "
            f"{tuple(found.shape)}, {tuple(truth.shape)}{mask}"
        )


def _procrustes(found: Tensor, truth: Tensor, seen: Tensor | None) -> Tensor:
    """The found points moved, turned and scaled onto the seen true ones."""
    if seen is None:
        return align_similarity(found, truth).apply(found)
    # Unknown places may be NaN, which a weight of 0 does not take away.
    known_found, known_truth = (torch.where(seen[..., None], points, 0.0) for points in (found, truth))
    return align_similarity(known_found, known_truth, seen.to(found)).apply(found)


def mpjpe(found: Tensor, truth: Tensor, root: int | None = 0, seen: Tensor | None = None) -> Tensor:
    """Mean per-joint position error (...) in mm after aligning the root joint; None aligns nothing.

    Args:
        found, truth: (..., J, 3) metres.
        root: number of the root joint.
        seen: (..., J) bool, the joints that count; NaN if there are none, or the root is not among them.
    """
    errors = joint_errors(found, truth, "none" if root is None else "root", root or 0, seen)
    return mean_of_seen(errors, seen)


def pa_mpjpe(found: Tensor, truth: Tensor, seen: Tensor | None = None) -> Tensor:
    """The same after the best similarity (Procrustes) alignment of each person, "reconstruction error" in SPIN.

    Args:
        found, truth: (..., J, 3) metres.
        seen: (..., J) bool, the joints that count, in the alignment too; NaN if they are fewer than three.
    """
    return mean_of_seen(joint_errors(found, truth, "similarity", seen=seen), seen)


def pa_mpjpe_axes(found: Tensor, truth: Tensor, seen: Tensor | None = None) -> Tensor:
    """Mean distance along each axis (..., 3) in mm after Procrustes alignment: the figures in brackets of Moon et al.,
    "Three Recipes for Better 3D Pseudo-GTs", 2023, table 3; z tells how well depth is recovered.

    Args:
        found, truth: (..., J, 3) metres, camera axes.
        seen: (..., J) bool, as in `pa_mpjpe`.
    """
    _check(found, truth, seen)
    errors = 1000 * (_procrustes(found, truth, seen) - truth).abs()
    if seen is None:
        return errors.mean(-2)
    enough = seen & (seen.sum(-1, keepdim=True) >= 3)
    return mean_of_seen(errors.transpose(-1, -2), enough[..., None, :])


def pve(found: Tensor, truth: Tensor, found_root: Tensor, truth_root: Tensor) -> Tensor:
    """Per-vertex error (...) in mm of meshes (..., V, 3) after aligning the root joints (..., 3)."""
    off = (found - found_root[..., None, :]) - (truth - truth_root[..., None, :])
    return 1000 * off.norm(dim=-1).mean(-1)


def pa_pve(found: Tensor, truth: Tensor) -> Tensor:
    """Per-vertex error (...) in mm of meshes (..., V, 3) after the best similarity alignment of the meshes."""
    return joint_errors(found, truth, "similarity").mean(-1)


def pve_t(found_betas: Tensor, true_betas: Tensor, body: BodyModel) -> Tensor:
    """Error of the shape alone: per-vertex error (...) in mm of both shapes in the T-pose.

    PVE-T of Rong et al., "Delving Deep into Hybrid Annotations for 3D Human Recovery in the Wild", 2019, section 4: all
    pose parameters are zero; the meshes are not moved onto each other.

    Args:
        found_betas, true_betas: (..., 10).
        body: their model.
    """
    # The mean shape cancels: only the difference of the coefficients has to be blended.
    off = torch.einsum("vck,...k->...vc", body.shapedirs, found_betas - true_betas)
    return 1000 * off.norm(dim=-1).mean(-1)


def acceleration_error(found: Tensor, truth: Tensor, seen: Tensor | None = None, fps: float = 1.0) -> Tensor:
    """Mean distance of the joints' accelerations, second differences over time, (...) in mm.

    By default a frame is the unit of time, as in HMMR (Kanazawa et al. 2019) and VIBE (Kocabas et al. 2020, table 1,
    where it is called mm/s^2); with the frame rate it is mm/s^2 indeed.

    Args:
        found, truth: (..., T, J, 3) metres.
        seen: (..., T) bool, frames that are known; a second difference counts where its three frames are. NaN if none.
        fps: frames a second.

    Raises:
        ValueError: for fewer than three frames.
    """
    if found.shape != truth.shape or found.shape[-3] < 3:
        raise ValueError(
            "need found and truth of one shape (..., T, J, 3) with three frames or more, got "
            f"{tuple(found.shape)} and {tuple(truth.shape)}"
        )
    off = found - truth
    curve = (off[..., 2:, :, :] - 2 * off[..., 1:-1, :, :] + off[..., :-2, :, :]) * fps**2
    errors = 1000 * curve.norm(dim=-1).mean(-1)
    if seen is None:
        return errors.mean(-1)
    return mean_of_seen(errors, seen[..., 2:] & seen[..., 1:-1] & seen[..., :-2])


def pck(errors: Tensor, threshold: float = PCK_MM) -> Tensor:
    """Share of joints (...) whose error is less than the threshold; by default 3DPCK at 150 mm.

    Args:
        errors: (..., J) mm, of `joint_errors`: its alignment makes this absolute, root-aligned or Procrustes-aligned
            PCK. Joints with NaN are not known and do not count; infinity is a miss.
        threshold: mm. An error just as large is a miss, as in MPI-INF-3DHP's evaluation.

    Returns:
        0 to 1; NaN where no joint is known.
    """
    return mean_of_seen((errors < threshold).to(errors), ~errors.isnan())


def auc(errors: Tensor, thresholds: tuple[float, ...] = AUC_MM) -> Tensor:
    """Mean PCK over thresholds (...), 0 to 1, by default MPI-INF-3DHP's; arguments as of `pck`."""
    return torch.stack([pck(errors, threshold) for threshold in thresholds]).mean(0)


def pckh(found: Tensor, truth: Tensor, seen: Tensor, head: Tensor, share: float = 0.5) -> Tensor:
    """Share of seen keypoints within `share` of the head size: one number over all people.

    Args:
        found, truth: (N, K, 2) pixels.
        seen: (N, K) bool.
        head: (N,) head segment length in pixels.
        share: 0.5 for PCKh@0.5.
    """
    near = (found - truth).norm(dim=-1) <= share * head[:, None]
    return (near & seen).sum() / seen.sum().clamp_min(1)


def coco_head_size(keypoints: Tensor, seen: Tensor, boxes: Tensor) -> Tensor:
    """Head size (N,) in pixels for PCKh on COCO labels, which have no head box.

    The distance between the ears, or a tenth of the box's height where that is more (side views).

    Args:
        keypoints: (N, 17, 2) COCO keypoints in pixels.
        seen: (N, 17) bool.
        boxes: (N, 4) x0, y0, x1, y1.
    """
    ears = (keypoints[:, 3] - keypoints[:, 4]).norm(dim=-1)
    ears = torch.where(seen[:, 3] & seen[:, 4], ears, 0.0)
    return torch.maximum(ears, 0.1 * (boxes[:, 3] - boxes[:, 1]))
