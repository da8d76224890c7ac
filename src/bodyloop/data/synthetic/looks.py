"""What people look like: where clothes end on the rest body, how thick they are, their colours and patterns.

Garments are regions of the mean body's surface in the T-pose, cut at lines given in metres there; every pixel's
material follows from the place of the rest body that it shows. Thickness pushes vertices outwards, so that cloth
stands off the skin and hangs over hollows.
"""

import colorsys
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from bodyloop.body import SMPL_JOINTS, BodyModel
from bodyloop.data.synthetic.domains import Domain
from bodyloop.data.synthetic.streams import chance, uniform

Color = tuple[float, float, float]
"""Linear RGB."""

SKINS = ((0.85, 0.66, 0.55), (0.80, 0.59, 0.46), (0.72, 0.50, 0.36), (0.55, 0.37, 0.26), (0.38, 0.25, 0.18))
"""Skin tones from light to dark, sRGB; people are mixtures of neighbours."""
HAIRS = (
    (0.09, 0.07, 0.06),
    (0.16, 0.10, 0.07),
    (0.30, 0.19, 0.11),
    (0.47, 0.33, 0.19),
    (0.72, 0.58, 0.36),
    (0.62, 0.61, 0.60),
    (0.45, 0.20, 0.10),
)
"""Hair colours, sRGB."""
TAUT_STEPS = 40  # of smoothing, by which a taut cloth is told from the skin


class Place(NamedTuple):
    """Where things are on the rest body, metres; an eye_y of -1 says that the face is not known."""

    floor_y: float
    ankle_y: float
    knee_y: float
    hip_y: float
    waist_y: float
    chest_y: float
    arm_y: float
    chin_y: float
    neck_y: float
    neck_z: float
    top_y: float
    shoulder_x: float
    elbow_x: float
    wrist_x: float
    ear_z: float
    eye_x: float
    eye_y: float
    eye_z: float
    mouth_y: float


@dataclass(frozen=True, eq=False)
class Tailor:
    """What is measured once on a body so that it can be dressed.

    Attributes:
        place: where things are.
        record: the same for the compiled loops.
        rest: (V, 3) float32 mean body.
        fill: (V,) float32 metres by which a taut cloth stands off the skin.
        faces: (F, 3) int64.
        joints: (24, V) float32 regressor of the joints.
    """

    place: Place
    record: np.ndarray
    rest: np.ndarray
    fill: np.ndarray
    faces: np.ndarray
    joints: np.ndarray

    @classmethod
    def measure(cls, body: BodyModel) -> "Tailor":
        """Measure a body."""
        from bodyloop.raster import vertex_normals

        rest = body.v_template.detach().cpu().float()
        joints = dict(zip(SMPL_JOINTS, body.rest_joints[0].detach().cpu().double().tolist(), strict=True))
        faces = body.faces.cpu().long()
        normals = vertex_normals(rest, faces)
        taut = _smoothed(rest, faces)
        fill = ((taut - rest) * normals).sum(-1).clamp(0.0, 0.02)
        place = _place(joints, rest.numpy(), _landmarks(body, rest))
        regressor = body.joint_regressor.detach().cpu().float().numpy()
        return cls(place, record(place), rest.numpy(), fill.numpy(), faces.numpy(), regressor)


def _landmarks(body: BodyModel, rest: torch.Tensor) -> dict[str, list[float]]:
    """Landmarks of the face at rest, those that the body has."""
    names = [n for n in ("left_eye", "left_ear", "mouth_left") if n in body.landmarks]
    return {n: (body.landmarks[n][1].float() @ rest[body.landmarks[n][0]]).tolist() for n in names}


def _place(joints: dict[str, list[float]], rest: np.ndarray, face: dict[str, list[float]]) -> Place:
    neck = joints["neck"]
    eye = face.get("left_eye", [0.03, -1.0, neck[2] + 0.12])
    return Place(
        floor_y=float(rest[:, 1].min()),
        ankle_y=joints["left_ankle"][1],
        knee_y=joints["left_knee"][1],
        hip_y=joints["left_hip"][1],
        waist_y=joints["spine1"][1],
        chest_y=0.5 * (joints["spine3"][1] + joints["neck"][1]) - 0.06,
        arm_y=joints["left_shoulder"][1] - 0.14,
        chin_y=neck[1] + 0.015,
        neck_y=neck[1],
        neck_z=neck[2],
        top_y=float(rest[:, 1].max()),
        shoulder_x=joints["left_shoulder"][0],
        elbow_x=joints["left_elbow"][0],
        wrist_x=joints["left_wrist"][0],
        ear_z=face.get("left_ear", neck)[2],
        eye_x=eye[0],
        eye_y=eye[1],
        eye_z=eye[2],
        mouth_y=face.get("mouth_left", [0.0, -1.0])[1],
    )


def _smoothed(points: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Points (V, 3) moved to their neighbours' mean again and again."""
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = torch.cat([edges, edges.flip(1)])
    count = torch.zeros(len(points)).index_add(0, edges[:, 0], torch.ones(len(edges)))
    for _ in range(TAUT_STEPS):
        total = torch.zeros_like(points).index_add(0, edges[:, 0], points[edges[:, 1]])
        points = torch.lerp(points, total / count.clamp_min(1)[:, None], 0.7)
    return points


class Look(NamedTuple):
    """One person's outfit as the compiled loops read it. Lengths in metres on the rest body, colours linear.

    Lines: sleeves end at |x| = sleeve; a shirt reaches from shirt_hem up to neck (lower by v_depth in front) and
    trousers from trouser_hem up to shirt_hem; hair begins above a line from hair_back to hair_front.
    """

    seed: int
    skin: Color
    hair: Color
    iris: Color
    top: Color
    top_other: Color
    trim: Color
    bottom: Color
    bottom_other: Color
    shoe: Color
    sole: Color
    sock: Color
    top_pattern: int
    top_scale: float
    bottom_pattern: int
    bottom_scale: float
    sleeve: float
    cuff: float
    vest: float
    neck: float
    v_depth: float
    collar: float
    shirt_hem: float
    band: float
    waist_line: float
    belt: float
    trouser_hem: float
    sock_top: float
    shoe_top: float
    sole_height: float
    hair_front: float
    hair_back: float
    beard: float
    top_thick: float
    bottom_thick: float
    wide: float
    flare: float
    looseness: float
    shoe_thick: float
    hair_thick: float
    folds: float


def record(numbers: NamedTuple) -> np.ndarray:
    """A record array (1,) of the same names, which the compiled loops read faster than a tuple."""
    kinds = {bool: np.dtype("i8"), int: np.dtype("i8"), float: np.dtype("f8"), tuple: np.dtype(("f8", (3,)))}
    fields = [(name, kinds[type(value)]) for name, value in zip(numbers._fields, numbers, strict=True)]
    return np.array([tuple(numbers)], fields)


def linear(color: Color) -> Color:
    """SRGB to linear light, by the square that `kernels.compose` undoes."""
    return color[0] ** 2, color[1] ** 2, color[2] ** 2


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


def _mixed(colors: tuple[Color, ...], rng: np.random.Generator) -> Color:
    """A mixture of two neighbours of a row of colours, linear."""
    at = rng.uniform(0, len(colors) - 1)
    low = min(int(at), len(colors) - 2)
    r, g, b = (_between(p, q, at - low) for p, q in zip(colors[low], colors[low + 1], strict=True))
    return linear((r, g, b))


def cloth_color(rng: np.random.Generator, vivid: float) -> Color:
    """A colour that clothes have: many greys, blacks and whites, blues, and some of everything; linear."""
    if chance(rng, 0.45):
        grey = float(rng.choice((0.12, 0.2, 0.35, 0.55, 0.78, 0.9))) * uniform(rng, (0.9, 1.08))
        return linear(colorsys.hsv_to_rgb(rng.random(), uniform(rng, (0.0, 0.12)), min(grey, 0.95)))
    hue = rng.normal(0.6, 0.06) if chance(rng, 0.35) else rng.random()
    return linear(
        colorsys.hsv_to_rgb(hue % 1.0, uniform(rng, (0.25, 0.5 + 0.4 * vivid)), uniform(rng, (0.25, 0.85)))
    )


def _trouser_color(rng: np.random.Generator) -> Color:
    """Mostly denim, black, grey and khaki."""
    kind = rng.random()
    if kind < 0.4:
        hue, saturation, value = (
            uniform(rng, (0.58, 0.64)),
            uniform(rng, (0.2, 0.55)),
            uniform(rng, (0.2, 0.6)),
        )
    elif kind < 0.65:
        hue, saturation, value = rng.random(), uniform(rng, (0.0, 0.1)), uniform(rng, (0.1, 0.6))
    elif kind < 0.85:
        hue, saturation, value = (
            uniform(rng, (0.07, 0.14)),
            uniform(rng, (0.15, 0.45)),
            uniform(rng, (0.25, 0.75)),
        )
    else:
        return cloth_color(rng, 0.3)
    return linear(colorsys.hsv_to_rgb(hue, saturation, value))


def _shoe_color(rng: np.random.Generator) -> Color:
    """Mostly black, brown, grey or white."""
    if chance(rng, 0.2):
        return cloth_color(rng, 1.0)
    tone = float(rng.choice((0.12, 0.16, 0.25, 0.5, 0.85)))
    return linear(colorsys.hsv_to_rgb(0.07, uniform(rng, (0.0, 0.45)) * (tone < 0.6), tone))


def _patterns(rng: np.random.Generator, varied: bool) -> tuple[int, float, int, float]:
    """Kind and repeat of the shirt's pattern and of the trousers'."""
    from bodyloop.data.synthetic import kernels as k

    if not varied:
        return k.PLAIN, 0.1, (k.WEAVE if chance(rng, 0.5) else k.PLAIN), 0.1
    kinds = (k.PLAIN, k.STRIPES, k.BARS, k.CHECKS, k.BLOTCHES, k.DOTS, k.PRINT, k.WEAVE)
    top = int(rng.choice(kinds, p=(0.27, 0.15, 0.06, 0.12, 0.1, 0.05, 0.17, 0.08)))
    bottom = int(
        rng.choice((k.PLAIN, k.WEAVE, k.BLOTCHES, k.CHECKS, k.BARS), p=(0.45, 0.35, 0.08, 0.07, 0.05))
    )
    return top, uniform(rng, (0.025, 0.09)), bottom, uniform(rng, (0.03, 0.09))


def draw_look(rng: np.random.Generator, domain: Domain, place: Place) -> Look:
    """A random person's outfit, hair and skin.

    Args:
        rng: all draws come from here.
        domain: says how varied outfits are.
        place: of the body to be dressed.
    """
    varied = domain.varied
    skin = _mixed(SKINS, rng)
    p = place
    top = cloth_color(rng, float(varied))
    bottom = _trouser_color(rng)
    top_pattern, top_scale, bottom_pattern, bottom_scale = _patterns(rng, varied)
    length = float(rng.choice((0.45, 0.62, 0.8, 0.97), p=(0.25, 0.3, 0.08, 0.37)))
    sleeve = _between(p.shoulder_x, p.wrist_x + 0.01, length + uniform(rng, (-0.06, 0.03)))
    vest = uniform(rng, (0.015, 0.045)) if chance(rng, 0.12) else 0.0
    cut = rng.random()
    if cut < (0.72 if varied else 0.6):
        hem = p.ankle_y + uniform(rng, (-0.02, 0.05))
    elif cut < 0.8:
        hem = _between(p.knee_y, p.ankle_y, uniform(rng, (0.2, 0.7)))
    else:
        hem = p.knee_y + uniform(rng, (-0.03, 0.24))
    barefoot = chance(rng, 0.12)
    boots = chance(rng, 0.15)
    shoe_top = p.ankle_y + (uniform(rng, (0.06, 0.2)) if boots else uniform(rng, (-0.025, 0.03)))
    bare_sock = chance(rng, 0.5)
    long_hair = chance(rng, 0.4)
    bald = chance(rng, 0.08)
    other = cloth_color(rng, 1.0)
    waist = _between(p.hip_y, p.waist_y, uniform(rng, (0.55, 0.95)))
    tucked = chance(rng, 0.25)
    face_y = p.eye_y if p.eye_y > 0 else _between(p.neck_y, p.top_y, 0.55)
    return Look(
        seed=int(rng.integers(1 << 20)),
        skin=skin,
        hair=linear(tuple(HAIRS[rng.integers(len(HAIRS))])),  # type: ignore[arg-type]
        iris=linear((0.25, 0.17, 0.12) if chance(rng, 0.7) else (0.3, 0.4, 0.45)),
        top=top,
        top_other=other,
        trim=top if chance(rng, 0.65) else other,
        bottom=bottom,
        bottom_other=tuple(0.35 * c for c in bottom) if bottom_pattern else bottom,  # type: ignore[arg-type]
        shoe=skin if barefoot else _shoe_color(rng),
        sole=linear((0.85, 0.84, 0.8)) if chance(rng, 0.5) else linear((0.15, 0.14, 0.13)),
        sock=linear((0.85, 0.85, 0.85)) if bare_sock else cloth_color(rng, 0.2),
        top_pattern=top_pattern,
        top_scale=top_scale,
        bottom_pattern=bottom_pattern,
        bottom_scale=bottom_scale,
        sleeve=p.shoulder_x - 0.001 if vest else sleeve,
        cuff=uniform(rng, (0.01, 0.03)),
        vest=vest,
        neck=p.neck_y - uniform(rng, (0.02, 0.05)),
        v_depth=uniform(rng, (0.0, 0.14)) if chance(rng, 0.5) else 0.02,
        collar=uniform(rng, (0.075, 0.1)) + (0.02 if vest else 0.0),
        shirt_hem=waist if tucked else p.hip_y - uniform(rng, (-0.05, 0.07)),
        band=uniform(rng, (0.0, 0.03)),
        waist_line=waist if tucked else -9.0,
        belt=float(chance(rng, 0.6)),
        trouser_hem=hem,
        sock_top=p.ankle_y + uniform(rng, (0.02, 0.25)),
        shoe_top=-9.0 if barefoot else shoe_top,
        sole_height=uniform(rng, (0.008, 0.022)),
        hair_front=9.0 if bald else face_y + uniform(rng, (0.05, 0.072)),
        hair_back=9.0 if bald else p.neck_y + uniform(rng, (-0.06, 0.0) if long_hair else (0.045, 0.08)),
        beard=float(chance(rng, 0.2) and not long_hair),
        top_thick=uniform(rng, (0.006, 0.016)),
        bottom_thick=uniform(rng, (0.007, 0.015)),
        wide=uniform(rng, (0.0, 0.03)),
        flare=0.0 if tucked else uniform(rng, (0.0, 0.022)),
        looseness=uniform(rng, (0.9, 1.4)),
        shoe_thick=uniform(rng, (0.004, 0.009)),
        hair_thick=uniform(rng, (0.004, 0.012)) + (0.008 if long_hair else 0.0),
        folds=uniform(rng, (0.3, 0.9)),
    )
