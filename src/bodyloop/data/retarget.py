"""From a capture skeleton's motion to SMPL's pose, across different rest poses.

Each SMPL joint takes the world rotation of the source joint that plays its part, times a fixed rotation that
turns SMPL's rest bone into the source's rest bone:

    R_smpl_world(t) = U  R_source_world(t)  F  A

U turns the source's world upright (identity for y up). F holds the source's rest directions left, up and
forward as columns: it takes SMPL's axes to the source's. A accounts for rest poses that differ:

- arms: the smallest rotation from SMPL's rest bone to the source's, so that directions are kept exactly;
- legs: the same for the mean of the bone's and the whole leg's direction, since bodies of SMPL's kind rest
  with a kink of about 8 degrees at the knee (seen from the front) that is not there in a straight leg;
- pelvis and spine: half the angle between the two trunks seen from the side, the other half being taken for
  a difference in where the joints were put; neck, head, collars and feet: the frame itself (A = I), since
  both skeletons rest looking ahead on flat feet.

Then the elbows: where a source's elbow bends about an axis of its own, the upper arm is twisted so that it is
SMPL's, and the forearm takes half of the hand's twist (see `_bend_elbows`).
"""

from dataclasses import dataclass

import numpy as np
import roma
import torch
from torch import Tensor

from bodyloop.body import SMPL_JOINTS, Bodies, BodyModel
from bodyloop.data.motion import Motion, find_good
from bodyloop.data.rigs import RIGS, Rig, find_rig, plain
from bodyloop.data.skeleton_clip import MotionFileError, SkeletonClip
from bodyloop.geometry import axis_angle_to_rotmat, rotmat_to_axis_angle

SMPL_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
"""Parent of each of SMPL's 24 joints."""

_LIMB_CHILD = {
    "hip": "knee",
    "knee": "ankle",
    "shoulder": "elbow",
    "elbow": "wrist",
    "wrist": "hand",
}
_BENT = np.deg2rad(15)  # an elbow bent by less than this says little about its axis
_STRAIGHT = np.deg2rad(20)  # rest axes nearer than this to a coordinate axis are meant to be that axis


@dataclass(frozen=True)
class _Source:
    """A clip with its rig: indices by SMPL joint, world motion, rest places."""

    clip: SkeletonClip
    joints: dict[str, int]
    spine: list[int]
    neck: list[int]
    rest: np.ndarray
    rotations: np.ndarray
    places: np.ndarray

    def bone(self, rig: Rig, smpl_joint: str, smpl_child: str) -> np.ndarray | None:
        """Rest bone (3,) of the source joint that plays ``smpl_joint``, or None where there is none."""
        joint = self.joints[smpl_joint]
        bone = None
        tips = rig.tips.get(smpl_joint, ())
        if smpl_child in self.joints:
            bone = self.rest[self.joints[smpl_child]] - self.rest[joint]
        elif tip := next((n for n in self.clip.names if plain(n) in {plain(t) for t in tips}), None):
            bone = self.rest[self.clip.names.index(tip)] - self.rest[joint]
        else:
            wanted = plain(rig.joints.get(smpl_child, ""))
            bone = next(
                (o for n, (p, o) in self.clip.ends.items() if p == joint and plain(n) == wanted), None
            )
        return bone if bone is not None and np.linalg.norm(bone) > 1e-6 else None


def retarget(clip: SkeletonClip, body: BodyModel, rig: Rig | None = None) -> Motion:
    """A clip as SMPL poses for ``body``.

    The middle of the hips follows the source's, with paths scaled by the ratio of leg lengths; the lowest
    point of the mesh over the good frames of the clip is put at y = 0.

    Args:
        clip: the source, any rest pose that stands upright.
        body: the body that is to move; its rest joints (betas = 0) give the bone directions.
        rig: which source joint plays which part; by default recognised by its names.

    Raises:
        MotionFileError: a skeleton that no known rig fits, or that has no legs' length.
    """
    rig = _choose_rig(clip) if rig is None else rig
    source = _find_joints(clip, rig)
    rest = body.rest_joints[0].double()
    upright, frame = _rest_frame(source)
    world, backwards = _world_rotations(source, rig, rest, upright, frame)
    rotations = _relative(world)
    trans = _translation(source, rest, rotations[:, 0], upright)
    good = find_good(rotations, trans, clip.fps) & ~backwards
    if clip.good is not None:
        good &= torch.from_numpy(np.asarray(clip.good, dtype=bool).copy())
    motion = Motion(rotations.float(), trans.float(), clip.fps, clip.name, clip.subject, good)
    return on_the_ground(motion, body)


def _choose_rig(clip: SkeletonClip) -> Rig:
    """The rig that fits the names.

    Raises:
        MotionFileError: listing what the nearest rig lacks.
    """
    rig = find_rig(clip.names)
    if rig is None:
        nearest = min(RIGS, key=lambda r: len(r.missing(clip.names)))
        raise MotionFileError(
            f"{clip.name}: the joints {', '.join(clip.names[:8])}, ... fit no known skeleton "
            f"({', '.join(r.name for r in RIGS)}); nearest is {nearest.name}, which also needs "
            f"{', '.join(nearest.missing(clip.names))}. Give a Rig that names the joints"
        )
    return rig


def _find_joints(clip: SkeletonClip, rig: Rig) -> _Source:
    """Look the rig's names up in the clip."""
    missing = rig.missing(clip.names)
    if missing:
        raise MotionFileError(f"{clip.name}: rig {rig.name!r} needs the joints {', '.join(missing)}")
    index = {plain(n): i for i, n in reversed(list(enumerate(clip.names)))}
    joints = {smpl: index[plain(n)] for smpl, n in rig.joints.items() if plain(n) in index}
    spine = [index[plain(n)] for n in rig.spine if plain(n) in index]
    neck = [index[plain(n)] for n in rig.neck if plain(n) in index]
    rotations, places = clip.world()
    return _Source(clip, joints, spine, neck, clip.rest_positions, rotations, places)


def _rest_frame(source: _Source) -> tuple[np.ndarray, np.ndarray]:
    """U (3, 3), which turns the source's world to y up, and F (3, 3), columns left, up, forward at rest.

    Raises:
        MotionFileError: hips and shoulders that span no frame.
    """
    hips = [source.rest[source.joints[n]] for n in ("left_hip", "right_hip")]
    shoulders = [source.rest[source.joints[n]] for n in ("left_shoulder", "right_shoulder")]
    left = _snap(hips[0] - hips[1] + shoulders[0] - shoulders[1])
    up = sum(shoulders) / 2 - sum(hips) / 2
    up = up - (up @ left) * left
    up = _snap(up)
    forward = np.cross(left, up)
    if not np.linalg.norm(forward) > 0.9:
        raise MotionFileError(f"{source.clip.name}: hips and shoulders of the rest pose span no body frame")
    frame = np.stack([left, up, forward], -1)
    return rotation_between(up, np.array([0.0, 1.0, 0.0])), frame


def _snap(direction: np.ndarray) -> np.ndarray:
    """Unit vector (3,), moved onto the nearest coordinate axis where it is nearly there; zero stays zero."""
    length = np.linalg.norm(direction)
    if length < 1e-9:
        return np.zeros(3)
    unit = direction / length
    axis = int(np.abs(unit).argmax())
    if abs(unit[axis]) > np.cos(_STRAIGHT):
        return np.sign(unit[axis]) * np.eye(3)[axis]
    return unit


def rotation_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The smallest rotation (3, 3) that takes the direction of ``start`` (3,) to that of ``end`` (3,)."""
    a, b = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis, cosine = np.cross(a, b), float(a @ b)
    if cosine < -1 + 1e-9:  # opposite: half a turn about any axis across
        across = np.cross(a, np.eye(3)[int(np.abs(a).argmin())])
        across /= np.linalg.norm(across)
        return 2 * np.outer(across, across) - np.eye(3)
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + k + k @ k / (1 + cosine)


def _world_rotations(
    source: _Source, rig: Rig, rest: Tensor, upright: np.ndarray, frame: np.ndarray
) -> tuple[dict[str, Tensor], Tensor]:
    """World rotations (T, 3, 3) of those SMPL joints that the source moves; frames (T,) of faulty elbows."""
    turned = torch.from_numpy(upright @ source.rotations @ frame)
    places = rest.numpy()
    world: dict[str, Tensor] = {}
    for name, index in source.joints.items():
        rotation = turned[:, index]
        side, _, part = name.partition("_")
        if part in _LIMB_CHILD:
            child = f"{side}_{_LIMB_CHILD[part]}"
            bone = source.bone(rig, name, child)
            if bone is None:
                if part in ("elbow", "wrist"):  # no hand to point with: as straight as the bone above
                    continue
                raise MotionFileError(f"{source.clip.name}: joints {name!r} and {child!r} coincide at rest")
            smpl_bone = places[SMPL_JOINTS.index(child)] - places[SMPL_JOINTS.index(name)]
            if part in ("hip", "knee"):
                hip, ankle = f"{side}_hip", f"{side}_ankle"
                smpl_bone = _middle(
                    smpl_bone, places[SMPL_JOINTS.index(ankle)] - places[SMPL_JOINTS.index(hip)]
                )
                bone = _middle(bone, source.rest[source.joints[ankle]] - source.rest[source.joints[hip]])
            rotation = rotation @ torch.from_numpy(rotation_between(smpl_bone, frame.T @ bone))
        world[name] = rotation
    backwards = _bend_elbows(world, rest)
    trunk = torch.from_numpy(_trunk_alignment(source, places, frame))
    world["pelvis"] = world["pelvis"] @ trunk
    _spread(world, ("spine1", "spine2", "spine3"), "pelvis", [turned[:, i] @ trunk for i in source.spine])
    _spread(world, ("neck", "head"), "spine3", [turned[:, i] for i in source.neck])
    return world, backwards


def _middle(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The direction (3,) halfway between two."""
    return first / np.linalg.norm(first) + second / np.linalg.norm(second)


def _trunk_alignment(source: _Source, places: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Half the rotation (3, 3) about x from SMPL's rest trunk, hips to shoulders, to the source's."""
    names = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    signs = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    ours = (places[[SMPL_JOINTS.index(n) for n in names]] * signs).sum(0)
    theirs = frame.T @ (source.rest[[source.joints[n] for n in names]] * signs).sum(0)
    pitch = np.arctan2(theirs[2], theirs[1]) - np.arctan2(ours[2], ours[1])
    return axis_angle_to_rotmat(torch.tensor([pitch / 2, 0.0, 0.0], dtype=torch.float64)).numpy()


def _bend_elbows(world: dict[str, Tensor], rest: Tensor) -> Tensor:
    """Make each elbow bend about SMPL's axis, bone directions unchanged; returns frames (T,) bent backwards.

    Captured elbows are hinges about an axis that the capture's skeleton chose (30 degrees off in the Daz
    conversion). It is found once a clip (a constant, so that nothing jumps at straight arms): the main
    direction of upper arm x forearm, in the upper arm's frame. The upper arm is then twisted so that SMPL's
    axis (left -y, right +y) lies there. The forearm follows without twist of its own but half of the hand's.

    In a few clips an elbow is bent the wrong way round throughout (a boxer whose guard points behind him).
    The truth cannot be told from the file, so these frames are reported, not repaired.
    """
    backwards = torch.zeros(len(world["pelvis"]), dtype=torch.bool)
    for side, sign in (("left", -1.0), ("right", 1.0)):
        names = [f"{side}_{part}" for part in ("shoulder", "elbow", "wrist")]
        if names[1] not in world:
            continue
        shoulder, elbow, wrist = (rest[SMPL_JOINTS.index(n)] for n in names)
        upper_bone = torch.nn.functional.normalize(elbow - shoulder, dim=0)
        lower_bone = torch.nn.functional.normalize(wrist - elbow, dim=0)
        upper, forearm = world[names[0]], world[names[1]]
        direction = (upper.mT @ forearm) @ lower_bone
        twist = _hinge_twist(upper_bone, direction, sign)
        upper = upper @ axis_angle_to_rotmat(upper_bone * twist)
        direction = (upper.mT @ forearm) @ lower_bone
        forearm = upper @ _swing(lower_bone, direction)
        sine = sign * torch.linalg.cross(upper_bone.expand_as(direction), direction)[:, 1]
        backwards |= sine < -np.sin(_BENT)
        if names[2] in world:
            turn = _twist_about(forearm.mT @ world[names[2]], lower_bone)
            forearm = forearm @ axis_angle_to_rotmat(lower_bone * (turn / 2)[:, None])
        world[names[0]], world[names[1]] = upper, forearm
    return backwards


def _hinge_twist(bone: Tensor, direction: Tensor, sign: float) -> Tensor:
    """Angle () about ``bone`` (3,) from SMPL's elbow axis, ``sign`` * y, to a clip's own.

    Args:
        bone: unit direction of the upper arm, at rest.
        direction: (T, 3) unit directions of the forearm in the upper arm's frame.
        sign: -1 left, +1 right.
    """
    normals = torch.linalg.cross(bone.expand_as(direction), direction)
    if (normals.norm(dim=-1) > np.sin(_BENT)).sum() == 0:  # arms straight throughout: nothing to see
        return bone.new_zeros(())
    axis = torch.linalg.eigh(normals.mT @ normals).eigenvectors[:, -1]
    smpl_axis = torch.zeros_like(bone)
    smpl_axis[1] = sign
    smpl_axis = torch.nn.functional.normalize(smpl_axis - (smpl_axis @ bone) * bone, dim=0)
    if axis @ smpl_axis < 0:
        axis = -axis
    return torch.atan2(torch.linalg.cross(smpl_axis, axis) @ bone, smpl_axis @ axis)


def _swing(start: Tensor, ends: Tensor) -> Tensor:
    """Smallest rotations (T, 3, 3) from the unit direction ``start`` (3,) to unit ``ends`` (T, 3)."""
    axis = torch.linalg.cross(start.expand_as(ends), ends)
    sine, cosine = axis.norm(dim=-1), ends @ start
    angle = torch.atan2(sine, cosine)
    return axis_angle_to_rotmat(axis * (angle / sine.clamp_min(1e-9))[:, None])


def _twist_about(rotation: Tensor, axis: Tensor) -> Tensor:
    """Twist angles (T,) of rotations (T, 3, 3) about a unit axis (3,), in (-pi, pi]."""
    xyzw = roma.rotmat_to_unitquat(rotation)
    angle = 2 * torch.atan2(xyzw[:, :3] @ axis, xyzw[:, 3])
    return torch.remainder(angle + torch.pi, 2 * torch.pi) - torch.pi


def _spread(world: dict[str, Tensor], chain: tuple[str, ...], below: str, sources: list[Tensor]) -> None:
    """Spread the world rotations of n source joints over a chain of SMPL joints; the last takes the last.

    One source joint bends every joint of the chain by the same share. Of several, the first goes to the first
    SMPL joint and the others are spaced evenly, on the arc between two where none falls: the CMU skeleton's
    abdomen and chest lie where SMPL's spine1 and spine2 to spine3 do.
    """
    knots = [world[below], *sources]
    for k, name in enumerate(chain):
        if len(sources) < 2:
            place = (k + 1) / len(chain) * len(sources)
        else:
            place = 1 + k / (len(chain) - 1) * (len(sources) - 1)
        low = int(place + 1e-9)
        share = place - low
        world[name] = knots[low] if share < 1e-9 else _between(knots[low], knots[low + 1], share)


def _between(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Rotation (..., 3, 3) on the arc from ``first`` to ``second``."""
    return first @ axis_angle_to_rotmat(rotmat_to_axis_angle(first.mT @ second) * share)


def _relative(world: dict[str, Tensor]) -> Tensor:
    """Rotations (T, 24, 3, 3) relative to the parent; joints that nobody moves go with their parent."""
    full: list[Tensor] = []
    local: list[Tensor] = []
    for name, parent in zip(SMPL_JOINTS, SMPL_PARENTS, strict=True):
        rotation = world[name] if parent < 0 else world.get(name, full[parent])
        full.append(rotation)
        local.append(rotation if parent < 0 else full[parent].mT @ rotation)
    return roma.special_procrustes(torch.stack(local, 1))


def _translation(source: _Source, rest: Tensor, root: Tensor, upright: np.ndarray) -> Tensor:
    """SMPL's trans (T, 3): the middle of the hips follows the source's, scaled by the leg lengths."""
    legs = []
    for side in ("left", "right"):
        joints = [f"{side}_{part}" for part in ("hip", "knee", "ankle")]
        ours = rest[[SMPL_JOINTS.index(n) for n in joints]].numpy()
        theirs = source.rest[[source.joints[n] for n in joints]]
        legs.append([np.linalg.norm(np.diff(p, axis=0), axis=1).sum() for p in (ours, theirs)])
    ours_length, theirs_length = np.mean(legs, 0)
    if theirs_length < 1e-6:
        raise MotionFileError(f"{source.clip.name}: the legs have no length")
    hips = source.places[:, [source.joints["left_hip"], source.joints["right_hip"]]].mean(1)
    target = torch.from_numpy(hips @ upright.T * (ours_length / theirs_length))
    pelvis = rest[0]
    middle = rest[1:3].mean(0)
    return target - pelvis - root @ (middle - pelvis)


def on_the_ground(motion: Motion, body: BodyModel) -> Motion:
    """The motion moved up or down as a whole, so that its lowest point over the good frames is at y = 0."""
    chosen = motion.good if motion.good.any() else torch.ones_like(motion.good)
    if len(motion) == 0:
        return motion
    lowest = _lowest_points(motion.bodies()[chosen.nonzero()[:, 0]], body).min()
    trans = motion.trans - torch.stack([torch.zeros_like(lowest), lowest, torch.zeros_like(lowest)])
    return Motion(
        motion.rotations,
        trans,
        motion.fps,
        motion.name,
        motion.subject,
        motion.good,
        motion.betas,
        motion.gender,
    )


def _lowest_points(bodies: Bodies, body: BodyModel) -> Tensor:
    """Lowest height (T,) of each posed mesh, from the outermost vertices of each part; metres."""
    index = _outermost(body)
    vertices = body.rest_vertices(bodies.betas[0])[index]
    weights = body.weights[index]
    frames = body.frames(bodies)
    # y of a skinned vertex is sum_j w_j (R_j[y] . (v - rest_j) + place_j[y]): a matrix product over frames.
    rows = frames.rotations[..., 1, :]
    heights = frames.positions[..., 1] - (rows * frames.rest).sum(-1)
    lever = (weights[:, :, None] * vertices[:, None, :]).flatten(1)
    return (rows.flatten(1) @ lever.T + heights @ weights.T).amin(-1)


def _outermost(body: BodyModel) -> Tensor:
    """Indices of the vertices of each part that lie outermost in 26 directions: a coarse convex hull."""
    grid = torch.tensor([-1.0, 0.0, 1.0])
    directions = torch.cartesian_prod(grid, grid, grid)
    directions = torch.nn.functional.normalize(directions[directions.abs().sum(-1) > 0], dim=-1)
    part = body.weights.argmax(-1)
    reach = body.v_template @ directions.to(body.v_template).T
    chosen = [
        torch.where(part[:, None] == joint, reach, -torch.inf).argmax(0) for joint in part.unique().tolist()
    ]
    return torch.cat(chosen).unique()
