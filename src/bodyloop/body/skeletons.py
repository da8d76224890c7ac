"""Named keypoint sets, and how each keypoint's name leads to the body.

A skeleton is a list of landmark names. Two skeletons share a point exactly when they use the same name, so
conversion between any two is a matter of names (`convert`). Names ending in ``_extra`` are places that
annotators click and that differ from the kinematic joint of the same name (LSP's and COCO's hips, MPII's
pelvis ...); the split is SPIN's, which maps them to separate rows of its regressor.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import torch
from torch import Tensor


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SMPL_JOINTS = _names(
    """pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3
        left_foot right_foot neck left_collar right_collar head left_shoulder right_shoulder left_elbow
        right_elbow left_wrist right_wrist left_hand right_hand"""
)
"""SMPL's 24 joints (Loper et al. 2015, the model file's own order)."""


def mirrored(name: str) -> str:
    """The landmark on the other side of the body; the name itself for points in the middle."""
    if name.startswith("left_"):
        return "right_" + name[5:]
    if name.startswith("right_"):
        return "left_" + name[6:]
    if name.endswith("_left"):
        return name[:-5] + "_right"
    if name.endswith("_right"):
        return name[:-6] + "_left"
    return name


@dataclass(frozen=True)
class Skeleton:
    """A named, ordered keypoint set.

    Attributes:
        name: e.g. "coco17".
        keypoints: landmark names, in the set's own order. SPIN's 49 name some landmarks twice (once as
            OpenPose sees them, once as annotators do); all others are distinct.
        edges: pairs of landmark names that are drawn as limbs.
        source: where the order was read.
    """

    name: str
    keypoints: tuple[str, ...]
    edges: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    source: str = field(default="", repr=False)

    def __len__(self) -> int:
        return len(self.keypoints)

    @cached_property
    def flip(self) -> tuple[int, ...]:
        """Permutation that swaps left and right: ``mirrored = keypoints[..., flip, :]`` (then flip x)."""
        copies: dict[str, int] = {}
        permutation = []
        for name in self.keypoints:
            nth = copies.get(name, 0)
            copies[name] = nth + 1
            places = [i for i, other in enumerate(self.keypoints) if other == mirrored(name)]
            permutation.append(places[nth])
        return tuple(permutation)

    def index(self, name: str) -> int:
        """Position of a landmark name.

        Raises:
            KeyError: if the skeleton has no such keypoint; the message lists what it has.
        """
        try:
            return self.keypoints.index(name)
        except ValueError:
            raise KeyError(f"{self.name} has no {name!r}; it has {', '.join(self.keypoints)}") from None

    def edge_indices(self) -> list[tuple[int, int]]:
        """The edges as index pairs."""
        return [(self.keypoints.index(a), self.keypoints.index(b)) for a, b in self.edges]


def _limbs(hip: str = "hip") -> tuple[tuple[str, str], ...]:
    one_side = (("shoulder", "elbow"), ("elbow", "wrist"), (hip, "knee"), ("knee", "ankle"))
    pairs = [(f"{s}_{a}", f"{s}_{b}") for s in ("left", "right") for a, b in one_side]
    return tuple(pairs)


_TORSO = (
    ("left_shoulder", "right_shoulder"),
    ("left_hip_extra", "right_hip_extra"),
    ("left_shoulder", "left_hip_extra"),
    ("right_shoulder", "right_hip_extra"),
)
_FACE = (("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear"), ("right_eye", "right_ear"))

COCO17 = Skeleton(
    "coco17",
    _names(
        """nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow
        left_wrist right_wrist left_hip_extra right_hip_extra left_knee right_knee left_ankle
        right_ankle"""
    ),
    _limbs("hip_extra") + _TORSO + _FACE,
    "COCO person_keypoints category record; hips go to SPIN's J24 hips (SPIN datasets/preprocess/coco.py)",
)
COCO23 = Skeleton(
    "coco23",
    COCO17.keypoints
    + _names("left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel"),
    COCO17.edges + tuple((f"{s}_ankle", f"{s}_{p}") for s in ("left", "right") for p in ("heel", "big_toe")),
    "COCO-WholeBody, body and feet: the first 23 of its 133",
)
OPENPOSE25 = Skeleton(
    "openpose25",
    _names(
        """nose neck_op right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist pelvis
        right_hip right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear
        left_ear left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel"""
    ),
    _limbs()
    + _FACE
    + (("nose", "neck_op"), ("neck_op", "pelvis"), ("neck_op", "left_shoulder"))
    + (("neck_op", "right_shoulder"), ("pelvis", "left_hip"), ("pelvis", "right_hip"))
    + tuple((f"{s}_ankle", f"{s}_{p}") for s in ("left", "right") for p in ("heel", "big_toe")),
    "OpenPose BODY_25, as the first 25 names of SPIN constants.py",
)
OPENPOSE18 = Skeleton(
    "openpose18",
    _names(
        """nose neck_op right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip
        right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear"""
    ),
    _limbs()
    + _FACE
    + (("nose", "neck_op"), ("neck_op", "left_shoulder"), ("neck_op", "right_shoulder"))
    + (("neck_op", "left_hip"), ("neck_op", "right_hip")),
    "OpenPose's older COCO-18, as in 3DPW's poses2d",
)
MEDIAPIPE33 = Skeleton(
    "mediapipe33",
    _names(
        """nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer left_ear
        right_ear mouth_left mouth_right left_shoulder right_shoulder left_elbow right_elbow left_wrist
        right_wrist left_pinky right_pinky left_index right_index left_thumb right_thumb left_hip
        right_hip left_knee right_knee left_ankle right_ankle left_heel right_heel left_big_toe
        right_big_toe"""
    ),
    _limbs()
    + _FACE
    + (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"), ("mouth_left", "mouth_right"))
    + (("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"))
    + tuple((f"{s}_wrist", f"{s}_{p}") for s in ("left", "right") for p in ("pinky", "index", "thumb"))
    + tuple((f"{s}_ankle", f"{s}_{p}") for s in ("left", "right") for p in ("heel", "big_toe")),
    "MediaPipe PoseLandmark enum; 'foot index' is the big toe's tip",
)
LSP14 = Skeleton(
    "lsp14",
    _names(
        """right_ankle right_knee right_hip_extra left_hip_extra left_knee left_ankle right_wrist
        right_elbow right_shoulder left_shoulder left_elbow left_wrist neck_extra headtop"""
    ),
    _limbs("hip_extra") + _TORSO + (("neck_extra", "headtop"),),
    "LSP joints.mat, as the first 14 of SPIN's J24",
)
MPII16 = Skeleton(
    "mpii16",
    _names(
        """right_ankle right_knee right_hip_extra left_hip_extra left_knee left_ankle pelvis_extra
        thorax_extra neck_extra headtop right_wrist right_elbow right_shoulder left_shoulder left_elbow
        left_wrist"""
    ),
    _limbs("hip_extra") + _TORSO + (("pelvis_extra", "thorax_extra"), ("neck_extra", "headtop")),
    "MPII annotations, mapped as in SPIN datasets/preprocess/mpii.py",
)
H36M17 = Skeleton(
    "h36m17",
    _names(
        """pelvis_extra left_hip_extra left_knee left_ankle right_hip_extra right_knee right_ankle
        spine_extra neck_extra jaw_extra head_extra left_shoulder left_elbow left_wrist right_shoulder
        right_elbow right_wrist"""
    ),
    _limbs("hip_extra")
    + _TORSO[:1]
    + (("pelvis_extra", "left_hip_extra"), ("pelvis_extra", "right_hip_extra"))
    + (("pelvis_extra", "spine_extra"), ("spine_extra", "neck_extra"), ("neck_extra", "jaw_extra"))
    + (("jaw_extra", "head_extra"), ("neck_extra", "left_shoulder"), ("neck_extra", "right_shoulder")),
    "SPIN datasets/preprocess/h36m.py, left leg first (Moon's order is `H36M17_MOON`)",
)
H36M17_MOON = Skeleton(
    "h36m17_moon",
    _names(
        """pelvis_extra right_hip_extra right_knee right_ankle left_hip_extra left_knee left_ankle
        spine_extra neck_extra jaw_extra head_extra left_shoulder left_elbow left_wrist right_shoulder
        right_elbow right_wrist"""
    ),
    H36M17.edges,
    "Human3.6M annotations of Moon et al. (pelvis, right leg, left leg, spine, head, left arm, right arm)",
)
MPI17 = Skeleton(
    "mpi17",
    _names(
        """head_extra neck_extra right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist
        right_hip_extra right_knee right_ankle left_hip_extra left_knee left_ankle pelvis_extra spine_extra
        jaw_extra"""
    ),
    H36M17.edges,
    "annotations of the test sets of MPI-INF-3DHP and MuPoTS; head_top and head as SPIN maps them",
)
_J24 = _names(
    """right_ankle right_knee right_hip_extra left_hip_extra left_knee left_ankle right_wrist
        right_elbow right_shoulder left_shoulder left_elbow left_wrist neck_extra headtop pelvis_extra
        thorax_extra spine_extra jaw_extra head_extra nose left_eye right_eye left_ear right_ear"""
)
SPIN24 = Skeleton("spin24", _J24, LSP14.edges + _FACE, "SPIN constants.py, J24")
SMPL24 = Skeleton(
    "smpl24",
    SMPL_JOINTS,
    tuple(
        (SMPL_JOINTS[parent], SMPL_JOINTS[child + 1])
        for child, parent in enumerate(
            (0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
        )
    ),
    "SMPL model file, kintree_table",
)

SPIN49 = Skeleton(
    "spin49", OPENPOSE25.keypoints + SPIN24.keypoints, SPIN24.edges, "SPIN constants.py, JOINT_NAMES"
)

UNION45 = Skeleton(
    "union45",
    tuple(dict.fromkeys(SPIN49.keypoints + SMPL24.keypoints)),
    tuple(dict.fromkeys(SPIN24.edges + SMPL24.edges)),
    "every landmark of SPIN49 and SMPL24 once: the keypoints and joints that data sets for training label",
)

SKELETONS = {
    s.name: s
    for s in (
        COCO17,
        COCO23,
        OPENPOSE18,
        OPENPOSE25,
        MEDIAPIPE33,
        LSP14,
        MPII16,
        H36M17,
        H36M17_MOON,
        MPI17,
        SPIN24,
        SPIN49,
        SMPL24,
        UNION45,
    )
}
"""Every skeleton, by name."""


def get_skeleton(name: str) -> Skeleton:
    """Skeleton by name.

    Raises:
        KeyError: listing the known names.
    """
    try:
        return SKELETONS[name]
    except KeyError:
        raise KeyError(f"no skeleton {name!r}; known: {', '.join(sorted(SKELETONS))}") from None


def convert(points: Tensor, mask: Tensor | None, source: Skeleton, target: Skeleton) -> tuple[Tensor, Tensor]:
    """Reorder points of one skeleton into another by name.

    Args:
        points: (..., len(source), D) in any frame.
        mask: (..., len(source)) confidence or validity; all ones if None.
        source, target: the skeletons.

    Returns:
        points (..., len(target), D), zero where the source lacks the landmark, and the mask
        (..., len(target)), zero there too. Of a landmark that the source names twice, the copy with the
        higher mask counts.

    Raises:
        ValueError: if the number of points is not the source's.
    """
    if points.shape[-2] != len(source):
        raise ValueError(f"{source.name} has {len(source)} keypoints, got {points.shape[-2]}")
    if mask is None:
        mask = torch.ones_like(points[..., 0])
    # One row of zeros more, for landmarks that the source lacks; a real one goes before it even if unseen.
    points = torch.cat([points, torch.zeros_like(points[..., :1, :])], -2)
    rank = torch.cat([mask.float(), mask.new_full((*mask.shape[:-1], 1), -1.0, dtype=torch.float32)], -1)
    copies = torch.tensor(_copies(source, target), device=mask.device)
    best = rank[..., copies].argmax(-1, keepdim=True)
    places = copies.expand(*best.shape[:-1], -1).gather(-1, best)
    mask = torch.cat([mask, torch.zeros_like(mask[..., :1])], -1)
    return torch.take_along_dim(points, places, -2), torch.take_along_dim(mask, places[..., 0], -1)


@lru_cache
def _copies(source: Skeleton, target: Skeleton) -> tuple[tuple[int, ...], ...]:
    """For each target landmark where it is in the source, as often as the most frequent one; one beyond the end for
    nowhere.
    """
    found = [[i for i, other in enumerate(source.keypoints) if other == name] for name in target.keypoints]
    most = max(1, *map(len, found))
    return tuple(tuple(places + [len(source)] * (most - len(places))) for places in found)
