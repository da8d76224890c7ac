"""Places: ground, walls, things and light, all procedural. Metres, y up, ground at y = 0, linear colours."""

import colorsys
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from bodyloop.data.synthetic.domains import Domain, Setting
from bodyloop.data.synthetic.looks import Color, linear
from bodyloop.data.synthetic.streams import chance, uniform

Vector = tuple[float, float, float]

FREE = 0.9
"""Metres of free ground around the person and the way from the camera."""
WAY = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # places on that way
SOLID_NUMBERS = 18
"""Numbers of a `Solid.row`."""
BASEMENT = 0.5
"""Metres that rooms reach below the ground, so that their floors are the ground's."""


class Light(NamedTuple):
    """A lamp far away, and the light of the sky and of the ground.

    direction points to the lamp; wrap softens the border of light and shade.
    """

    direction: Vector
    key: Color
    sky: Color
    ground: Color
    wrap: float


class Ground(NamedTuple):
    """The plane y = 0, if it is there; haze is the share of far things that is lost in the air a metre."""

    there: bool
    first: Color
    second: Color
    texture: int
    scale: float
    seed: int
    haze: float


class Solid(NamedTuple):
    """A box (0), an ellipsoid (1) or a room seen from inside (2), turned about the vertical."""

    kind: int
    place: Vector
    half: Vector
    heading: float
    first: Color
    second: Color
    texture: int
    scale: float
    seed: int

    def row(self) -> list[float]:
        """The 18 numbers that the compiled loops read."""
        turn = (math.cos(self.heading), math.sin(self.heading))
        numbers = (*self.place, *self.half, *turn, *self.first, *self.second)
        return [float(self.kind), *numbers, float(self.texture), self.scale, float(self.seed)]


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything but people.

    Attributes:
        solids: things and walls.
        ground: the plane y = 0.
        sky: colours above and at the horizon.
        light: the lamp and the surroundings' light.
        soft: how soft shadows are, pixels of the lamp's map.
        backdrop: (H, W, 3) float32 linear picture behind everything, or None for the sky.
    """

    solids: tuple[Solid, ...]
    ground: Ground
    sky: tuple[Color, Color]
    light: Light
    soft: float
    backdrop: np.ndarray | None = None


@dataclass(frozen=True)
class Stand:
    """Where camera and person stand, for things to be put around them.

    Attributes:
        eye: the camera's place.
        person: the person's middle.
    """

    eye: Vector
    person: Vector

    @property
    def forward(self) -> tuple[float, float]:
        """Unit x and z from the camera to the person along the ground."""
        x, z = self.person[0] - self.eye[0], self.person[2] - self.eye[2]
        size = math.hypot(x, z)
        return (x / size, z / size) if size > 1e-3 else (0.0, 1.0)

    @property
    def distance(self) -> float:
        """Metres along the ground."""
        return math.hypot(self.person[0] - self.eye[0], self.person[2] - self.eye[2])


def any_color(rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]) -> Color:
    """A linear colour of any hue; dull ones are more frequent."""
    dull = saturation[0] + (saturation[1] - saturation[0]) * rng.random() ** 2
    return linear(colorsys.hsv_to_rgb(rng.random(), dull, uniform(rng, value)))


def _warm(rng: np.random.Generator, strength: float) -> Color:
    """White light, a little warm or cold."""
    shade = rng.normal(0.0, 0.12)
    return strength * (1 + shade), strength, strength * (1 - shade)


def draw_light(rng: np.random.Generator, indoors: bool) -> Light:
    """A lamp above, and what comes from all around."""
    elevation = math.radians(uniform(rng, (40, 80) if indoors else (15, 70)))
    around = uniform(rng, (0, 2 * math.pi))
    flat = math.cos(elevation)
    hard = uniform(rng, (0.35, 0.7)) if indoors else uniform(rng, (0.15, 1.0))
    fill = 0.95 - 0.55 * hard
    sky = _warm(rng, fill)
    bluish = 0.0 if indoors else 0.1 * hard
    return Light(
        (flat * math.cos(around), math.sin(elevation), flat * math.sin(around)),
        _warm(rng, hard * 1.1),
        (sky[0] * (1 - bluish), sky[1], sky[2] * (1 + bluish)),
        _scaled(_warm(rng, fill), 0.45),
        uniform(rng, (0.1, 0.4)),
    )


def _scaled(color: Color, by: float) -> Color:
    return color[0] * by, color[1] * by, color[2] * by


def studio_room(rng: np.random.Generator, wide: float, high: float) -> Scene:
    """A plain room around the origin, so many metres wide and high: even walls, a floor, nothing else."""
    from bodyloop.data.synthetic import kernels as k

    wall = linear(colorsys.hsv_to_rgb(rng.random(), uniform(rng, (0.0, 0.18)), uniform(rng, (0.5, 0.85))))
    floor = linear(colorsys.hsv_to_rgb(uniform(rng, (0.02, 0.12)), uniform(rng, (0.1, 0.5)), 0.55))
    room = Solid(
        k.ROOM,
        (0.0, (high - BASEMENT) / 2, 0.0),
        (wide / 2, (high + BASEMENT) / 2, wide / 2),
        0.0,
        wall,
        _scaled(wall, 0.5),
        k.FLAT,
        1.5,
        int(rng.integers(999)),
    )
    ground = Ground(
        True,
        floor,
        _scaled(floor, 0.75),
        int(rng.choice((k.FLAT, k.GRAIN, k.PLANKS, k.TILES))),
        uniform(rng, (0.15, 0.5)),
        int(rng.integers(999)),
        0.0,
    )
    return Scene((room,), ground, ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), draw_light(rng, True), 3.0)


def draw_scene(
    rng: np.random.Generator, domain: Domain, stand: Stand, size: int, photos: "Photos | None"
) -> Scene:
    """A place of the wild for somebody who stands there and is seen from there.

    Args:
        rng: all draws come from here.
        domain: its settings and their probabilities.
        stand: of camera and person.
        size: of the image in pixels.
        photos: the user's, which then make half of the backgrounds.
    """
    if photos is not None and chance(rng, 0.5):
        return _before_picture(rng, photos.draw(rng, size))
    kinds: list[Setting] = [kind for kind, _ in domain.settings]
    setting = kinds[int(rng.choice(len(kinds), p=[share for _, share in domain.settings]))]
    if setting == "clutter":
        return _before_picture(rng, clutter(rng, size))
    return _indoors(rng, stand) if setting == "indoors" else _outdoors(rng, stand)


def _before_picture(rng: np.random.Generator, backdrop: np.ndarray) -> Scene:
    """No ground and no things: a picture behind the person, and light of its mean colour."""
    light = draw_light(rng, False)
    tint = backdrop.mean((0, 1)) / max(float(backdrop.mean()), 1e-3)
    red, green, blue = (float(0.6 + 0.4 * t) for t in tint)
    light = light._replace(sky=(light.sky[0] * red, light.sky[1] * green, light.sky[2] * blue))
    nothing = Ground(False, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 0, 1.0, 0, 0.0)
    return Scene((), nothing, ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)), light, 2.0, backdrop)


def clutter(rng: np.random.Generator, size: int) -> np.ndarray:
    """A picture (size, size, 3), float32 linear, of soft colours and random shapes, out of focus."""
    coarse = (
        uniform(rng, (60, 190)) + rng.uniform(-50, 50, (5, 5, 1)) + rng.uniform(-25, 25, (5, 5, 3))
    ).astype(np.uint8)
    picture = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(8, 30))):
        shade = colorsys.hsv_to_rgb(rng.random(), uniform(rng, (0.0, 0.55)), uniform(rng, (0.1, 0.9)))
        color = tuple(int(255 * c) for c in shade)
        x, y = rng.uniform(-0.1, 1.1, 2) * size
        w, h = rng.uniform(0.03, 0.4, 2) * size
        kind = rng.integers(3)
        if kind == 0:
            draw.rectangle([x - w / 2, y - h / 2, x + w / 2, y + h / 2], fill=color)
        elif kind == 1:
            draw.ellipse([x - w / 2, y - h / 2, x + w / 2, y + h / 2], fill=color)
        else:
            corners = [(x + dx * w, y + dy * h) for dx, dy in rng.uniform(-1, 1, (4, 2))]
            draw.polygon(corners, fill=color)
    blurred = picture.filter(ImageFilter.GaussianBlur(uniform(rng, (0.0, 0.03)) * size))
    values = np.asarray(blurred, np.float32) / 255
    return np.asarray(values * values * np.float32(uniform(rng, (0.5, 1.0))), np.float32)


def _out_of_the_way(things: list[Solid], stand: Stand) -> tuple[Solid, ...]:
    """Those things that stand neither between camera and person nor where the person is."""
    places = [[a + (b - a) * t for a, b in zip(stand.eye, stand.person, strict=True)] for t in WAY]

    def clear(thing: Solid) -> bool:
        cos, sin = math.cos(thing.heading), math.sin(thing.heading)
        for x, _, z in places:
            dx, dz = x - thing.place[0], z - thing.place[2]
            along, across = cos * dx + sin * dz, cos * dz - sin * dx
            if abs(along) < thing.half[0] + FREE and abs(across) < thing.half[2] + FREE:
                return False
        return True

    return tuple(thing for thing in things if clear(thing))


def _indoors(rng: np.random.Generator, stand: Stand) -> Scene:
    """A furnished room around camera and person."""
    from bodyloop.data.synthetic import kernels as k

    fx, fz = stand.forward
    behind, beside, back = uniform(rng, (1.7, 4.5)), uniform(rng, (1.7, 4.0)), uniform(rng, (0.6, 2.0))
    depth = stand.distance + behind + back
    middle = depth / 2 - back
    height = max(uniform(rng, (2.4, 3.4)), stand.eye[1] + 0.3, stand.person[1] + 1.3)
    heading = math.atan2(fz, fx) + rng.normal(0.0, 0.12)
    wall = linear(colorsys.hsv_to_rgb(rng.random(), uniform(rng, (0.0, 0.3)), uniform(rng, (0.45, 0.92))))
    texture = int(rng.choice((k.FLAT, k.FLAT, k.BANDS, k.TILES, k.GRAIN)))
    other = any_color(rng, (0.0, 0.3), (0.4, 0.9)) if texture == k.BANDS else _scaled(wall, 0.8)
    seed = int(rng.integers(999))
    room = Solid(
        k.ROOM,
        (stand.eye[0] + fx * middle, height / 2 - BASEMENT / 2, stand.eye[2] + fz * middle),
        (depth / 2, (height + BASEMENT) / 2, beside + 0.5),
        heading,
        wall,
        other,
        texture,
        uniform(rng, (0.12, 0.6)),
        seed,
    )
    things = [_furniture(rng, stand, behind, beside) for _ in range(int(rng.integers(2, 8)))]
    pictures = [_on_wall(rng, stand, behind, beside, heading) for _ in range(int(rng.integers(0, 4)))]
    floor = linear(
        colorsys.hsv_to_rgb(uniform(rng, (0.0, 0.15)), uniform(rng, (0.05, 0.55)), uniform(rng, (0.25, 0.75)))
    )
    ground = Ground(
        True,
        floor,
        _scaled(floor, 0.6),
        int(rng.choice((k.FLAT, k.GRAIN, k.PLANKS, k.TILES))),
        uniform(rng, (0.1, 0.6)),
        seed + 1,
        0.0,
    )
    white = ((0.6, 0.6, 0.6), (0.6, 0.6, 0.6))
    return Scene(
        (room, *_out_of_the_way(things, stand), *pictures),
        ground,
        white,
        draw_light(rng, True),
        uniform(rng, (1.5, 4.0)),
    )


def _furniture(rng: np.random.Generator, stand: Stand, behind: float, beside: float) -> Solid:
    """A cupboard, table or chest behind or beside the person, never between person and camera."""
    from bodyloop.data.synthetic import kernels as k

    fx, fz = stand.forward
    half = (uniform(rng, (0.15, 0.7)), uniform(rng, (0.2, 1.0)), uniform(rng, (0.15, 0.7)))
    away = stand.distance + behind - uniform(rng, (0.0, 0.7)) - half[0]
    side = uniform(rng, (-beside, beside))
    place = (stand.eye[0] + fx * away - fz * side, half[1], stand.eye[2] + fz * away + fx * side)
    color = any_color(rng, (0.05, 0.6), (0.15, 0.85))
    texture = int(rng.choice((k.FLAT, k.PLANKS, k.TILES, k.GRAIN)))
    heading = math.atan2(fz, fx) + rng.normal(0.0, 0.2)
    return Solid(
        k.BOX,
        place,
        half,
        heading,
        color,
        _scaled(color, uniform(rng, (0.3, 0.8))),
        texture,
        0.3,
        int(rng.integers(999)),
    )


def _on_wall(rng: np.random.Generator, stand: Stand, behind: float, beside: float, heading: float) -> Solid:
    """A picture, a window or a shelf on the wall behind the person."""
    from bodyloop.data.synthetic import kernels as k

    fx, fz = stand.forward
    away, side = stand.distance + behind - 0.05, uniform(rng, (-beside, beside))
    place = (
        stand.eye[0] + fx * away - fz * side,
        uniform(rng, (1.2, 2.1)),
        stand.eye[2] + fz * away + fx * side,
    )
    half = (0.04, uniform(rng, (0.15, 0.6)), uniform(rng, (0.15, 0.7)))
    first, second = any_color(rng, (0.1, 0.8), (0.2, 0.95)), any_color(rng, (0.1, 0.8), (0.2, 0.95))
    texture = int(rng.choice((k.GRAIN, k.BANDS, k.TILES, k.WINDOWS)))
    return Solid(
        k.BOX,
        place,
        half,
        heading,
        first,
        second,
        texture,
        uniform(rng, (0.1, 0.5)),
        int(rng.integers(999)),
    )


def _outdoors(rng: np.random.Generator, stand: Stand) -> Scene:
    """Ground to the horizon, sky, houses, bushes, trunks and things of a street."""
    from bodyloop.data.synthetic import kernels as k

    things = []
    for _ in range(int(rng.integers(1, 5))):
        things.append(_house(rng, stand))
    for _ in range(int(rng.integers(2, 8))):
        things.append(_bush(rng, stand) if chance(rng, 0.6) else _street_thing(rng, stand))
    grass = chance(rng, 0.4)
    hue, saturation = (uniform(rng, (0.17, 0.3)), uniform(rng, (0.25, 0.6))) if grass else (rng.random(), 0.1)
    first = linear(colorsys.hsv_to_rgb(hue, saturation, uniform(rng, (0.3, 0.75))))
    ground = Ground(
        True,
        first,
        _scaled(first, uniform(rng, (0.35, 0.8))),
        k.GRAIN if grass else int(rng.choice((k.FLAT, k.GRAIN, k.TILES, k.PLANKS))),
        uniform(rng, (0.15, 0.9)),
        int(rng.integers(999)),
        uniform(rng, (0.0, 0.02)),
    )
    blue = linear(
        colorsys.hsv_to_rgb(uniform(rng, (0.55, 0.62)), uniform(rng, (0.05, 0.55)), uniform(rng, (0.6, 0.95)))
    )
    pale = linear(colorsys.hsv_to_rgb(uniform(rng, (0.05, 0.6)), 0.08, uniform(rng, (0.75, 0.98))))
    return Scene(
        _out_of_the_way(things, stand), ground, (blue, pale), draw_light(rng, False), uniform(rng, (0.5, 2.5))
    )


def _away(
    rng: np.random.Generator, stand: Stand, span: tuple[float, float], clear: float
) -> tuple[float, float]:
    """Ground place (x, z) so far behind the person as seen from the camera, somewhere beside the line."""
    fx, fz = stand.forward
    along = stand.distance + clear + uniform(rng, span)
    side = rng.normal(0.0, 0.55) * along
    return stand.eye[0] + fx * along - fz * side, stand.eye[2] + fz * along + fx * side


def _house(rng: np.random.Generator, stand: Stand) -> Solid:
    from bodyloop.data.synthetic import kernels as k

    half = (uniform(rng, (2, 7)), uniform(rng, (1.5, 6)), uniform(rng, (2, 7)))
    x, z = _away(rng, stand, (1, 14), half[0] + 1.5)
    fx, fz = stand.forward
    wall = any_color(rng, (0.05, 0.45), (0.35, 0.9))
    return Solid(
        k.BOX,
        (x, half[1], z),
        half,
        math.atan2(fz, fx) + rng.normal(0.0, 0.3),
        wall,
        any_color(rng, (0.05, 0.3), (0.1, 0.6)),
        int(rng.choice((k.WINDOWS, k.TILES, k.PLANKS, k.GRAIN))),
        uniform(rng, (0.6, 2.2)),
        int(rng.integers(999)),
    )


def _bush(rng: np.random.Generator, stand: Stand) -> Solid:
    from bodyloop.data.synthetic import kernels as k

    size = uniform(rng, (0.4, 1.8))
    x, z = _away(rng, stand, (0.2, 9), size + 0.8)
    green = linear(
        colorsys.hsv_to_rgb(uniform(rng, (0.15, 0.36)), uniform(rng, (0.3, 0.7)), uniform(rng, (0.2, 0.6)))
    )
    up = uniform(rng, (0.3, 2.6))
    return Solid(
        k.BALL,
        (x, up, z),
        (size, size * uniform(rng, (0.6, 1.6)), size),
        0.0,
        green,
        _scaled(green, 0.3),
        0,
        uniform(rng, (0.08, 0.3)),
        int(rng.integers(999)),
    )


def _street_thing(rng: np.random.Generator, stand: Stand) -> Solid:
    """A post, a fence, a car's size of something."""
    from bodyloop.data.synthetic import kernels as k

    shapes = (((0.04, 0.15), (1.0, 2.5), (0.04, 0.15)), ((0.05, 0.1), (0.3, 0.9), (0.5, 3.0)))
    shape = (*shapes, ((0.8, 2.2), (0.5, 0.8), (0.7, 1.0)))[int(rng.integers(3))]
    half = (uniform(rng, shape[0]), uniform(rng, shape[1]), uniform(rng, shape[2]))
    x, z = _away(rng, stand, (0.2, 8), max(half) + 0.8)
    color = any_color(rng, (0.05, 0.8), (0.1, 0.85))
    return Solid(
        k.BOX,
        (x, half[1], z),
        half,
        uniform(rng, (0, 3)),
        color,
        _scaled(color, 0.5),
        int(rng.choice((k.FLAT, k.PLANKS, k.BANDS, k.GRAIN))),
        uniform(rng, (0.1, 0.5)),
        int(rng.integers(999)),
    )


class Photos:
    """A user's folder of background photos. They should show nobody: people in them would not be labelled."""

    def __init__(self, folder: Path) -> None:
        """Find the photos.

        Raises:
            InputError: no such folder, or none in it.
        """
        from bodyloop.errors import InputError
        from bodyloop.evidence.photos import find_photos

        if not folder.is_dir():
            raise InputError(f"--photos {folder}: no such folder; expected one with background photos")
        self.paths = tuple(find_photos([folder]).paths)
        if not self.paths:
            raise InputError(
                f"--photos {folder}: no photos in this folder; expected backgrounds without people"
            )
        self._kept: dict[Path, np.ndarray] = {}

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """A square crop (size, size, 3) of a photo, float32 linear."""
        whole = self._small(self.paths[int(rng.integers(len(self.paths)))])
        height, width = whole.shape[:2]
        side = max(int(min(height, width) * uniform(rng, (0.5, 1.0))), 1)
        x, y = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
        crop = Image.fromarray(whole[y : y + side, x : x + side])
        values = np.asarray(crop.resize((size, size), Image.Resampling.BILINEAR), np.float32) / 255
        return np.asarray(values * values, np.float32)

    def _small(self, path: Path) -> np.ndarray:
        """The photo, shrunk to 768 pixels; a few are kept, since decoding takes longer than a whole image."""
        from bodyloop.evidence.photos import read_photo

        if path not in self._kept:
            if len(self._kept) >= 64:
                self._kept.pop(next(iter(self._kept)))
            picture = Image.fromarray(read_photo(path).pixels)
            picture.thumbnail((768, 768), Image.Resampling.BILINEAR)
            self._kept[path] = np.asarray(picture)
        return self._kept[path]
