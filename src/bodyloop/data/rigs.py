"""Which joint of a known capture skeleton plays which of SMPL's parts."""

from collections.abc import Iterable
from dataclasses import dataclass, field

_REQUIRED = (
    "pelvis", "left_hip", "left_knee", "left_ankle", "right_hip", "right_knee", "right_ankle",
    "left_shoulder", "left_elbow", "right_shoulder", "right_elbow",
)  # fmt: skip


@dataclass(frozen=True)
class Rig:
    """Names of a capture skeleton, by SMPL joint.

    Attributes:
        name: for messages.
        joints: SMPL joint name -> source joint name. At least pelvis, hips, knees, ankles, shoulders, elbows.
            Wrists may be end sites. Names are compared without case and without a "prefix:".
        spine: source joints between pelvis and neck, from below; any number.
        neck: source joints of the neck and the head, from below; the last one turns the head.
        tips: SMPL joint name -> source joints (the first that exists counts) towards which the hand points.
    """

    name: str
    joints: dict[str, str]
    spine: tuple[str, ...] = ()
    neck: tuple[str, ...] = ()
    tips: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = [n for n in _REQUIRED if n not in self.joints]
        if missing:
            raise ValueError(f"rig {self.name!r} should name a joint for each of {missing}")

    def missing(self, names: Iterable[str]) -> list[str]:
        """Joints that the rig cannot do without and that are not among ``names``."""
        have = {plain(n) for n in names}
        return [self.joints[n] for n in _REQUIRED if plain(self.joints[n]) not in have]


def plain(name: str) -> str:
    """A joint name without case and without the "prefix:" that some programs write."""
    return name.rpartition(":")[2].strip().lower()


def _sides(**names: str) -> dict[str, str]:
    """``knee="{}Leg"`` with side spellings ``sides="left,right"`` to both SMPL joints."""
    sides = names.pop("sides").split(",")
    return {
        f"{smpl}_{part}": name.format(side)
        for part, name in names.items()
        for smpl, side in zip(("left", "right"), sides, strict=True)
    }


DAZ = Rig(
    "Daz",
    {"pelvis": "hip"}
    | _sides(
        sides="l,r",
        hip="{}Thigh",
        knee="{}Shin",
        ankle="{}Foot",
        collar="{}Collar",
        shoulder="{}Shldr",
        elbow="{}ForeArm",
        wrist="{}Hand",
    ),
    spine=("abdomen", "chest"),
    neck=("neck", "head"),
    tips={"left_wrist": ("lMid1",), "right_wrist": ("rMid1",)},
)
"""The Daz-friendly conversion of the CMU data."""

MOTIONBUILDER = Rig(
    "MotionBuilder",
    {"pelvis": "Hips"}
    | _sides(
        sides="Left,Right",
        hip="{}UpLeg",
        knee="{}Leg",
        ankle="{}Foot",
        foot="{}ToeBase",
        collar="{}Shoulder",
        shoulder="{}Arm",
        elbow="{}ForeArm",
        wrist="{}Hand",
    ),
    spine=("LowerBack", "Spine", "Spine1", "Spine2", "Spine3"),
    neck=("Neck", "Neck1", "Head"),
    tips={
        "left_wrist": ("LeftHandMiddle1", "LeftHandIndex1", "LeftFingerBase"),
        "right_wrist": ("RightHandMiddle1", "RightHandIndex1", "RightFingerBase"),
    },
)
"""MotionBuilder's names: cgspeed's CMU conversion, Mixamo, LAFAN1 and many others."""

DEEPMIMIC = Rig(
    "DeepMimic",
    {"pelvis": "root"}
    | _sides(
        sides="left,right",
        hip="{}_hip",
        knee="{}_knee",
        ankle="{}_ankle",
        shoulder="{}_shoulder",
        elbow="{}_elbow",
        wrist="{}_wrist",
    ),
    spine=("chest",),
    neck=("neck",),
)
"""The 13-joint acrobatics skeleton."""

SMPL_RIG = Rig(
    "SMPL",
    {"pelvis": "pelvis"}
    | _sides(
        sides="left,right",
        hip="{}_hip",
        knee="{}_knee",
        ankle="{}_ankle",
        foot="{}_foot",
        collar="{}_collar",
        shoulder="{}_shoulder",
        elbow="{}_elbow",
        wrist="{}_wrist",
    ),
    spine=("spine1", "spine2", "spine3"),
    neck=("neck", "head"),
    tips={"left_wrist": ("left_hand",), "right_wrist": ("right_hand",)},
)
"""SMPL's own names."""

RIGS = (DAZ, MOTIONBUILDER, DEEPMIMIC, SMPL_RIG)
"""Skeletons that are recognised by their names."""


def find_rig(names: Iterable[str]) -> Rig | None:
    """The first known rig whose indispensable joints are all among ``names``."""
    names = tuple(names)
    return next((rig for rig in RIGS if not rig.missing(names)), None)
