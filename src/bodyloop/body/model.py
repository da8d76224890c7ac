"""`BodyModel`: a body in SMPL's format with its three costs: `joints`, `points`, `vertices`.

Linear blend skinning after Loper et al., "SMPL: A Skinned Multi-Person Linear Model", 2015, eq. 2-7. Written
from the paper; no third-party body code.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from bodyloop.body.bodies import Bodies
from bodyloop.body.points import BodyPoints
from bodyloop.body.skeletons import SMPL_JOINTS, Skeleton
from bodyloop.threads import one_thread


@dataclass(frozen=True)
class JointFrames:
    """Posed joints: world rotations (..., 24, 3, 3), places (..., 24, 3), and rest places (..., 24, 3)."""

    rotations: Tensor
    positions: Tensor
    rest: Tensor


@dataclass(frozen=True, eq=False)
class BodyModel:
    """A body in SMPL's own format. Canonical axes: y up, facing +z, +x is the body's left; metres.

    Attributes:
        name: for messages and result files, e.g. "builtin".
        v_template: (V, 3).
        shapedirs: (V, 3, 10).
        weights: (V, 24) skinning weights; rows sum to 1.
        joint_regressor: (24, V).
        faces: (F, 3) int64, counter-clockwise seen from outside.
        parents: 24 parent indices, -1 for the root; each parent precedes its child.
        landmarks: name -> sparse (vertex indices, weights), for points other than the joints.
        joint_landmarks: name -> {joint name: weight}, for points that are mixtures of joints.
        posedirs: (V, 3, 207) pose correctives, or None.
    """

    name: str
    v_template: Tensor
    shapedirs: Tensor
    weights: Tensor
    joint_regressor: Tensor
    faces: Tensor
    parents: tuple[int, ...]
    landmarks: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    joint_landmarks: dict[str, dict[str, float]] = field(default_factory=dict)
    posedirs: Tensor | None = None
    _rest: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)
    _keypoints: dict[Skeleton, tuple[BodyPoints, Tensor]] = field(
        default_factory=dict, init=False, repr=False
    )

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.v_template.device

    def to(self, *args: Any) -> "BodyModel":
        """The same body on another device or in another precision (faces stay integers)."""
        template = self.v_template.to(*args)
        if template is self.v_template:
            return self
        device = template.device
        return BodyModel(
            self.name,
            template,
            self.shapedirs.to(*args),
            self.weights.to(*args),
            self.joint_regressor.to(*args),
            self.faces.to(device),
            self.parents,
            {k: (i.to(device), w.to(*args)) for k, (i, w) in self.landmarks.items()},
            self.joint_landmarks,
            None if self.posedirs is None else self.posedirs.to(*args),
        )

    @property
    def rest_joints(self) -> tuple[Tensor, Tensor]:
        """Rest joints (24, 3) at betas = 0 and their shape directions (24, 3, 10), computed once."""
        if not self._rest:
            with (
                one_thread()
            ):  # or the last digits of everything would depend on when this was first asked for
                self._rest["joints"] = self.joint_regressor @ self.v_template
                self._rest["dirs"] = torch.einsum("jv,vck->jck", self.joint_regressor, self.shapedirs)
        return self._rest["joints"], self._rest["dirs"]

    def rest_pelvis(self, betas: Tensor) -> Tensor:
        """Place (..., 3), metres, of the root joint at rest for shapes (..., 10); `Bodies.translation` adds to it."""
        joints, dirs = self.rest_joints
        return joints[0] + torch.einsum("ck,...k->...c", dirs[0], betas)

    def frames(self, bodies: Bodies) -> JointFrames:
        """Kinematic chain: world rotation and place of every joint. Shapes as in `JointFrames`."""
        joints, dirs = self.rest_joints
        rest = joints + torch.einsum("jck,...k->...jc", dirs, bodies.betas)
        bones = rest.clone()
        bones[..., 1:, :] = rest[..., 1:, :] - rest[..., self.parents[1:], :]
        # One step a generation, not a joint: the tree is nine generations deep.
        world, places = bodies.rotations[..., :1, :, :], (rest[..., :1, :] + bodies.translation[..., None, :])
        done = [0]
        for generation in self._generations:
            above = [done.index(self.parents[j]) for j in generation]
            turn = world[..., above, :, :]
            step = (turn @ bones[..., generation, :, None])[..., 0]
            world = torch.cat([world, turn @ bodies.rotations[..., generation, :, :]], -3)
            places = torch.cat([places, places[..., above, :] + step], -2)
            done += generation
        order = [done.index(j) for j in range(24)]
        return JointFrames(world[..., order, :, :], places[..., order, :], rest)

    @cached_property
    def _generations(self) -> list[list[int]]:
        """Joints by their distance from the root, without the root."""
        depth = [0]
        for parent in self.parents[1:]:
            depth.append(depth[parent] + 1)
        return [[j for j in range(24) if depth[j] == d] for d in range(1, max(depth) + 1)]

    def pieces(self, bodies: Bodies, frames: JointFrames, points: BodyPoints) -> Tensor:
        """The pieces c_j P_j + R_j o_j (..., A, 3) that the points are sums of (see `BodyPoints`)."""
        offsets = points.offsets + (bodies.betas @ points.offset_dirs.flatten(0, 1).T).unflatten(-1, (-1, 3))
        if points.pose_dirs is not None:
            feature = self._feature(bodies)
            offsets = offsets + (feature @ points.pose_dirs.flatten(0, 1).T).unflatten(-1, (-1, 3))
        turned = (frames.rotations[..., points.joints, :, :] @ offsets[..., None])[..., 0]
        return turned + points.shares[:, None] * frames.positions[..., points.joints, :]

    def joints(self, bodies: Bodies) -> Tensor:
        """Joint positions (..., 24, 3) in metres; cost: the kinematic chain."""
        return self.frames(bodies).positions

    def points(self, bodies: Bodies, points: BodyPoints) -> Tensor:
        """Chosen points (..., K, 3) in metres; cost: the chain and K small sums, no mesh."""
        return points.collect(self.pieces(bodies, self.frames(bodies), points))

    def rest_vertices(self, betas: Tensor) -> Tensor:
        """Shaped, unposed mesh (..., V, 3)."""
        return self.v_template + torch.einsum("vck,...k->...vc", self.shapedirs, betas)

    def vertices(self, bodies: Bodies) -> Tensor:
        """The whole mesh (..., V, 3) in metres."""
        frames = self.frames(bodies)
        rest = self.rest_vertices(bodies.betas)
        if self.posedirs is not None:
            rest = rest + torch.einsum("vcp,...p->...vc", self.posedirs, self._feature(bodies))
        shift = frames.positions - (frames.rotations @ frames.rest[..., None])[..., 0]
        transforms = torch.cat([frames.rotations, shift[..., None]], -1)
        blended = (self.weights @ transforms.flatten(-2)).unflatten(-1, (3, 4))
        return (blended[..., :3] @ rest[..., None])[..., 0] + blended[..., 3]

    def surface_points(self, bodies: Bodies, corners: Tensor, barycentric: Tensor) -> Tensor:
        """Points of the surface (..., N, 3) in metres, others for each person; cost: the chain and 3 N vertices.

        Args:
            bodies: (...).
            corners: (..., N, 3) int64 vertices of the triangles that the points lie in (`Atlas.locate`).
            barycentric: (..., N, 3) their weights.
        """
        found = self.chosen_vertices(bodies, corners.flatten(-2)).unflatten(-2, (-1, 3))
        return (found * barycentric[..., None]).sum(-2)

    def chosen_vertices(self, bodies: Bodies, index: Tensor) -> Tensor:
        """Vertices (..., N, 3) in metres, chosen for everybody (N,) or for each person (..., N); as `vertices` has
        them, at the cost of the chain and N vertices.
        """
        frames, own = self.frames(bodies), index.ndim > 1
        rest = self.v_template[index] + _summed(self.shapedirs[index], bodies.betas, own)
        if self.posedirs is not None:
            rest = rest + _summed(self.posedirs[index], self._feature(bodies), own)
        shift = frames.positions - (frames.rotations @ frames.rest[..., None])[..., 0]
        transforms = torch.cat([frames.rotations, shift[..., None]], -1)
        blended = (self.weights[index] @ transforms.flatten(-2)).unflatten(-1, (3, 4))
        return (blended[..., :3] @ rest[..., None])[..., 0] + blended[..., 3]

    @staticmethod
    def _feature(bodies: Bodies) -> Tensor:
        """SMPL's pose feature (..., 207): R_1..R_23 minus identity, row-major."""
        eye = torch.eye(3, dtype=bodies.rotations.dtype, device=bodies.rotations.device)
        return (bodies.rotations[..., 1:, :, :] - eye).flatten(-3)

    @one_thread()
    def vertex_points(self, names: tuple[str, ...], regressor: Tensor) -> BodyPoints:
        """Points that are weighted sums of vertices: regressor (K, V), rows summing to 1."""
        joints, dirs = self.rest_joints
        used = regressor.abs().sum(0).nonzero()[:, 0]
        share = torch.einsum("kv,vj->kvj", regressor[:, used], self.weights[used])
        c = share.sum(1)
        offsets = torch.einsum("kvj,vc->kjc", share, self.v_template[used]) - c[..., None] * joints
        dirs = torch.einsum("kvj,vcb->kjcb", share, self.shapedirs[used]) - c[..., None, None] * dirs
        pose = None
        if self.posedirs is not None:
            pose = torch.einsum("kvj,vcp->kjcp", share, self.posedirs[used])
        return BodyPoints.from_dense(names, c, offsets, dirs, pose)

    @one_thread()
    def mesh_points(self, corners: Tensor, barycentric: Tensor) -> BodyPoints:
        """Points of the surface: three vertices (N, 3) each, and their weights (N, 3), which sum to 1."""
        joints, rest_dirs = self.rest_joints
        corners = corners.to(self.device)
        share = barycentric.to(self.v_template)[..., None] * self.weights[corners]
        c = share.sum(1)
        offsets = torch.einsum("kvj,kvc->kjc", share, self.v_template[corners]) - c[..., None] * joints
        dirs = torch.einsum("kvj,kvcb->kjcb", share, self.shapedirs[corners])
        dirs = dirs - c[..., None, None] * rest_dirs
        pose = None
        if self.posedirs is not None:
            pose = torch.einsum("kvj,kvcp->kjcp", share, self.posedirs[corners])
        names = tuple(f"surface_{i}" for i in range(len(corners)))
        return BodyPoints.from_dense(names, c, offsets, dirs, pose)

    def spread_vertices(self, count: int) -> Tensor:
        """Indices (count,) of vertices spread over the body, each the farthest in rest from those before it."""
        places = self.v_template
        chosen = [0]
        distance = (places - places[0]).norm(dim=-1)
        while len(chosen) < min(count, len(places)):
            chosen.append(int(distance.argmax()))
            distance = torch.minimum(distance, (places - places[chosen[-1]]).norm(dim=-1))
        return torch.tensor(chosen, device=self.device)

    def joint_points(self, names: tuple[str, ...], mixtures: list[dict[str, float]]) -> BodyPoints:
        """Weighted means of kinematic joints: one {joint name: weight} a point, weights summing to 1."""
        like = self.v_template
        c = like.new_zeros(len(names), 24)
        for row, mixture in enumerate(mixtures):
            for joint, weight in mixture.items():
                c[row, SMPL_JOINTS.index(joint)] = weight
        pose = None if self.posedirs is None else like.new_zeros(len(names), 24, 3, 207)
        zeros = like.new_zeros(len(names), 24, 3, 10)
        return BodyPoints.from_dense(names, c, zeros[..., 0], zeros, pose)

    def has(self, name: str) -> bool:
        """Whether the body knows where this landmark lies."""
        return name in SMPL_JOINTS or name in self.landmarks or name in self.joint_landmarks

    def landmark_points(self, names: tuple[str, ...]) -> BodyPoints:
        """Joints and landmarks by name.

        Raises:
            KeyError: naming the landmarks that this body lacks.
        """
        missing = [n for n in names if not self.has(n)]
        if missing:
            raise KeyError(f"body {self.name!r} has no landmarks {missing}")
        parts = []
        for name in names:
            if name in self.landmarks:
                index, weight = self.landmarks[name]
                row = torch.zeros_like(self.joint_regressor[:1])
                row[0, index] = weight
                parts.append(self.vertex_points((name,), row))
            else:
                parts.append(self.joint_points((name,), [self.joint_landmarks.get(name, {name: 1.0})]))
        return BodyPoints.cat(parts)

    def keypoints(self, skeleton: Skeleton) -> tuple[BodyPoints, Tensor]:
        """A skeleton's points and a bool mask (K,) of those this body has; the others follow the pelvis.

        Computed once a skeleton: do not write into them.
        """
        if skeleton not in self._keypoints:
            mask = torch.tensor([self.has(n) for n in skeleton.keypoints], device=self.device)
            names = tuple(n if self.has(n) else "pelvis" for n in skeleton.keypoints)
            self._keypoints[skeleton] = self.landmark_points(names), mask
        return self._keypoints[skeleton]


def _summed(directions: Tensor, numbers: Tensor, own: bool) -> Tensor:
    """Directions of N points, (N, 3, K) or each person's own (..., N, 3, K), times numbers (..., K): (..., N, 3)."""
    return torch.einsum("...nck,...k->...nc" if own else "nck,...k->...nc", directions, numbers)
