"""An IUV map of a person standing with arms and legs apart, drawn from capsules around keypoints."""

from functools import lru_cache

import numpy as np
import torch

from bodyloop.body.skeletons import COCO17
from bodyloop.evidence import Evidence, IuvMap
from bodyloop.evidence.iuv import SEGMENTS

SIZE = (240, 320)

_RIGHT = {
    "eye": (114, 36), "ear": (106, 40), "shoulder": (96, 80), "elbow": (60, 110), "wrist": (30, 150),
    "hip_extra": (104, 170), "knee": (92, 230), "ankle": (82, 290),
}  # fmt: skip
"""The person's right, which is the image's left, as the person faces the camera."""

_ENDS = {"hand": ((30, 150), (22, 166)), "foot": ((82, 290), (66, 302))}
_WIDTH = {"upper_arm": 9, "lower_arm": 8, "hand": 8, "upper_leg": 13, "lower_leg": 10, "foot": 9}
_BONES = {
    "upper_arm": ("shoulder", "elbow"), "lower_arm": ("elbow", "wrist"), "upper_leg": ("hip_extra", "knee"),
    "lower_leg": ("knee", "ankle"),
}  # fmt: skip


def standing() -> Evidence:
    """COCO's 17 keypoints of the person, all seen."""
    places = []
    for name in COCO17.keypoints:
        side, _, joint = name.partition("_")
        x, y = _RIGHT.get(joint, (120, 42))
        places.append((240 - x if side == "left" else x, y))
    return Evidence.from_keypoints(COCO17, torch.tensor([places]), torch.ones(1, 17), labels=("anna",))


@lru_cache
def drawn(halves: bool = False) -> IuvMap:
    """The map: the front's charts, or an arm's outside; U and V change from pixel to pixel.

    With `halves` both charts of a limb are seen along its length, as from the side, and what is nearer to the
    torso is drawn over the rest, so that joints lie well inside it.
    """
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    part = np.zeros(SIZE[::-1], np.uint8)
    part[(abs(x - 120) < 30) & (abs(y - 125) < 60)] = 2
    part[(x - 120) ** 2 + (y - 45) ** 2 < 22**2] = 23
    part[((x - 120) ** 2 + (y - 45) ** 2 < 22**2) & (x > 120)] = 24
    for segment, width in reversed(_WIDTH.items()) if halves else _WIDTH.items():
        start, end = _ENDS.get(segment) or (_RIGHT[joint] for joint in _BONES[segment])
        for side in ("right", "left"):
            right_x = 240 - x if side == "left" else x
            near = _distance(right_x, y, start, end) < width
            charts = SEGMENTS[f"{side}_{segment}"]
            beyond = (right_x - start[0]) * (end[1] - start[1]) > (y - start[1]) * (end[0] - start[0])
            part[near] = charts[-1]
            part[near & (beyond if halves else False)] = charts[0]
    uv = np.stack([x / SIZE[0], y / SIZE[1]], -1).astype(np.float32)
    return IuvMap(part, np.where(part[..., None] > 0, uv, np.float32(0)))


def _distance(x: np.ndarray, y: np.ndarray, start: tuple[int, int], end: tuple[int, int]) -> np.ndarray:
    """From pixels to a line from start to end."""
    step = np.subtract(end, start)
    along = np.clip(((x - start[0]) * step[0] + (y - start[1]) * step[1]) / (step**2).sum(), 0, 1)
    return np.hypot(x - start[0] - along * step[0], y - start[1] - along * step[1])
