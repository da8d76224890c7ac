"""A shot drawn: one z-buffer of all people, one ray a pixel for everything else, and the labels."""

from dataclasses import replace

import numpy as np
import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.data.synthetic.domains import Domain
from bodyloop.data.synthetic.lens import developed, exposure, focused
from bodyloop.data.synthetic.looks import Tailor, record
from bodyloop.data.synthetic.occluders import draw_occluder
from bodyloop.data.synthetic.sample import SyntheticSample
from bodyloop.data.synthetic.scenes import SOLID_NUMBERS, Scene
from bodyloop.data.synthetic.shadows import Shadow, blobs, lamp_map
from bodyloop.data.synthetic.shots import Shot
from bodyloop.data.synthetic.streams import chance
from bodyloop.data.synthetic.views import Pose, product
from bodyloop.geometry import Camera
from bodyloop.raster import Fragments, rasterize, supersampled

SUPERSAMPLING = 2
LEAST_SEEN = 0.45
"""Share of the person inside the image that must be seen past occluders, or these are left out."""
CONTACT = 0.02
"""Metres that soles may lie in the ground before it hides them."""


def photograph(
    shot: Shot, domain: Domain, body: BodyModel, tailor: Tailor, rng: np.random.Generator, index: int
) -> SyntheticSample:
    """Draw a shot: picture and labels.

    Args:
        shot: what to draw.
        domain: its occluders, blur and noise.
        body: the people's model.
        tailor: of this body.
        rng: all further draws come from here.
        index: the sample's number.
    """
    places = np.concatenate([f.vertices for f in shot.people])
    count = len(shot.people[0].vertices)
    faces = torch.from_numpy(np.concatenate([tailor.faces + i * count for i in range(len(shot.people))]))
    seen = torch.from_numpy(shot.pose.seen(places).astype(np.float32))
    labels, samples = (
        rasterize(seen, faces, c, cull=True) for c in (shot.camera, supersampled(shot.camera, SUPERSAMPLING))
    )
    shadow = lamp_map(places, shot.scene)
    scene, depth = _surroundings(rng, domain, shot, tailor, labels, shadow)
    people = _shaded(shot, tailor, samples, shadow)
    picture = _composed(rng, samples, people, focused(rng, domain, scene), depth, domain)
    return SyntheticSample(
        torch.from_numpy(developed(rng, domain, picture)),
        in_camera(shot.people[0].bodies, body, shot.pose),
        shot.camera,
        _unhidden(labels, depth, len(tailor.faces)),
        torch.tensor(index),
        torch.tensor(shot.subject),
        torch.tensor(shot.sequence),
    )


def in_camera(bodies: Bodies, body: BodyModel, pose: Pose) -> Bodies:
    """A person's parameters (no batch dimension) in the camera frame."""
    joints, dirs = body.rest_joints
    pelvis = (joints[0] + dirs[0] @ bodies.betas).double().numpy()
    turn = torch.from_numpy(pose.turn.T).float()
    there = pose.seen(pelvis + bodies.translation.double().numpy()) - pelvis
    rotations = torch.cat([(turn @ bodies.rotations[0])[None], bodies.rotations[1:]])
    return Bodies(rotations, bodies.betas, torch.from_numpy(there).float())


def _surroundings(
    rng: np.random.Generator,
    domain: Domain,
    shot: Shot,
    tailor: Tailor,
    labels: Fragments,
    shadow: Shadow,
) -> tuple[np.ndarray, np.ndarray]:
    """Colour (H, W, 3) and depth (H, W) of everything but people, with an occluder where one is drawn."""
    face_count = len(tailor.faces)
    near = np.concatenate([blobs(product(tailor.joints, f.vertices)) for f in shot.people])
    hindrance = None
    if chance(rng, domain.occluded):
        own = torch.where(labels.face_id < face_count, labels.depth, torch.inf)
        hindrance = draw_occluder(rng, shot.pose, shot.camera, own.numpy())
    if hindrance is not None:
        with_it = replace(shot.scene, solids=(*shot.scene.solids, hindrance))
        scene, depth = _cast(with_it, shot, shadow, near)
        own_pixels = labels.mask & (labels.face_id < face_count)
        left = _unhidden(labels, depth, face_count).mask
        if int(left.sum()) >= LEAST_SEEN * int(own_pixels.sum()):
            return scene, depth
    return _cast(shot.scene, shot, shadow, near)


def _lens(camera: Camera) -> tuple[float, float, float, float]:
    fx, fy = camera.focal.tolist()
    cx, cy = camera.center.tolist()
    return fx, fy, cx, cy


def _cast(scene: Scene, shot: Shot, shadow: Shadow, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour and depth of a scene as the shot's camera sees it; `near` are balls for people (`blobs`)."""
    from bodyloop.data.synthetic import kernels

    width, height = shot.camera.size
    color, depth = np.empty((height, width, 3), np.float32), np.empty((height, width), np.float32)
    solids = np.array([s.row() for s in scene.solids]).reshape(-1, SOLID_NUMBERS)
    backdrop = np.empty((0, 0, 3), np.float32) if scene.backdrop is None else scene.backdrop
    kernels.cast(
        _lens(shot.camera),
        shot.pose.eye,
        shot.pose.turn,
        solids,
        record(scene.ground),
        scene.sky,
        backdrop,
        record(scene.light),
        shadow,
        near,
        color,
        depth,
    )
    return color, depth


def _shaded(shot: Shot, tailor: Tailor, samples: Fragments, shadow: Shadow) -> np.ndarray:
    """Linear colour (H, W, 3) of every sample that sees a person."""
    from bodyloop.data.synthetic import kernels

    maps = samples.face_id.numpy(), samples.barycentric.numpy(), samples.depth.numpy()
    out = np.empty((*maps[0].shape, 3), np.float32)
    lens = _lens(supersampled(shot.camera, SUPERSAMPLING))
    for number, figure in enumerate(shot.people):
        kernels.shade(
            *maps,
            tailor.faces,
            number * len(tailor.faces),
            tailor.rest,
            figure.normals,
            lens,
            shot.pose.eye,
            shot.pose.turn,
            record(figure.look),
            tailor.record,
            record(shot.scene.light),
            shadow,
            out,
        )
    return out


def _composed(
    rng: np.random.Generator,
    samples: Fragments,
    people: np.ndarray,
    scene: np.ndarray,
    depth: np.ndarray,
    domain: Domain,
) -> np.ndarray:
    """People in front of and behind the things of the scene: (H, W, 3) float32 in [0, 1], gamma included."""
    from bodyloop.data.synthetic import kernels

    out = np.empty_like(scene)
    mean = float(np.clip(scene[::4, ::4], 0, 1).mean())
    kernels.compose(
        samples.face_id.numpy(),
        samples.depth.numpy(),
        people,
        np.ascontiguousarray(scene, np.float32),
        depth,
        CONTACT,
        exposure(rng, domain, mean),
        out,
    )
    return out


def _unhidden(labels: Fragments, depth: np.ndarray, face_count: int) -> Fragments:
    """What is seen of the first person: not behind the scene at depths (H, W), not behind other people."""
    seen = labels.mask & (labels.face_id < face_count) & (labels.depth < torch.from_numpy(depth) + CONTACT)
    return Fragments(
        torch.where(seen, labels.face_id, -1),
        labels.barycentric * seen[..., None],
        labels.depth.masked_fill(~seen, torch.inf),
    )
