"""Rotations, cameras, boxes and crops, Procrustes. Knows nothing of bodies."""

from bodyloop.geometry.boxes import (
    CropTransform,
    box_overlap,
    keypoint_boxes,
    pair_boxes,
    square_boxes,
)
from bodyloop.geometry.cameras import Camera, WeakPerspective, default_focal
from bodyloop.geometry.procrustes import Similarity, align_rigid, align_similarity
from bodyloop.geometry.rotations import (
    axis_angle_to_rotmat,
    geodesic_distance,
    mirror_rotmat,
    rot6d_to_rotmat,
    rotmat_to_axis_angle,
    rotmat_to_rot6d,
    spin_rot6d_to_rotmat,
)
from bodyloop.geometry.translation import solve_translation
from bodyloop.geometry.view import View, look_at_points

__all__ = [
    "Camera",
    "CropTransform",
    "Similarity",
    "View",
    "WeakPerspective",
    "align_rigid",
    "align_similarity",
    "axis_angle_to_rotmat",
    "box_overlap",
    "default_focal",
    "geodesic_distance",
    "keypoint_boxes",
    "look_at_points",
    "mirror_rotmat",
    "pair_boxes",
    "rot6d_to_rotmat",
    "rotmat_to_axis_angle",
    "rotmat_to_rot6d",
    "solve_translation",
    "spin_rot6d_to_rotmat",
    "square_boxes",
]
