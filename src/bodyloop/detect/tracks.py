"""People of single frames joined into people over time, by boxes and keypoints (Hungarian method, through scipy)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from bodyloop.detect.watch import Watched, box_overlap
from bodyloop.evidence import Evidence

GONE_SECONDS = 1.0
"""Who is not seen for longer comes back as somebody else."""
ALIKE = 0.25
"""Likeness from which on a sighting can be the same person."""
TOLERANCE = 0.15
"""Distance of keypoints, in longer sides of the box, that halves their likeness or so (one sigma)."""
FEWEST_FRAMES = 8
"""A person who is seen in fewer frames is left out: mostly a false find."""
LEAST_SHARE = 0.3
"""And so is one who is seen in less than this share of the frames from the first to the last."""


@dataclass
class Sightings:
    """Where one person is seen.

    Attributes:
        frames: positions in the list of watched frames, rising.
        rows: which of the frame's people it is, one a frame.
    """

    frames: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)

    def evidence(self, watched: Sequence[Watched]) -> tuple[Evidence, Tensor]:
        """Keypoints of all frames from the first to the last sighting, confidence 0 in between where the person is not
        seen, and the frames' times (T,), float64.
        """
        span = range(self.frames[0], self.frames[-1] + 1)
        first = watched[self.frames[0]].evidence
        points = torch.zeros(len(span), len(first.skeleton), 2)
        confidence = torch.zeros(points.shape[:2])
        for frame, row in zip(self.frames, self.rows, strict=True):
            points[frame - span[0]] = watched[frame].evidence.keypoints[row]
            confidence[frame - span[0]] = watched[frame].evidence.confidence[row]
        labels = tuple(str(watched[frame].number) for frame in span)
        times = torch.tensor([watched[frame].time for frame in span], dtype=torch.float64)
        return Evidence.from_keypoints(first.skeleton, points, confidence, labels=labels), times


@dataclass
class _Person:
    """A person who may be seen again: sightings, and where they were last; speed of the box in pixels a second."""

    sightings: Sightings
    time: float
    box: Tensor
    points: Tensor
    confidence: Tensor
    speed: Tensor


def join_tracks(watched: Sequence[Watched], fewest: int = FEWEST_FRAMES) -> list[Sightings]:
    """People over time, in the order in which they appear.

    In every frame the sightings go to the people who were there before so that the sum of likenesses is largest, where
    they are alike at all; others are new. A gap of up to `GONE_SECONDS` is bridged; who stays away longer, and
    everybody at a cut, is somebody new afterwards.

    Args:
        watched: frames in order.
        fewest: frames that a person must be seen in.
    """
    everybody: list[_Person] = []
    around: list[_Person] = []
    for position, frame in enumerate(watched):
        around = [] if frame.cut else [p for p in around if frame.time - p.time <= GONE_SECONDS]
        evidence = frame.evidence
        pairs = _matched(around, evidence, frame.time)
        taken = set(pairs.values())
        for person, row in pairs.items():
            _follow(around[person], position, row, evidence, frame.time)
        for row in range(len(evidence)):
            if row not in taken:
                person_now = _Person(
                    Sightings([position], [row]),
                    frame.time,
                    evidence.boxes[row],
                    evidence.keypoints[row],
                    evidence.confidence[row],
                    torch.zeros(2),
                )
                everybody.append(person_now)
                around.append(person_now)
    return [p.sightings for p in everybody if _often(p.sightings, fewest)]


def _often(sightings: Sightings, fewest: int) -> bool:
    """Whether somebody is seen in enough frames, and in a good part of those from the first to the last."""
    seen, span = len(sightings.frames), sightings.frames[-1] + 1 - sightings.frames[0]
    return seen >= fewest and seen >= LEAST_SHARE * span


def likeness(
    person: Tensor, box: Tensor, known: Tensor, points: Tensor, boxes: Tensor, seen: Tensor
) -> Tensor:
    """How much one person is like N others, (N,) from 0 to 1: half by the overlap of boxes, half by keypoints.

    Args:
        person: (K, 2) keypoints, and known (K,) which of them are seen.
        box: (4,).
        points, seen: (N, K, 2) and (N, K) of the others.
        boxes: (N, 4).
    """
    both = seen & known
    side = (box[2:] - box[:2]).amax().clamp_min(1.0)
    off = (points - person).square().sum(-1) / (2 * (TOLERANCE * side) ** 2)
    close = torch.where(both, (-off).exp(), 0.0).sum(-1) / both.sum(-1).clamp_min(1)
    return (box_overlap(box[None], boxes)[0] + close) / 2


def _matched(around: list[_Person], evidence: Evidence, time: float) -> dict[int, int]:
    """Person to row."""
    from scipy.optimize import linear_sum_assignment

    if not around or not len(evidence):
        return {}
    rows = []
    for person in around:
        shift = person.speed * (time - person.time)
        rows.append(
            likeness(
                person.points + shift,
                person.box + shift.repeat(2),
                person.confidence > 0,
                evidence.keypoints,
                evidence.boxes,
                evidence.confidence > 0,
            )
        )
    table = torch.stack(rows).numpy()
    # What is not alike is worth nothing, or the best sum could pair strangers
    worth = np.where(table >= ALIKE, table, 0.0)
    people, found = linear_sum_assignment(-worth)
    return {int(p): int(r) for p, r in zip(people, found, strict=True) if worth[p, r] > 0}


def _follow(person: _Person, position: int, row: int, evidence: Evidence, time: float) -> None:
    """Add a sighting; the speed is the mean of the old one and that of the box's middle."""
    box = evidence.boxes[row]
    moved = ((box[:2] + box[2:]) - (person.box[:2] + person.box[2:])) / 2
    person.speed = (person.speed + moved / max(time - person.time, 1e-3)) / 2
    person.sightings.frames.append(position)
    person.sightings.rows.append(row)
    person.time, person.box = time, box
    person.points, person.confidence = evidence.keypoints[row], evidence.confidence[row]
