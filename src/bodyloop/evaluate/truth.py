"""From records of data sets to `Truth`: what a protocol needs of each person, and why some cannot be judged."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel, convert
from bodyloop.data.part_maps import UNKNOWN, PartSource
from bodyloop.data.record import Gender, Record
from bodyloop.errors import InputError
from bodyloop.evaluate.evaluation import UNLABELLED, Truth
from bodyloop.evaluate.protocols import Protocol

TruthKind = Literal["joints", "bodies", "masks", "dense"]
"""What people are compared with: joints that the data set gives, joints and meshes of its SMPL parameters, silhouettes
and parts, or dense points."""

LOOKED_AT = 200
"""Records by which it is told whether a data set gives joints."""


def truth_kind(protocol: Protocol, records: Sequence[Record]) -> TruthKind:
    """What people of a data set are compared with under a protocol, the same for all of them.

    Joints are those that the data set gives, where some of the first records have them with the protocol's root; the
    SMPL parameters otherwise, and always where meshes are compared.
    """
    if "fb_f1" in protocol.metrics:
        return "masks"
    if "dkd_px" in protocol.metrics:
        return "dense"
    if {"pve_mm", "pa_pve_mm", "pve_t_mm"} & set(protocol.metrics):
        return "bodies"
    some = (records[i] for i in range(min(len(records), LOOKED_AT)))
    return "joints" if any(_has_root(record, protocol) for record in some) else "bodies"


def truth_of(record: Record, protocol: Protocol, kind: TruthKind) -> Truth:
    """What is known of one person.

    Raises:
        InputError: if the record lacks what the protocol compares with, with few words that many records share; or if
            a map cannot be read.
    """
    name = (record.id,)
    if kind == "joints":
        return _joints(record, protocol)
    if kind == "bodies":
        return Truth(name, bodies=_bodies(record))
    if kind == "masks":
        return _masks(record)
    if record.dense is None or record.box is None:
        raise InputError("no dense points, or no box around the person")
    return Truth(name, dense=(record.dense,), boxes=torch.tensor([record.box], dtype=torch.float32))


def _has_root(record: Record, protocol: Protocol) -> bool:
    joints = record.joints
    if joints is None or protocol.root not in joints.skeleton.keypoints:
        return False
    return bool(joints.mask[joints.skeleton.index(protocol.root)])


def _joints(record: Record, protocol: Protocol) -> Truth:
    joints, skeleton = record.joints, protocol.skeleton
    assert skeleton is not None, "protocols that compare joints name them"
    if joints is None:
        raise InputError("no 3D joints")
    if not _has_root(record, protocol):
        raise InputError(f"3D joints without {protocol.root}, at which the protocol aligns")
    points, known = convert(joints.points, joints.mask.float(), joints.skeleton, skeleton)
    return Truth((record.id,), joints=points[None], skeleton=skeleton, seen=known[None] > 0)


def _bodies(record: Record) -> Bodies:
    label = record.body
    if label is None:
        raise InputError("no SMPL parameters")
    if label.frame != "camera":
        raise InputError(
            "SMPL parameters in the world's axes, which say nothing of how an image shows the person"
        )
    if not label.has_betas:
        raise InputError("SMPL parameters without shape")
    bodies = label.bodies
    return Bodies(bodies.rotations[None], bodies.betas[None], bodies.translation[None])


def _masks(record: Record) -> Truth:
    if record.parts is None or record.parts.partition != "lsp":
        raise InputError("no map of LSP's six parts")
    if record.silhouette is None:
        raise InputError("no silhouette beside the map of parts")
    labels, silhouette = _labels(record.parts), _labels(record.silhouette)
    parts = torch.where(labels == UNKNOWN, UNLABELLED, labels - 1)
    return Truth((record.id,), silhouettes=(silhouette > 0,), part_maps=(parts,))


def _labels(source: PartSource) -> Tensor:
    """(H, W) int64."""
    return torch.from_numpy(source.read().labels).long()


def join_truths(parts: Sequence[Truth], models: tuple[BodyModel, ...] = ()) -> Truth:
    """The people of several truths of one kind in one.

    Args:
        parts: at least one; all have the same of joints, bodies, masks and dense points.
        models: of their bodies, as in `Truth`.
    """

    def tensors(pick: str) -> Tensor | None:
        values: list[Tensor] = [value for part in parts if (value := getattr(part, pick)) is not None]
        return torch.cat(values) if values else None

    bodies = [part.bodies for part in parts if part.bodies is not None]
    return Truth(
        tuple(name for part in parts for name in part.people),
        tensors("joints"),
        parts[0].skeleton,
        tensors("seen"),
        Bodies.cat(bodies) if bodies else None,
        models,
        tuple(mask for part in parts for mask in part.silhouettes),
        tuple(map_ for part in parts for map_ in part.part_maps),
        tuple(dense for part in parts for dense in part.dense),
        tensors("boxes"),
    )


def models_of(genders: Sequence[Gender | None], models: dict[Gender, BodyModel]) -> tuple[BodyModel, ...]:
    """The model of each person's SMPL parameters, for `Truth.models`: none where there are none for genders.

    Args:
        genders: N, None where it is not known.
        models: of "female", "male" and "neutral"; those for genders may be missing.
    """
    if len(models) == 1:
        return ()
    return tuple(models.get(gender or "neutral", models["neutral"]) for gender in genders)
