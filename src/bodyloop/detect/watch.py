"""People in the frames of a video: a search now and then, and a look around where they were in between."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bodyloop.detect.base import Detector
from bodyloop.evidence import Evidence
from bodyloop.evidence.videos import VideoFrame

SEARCH_EVERY = 15
"""Frames from one search of the whole picture to the next; who comes in between is found at the next one."""
ROOM = 1.2
"""Sides of the box that is looked at, in sides of the box around the keypoints that were seen before."""
CUT = 0.4
"""Share of the picture's colours that must have changed from one frame to the next for a cut."""
SAME = 0.75
"""Overlap of two boxes, over that of both, from which on the less certain of two people is the other seen twice."""
LEAST = 0.25
"""Mean confidence below which nobody is there."""
_BINS, _STRIDE = 8, 8


@dataclass(frozen=True, eq=False)
class Watched:
    """What one frame shows.

    Attributes:
        number, time: of the frame.
        cut: whether another scene begins with it.
        evidence: keypoints of its people.
        colours: (512,) its histogram, by which the next frame's cut is judged.
    """

    number: int
    time: float
    cut: bool
    evidence: Evidence
    colours: np.ndarray


def watch(
    detector: Detector, frames: Iterable[VideoFrame], colours: np.ndarray | None = None
) -> Iterator[Watched]:
    """Look for people in frames that follow one another.

    Args:
        detector: of `bodyloop.detect.load_detector`.
        frames: of `Video.frames`. The first one is searched, then those whose number is a multiple of `SEARCH_EVERY`
            and the first after a cut: what is found does not depend on where one begins, if that is such a multiple.
        colours: histogram of the frame before the first one, if there is one.
    """
    boxes: Tensor | None = None
    for frame in frames:
        now = histogram(frame.pixels)
        cut = colours is not None and float(np.abs(now - colours).sum()) / 2 > CUT
        colours = now
        if boxes is None or cut or frame.number % SEARCH_EVERY == 0:
            found = detector(frame.pixels).evidence
            found = found[_distinct(found)]
            boxes = found.boxes.clone()
        elif len(boxes):
            middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, ROOM * (boxes[:, 2:] - boxes[:, :2]) / 2
            around = torch.cat(
                [middle - half - 1, middle + half + 1], 1
            )  # a pixel, or a lone keypoint has no area
            seen = detector(frame.pixels, around).evidence
            found = Evidence.from_keypoints(seen.skeleton, seen.keypoints, seen.confidence)
            there = found.boxes.isfinite().all(1)
            boxes[there] = found.boxes[there]
            found = found[_distinct(found)]
        else:
            found = found[torch.zeros(0, dtype=torch.long)]
        yield Watched(frame.number, frame.time, cut, found, now)


def histogram(pixels: np.ndarray) -> np.ndarray:
    """Shares (512,) of colours, eight steps a channel, of every eighth pixel each way of a picture (H, W, 3) uint8."""
    some = pixels[::_STRIDE, ::_STRIDE].reshape(-1, 3).astype(np.int64) // (256 // _BINS)
    index = (some[:, 0] * _BINS + some[:, 1]) * _BINS + some[:, 2]
    return np.bincount(index, minlength=_BINS**3) / max(len(index), 1)


def box_overlap(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union (A, B) of boxes (A, 4) and (B, 4); 0 where one has no area."""
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low).clamp_min(0).prod(-1)
    areas = [(b[:, 2:] - b[:, :2]).clamp_min(0).prod(-1) for b in (first, second)]
    return (shared / (areas[0][:, None] + areas[1][None] - shared).clamp_min(1e-9)).nan_to_num(0.0)


def _distinct(evidence: Evidence) -> Tensor:
    """Numbers of the people that are there, each once: of two in one place the more certain."""
    sure = evidence.confidence.mean(1)
    overlap = box_overlap(evidence.boxes, evidence.boxes)
    kept: list[int] = []
    for i in sure.argsort(descending=True).tolist():
        if float(sure[i]) >= LEAST and all(float(overlap[i, j]) < SAME for j in kept):
            kept.append(i)
    return torch.tensor(sorted(kept), dtype=torch.long)
