"""People over time as glTF binary: skinned meshes that move (Khronos, glTF 2.0 specification, 3.7.3 and 3.11).

Imported where a file is written: pygltflib takes a while to load.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pygltflib as gltf
import roma
import torch

from bodyloop.body import SMPL_JOINTS, BodyModel
from bodyloop.raster import vertex_normals
from bodyloop.track import Track
from bodyloop.view.actors import Actor, actors
from bodyloop.view.gltf import Document

INFLUENCES = 4
"""Joints that may move a vertex; what every program that reads glTF supports."""


def save_animated_glb(path: str | Path, body: BodyModel, tracks: Sequence[Track]) -> None:
    """glTF binary with an armature of SMPL's 24 joints, a skinned mesh and an animation for each person.

    y up, metres, the person's shape baked into mesh and rest joints. Nodes rest in the T-pose at the first frame's
    place, which programs that transfer motion need; a track of one frame has no animation, and its nodes hold the pose.
    Times count from the first frame of all people; where a person is not there, the nearest pose stands still.

    Where more than four joints move a vertex, the four strongest are kept and their weights scaled to sum to 1. In 256
    poses of the flow prior that moves the built-in body's vertices by 0.07 mm on average and by 20 mm at most
    (`tests/view/test_glb.py`). SMPL's pose correctives have no place in a skin and are left out.

    Args:
        path: file to write.
        body: the people's model.
        tracks: one or more people, each with a name of its own.

    Raises:
        InputError: if the file cannot be written, or a track is for another body model.
        ValueError: if there is nobody, or if two people have one name.
    """
    people = actors(tracks, body)
    document = Document()
    joints, weights = strongest(body.weights.cpu().numpy(), INFLUENCES)
    corners = document.corners(body.faces.cpu().numpy())
    shared = {
        "JOINTS_0": document.accessor(joints.astype(np.uint8), gltf.ARRAY_BUFFER),
        "WEIGHTS_0": document.accessor(weights.astype(np.float32), gltf.ARRAY_BUFFER),
    }
    for person in people:
        _add(document, person, body, corners, shared)
    document.save(path)


def strongest(weights: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The strongest joints of each vertex, and their weights scaled to sum to 1.

    Args:
        weights: (V, J) skinning weights.
        count: joints that are kept.

    Returns:
        joints (V, count), 0 where the weight is 0, and weights (V, count), strongest first.
    """
    joints = np.argsort(-weights, axis=1, kind="stable")[:, :count]
    kept = np.take_along_axis(weights.astype(np.float64), joints, 1).clip(0)
    kept /= kept.sum(1, keepdims=True)
    return np.where(kept > 0, joints, 0), kept


def steady_quaternions(rotations: np.ndarray) -> np.ndarray:
    """Quaternions (T, ..., 4), xyzw, of rotations (T, ..., 3, 3), each with the sign that is nearer to the one before.

    Interpolation between q and -q would go the long way round.
    """
    quat_xyzw = roma.rotmat_to_unitquat(torch.from_numpy(rotations)).numpy()
    turned = (quat_xyzw[1:] * quat_xyzw[:-1]).sum(-1) < 0
    signs = np.where(np.cumsum(turned, 0) % 2, -1.0, 1.0)
    quat_xyzw[1:] *= signs[..., None]
    return quat_xyzw


def _add(document: Document, person: Actor, body: BodyModel, corners: int, skinning: dict[str, int]) -> None:
    """Append a person: armature, joints, mesh, skin, animation."""
    vertices = body.rest_vertices(person.betas)
    normals = vertex_normals(vertices[None], body.faces)[0]
    mesh = document.mesh(
        person.name, vertices.cpu().numpy(), normals.cpu().numpy(), corners, person.color, **skinning
    )
    quat_xyzw = steady_quaternions(person.rotations).astype(np.float32)
    moves = len(person) > 1
    armature = document.node(gltf.Node(name=person.name), root=True)
    joints = [armature + 1 + j for j in range(len(SMPL_JOINTS))]
    bones = person.bones(body.parents)
    bones[0] = person.places[0]
    document.content.nodes[armature].children = [joints[0]]
    for j, name in enumerate(SMPL_JOINTS):
        rotation = None if moves else quat_xyzw[0, j].tolist()
        children = [joints[k] for k, parent in enumerate(body.parents) if parent == j]
        document.node(
            gltf.Node(name=name, translation=bones[j].tolist(), rotation=rotation, children=children)
        )
    inverse = np.tile(np.eye(4, dtype=np.float32), (len(joints), 1, 1))
    inverse[:, 3, :3] = -person.rest  # the fourth column: matrices are stored by columns
    document.content.skins.append(
        gltf.Skin(
            name=person.name,
            joints=joints,
            skeleton=joints[0],
            inverseBindMatrices=document.accessor(inverse),
        )
    )
    # A skinned mesh is moved by its joints alone: it stands beside the armature, where no parent could mislead.
    skin = len(document.content.skins) - 1
    document.node(gltf.Node(name=f"{person.name}_mesh", mesh=mesh, skin=skin), root=True)
    if moves:
        document.content.animations.append(_animation(document, person, quat_xyzw, joints))


def _animation(document: Document, person: Actor, quat_xyzw: np.ndarray, joints: list[int]) -> gltf.Animation:
    """Rotations of all joints and the root's places, LINEAR between frames."""
    times = document.accessor(person.times.astype(np.float32), bounds=True)
    animation = gltf.Animation(name=person.name)

    def move(joint: int, what: str, values: np.ndarray) -> None:
        output = document.accessor(np.ascontiguousarray(values, np.float32))
        animation.samplers.append(
            gltf.AnimationSampler(input=times, output=output, interpolation=gltf.ANIM_LINEAR)
        )
        target = gltf.AnimationChannelTarget(node=joints[joint], path=what)
        animation.channels.append(gltf.AnimationChannel(sampler=len(animation.samplers) - 1, target=target))

    move(0, "translation", person.places)
    for joint in range(len(joints)):
        move(joint, "rotation", quat_xyzw[:, joint])
    return animation
