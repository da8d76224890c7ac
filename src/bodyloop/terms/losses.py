"""Losses of regression networks: means over the labels that are there.

A label that is not known, by its mask, changes neither the loss nor its gradient, whatever stands in its place (NaN
too); without any known label a loss is 0 and has no gradient. The papers write sums over images; these are means over
people, so that the size of a batch does not shift the balance of the terms. Within a person they are means over points
and coordinates, as in the released code of SPIN and others; "norm" and "sum" are what Rong et al. 2019 write.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bodyloop.priors.prior import PosePrior

Distance = Literal["squared", "absolute", "robust", "norm", "sum"]
"""How far off a coordinate is: its square, its absolute value, or Geman and McClure's x^2 s^2 / (x^2 + s^2), of which
the mean is taken. Or how far off a person is as a whole: the norm of all coordinates, or the sum of absolute values."""

SIGMA = 100.0 / 112.0
"""s of "robust": SPIN's 100 pixels of a 224-pixel crop (its released fitting), in crop coordinates."""

TRACE = 1e-6
"""What a norm takes for 0."""

UNKNOWN_PART = 255
"""Label of pixels of which nobody says what they show (`bodyloop.data.part_maps.UNKNOWN`)."""


def known_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of values (...) by weight (...), bool or from 0; 0 without gradient where all weights are 0."""
    weight = weight.to(values).expand(values.shape)
    kept = torch.where(weight > 0, values, 0.0)
    return (kept * weight).sum() / weight.sum().clamp_min(torch.finfo(values.dtype).tiny)


def known_only(label: Tensor, known: Tensor) -> Tensor:
    """Labels (..., *S) with 0 where the mask (...) says that there is none."""
    mask = (known > 0).reshape(*known.shape, *[1] * (label.ndim - known.ndim))
    return torch.where(mask, label, 0.0)


def mean_distance(off: Tensor, weight: Tensor, distance: Distance) -> Tensor:
    """Mean distance () of offsets (..., N, D) of N points with weights (..., N)."""
    if distance not in ("norm", "sum"):
        return known_mean(coordinate_distance(off, distance), weight)
    share = weight.to(off)
    kept = torch.where(share[..., None] > 0, off, 0.0)
    if distance == "sum":
        whole = (share * kept.abs().sum(-1)).sum(-1)
    else:  # the trace keeps the gradient finite at 0
        whole = ((share * kept.square().sum(-1)).sum(-1) + TRACE**2).sqrt() - TRACE
    return known_mean(whole, (weight > 0).any(-1))


def coordinate_distance(off: Tensor, distance: Distance = "squared") -> Tensor:
    """Mean over the coordinates of offsets (..., D): (...)."""
    if distance == "absolute":
        return off.abs().mean(-1)
    squares = off.square()
    if distance == "robust":
        squares = SIGMA**2 * squares / (SIGMA**2 + squares)
    return squares.mean(-1)


def crop_coordinates(pixels: Tensor, resolution: int) -> Tensor:
    """Crop pixels to crop coordinates: -1 and 1 are the outer edges of the crop's first and last pixels."""
    return (2 * pixels + 1) / resolution - 1


def joint_loss(
    found: Tensor, truth: Tensor, known: Tensor, roots: Tensor, distance: Distance = "squared"
) -> Tensor:
    """3D joints relative to their root: L_3D-joints of Rong et al. 2019, eq. 1, a norm; SPIN's released 3D keypoint
    loss, squared.

    Args:
        found, truth: (..., K, 3) metres, in the same axes.
        known: (..., K) bool.
        roots: (R,) the joints whose mean is the root. Where one of them is unknown, the mean of all known ones is.
        distance: of a coordinate, in metres.
    """
    off = found - known_only(truth, known)
    rooted = torch.zeros_like(known)
    rooted[..., roots] = True
    usable = known[..., roots].all(-1, keepdim=True)
    share = torch.where(usable, rooted, known).to(off)
    share = share / share.sum(-1, keepdim=True).clamp_min(1)
    off = off - (share[..., None] * off).sum(-2, keepdim=True)
    return mean_distance(off, known, distance)


def rotation_loss(found: Tensor, truth: Tensor, known: Tensor, distance: Distance = "squared") -> Tensor:
    """Rotation matrices' entries: squared in SPIN, eq. 3; the norm in Rong et al. 2019, eq. 1.

    Zanfir et al. 2020, eq. 9, squares the difference of pose vectors, of which several say the same rotation;
    matrices stand in for them here.

    Args:
        found, truth: (..., J, 3, 3).
        known: (..., J) bool.
        distance: of an entry, or of all.
    """
    off = found - known_only(truth, known)
    return mean_distance(off.flatten(-2), known, distance)


def betas_loss(found: Tensor, truth: Tensor, known: Tensor, distance: Distance = "squared") -> Tensor:
    """Shape coefficients (..., 10), known (...): squared in Zanfir eq. 9, the norm in Rong eq. 1."""
    off = found - known_only(truth, known)
    return mean_distance(off[..., None, :], known[..., None], distance)


def keypoint_loss(
    found: Tensor, seen: Tensor, confidence: Tensor, resolution: int, distance: Distance = "absolute"
) -> Tensor:
    """2D keypoints in crop coordinates: the sum of L1 in Rong et al. 2019, eq. 2; squared in SPIN's released code and
    in Zanfir et al. 2020, L_KA.

    Args:
        found, seen: (..., K, 2) crop pixels.
        confidence: (..., K) from 0 (unseen) to 1.
        resolution: of the crop.
        distance: of a coordinate.
    """
    off = (found - known_only(seen, confidence)) * (2 / resolution)
    return mean_distance(off, confidence, distance)


def dense_loss(
    found: Tensor, seen: Tensor, weight: Tensor, resolution: int, distance: Distance = "absolute"
) -> Tensor:
    """L1 of dense keypoints in crop coordinates (Rong et al. 2019, eq. 4: the sum).

    Args:
        found: (..., D, 2) crop pixels of points of the found surface (`BodyModel.surface_points`).
        seen: (..., D, 2) where they are seen.
        weight: (..., D) from 0, for no point.
        resolution: of the crop.
        distance: of a coordinate, or of all.
    """
    return keypoint_loss(found, seen, weight, resolution, distance)


def mesh_loss(found: Tensor, truth: Tensor, known: Tensor, distance: Distance = "absolute") -> Tensor:
    """Vertices: SPIN, eq. 4 (L1 in its released code); squared in Zanfir et al. 2020, eq. 8.

    Args:
        found, truth: (..., V, 3) metres, both relative to their root.
        known: (...) bool, of each person.
        distance: of a coordinate.
    """
    off = found - known_only(truth, known)
    return known_mean(coordinate_distance(off, distance).mean(-1), known)


def prior_loss(prior: PosePrior, rotations: Tensor) -> Tensor:
    """Mean energy of body poses (..., 24, 3, 3), joint 0 being the global orientation, in nats under any prior."""
    return prior.energy(rotations[..., 1:, :, :]).mean()


def shape_loss(betas: Tensor, wanted: Tensor | None = None) -> Tensor:
    """Mean of |betas|^2 (Zanfir et al. 2020, eq. 11).

    Args:
        betas: (..., 10).
        wanted: (...) bool, who is charged; everybody if None.
    """
    squares = betas.square().sum(-1)
    return squares.mean() if wanted is None else known_mean(squares, wanted)


def scale_loss(scale: Tensor) -> Tensor:
    """Mean of exp(-10 s)^2, which keeps the weak-perspective scales (...) above 0 (SPIN's released trainer)."""
    return torch.exp(-10 * scale).square().mean()


def heatmap_loss(found: Tensor, wanted: Tensor, confidence: Tensor) -> Tensor:
    """Mean square of keypoints' heatmaps (..., K, S, S) (Zanfir et al. 2020, section 2.3, first module).

    Args:
        found, wanted: of the network, and as `bodyloop.nets.heatmaps.draw_gaussians` draws them.
        confidence: (..., K); heatmaps of keypoints with 0 do not count.
    """
    off = found - known_only(wanted, confidence)
    return known_mean(off.square().mean((-2, -1)), confidence > 0)


def part_map_loss(logits: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """Cross entropy of segmentations (Zanfir et al. 2020, section 2.3, second module).

    Args:
        logits: (B, 1 + P, S, S), the background first.
        labels: (B, M, M) integer, 0 for the background, k + 1 for part k, `UNKNOWN_PART`; the pixels nearest to the
            middles of the logits' cells are taken.
        known: (B,) bool, whether a person has a map.
    """
    side, cells = labels.shape[-1], logits.shape[-1]
    middle = (torch.arange(cells, device=labels.device) * 2 + 1) * side // (2 * cells)
    wanted = labels[:, middle[:, None], middle].long()
    there = known[:, None, None] & (wanted != UNKNOWN_PART)
    values = cross_entropy(logits, torch.where(there, wanted, 0), reduction="none")
    return known_mean(values, there)
