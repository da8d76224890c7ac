"""MuPoTS: several people in a frame, found and annotated ones matched in the image, then 3DPCK.

After Mehta et al., "Single-Shot Multi-Person 3D Pose Estimation From Monocular RGB", 2018, and its evaluation script
``mpii_mupots_multiperson_eval.m``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bodyloop.body.skeletons import MPI17
from bodyloop.errors import InputError
from bodyloop.evaluate.metrics import auc, joint_errors, pck
from bodyloop.evaluate.protocols import J17, Protocol
from bodyloop.evaluate.scores import Scores

MATCHING = MPI17.keypoints[1:14]
"""Joints that people are matched by: neck to ankles."""

NEAR_PX = 40.0
"""A joint is met where both its coordinates are nearer than this to the annotated ones, in the image's own pixels."""

_PARENTS = {
    "head_extra": "neck_extra", "neck_extra": "spine_extra", "jaw_extra": "neck_extra", "spine_extra": "pelvis_extra",
    **{f"{side}_shoulder": "neck_extra" for side in ("left", "right")},
    **{f"{side}_elbow": f"{side}_shoulder" for side in ("left", "right")},
    **{f"{side}_wrist": f"{side}_elbow" for side in ("left", "right")},
    **{f"{side}_hip_extra": "pelvis_extra" for side in ("left", "right")},
    **{f"{side}_knee": f"{side}_hip_extra" for side in ("left", "right")},
    **{f"{side}_ankle": f"{side}_knee" for side in ("left", "right")},
}  # fmt: skip
_ORDER = ("spine_extra", "neck_extra", "head_extra", "jaw_extra", *MPI17.keypoints[2:14])
"""Bones from the pelvis outwards."""


@dataclass(frozen=True, eq=False)
class MupotsFrame:
    """A frame with G annotated and P found people; joints are those of `bodyloop.body.skeletons.MPI17`.

    Attributes:
        sequence: "TS1" to "TS20".
        frame: its number.
        true_image: (G, 17, 2) pixels, of the valid annotations.
        truth: (G, 17, 3) metres, camera frame: the annotations' univ_annot3, annot3 for absolute errors in metres.
        found_image: (P, 17, 2) pixels; NaN for a joint that was not found.
        found: (P, 17, 3) metres, camera frame.
    """

    sequence: str
    frame: int
    true_image: Tensor
    truth: Tensor
    found_image: Tensor
    found: Tensor

    def __post_init__(self) -> None:
        g, p, k = len(self.truth), len(self.found), len(MPI17)
        shapes = [tuple(x.shape) for x in (self.true_image, self.truth, self.found_image, self.found)]
        if shapes != [(g, k, 2), (g, k, 3), (p, k, 2), (p, k, 3)]:
            raise ValueError(
                f"a frame needs true joints (G, {k}, 2) and (G, {k}, 3), found ones (P, {k}, 2) and (P, {k}, 3), got "
                f"{', '.join(map(str, shapes))}"
            )


def match_people(found: Tensor, truth: Tensor, near: float = NEAR_PX) -> list[int]:
    """Which found person is each annotated one: G numbers, -1 for nobody.

    In the annotations' order, each takes the person who meets most joints of those not yet taken; of equals, the first.

    Args:
        found: (P, K, 2) pixels; NaN for what was not found.
        truth: (G, K, 2) pixels.
        near: pixels.
    """
    met = ((found[None] - truth[:, None]).abs() < near).all(-1).sum(-1)
    matches = []
    for row in met:
        best = int(row.argmax()) if len(row) else 0
        if len(row) and row[best] > 0:
            matches.append(best)
            met[:, best] = 0  # taken
        else:
            matches.append(-1)
    return matches


def with_true_bones(found: Tensor, truth: Tensor) -> Tensor:
    """Found joints (..., 17, 3) with the true bones' lengths: each bone keeps its direction, the pelvis its place."""
    places = dict(zip(MPI17.keypoints, found.unbind(-2), strict=True))
    true = dict(zip(MPI17.keypoints, truth.unbind(-2), strict=True))
    moved = {"pelvis_extra": places["pelvis_extra"]}
    for name in _ORDER:
        parent = _PARENTS[name]
        bone = places[name] - places[parent]
        length = (true[name] - true[parent]).norm(dim=-1, keepdim=True)
        size = bone.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(found.dtype).tiny)
        moved[name] = moved[parent] + bone / size * length
    return torch.stack([moved[name] for name in MPI17.keypoints], -2)


def mupots_scores(protocol: Protocol, frames: Sequence[MupotsFrame]) -> Scores:
    """3DPCK and AUC of all annotated people, those found by nobody missing all joints, or of the matched ones.

    PCK and AUC after aligning the pelvis, ``pck_abs`` without, ``pa_mpjpe_mm`` over all 17 joints; the table's figures
    are means over sequences.

    Args:
        protocol: "mupots-all" or "mupots-matched".
        frames: of any sequences.

    Raises:
        InputError: for another protocol, found places that are not finite, or no annotated person.
    """
    if protocol.skeleton is not MPI17:
        raise InputError(
            f"expected a protocol of MuPoTS, got {protocol.name!r}; evaluate_bodies serves the others"
        )
    labels: list[str] = []
    groups: list[str] = []
    errors: list[Tensor] = []
    absolute: list[Tensor] = []
    aligned: list[Tensor] = []
    columns = [MPI17.index(name) for name in protocol.joints]
    root, matching = MPI17.index(protocol.root), [MPI17.index(name) for name in MATCHING]
    for frame in frames:
        if not frame.found.isfinite().all():
            raise InputError(
                f"{frame.sequence}, frame {frame.frame}: found joints hold NaN or infinity; leave such people out"
            )
        matches = match_people(frame.found_image[:, matching], frame.true_image[:, matching])
        for person, match in enumerate(matches):
            truth = frame.truth[person]
            labels.append(f"{frame.sequence}/{frame.frame}/{person}")
            groups.append(frame.sequence)
            if match < 0:
                # Infinity misses every threshold; NaN is not counted at all.
                missing = torch.inf if protocol.name == "mupots-all" else torch.nan
                for list_ in (errors, absolute):
                    list_.append(truth.new_full((len(columns),), missing))
                aligned.append(truth.new_tensor(torch.nan))
                continue
            found = with_true_bones(frame.found[match], truth)
            errors.append(joint_errors(found, truth, "root", root)[columns])
            absolute.append(joint_errors(found, truth, "none")[columns])
            aligned.append(joint_errors(frame.found[match], truth, "similarity").mean())
    if not labels:
        raise InputError("expected frames with at least one annotated person, got none")
    scored = [protocol.joints.index(name) for name in protocol.pck_joints]
    each, places = torch.stack(errors), torch.stack(absolute)
    figures = {
        "pck": pck(each[:, scored]),
        "auc": auc(each[:, scored]),
        "pck_abs": pck(places[:, scored]),
        "pa_mpjpe_mm": torch.stack(aligned),
    }
    return Scores(
        protocol.title,
        tuple(labels),
        {key: figures[key].double() for key in protocol.metrics},
        J17,
        torch.where(each.isinf(), torch.nan, each).double(),
        groups=tuple(groups),
        notes=protocol.unverified,
    )
