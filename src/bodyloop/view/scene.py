"""`Scene`: what a viewer shows, bodies over moments with their pictures. No viewer is loaded here.

Metres. A scene whose moments have cameras is in the axes of each moment's camera (OpenCV: x right, y down, z forward,
the camera at the origin), so that a body stands before its picture as it stood before the camera.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.evidence import Evidence
from bodyloop.geometry import Camera
from bodyloop.track import Frame
from bodyloop.view.draw import side_color
from bodyloop.view.render import PALETTE

REACH = 0.35
"""Metres within which the surface lies of the nearest joint, stout people's bellies included."""
ALONE = 4.0
"""Metres at which the picture of a moment without people stands."""
GAP = 0.15
"""Metres between hypotheses side by side."""
OTHERS = (0.62, 0.64, 0.68)
"""The grey that colours of hypotheses other than the chosen one are mixed with."""


@dataclass(frozen=True, eq=False)
class Moment:
    """A photo, or a frame of a video.

    Attributes:
        name: to be shown.
        seconds: since the first moment; rising.
        camera: the picture's, without batch dimensions; None where there is none.
        picture: makes the pixels (H, W, 3) uint8 RGB, of the camera's proportions; None without one.
        evidence: what was seen of the people, whose labels are the figures' `person`; None without any.
    """

    name: str
    seconds: float
    camera: Camera | None
    picture: Callable[[], np.ndarray] | None = None
    evidence: Evidence | None = None


@dataclass(frozen=True, eq=False)
class Figure:
    """One hypothesis of a person, at some moments.

    Attributes:
        person: whose body it is; hypotheses of a person share it.
        number: of the person, for colours.
        moments: (T,) indices into the scene's moments, rising.
        bodies: (T,) in the scene's axes, finite.
        captions: T lines: who it is, and what should be known of it.
        chosen: whether it is the person's best hypothesis.
    """

    person: str
    number: int
    moments: tuple[int, ...]
    bodies: Bodies
    captions: tuple[str, ...]
    chosen: bool = True

    @property
    def color(self) -> tuple[float, float, float]:
        """RGB in [0, 1], as in overlays; greyer for all but the chosen one."""
        r, g, b = PALETTE[self.number % len(PALETTE)].tolist()
        if self.chosen:
            return r, g, b
        return (r + OTHERS[0]) / 2, (g + OTHERS[1]) / 2, (b + OTHERS[2]) / 2


@dataclass(frozen=True, eq=False)
class Dots:
    """Seen keypoints of a person, in front of the body: seen from the camera they cover their pixels.

    Attributes:
        person: as of the figures.
        places: (K, 3) metres, scene axes.
        colors: (K, 3) uint8 RGB: left, right, middle.
        limbs: (E, 2) indices into the places.
    """

    person: str
    places: np.ndarray
    colors: np.ndarray
    limbs: np.ndarray


@dataclass(frozen=True, eq=False)
class Viewpoint:
    """Where to look from, scene axes, metres.

    Attributes:
        eye: (3,) the camera.
        target: (3,) what it looks at, and turns about.
        up: (3,) unit.
        corners: (N, 3) what should be in sight.
    """

    eye: np.ndarray
    target: np.ndarray
    up: np.ndarray
    corners: np.ndarray


@dataclass(frozen=True, eq=False)
class Scene:
    """Bodies over moments.

    Attributes:
        title: to be shown.
        body: the model of all bodies.
        moments: at least one.
        figures: any number.
        video: whether moments are frames of one video; otherwise they have nothing to do with each other.
        axes: "camera" (y down) or "world" (y up, no pictures).
        notes: what should be known of the whole, a line each.
    """

    title: str
    body: BodyModel
    moments: tuple[Moment, ...]
    figures: tuple[Figure, ...]
    video: bool = False
    axes: Frame = "camera"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.moments:
            raise ValueError("a Scene needs at least one moment")
        for figure in self.figures:
            rows = len(figure.moments), len(figure.bodies), len(figure.captions)
            if (
                len(set(rows)) != 1
                or rows[0] == 0
                or not set(figure.moments) <= set(range(len(self.moments)))
            ):
                raise ValueError(
                    f"a Figure needs as many bodies and captions as moments of the scene, got those of {rows} moments"
                )

    @cached_property
    def joints(self) -> tuple[np.ndarray, ...]:
        """Joints (T, 24, 3) of each figure, metres."""
        with torch.no_grad():
            found = [self.body.joints(figure.bodies.to(self.body.v_template)) for figure in self.figures]
        return tuple(joints.cpu().numpy() for joints in found)

    @cached_property
    def cast(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """For each moment, (figure, row of its bodies) of who is there: first the chosen ones, then the others."""
        there: list[list[tuple[int, int]]] = [[] for _ in self.moments]
        for chosen in (True, False):
            for index, figure in enumerate(self.figures):
                if figure.chosen == chosen:
                    for row, moment in enumerate(figure.moments):
                        there[moment].append((index, row))
        return tuple(map(tuple, there))

    def _places(self, moment: int) -> np.ndarray:
        """Joints (N, 3) of everybody at a moment."""
        found = [self.joints[index][row] for index, row in self.cast[moment]]
        return np.concatenate([np.zeros((0, 3), np.float32), *found])

    @cached_property
    def _depths(self) -> tuple[float, ...]:
        """Metres from the camera to each moment's picture: behind everybody, in a video at all moments."""
        depths = []
        for moment in range(len(self.moments)):
            z = self._places(moment)[:, 2]
            depths.append(float(z.max()) + REACH if len(z) and z.max() > 0 else 0.0)
        if self.video:
            depths = [max(depths)] * len(depths)
        return tuple(depth or ALONE for depth in depths)

    def backdrop(self, moment: int) -> np.ndarray | None:
        """Where the picture stands: its corners (4, 3), top left, top right, bottom right, bottom left.

        They are the outer corners of the outer pixels, so that the camera sees the picture's pixels where they were
        seen. None without a camera.
        """
        camera = self.moments[moment].camera
        if camera is None:
            return None
        width, height = camera.size
        corners = torch.tensor([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
        lens = camera.to(torch.float64)
        return lens.unproject(corners.double(), torch.full((4,), self._depths[moment])).numpy()

    def dots(self, moment: int) -> list[Dots]:
        """Seen keypoints at a moment, of people who are there; each before the person's body."""
        evidence, camera = self.moments[moment].evidence, self.moments[moment].camera
        if evidence is None or camera is None:
            return []
        nearest: dict[str, float] = {}
        for index, row in self.cast[moment]:
            person, z = self.figures[index].person, float(self.joints[index][row][:, 2].min())
            nearest[person] = min(nearest.get(person, math.inf), z)
        edges = evidence.skeleton.edge_indices()
        colors = np.array([side_color(name) for name in evidence.skeleton.keypoints], np.uint8)
        drawn = []
        for number, person in enumerate(evidence.labels):
            seen = (evidence.confidence[number] > 0).cpu()
            if person not in nearest or nearest[person] <= 0 or not seen.any():
                continue
            depth = max(nearest[person] - REACH, nearest[person] / 2)
            pixels = evidence.keypoints[number][seen].cpu().double()
            places = camera.to(torch.float64).unproject(pixels, torch.full((len(pixels),), depth))
            new = (seen.cumsum(0) - 1).tolist()
            limbs = [[new[a], new[b]] for a, b in edges if seen[a] and seen[b]]
            drawn.append(
                Dots(person, places.numpy(), colors[seen.numpy()], np.array(limbs, np.int64).reshape(-1, 2))
            )
        return drawn

    def shifts(self, moment: int) -> np.ndarray:
        """Steps (N, 3) in metres that put hypotheses of `cast` side by side: others to the right of everybody."""
        cast = self.cast[moment]
        steps = np.zeros((len(cast), 3))
        spans = [
            (places[:, 0].min() - REACH, places[:, 0].max() + REACH)
            for places in (self.joints[index][row] for index, row in cast)
        ]
        right = max((high for (index, _), (_, high) in zip(cast, spans, strict=True) if self.figures[index].chosen),
                    default=0.0)  # fmt: skip
        for place, ((index, _), (low, high)) in enumerate(zip(cast, spans, strict=True)):
            if not self.figures[index].chosen:
                steps[place, 0] = right + GAP - low
                right += GAP + high - low
        return steps

    def viewpoint(self, moment: int, others: bool = False) -> Viewpoint:
        """The camera's own view with the whole picture in sight; without a camera, a view of everybody from the front.

        The camera's view turns about a place at the people's depth, on the ray through the picture's middle.

        Args:
            moment: its number.
            others: whether hypotheses that stand side by side should be in sight as well.
        """
        up = np.array([0.0, 1.0 if self.axes == "world" else -1.0, 0.0])
        places, corners = self._places(moment).astype(np.float64), self.backdrop(moment)
        row = np.zeros((0, 3))
        if others:
            cast = zip(self.cast[moment], self.shifts(moment), strict=True)
            row = np.concatenate([row, *(self.joints[index][at] + step for (index, at), step in cast)])
        if corners is not None:
            middle = corners.mean(0)
            depth = float(places[:, 2].mean()) if len(places) else middle[2]
            share = depth / middle[2] if depth > 0 else 1.0
            if not len(row) or row[:, 2].min() <= 0:
                return Viewpoint(np.zeros(3), middle * share, up, corners)
            corners = np.concatenate([corners, _box_corners(*_bounds(row))])
            rays = corners / np.maximum(corners[:, 2:], depth / 2)
            return Viewpoint(np.zeros(3), depth * (rays.min(0) + rays.max(0)) / 2, up, corners)
        if self.video:
            places = np.concatenate([np.zeros((0, 3)), *(joints.reshape(-1, 3) for joints in self.joints)])
        low, high = _bounds(np.concatenate([places, row]))
        middle, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
        eye = middle + np.array([0.0, 0.0, up[1] * 3 * radius])
        return Viewpoint(eye, middle, up, _box_corners(low, high))


def _bounds(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest (3,) of places (N, 3) with the surface around them; a place for a person if there are none."""
    if not len(places):
        return np.full(3, -1.0), np.full(3, 1.0)
    return places.min(0) - REACH, places.max(0) + REACH


def _box_corners(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The eight corners (8, 3)."""
    grid = np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), -1)
    return grid.reshape(8, 3)


def field_of_view(view: Viewpoint, aspect: float) -> float:
    """Vertical angle in radians at which all corners are in sight.

    Args:
        view: from where, and what.
        aspect: width by height of the window.
    """
    ahead = view.target - view.eye
    ahead = ahead / np.linalg.norm(ahead)
    right = np.cross(ahead, view.up)
    right = right / np.linalg.norm(right)
    above = np.cross(right, ahead)
    seen = (view.corners - view.eye) @ np.stack([right, above, ahead], -1)
    reach = np.abs(seen[:, :2]) / np.maximum(seen[:, 2:], 1e-6)
    return 2 * math.atan(max(float(reach[:, 1].max()), float(reach[:, 0].max()) / aspect))


def part_colors(parts: Sequence[str]) -> list[tuple[float, float, float]]:
    """A colour, RGB in [0, 1], for each named part: warm on the left, cold on the right, light in the middle."""
    sides = {name: "left" if "left" in name else "right" if "right" in name else "middle" for name in parts}
    hues = {"left": (0.94, 1.14), "right": (0.45, 0.72), "middle": (0.2, 0.2)}
    colors = []
    for name in parts:
        mine = [other for other in parts if sides[other] == sides[name]]
        first, last = hues[sides[name]]
        share = mine.index(name) / max(1, len(mine) - 1)
        saturation, value = (0.12, 0.95 - 0.12 * share) if sides[name] == "middle" else (0.6, 0.92)
        colors.append(_hsv(first + (last - first) * share, saturation, value))
    return colors


def _hsv(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
    import colorsys

    return colorsys.hsv_to_rgb(hue % 1, saturation, value)
