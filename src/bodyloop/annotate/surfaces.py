"""From maps of surface coordinates and parts to what a fit takes of each person."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from bodyloop.body.atlas import Atlas
from bodyloop.evidence import Evidence, IuvMap, PartMap, refine_iuv, sample_dense
from bodyloop.fit import Surface

ToMap = Callable[[np.ndarray], np.ndarray]
"""Image pixels (..., 2) to a map's."""

LEAST_PIXELS = 50
"""A person with fewer pixels of a map gets nothing of it: they are likely another's."""
LONGEST_PX = 224
"""Maps of parts are thinned to at most this many pixels each way: the paper's size, and enough for alignment."""
BOX_MARGIN = 0.15
"""Boxes around keypoints are enlarged by this share of each side to hold the whole person."""


def surfaces_of(
    evidence: Evidence,
    iuv: IuvMap | None,
    parts: PartMap | None,
    atlas: Atlas | None,
    seed: int = 0,
    refine: bool = True,
) -> tuple[list[Surface], list[str]]:
    """Dense keypoints and parts of each person of a photo.

    Args:
        evidence: the people, keypoints in image pixels.
        iuv: of the photo; refined by each person's keypoints and sampled (Rong et al. 2019, section 3.2).
        parts: of the photo.
        atlas: of the body that will be fitted; needed with `iuv`.
        seed: of the sampling.
        refine: whether regions that contradict the keypoints are removed first. Only confusions of left and right
            are removed, of whole limbs, as it is not known which keypoints are visible and which are only labelled.

    Returns:
        a surface for each person, and notes on what was left out.
    """
    surfaces = [Surface.none()] * len(evidence)
    notes: list[str] = []
    if iuv is not None and atlas is not None:
        generator = torch.Generator().manual_seed(seed)
        for i, own in enumerate(own_pixels(iuv.foreground, iuv.instance, evidence, iuv.image_to_map, notes)):
            mine = iuv.without(~own)
            if refine and own.any():
                mine, removed = refine_iuv(mine, evidence[i : i + 1], mirrored_only=True, whole_limbs=True)
                notes += [
                    f"person {r.label}: {r.pixels} pixels of the IUV map contradict {r.keypoint}, left out"
                    for r in removed
                ]
            if mine.foreground.any():
                surfaces[i] = Surface.from_dense(sample_dense(mine, generator), atlas)
    if parts is not None:
        instance = None if iuv is None or iuv.size != parts.size else iuv.instance
        owned = own_pixels(parts.labels > 0, instance, evidence, lambda pixels: pixels, notes)
        for i, own in enumerate(owned):
            if own.any():
                labels, origin, scale = _thinned(np.where(own, parts.labels, 0))
                surfaces[i] = surfaces[i].with_parts(torch.from_numpy(labels), parts.partition, origin, scale)
    return surfaces, notes


def own_pixels(
    body: np.ndarray, instance: np.ndarray | None, evidence: Evidence, to_map: ToMap, notes: list[str]
) -> Sequence[np.ndarray]:
    """Which pixels (H, W) bool of a map are whose.

    By the numbers of the people where they are known, and keypoints of everybody: each person's is the one on which
    most of their keypoints lie. Otherwise a lone person has all pixels, and of several each has those that lie in their
    box alone.

    Args:
        body: (H, W) bool, pixels of the map that show anybody.
        instance: (H, W) numbers of the people, if they are known.
        evidence: the people, in image pixels.
        to_map: image pixels to the map's.
        notes: gets a line on what belongs to nobody, and on whom nothing is seen of.
    """
    height, width = body.shape
    if instance is not None and bool((evidence.confidence > 0).any(1).all()):
        owned = _by_number(np.where(body, instance, -1), evidence, to_map)
    elif len(evidence) == 1:
        owned = [body]
    else:
        x0, y0, x1, y1 = evidence.boxes.numpy().astype(np.float64).T
        dx, dy = BOX_MARGIN * (x1 - x0), BOX_MARGIN * (y1 - y0)
        low = to_map(np.stack([x0 - dx, y0 - dy], -1))
        high = to_map(np.stack([x1 + dx, y1 + dy], -1))
        x, y = np.arange(width), np.arange(height)
        boxes = [
            body & ((x >= a[0]) & (x <= b[0])) & ((y >= a[1]) & (y <= b[1]))[:, None]
            for a, b in zip(low, high, strict=True)
        ]
        shared = np.sum(boxes, 0) > 1
        if shared.any():
            notes.append(
                f"{int(shared.sum())} pixels of the map lie in several people's boxes and are left out; say whose "
                "they are (DensePose's INDS file beside the IUV file)"
            )
        owned = [box & ~shared for box in boxes]
    for i, own in enumerate(owned):
        if own.sum() < LEAST_PIXELS:
            notes.append(f"person {evidence.labels[i]}: the map shows nothing of them")
            own[:] = False
    return owned


def _by_number(instance: np.ndarray, evidence: Evidence, to_map: ToMap) -> list[np.ndarray]:
    """Pixels of each person; every number goes to the person with the most keypoints on it, once."""
    height, width = instance.shape
    seen = (evidence.confidence > 0).numpy()
    places = np.rint(to_map(evidence.keypoints.numpy().astype(np.float64))).astype(np.int64)
    inside = seen & ((places >= 0) & (places < np.array([width, height]))).all(-1)
    places = places.clip(0, [width - 1, height - 1])
    at = np.where(inside, instance[places[..., 1], places[..., 0]], -1)
    numbers = np.unique(instance[instance >= 0])
    votes = (at[:, :, None] == numbers).sum(1)
    owned = [np.zeros(instance.shape, bool) for _ in range(len(evidence))]
    while votes.size and votes.max() > 0:
        person, column = np.unravel_index(votes.argmax(), votes.shape)
        owned[person] = instance == numbers[column]
        votes[person], votes[:, column] = 0, 0
    return owned


def _thinned(labels: np.ndarray) -> tuple[np.ndarray, tuple[float, float], float]:
    """The box (h, w) of what is not background, every so many pixels; where it begins; how many."""
    rows, columns = np.nonzero(labels.any(1))[0], np.nonzero(labels.any(0))[0]
    top, left, bottom, right = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    step = max(1, -(-int(max(bottom - top, right - left)) // LONGEST_PX))
    return labels[top:bottom:step, left:right:step], (float(left), float(top)), float(step)
