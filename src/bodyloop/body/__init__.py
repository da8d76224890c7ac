"""The body: SMPL-format model, file readers, the built-in body, named keypoint sets."""

from bodyloop.body.bodies import SMPL_FLIP, Bodies
from bodyloop.body.files import BodyFileError, builtin_body, load_body
from bodyloop.body.model import BodyModel, JointFrames
from bodyloop.body.points import BodyPoints
from bodyloop.body.skeletons import SKELETONS, SMPL_JOINTS, Skeleton, convert, get_skeleton

__all__ = [
    "SKELETONS",
    "SMPL_FLIP",
    "SMPL_JOINTS",
    "Bodies",
    "BodyFileError",
    "BodyModel",
    "BodyPoints",
    "JointFrames",
    "Skeleton",
    "builtin_body",
    "convert",
    "get_skeleton",
    "load_body",
]
