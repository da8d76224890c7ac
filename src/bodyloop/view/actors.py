"""People over time as animation programs want them: y up, one shape each, a rest skeleton and joint rotations."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.errors import InputError
from bodyloop.track import Track
from bodyloop.view.render import person_colors

CHUNK = 64
"""Frames whose meshes are held at once."""


@dataclass(frozen=True, eq=False)
class Actor:
    """One person with a shape that does not change; y up, metres, float64.

    Attributes:
        name: of the person.
        betas: (10,) shape.
        rest: (24, 3) joints of the T-pose, the root where the body model has it.
        rotations: (T, 24, 3, 3) joint rotations relative to the parent.
        places: (T, 3) places of the root joint.
        times: (T,) seconds since the first frame of all people.
        color: (3,) from 0 to 1.
    """

    name: str
    betas: Tensor
    rest: np.ndarray
    rotations: np.ndarray
    places: np.ndarray
    times: np.ndarray
    color: np.ndarray

    def __len__(self) -> int:
        return len(self.times)

    def bones(self, parents: Sequence[int]) -> np.ndarray:
        """Rest place (24, 3) of each joint relative to its parent; the root's is zero."""
        bones = self.rest.copy()
        bones[1:] -= self.rest[list(parents[1:])]
        bones[0] = 0
        return bones


def actors(tracks: Sequence[Track], body: BodyModel) -> list[Actor]:
    """People for files that hold a skeleton and its motion.

    The shape is the mean over the frames; root joints stay where they were. Tracks in camera axes are turned (see
    `upright`).

    Raises:
        InputError: if a track is for another body model.
        ValueError: if there is nobody, or if two people have one name.
    """
    names = [track.name for track in tracks]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"need people and a different name for each, got {names}")
    begin = min(float(track.times[0]) for track in tracks)
    colors = person_colors(len(tracks)).numpy()
    people = []
    for track, color in zip(upright(tracks, body), colors, strict=True):
        bodies = of_one_shape(track.bodies.to(body.v_template), body)
        pelvis = body.rest_pelvis(bodies.betas)
        actor = Actor(
            track.name,
            bodies.betas[0],
            _array(body.frames(bodies[:1]).rest[0]),
            _array(bodies.rotations),
            _array(pelvis + bodies.translation),
            _array(track.times) - begin,
            color,
        )
        people.append(actor)
    return people


def upright(tracks: Sequence[Track], body: BodyModel, ground: bool = False) -> list[Track]:
    """Tracks with y up, the axes of glTF, BVH and most viewers.

    Those in camera axes are turned by half a turn about x: the camera then sits at the origin and looks along -z. A
    camera that was tilted leaves people tilted. Tracks of the world stay as they are.

    Args:
        tracks: of one scene.
        body: their model.
        ground: lift or lower all of them together, so that the lowest vertex of all frames is at y = 0.

    Raises:
        InputError: if a track is for another body model.
    """
    turned = []
    for track in tracks:
        check_model(track, body)
        if track.frame == "camera":
            half = track.bodies.rotations.new_tensor([1.0, -1.0, -1.0]).diag()
            pelvis = body.rest_pelvis(track.bodies.betas.to(body.v_template)).to(track.bodies.translation)
            track = replace(track, bodies=track.bodies.turned(half, pelvis), frame="world")
        turned.append(track)
    if not ground or not turned:
        return turned
    low = min(lowest(track.bodies, body) for track in turned)
    return [replace(track, bodies=_moved(track.bodies, [0.0, -low, 0.0])) for track in turned]


def check_model(track: Track, body: BodyModel) -> None:
    """Refuse a track for another body model, which would give another person.

    Raises:
        InputError: if it is one.
    """
    if track.body_name != body.name:
        raise InputError(
            f"person {track.name}: expected a body of the model {body.name!r}, got one of {track.body_name!r}; "
            "load that model"
        )


def lowest(bodies: Bodies, body: BodyModel) -> float:
    """The least y, metres, of all vertices of bodies (T,)."""
    with torch.no_grad():
        chunks = (bodies[i : i + CHUNK].to(body.v_template) for i in range(0, len(bodies), CHUNK))
        return min(float(body.vertices(chunk)[..., 1].min()) for chunk in chunks)


def of_one_shape(bodies: Bodies, body: BodyModel) -> Bodies:
    """Bodies (T,) in their mean shape, with the root joints where they were."""
    betas = bodies.betas.mean(0, keepdim=True).expand_as(bodies.betas)
    shift = body.rest_pelvis(bodies.betas) - body.rest_pelvis(betas)
    return Bodies(bodies.rotations, betas, bodies.translation + shift)


def _moved(bodies: Bodies, by: list[float]) -> Bodies:
    return Bodies(bodies.rotations, bodies.betas, bodies.translation + bodies.translation.new_tensor(by))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()
