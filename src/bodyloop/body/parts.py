"""Part labels of a body's surface, from its skinning weights.

A vertex belongs to the SMPL joint that moves it most; a face to the joint with the largest weight summed over
its corners. Coarser partitions (`PARTITIONS`) merge joints, so they are exact unions of the finest one. This
works for every body in SMPL's format, on any topology.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bodyloop.body.model import BodyModel
from bodyloop.body.skeletons import SMPL_JOINTS


@dataclass(frozen=True)
class Partition:
    """A named set of parts that SMPL's joints are merged into.

    Attributes:
        name: key in `PARTITIONS`.
        parts: names; a label is an index into them.
        part_of_joint: 24 labels, one an SMPL joint.
    """

    name: str
    parts: tuple[str, ...]
    part_of_joint: tuple[int, ...]

    @property
    def flip(self) -> tuple[int, ...]:
        """For each label, the label of the part on the other side (its own for parts in the middle)."""
        return tuple(self.parts.index(_other_side(name)) for name in self.parts)


def _other_side(name: str) -> str:
    if "left" in name:
        return name.replace("left", "right")
    return name.replace("right", "left")


def _merge(name: str, joints_of_part: dict[str, str]) -> Partition:
    """A partition from part name -> SMPL joints."""
    owner = {joint: part for part, joints in joints_of_part.items() for joint in joints.split()}
    parts = tuple(joints_of_part)
    return Partition(name, parts, tuple(parts.index(owner[joint]) for joint in SMPL_JOINTS))


_TORSO = "pelvis spine1 spine2 spine3 left_collar right_collar"

PARTITIONS = {
    partition.name: partition
    for partition in (
        Partition("smpl", SMPL_JOINTS, tuple(range(24))),
        Partition("person", ("person",), (0,) * 24),
        _merge(
            "densepose",
            {
                "torso": _TORSO,
                "right_hand": "right_wrist right_hand",
                "left_hand": "left_wrist left_hand",
                "left_foot": "left_ankle left_foot",
                "right_foot": "right_ankle right_foot",
                "right_upper_leg": "right_hip",
                "left_upper_leg": "left_hip",
                "right_lower_leg": "right_knee",
                "left_lower_leg": "left_knee",
                "left_upper_arm": "left_shoulder",
                "right_upper_arm": "right_shoulder",
                "left_lower_arm": "left_elbow",
                "right_lower_arm": "right_elbow",
                "head": "neck head",
            },
        ),
        _merge(
            "lsp",
            {
                "head": "neck head",
                "torso": _TORSO,
                "left_arm": "left_shoulder left_elbow left_wrist left_hand",
                "right_arm": "right_shoulder right_elbow right_wrist right_hand",
                "left_leg": "left_hip left_knee left_ankle left_foot",
                "right_leg": "right_hip right_knee right_ankle right_foot",
            },
        ),
    )
}
"""``smpl``: SMPL's 24 joints in their order (SURREAL's ``segm`` is this plus 1). ``densepose``: the 14 parts of
DensePose's ``dp_masks`` in their order (the files' labels are this plus 1; Guler et al., "DensePose", 2018).
``person``: the silhouette. ``lsp``: the six parts that Kolotouros et al., "SPIN", 2019, table 2 score on LSP. The neck
counts as head."""


def partition(name: str) -> Partition:
    """A partition by name.

    Raises:
        KeyError: naming those there are.
    """
    try:
        return PARTITIONS[name]
    except KeyError:
        raise KeyError(f"no partition {name!r}; there are {', '.join(PARTITIONS)}") from None


def vertex_parts(body: BodyModel, name: str = "smpl") -> Tensor:
    """Label (V,) int64 of every vertex in a partition of `PARTITIONS`, by default its SMPL joint 0 to 23.

    Raises:
        KeyError: for an unknown partition.
    """
    return _merged(body.weights, name)


def face_parts(body: BodyModel, name: str = "smpl") -> Tensor:
    """Label (F,) int64 of every face, as `vertex_parts`: from the sum of its corners' weights.

    Raises:
        KeyError: for an unknown partition.
    """
    return _merged(body.weights[body.faces].sum(1), name)


def _merged(weights: Tensor, name: str) -> Tensor:
    of_joint = torch.tensor(partition(name).part_of_joint, device=weights.device)
    return of_joint[weights.argmax(-1)]
