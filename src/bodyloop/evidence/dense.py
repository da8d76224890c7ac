"""Dense keypoints sampled from an IUV map, and the disturbances whose influence is measured.

Rong, Liu, Li, Cao, Loy, "Delving Deep into Hybrid Annotations for 3D Human Recovery in the Wild", 2019, section
3.2 (sampling), section 4.3 with figures 5 (noise) and 6 (density), appendix A with figure 8 (swapped limbs).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Generator, Tensor

from bodyloop.evidence.dense_keypoints import DenseKeypoints
from bodyloop.evidence.iuv import CHART_COUNT, LIMBS, SEGMENTS, IuvMap, mirrored_parts

SWAPS = LIMBS | {segment: (segment,) for segments in LIMBS.values() for segment in segments}
"""Segments of what can be taken for its mirror image: whole limbs, or single segments."""


def sample_dense(
    iuv: IuvMap, generator: Generator, count: int | tuple[int, int] = (100, 150), by_part: bool = False
) -> DenseKeypoints:
    """Dense keypoints from pixels of the map's foreground, drawn without repetition.

    The paper samples as many as COCO-DensePose's annotators clicked, 100 to 150, and says no more on how: every
    pixel of the body is drawn with the same probability here.

    Args:
        iuv: (refined) map of one person.
        generator: of the draw, on the CPU.
        count: how many points, or the least and the most, between which the number is drawn evenly.
        by_part: give all parts seen the same share (a part with fewer pixels gives all it has), so that hands
            and feet get more than by their area.

    Returns:
        Points of weight 1, in image pixels; fewer than `count` if the body has fewer pixels.

    Raises:
        ValueError: if the count is negative, or the least is above the most.
    """
    least, most = (count, count) if isinstance(count, int) else count
    if not 0 <= least <= most:
        raise ValueError(f"count must be a number from 0, or two in rising order, got {count}")
    wanted = int(torch.randint(least, most + 1, (), generator=generator))
    rows, columns = np.nonzero(iuv.part)
    order = torch.randperm(len(rows), generator=generator).numpy()
    if by_part:
        order = order[np.argsort(_turns(iuv.part[rows, columns][order]), kind="stable")]
    rows, columns = rows[order[:wanted]], columns[order[:wanted]]
    pixels = iuv.map_to_image(np.stack([columns, rows], -1))
    return DenseKeypoints(
        torch.from_numpy(pixels).float(),
        torch.from_numpy(iuv.part[rows, columns].astype(np.int64)),
        torch.from_numpy(iuv.uv[rows, columns]).float(),
        torch.ones(len(rows)),
    )


def _turns(part: np.ndarray) -> np.ndarray:
    """(N,) how many entries of `part` (N,) before each one have the same value."""
    turns = np.zeros(len(part), dtype=np.int64)
    for value in np.unique(part):
        same = part == value
        turns[same] = np.arange(same.sum())
    return turns


def disturbed(points: DenseKeypoints, sigma: float, generator: Generator) -> DenseKeypoints:
    """The points with Gaussian noise on U and V, which are clipped to [0, 1] (Rong et al., figure 5).

    Args:
        points: any.
        sigma: standard deviation on the scale of 0 to 255; the paper has 5 to 40.
        generator: of the noise, on the CPU.

    Raises:
        ValueError: if sigma is negative or not finite.
    """
    if not 0 <= sigma < float("inf"):
        raise ValueError(f"sigma must be a finite number from 0, on the scale of 0 to 255, got {sigma}")
    noise = torch.randn(points.uv.shape, generator=generator).to(points.uv) * (sigma / 255)
    return replace(points, uv=(points.uv + noise).clamp(0, 1))


def thinned(
    points: DenseKeypoints, generator: Generator, share: float | None = None, count: int | None = None
) -> DenseKeypoints:
    """A random part of the points, in their order (Rong et al., figure 6).

    With the same seed, fewer points are always among the more.

    Args:
        points: any.
        generator: of the choice, on the CPU.
        share: which share of the points stays, 0 to 1, or
        count: how many; all, if there are not as many.

    Raises:
        ValueError: unless exactly one of the two is given, and within its range.
    """
    if (share is None) == (count is None):
        raise ValueError("thinned needs either share or count")
    if (share is not None and not 0 <= share <= 1) or (count is not None and count < 0):
        raise ValueError(f"share must be in [0, 1] or count from 0, got {share if count is None else count}")
    kept = round(share * len(points)) if share is not None else count
    chosen: Tensor = torch.randperm(len(points), generator=generator)[:kept]
    return points[chosen.sort().values.to(points.pixels.device)]


def swapped_limbs(
    iuv: IuvMap,
    generator: Generator,
    limbs: Sequence[str] = ("arm", "leg"),
    chance: float = 0.5,
    both_sides: bool = True,
) -> tuple[IuvMap, np.ndarray]:
    """The map with limbs taken for those of the other side, as detectors do (Rong et al., figure 8 a).

    I becomes that of the mirrored chart, U and V stay, as of a detector that is wrong about the chart alone. (In the
    built-in atlas the mirrored place has U turned round, so the point is off by more than the side.)

    Args:
        iuv: a map.
        generator: of the choice, on the CPU.
        limbs: names among `SWAPS`; a segment that several of them contain is swapped once.
        chance: probability that each of them is swapped.
        both_sides: left becomes right and right left. Otherwise one side, drawn for each limb, is taken for the
            other, and two limbs of one side are seen.

    Returns:
        The map, and (H, W) bool where its I is wrong now.

    Raises:
        ValueError: on a limb of another name, or a chance outside 0 to 1.
    """
    if not set(limbs) <= SWAPS.keys() or not 0 <= chance <= 1:
        raise ValueError(
            f"limbs must be among {', '.join(SWAPS)} and chance in [0, 1], got {', '.join(limbs)} and {chance}"
        )
    table, mirror = np.arange(CHART_COUNT + 1, dtype=np.uint8), mirrored_parts()
    # Drawn whether needed or not: a limb's fate does not depend on the options of the others.
    draws = torch.rand(len(limbs), 2, generator=generator).tolist()
    for limb, (fate, side) in zip(limbs, draws, strict=True):
        if fate >= chance:
            continue
        sides = ("left", "right") if both_sides else (("left",) if side < 0.5 else ("right",))
        charts = [i for s in sides for segment in SWAPS[limb] for i in SEGMENTS[f"{s}_{segment}"]]
        table[charts] = mirror[charts]
    part = table[iuv.part]
    return replace(iuv, part=part), part != iuv.part
