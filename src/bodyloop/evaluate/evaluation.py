"""`evaluate_bodies`: recovered bodies against the truth of a data set, by its protocol."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bodyloop.body import SMPL_JOINTS, Atlas, Bodies, BodyModel, Skeleton, convert, face_parts
from bodyloop.body.parts import partition
from bodyloop.errors import InputError
from bodyloop.evaluate.metrics import auc, joint_errors, mean_of_seen, pa_mpjpe_axes, pa_pve, pck, pve, pve_t
from bodyloop.evaluate.protocols import Protocol
from bodyloop.evaluate.scores import Scores
from bodyloop.evaluate.segmentation import CHUNK, Confusion, confusion
from bodyloop.evidence import DenseKeypoints
from bodyloop.geometry import Camera
from bodyloop.raster import NEAR, part_map, rasterize
from bodyloop.terms.dense import dense_distance

UNLABELLED = -2
"""In a part map, a pixel without a true class (255 in the files of UPi-S1h)."""

JOINTS_CHUNK = 4096
"""People whose joints are regressed at once, which bounds the memory."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of N people; each protocol needs some of it.

    Attributes:
        people: N labels.
        joints: (N, K, 3) metres, camera axes; absolute or relative to anything, unless the protocol aligns nothing.
        skeleton: of the joints.
        seen: (N, K) bool, the joints that are known; all if None.
        bodies: N people in camera axes.
        models: the model of each of the N bodies, where they differ (3DPW's are of two genders); that of the found ones
            if empty.
        silhouettes: N masks (H, W) bool, each of its image's size.
        part_maps: N maps (H, W) int64 of the partition ``lsp``, -1 for the background, `UNLABELLED` where unknown.
        dense: annotated points of N people.
        boxes: (N, 4) x0, y0, x1, y1 of the annotated people, in pixels.
    """

    people: tuple[str, ...]
    joints: Tensor | None = None
    skeleton: Skeleton | None = None
    seen: Tensor | None = None
    bodies: Bodies | None = None
    models: tuple[BodyModel, ...] = ()
    silhouettes: tuple[Tensor, ...] = ()
    part_maps: tuple[Tensor, ...] = ()
    dense: tuple[DenseKeypoints, ...] = ()
    boxes: Tensor | None = None

    def __post_init__(self) -> None:
        given = {
            "joints": self.joints,
            "seen": self.seen,
            "bodies": self.bodies,
            "models": self.models or None,
            "silhouettes": self.silhouettes or None,
            "part_maps": self.part_maps or None,
            "dense": self.dense or None,
            "boxes": self.boxes,
        }
        wrong = {k: len(v) for k, v in given.items() if v is not None and len(v) != len(self.people)}
        if wrong:
            raise ValueError(f"Truth of {len(self.people)} people has {wrong}; give as many of each")
        if self.joints is not None and (
            self.skeleton is None or self.joints.shape[1:] != (len(self.skeleton), 3)
        ):
            raise ValueError(
                f"Truth's joints need their skeleton, and shape (N, K, 3), got {tuple(self.joints.shape)} with "
                f"{self.skeleton and self.skeleton.name}"
            )


def evaluate_bodies(
    protocol: Protocol,
    found: Bodies,
    truth: Truth,
    body: BodyModel,
    *,
    cameras: Sequence[Camera] = (),
    regressor: Tensor | None = None,
    atlas: Atlas | None = None,
    chunk: int = CHUNK,
) -> Scores:
    """Measure what a protocol measures (MuPoTS, where people have to be matched: `bodyloop.evaluate.mupots`).

    Args:
        protocol: of `bodyloop.evaluate.protocols.PROTOCOLS`.
        found: N people in camera axes; where the protocol compares with images, in the camera frame.
        truth: of the same N people.
        body: the found people's model.
        cameras: N, each with its image's size, where the protocol compares with images.
        regressor: (K, V) of the protocol's skeleton (`bodyloop.body.read_joint_regressor`); without it the body's own
            landmarks of the same names serve, and a note says so.
        atlas: of the annotated points, for DKD: DensePose's own, with SMPL's body.
        chunk: the most meshes in memory at once.

    Raises:
        InputError: if the truth lacks what the protocol needs, numbers of people differ, or a found body is not finite.
    """
    check_bodies(found, len(truth.people))
    values: dict[str, Tensor] = {}
    errors = None
    if protocol.skeleton is not None:
        points = joint_source(body, protocol.skeleton, regressor)
        joints, (true_joints, seen) = points(found), _true_joints(protocol, truth, body, regressor)
        true_joints = true_joints.to(joints)
        seen = seen.to(joints.device)
        errors, figures = _joint_figures(protocol, protocol.skeleton, joints, true_joints, seen)
        values |= figures
        if truth.bodies is not None:
            root = protocol.skeleton.index(protocol.root)
            values |= _mesh_figures(
                protocol, found, truth, body, joints[:, root], true_joints[:, root], chunk
            )
    confusions: dict[str, Confusion] = {}
    if "fb_f1" in protocol.metrics:
        confusions = _segmentation(found, truth, body, _cameras(cameras, truth))
        values["silhouette_iou"] = confusions["foreground"].iou()
        values["part_iou_6"] = confusions["lsp"].iou()
    if "dkd_px" in protocol.metrics:
        values["dkd_px"] = _dense_distances(protocol, found, truth, body, _cameras(cameras, truth), atlas)
    return Scores(
        protocol.title,
        truth.people,
        {key: values[key].double().cpu() for key in protocol.metrics if key in values},
        protocol.joints,
        None if errors is None else errors.double().cpu(),
        confusions,
        ignored_as_background=bool(confusions),
        notes=(*protocol.unverified, *joint_notes(protocol, body, regressor)),
    )


def check_bodies(found: Bodies, people: int) -> None:
    """Make sure that there is a finite body for everybody.

    Raises:
        InputError: naming the people.
    """
    if tuple(found.batch_shape) != (people,) or not people:
        raise InputError(
            f"expected a found body for each person, at least one, got {tuple(found.batch_shape)} for {people} people"
        )
    numbers = (found.rotations, found.betas, found.translation)
    finite = torch.stack([values.flatten(1).isfinite().all(1) for values in numbers]).all(0)
    if not finite.all():
        bad = (~finite).nonzero()[:, 0].tolist()
        raise InputError(
            f"{len(bad)} of {people} found bodies hold NaN or infinity, people {', '.join(map(str, bad[:5]))}"
            f"{' ...' if len(bad) > 5 else ''}; leave them out, or put the method's fallback in their place"
        )


def joint_source(
    body: BodyModel, skeleton: Skeleton, regressor: Tensor | None = None
) -> Callable[[Bodies], Tensor]:
    """What gives a skeleton's joints (N, K, 3) of bodies, without their meshes.

    Args:
        body: the bodies' model.
        skeleton: the joints wanted.
        regressor: (K, V) of this skeleton; the body's own landmarks if None.

    Raises:
        InputError: if the regressor is for another mesh or skeleton, or the body lacks a landmark.
    """
    if regressor is None:
        points, known = body.keypoints(skeleton)
        if not known.all():
            missing = [n for n, has in zip(skeleton.keypoints, known.tolist(), strict=True) if not has]
            raise InputError(
                f"the body {body.name!r} has no {', '.join(missing)}; give the joint regressor of {skeleton.name}"
            )
    else:
        if tuple(regressor.shape) != (len(skeleton), len(body.v_template)):
            raise InputError(
                f"expected a regressor ({len(skeleton)}, {len(body.v_template)}) for {skeleton.name} and the body "
                f"{body.name!r}, got {tuple(regressor.shape)}"
            )
        points = body.vertex_points(skeleton.keypoints, regressor.to(body.v_template))

    def joints(bodies: Bodies) -> Tensor:
        firsts = range(0, max(len(bodies), 1), JOINTS_CHUNK)
        return torch.cat([body.points(bodies[i : i + JOINTS_CHUNK], points) for i in firsts])

    return joints


def _true_joints(
    protocol: Protocol, truth: Truth, body: BodyModel, regressor: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The protocol's joints (N, K, 3), and whether they are known (N, K)."""
    skeleton = protocol.skeleton
    assert skeleton is not None, "asked only where joints are compared"
    if truth.joints is not None and truth.skeleton is not None:
        mask = torch.ones(truth.joints.shape[:2]) if truth.seen is None else truth.seen.float()
        joints, known = convert(truth.joints, mask.to(truth.joints), truth.skeleton, skeleton)
        if not (known[:, skeleton.index(protocol.root)] > 0).any():
            raise InputError(
                f"{protocol.title} aligns {protocol.root}, which is known of nobody; the truth's joints are "
                f"{', '.join(truth.skeleton.keypoints)}"
            )
        return joints, known > 0
    if truth.bodies is None:
        raise InputError(f"{protocol.title} compares joints; the truth has neither joints nor bodies")
    joints = truth.bodies.translation.new_zeros(len(truth.people), len(skeleton), 3)
    for model, numbers in _by_model(truth, body):
        joints[numbers] = joint_source(model, skeleton, regressor)(truth.bodies[numbers])
    return joints, torch.ones(joints.shape[:2], dtype=torch.bool, device=joints.device)


def _by_model(truth: Truth, body: BodyModel) -> list[tuple[BodyModel, Tensor]]:
    """Each model of the true bodies with the numbers of its people."""
    models = truth.models or (body,) * len(truth.people)
    different = {id(model): model for model in models}
    return [
        (model, torch.tensor([i for i, other in enumerate(models) if other is model]))
        for model in different.values()
    ]


def _joint_figures(
    protocol: Protocol, skeleton: Skeleton, found: Tensor, truth: Tensor, seen: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Errors (N, J) of the protocol's joints in mm, pelvis aligned, and all measures of joints."""
    columns = [skeleton.index(name) for name in protocol.joints]
    errors = joint_errors(found, truth, "root", skeleton.index(protocol.root), seen)[:, columns]
    some = found[:, columns], truth[:, columns]
    known = seen[:, columns]
    aligned = joint_errors(*some, "similarity", seen=known)
    axes = pa_mpjpe_axes(*some, known)
    scored = [protocol.joints.index(name) for name in protocol.pck_joints]
    figures = {
        "mpjpe_mm": mean_of_seen(errors, known),
        "pa_mpjpe_mm": mean_of_seen(aligned, known),
        **{f"pa_{axis}_mm": axes[:, i] for i, axis in enumerate("xyz")},
    }
    if scored:
        figures |= {
            "pck": pck(errors[:, scored]),
            "auc": auc(errors[:, scored]),
            "pa_pck": pck(aligned[:, scored]),
            "pa_auc": auc(aligned[:, scored]),
        }
    return errors, figures


def _mesh_figures(
    protocol: Protocol,
    found: Bodies,
    truth: Truth,
    body: BodyModel,
    root: Tensor,
    true_root: Tensor,
    chunk: int,
) -> dict[str, Tensor]:
    """Measures of meshes; nothing where the protocol has none."""
    wanted = {"pve_mm", "pa_pve_mm", "pve_t_mm"} & set(protocol.metrics)
    assert truth.bodies is not None, "asked only where bodies are known"
    figures = {key: root.new_full((len(found),), torch.nan) for key in wanted}
    for model, numbers in _by_model(truth, body) if wanted else []:
        if len(model.v_template) != len(body.v_template):
            raise InputError(
                f"found bodies have {len(body.v_template)} vertices, true ones {len(model.v_template)}; "
                "evaluate with a body of the truth's topology"
            )
        for first in range(0, len(numbers), chunk):
            some = numbers[first : first + chunk]
            mesh, true_mesh = body.vertices(found[some]), model.vertices(truth.bodies[some]).to(root)
            if "pve_mm" in wanted:
                figures["pve_mm"][some] = pve(mesh, true_mesh, root[some], true_root[some])
            if "pa_pve_mm" in wanted:
                figures["pa_pve_mm"][some] = pa_pve(mesh, true_mesh)
            if "pve_t_mm" in wanted:
                if model is not body:
                    raise InputError(f"{protocol.title} compares shapes, which needs one model for both")
                figures["pve_t_mm"][some] = pve_t(found.betas[some], truth.bodies.betas[some], body)
    return figures


def _cameras(cameras: Sequence[Camera], truth: Truth) -> Sequence[Camera]:
    if len(cameras) != len(truth.people):
        raise InputError(
            f"a protocol that compares with images needs a camera for each of {len(truth.people)} people, got "
            f"{len(cameras)}"
        )
    return cameras


def _segmentation(
    found: Bodies, truth: Truth, body: BodyModel, cameras: Sequence[Camera]
) -> dict[str, Confusion]:
    """Counts of everybody's silhouette and six parts, one image at a time, since sizes differ."""
    if not truth.silhouettes or not truth.part_maps:
        raise InputError("the truth needs silhouettes and part maps of everybody")
    labels, names = face_parts(body, "lsp"), partition("lsp").parts
    silhouettes, parts = [], []
    for i, camera in enumerate(cameras):
        shape = camera.size[1], camera.size[0]
        for kind, map_ in (("silhouette", truth.silhouettes[i]), ("part map", truth.part_maps[i])):
            if tuple(map_.shape) != shape:
                raise InputError(
                    f"{truth.people[i]}: the {kind} is {tuple(map_.shape)} pixels (height, width), the camera's image "
                    f"{shape}; give both for the same image"
                )
        drawn = part_map(rasterize(body.vertices(found[i : i + 1]), body.faces, camera), labels)
        mask, true = truth.silhouettes[i][None].to(drawn.device), truth.part_maps[i][None].to(drawn.device)
        silhouettes.append(confusion((drawn >= 0).long() - 1, mask.long() - 1, ("body",)))
        parts.append(confusion(drawn, true, names, true == UNLABELLED))
    return {"foreground": Confusion.cat(silhouettes).cpu(), "lsp": Confusion.cat(parts).cpu()}


def _dense_distances(
    protocol: Protocol,
    found: Bodies,
    truth: Truth,
    body: BodyModel,
    cameras: Sequence[Camera],
    atlas: Atlas | None,
) -> Tensor:
    """DKD (N,) in pixels of the crop; NaN where nothing is annotated."""
    if not truth.dense or truth.boxes is None or atlas is None:
        raise InputError(
            f"{protocol.title} needs the annotated points, the boxes, and the atlas of the points' charts"
        )
    if atlas.faces.numel() and int(atlas.faces.max()) >= len(body.v_template):
        raise InputError(
            f"the atlas is of a mesh with more vertices than the body {body.name!r} has; give the body it belongs to"
        )
    distances = []
    for i, (camera, points) in enumerate(zip(cameras, truth.dense, strict=True)):
        points = points[points.weight > 0].to(found.translation.device)
        if not len(points):
            distances.append(found.translation.new_tensor(torch.nan))
            continue
        try:
            corners, barycentric = atlas.locate(points.part, *points.uv.unbind(-1))
        except ValueError as error:
            raise InputError(f"{truth.people[i]}: {error}") from None
        vertices = body.vertices(found[i : i + 1])[0]
        ahead = torch.cat([vertices[:, :2], vertices[:, 2:].clamp_min(NEAR)], -1)
        off = dense_distance(
            camera.project(ahead), corners, barycentric.to(vertices), points.pixels.to(vertices)
        )
        side = float((truth.boxes[i, 2:] - truth.boxes[i, :2]).max())
        if not side > 0:
            raise InputError(f"{truth.people[i]}: the box is {side:g} pixels long; give x0, y0, x1, y1")
        scale = 1.0 if protocol.crop is None else protocol.crop / side
        distances.append(off.mean() * scale)
    return torch.stack(distances)


def joint_notes(protocol: Protocol, body: BodyModel, regressor: Tensor | None) -> tuple[str, ...]:
    """What to know of a protocol's joints where no regressor of them is given."""
    own = protocol.skeleton is not None and set(protocol.joints) <= set(SMPL_JOINTS)
    if protocol.skeleton is None or regressor is not None or own:
        return ()
    return (
        f"Joints are the landmarks of the body {body.name!r}, not those of the joint regressor that papers use: "
        "figures are not to be compared with theirs.",
    )
