"""The body: SMPL-format model, file readers, the built-in body, part labels, IUV atlas, named keypoint sets."""

from bodyloop.body.atlas import Atlas, ChartMirror, builtin_atlas
from bodyloop.body.bodies import SMPL_FLIP, Bodies
from bodyloop.body.densepose import read_densepose_atlas, read_densepose_mirror
from bodyloop.body.files import BodyFileError, builtin_body, load_body
from bodyloop.body.model import BodyModel, JointFrames
from bodyloop.body.parts import PARTITIONS, face_parts, vertex_parts
from bodyloop.body.points import BodyPoints
from bodyloop.body.regressors import read_joint_regressor
from bodyloop.body.skeletons import SKELETONS, SMPL_JOINTS, Skeleton, convert, get_skeleton

__all__ = [
    "PARTITIONS",
    "SKELETONS",
    "SMPL_FLIP",
    "SMPL_JOINTS",
    "Atlas",
    "Bodies",
    "BodyFileError",
    "BodyModel",
    "BodyPoints",
    "ChartMirror",
    "JointFrames",
    "Skeleton",
    "builtin_atlas",
    "builtin_body",
    "convert",
    "face_parts",
    "get_skeleton",
    "load_body",
    "read_densepose_atlas",
    "read_densepose_mirror",
    "read_joint_regressor",
    "vertex_parts",
]
