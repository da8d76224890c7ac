"""A person over time as BVH (Biovision hierarchy), which `bodyloop.data.bvh` and most animation programs read."""

import math
from pathlib import Path

import numpy as np

from bodyloop.body import SMPL_JOINTS, BodyModel
from bodyloop.track import Track
from bodyloop.view.actors import actors
from bodyloop.writing import write_atomic

CENTIMETRES = 100.0
"""Per metre. BVH names no unit; most programs take its numbers for centimetres."""
_ROTATIONS = "Zrotation Xrotation Yrotation"


def save_bvh(path: str | Path, body: BodyModel, track: Track, fps: float | None = None) -> None:
    """BVH with SMPL's 24 joints by name and end sites at the tips of head, hands and feet; y up, centimetres.

    The skeleton is the person's own, in the mean shape of all frames. Frames are even: the track is interpolated if its
    own are not. The first is the person's first, whenever that was. Angles go on without jumps of 360 degrees.

    Args:
        path: file to write.
        body: the person's model.
        track: the person.
        fps: frames a second; the track's own mean rate if None.

    Raises:
        InputError: if the file cannot be written, or the track is for another body model.
    """
    rate = track.fps if fps is None else fps
    even = track.even(rate)
    [person] = actors([even], body)
    bones = person.bones(body.parents)
    vertices = body.rest_vertices(person.betas).double().cpu().numpy()
    tips = _tips(person.rest, vertices, body)
    order: list[int] = []
    lines = ["HIERARCHY", *_joint(0, body.parents, bones, tips, order), "MOTION"]
    angles = np.rad2deg(continuous(rotmat_to_zxy(person.rotations)))[:, order]
    numbers = np.concatenate([person.places * CENTIMETRES, angles.reshape(len(person), -1)], 1)
    lines += [f"Frames: {len(person)}", f"Frame Time: {1 / rate:.8f}"]
    row = " ".join(["%.6f"] * numbers.shape[1])
    lines += [row % tuple(values) for values in numbers.tolist()]
    write_atomic(path, "\n".join([*lines, ""]).encode())


def rotmat_to_zxy(rotations: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) to angles (..., 3), radians, about z, x and y with R = R_z R_x R_y.

    x lies in [-pi/2, pi/2]. At its ends, where z and y turn about one axis, y is zero.
    """
    r = rotations
    cosine = np.hypot(r[..., 0, 1], r[..., 1, 1])
    locked = cosine < 1e-7
    x = np.arctan2(r[..., 2, 1], cosine)
    z = np.where(locked, np.arctan2(r[..., 1, 0], r[..., 0, 0]), np.arctan2(-r[..., 0, 1], r[..., 1, 1]))
    y = np.where(locked, 0.0, np.arctan2(-r[..., 2, 0], r[..., 2, 2]))
    return np.stack([z, x, y], -1)


def continuous(angles: np.ndarray) -> np.ndarray:
    """The same rotations by the angles that are nearest to those of the frame before.

    z, x, y and z + pi, pi - x, y + pi are one rotation, and so are angles whole turns apart.

    Args:
        angles: (T, J, 3) radians as of `rotmat_to_zxy`.
    """
    result = angles.copy()
    every = np.arange(angles.shape[1])
    for t in range(1, len(angles)):
        other = angles[t] * [1.0, -1.0, 1.0] + math.pi
        steps = np.stack([angles[t], other]) - result[t - 1]
        steps -= 2 * math.pi * np.round(steps / (2 * math.pi))
        nearer = np.abs(steps).sum(-1).argmin(0)
        result[t] = result[t - 1] + steps[nearer, every]
    return result


def _joint(
    joint: int,
    parents: tuple[int, ...],
    bones: np.ndarray,
    tips: dict[int, np.ndarray],
    order: list[int],
    depth: int = 0,
) -> list[str]:
    """Lines of a joint and all below it; their numbers are appended to ``order`` as channels come."""
    order.append(joint)
    margin = "  " * depth
    channels = f"6 Xposition Yposition Zposition {_ROTATIONS}" if joint == 0 else f"3 {_ROTATIONS}"
    lines = [
        f"{margin}{'JOINT' if joint else 'ROOT'} {SMPL_JOINTS[joint]}",
        f"{margin}{{",
        f"{margin}  OFFSET {_place(bones[joint])}",
        f"{margin}  CHANNELS {channels}",
    ]
    for child, parent in enumerate(parents):
        if parent == joint:
            lines += _joint(child, parents, bones, tips, order, depth + 1)
    if joint in tips:
        lines += [
            f"{margin}  End Site",
            f"{margin}  {{",
            f"{margin}    OFFSET {_place(tips[joint])}",
            f"{margin}  }}",
        ]
    return [*lines, f"{margin}}}"]


def _place(offset: np.ndarray) -> str:
    return " ".join(f"{x:.6f}" for x in offset * CENTIMETRES)


def _tips(rest: np.ndarray, vertices: np.ndarray, body: BodyModel) -> dict[int, np.ndarray]:
    """Of joints without children, how far the mesh that they carry goes on in the bone's direction: (3,) metres."""
    tips = {}
    carrier = body.weights.argmax(1).cpu().numpy()
    for joint in sorted(set(range(len(rest))) - set(body.parents)):
        bone = rest[joint] - rest[body.parents[joint]]
        along = bone / max(float(np.linalg.norm(bone)), 1e-9)
        reach = ((vertices[carrier == joint] - rest[joint]) @ along).max(initial=0.0)
        tips[joint] = along * reach
    return tips
