"""Things between camera and person."""

import math

import numpy as np

from bodyloop.data.synthetic.scenes import Solid, any_color
from bodyloop.data.synthetic.streams import uniform
from bodyloop.data.synthetic.views import Pose
from bodyloop.geometry import Camera


def draw_occluder(rng: np.random.Generator, pose: Pose, camera: Camera, depth: np.ndarray) -> Solid | None:
    """A thing in front of a person, who is seen at depths (H, W), infinity elsewhere; None if nobody is seen.

    A board from below (table, hedge), a post or wall's end from the side, or a thing that hangs or is held.
    """
    from bodyloop.data.synthetic import kernels as k

    rows, columns = np.nonzero(np.isfinite(depth))
    if not len(rows):
        return None
    low, high = np.array([columns.min(), rows.min()]), np.array([columns.max() + 1, rows.max() + 1])
    extent, away = (high - low).astype(float), float(depth[rows, columns].min()) * uniform(rng, (0.55, 0.9))
    kind = int(rng.integers(3))
    if kind == 0:  # from below
        top = high[1] - uniform(rng, (0.1, 0.42)) * extent[1]
        half = np.array([uniform(rng, (0.4, 1.2)) * extent[0], uniform(rng, (0.3, 0.6)) * extent[1]])
        middle = np.array([low[0] + rng.random() * extent[0], top + half[1]])
    elif kind == 1:  # from the side
        half = np.array([uniform(rng, (0.08, 0.5)) * extent[0], uniform(rng, (0.8, 1.5)) * extent[1]])
        edge = uniform(rng, (0.08, 0.4)) * extent[0]
        right = rng.random() < 0.5
        x = high[0] - edge + half[0] if right else low[0] + edge - half[0]
        middle = np.array([x, low[1] + rng.random() * extent[1]])
    else:
        half = rng.uniform(0.05, 0.17, 2) * extent.max()
        middle = low + rng.random(2) * extent
    focal, center = camera.focal.numpy().astype(float), camera.center.numpy().astype(float)
    size = half * away / focal
    place = pose.eye + pose.turn @ (np.array([*((middle - center) / focal), 1.0]) * away)
    forward = pose.turn[:, 2]
    color = any_color(rng, (0.05, 0.8), (0.1, 0.9))
    thick = min(float(size.min()), 0.25 * away)
    return Solid(
        k.BALL if rng.random() < 0.35 else k.BOX,
        (float(place[0]), float(place[1]), float(place[2])),
        (thick, float(size[1]), float(size[0])),
        math.atan2(float(forward[2]), float(forward[0])) + rng.normal(0.0, 0.25),
        color,
        (0.4 * color[0], 0.4 * color[1], 0.4 * color[2]),
        int(rng.choice((k.FLAT, k.GRAIN, k.PLANKS, k.TILES, k.BANDS))),
        max(uniform(rng, (0.15, 0.8)) * float(size.max()), 0.02),
        int(rng.integers(999)),
    )
