"""Terms of energies and losses: pure functions of bodies, cameras and evidence."""

from bodyloop.terms.dense import dense_distance
from bodyloop.terms.losses import (
    Distance,
    betas_loss,
    crop_coordinates,
    dense_loss,
    heatmap_loss,
    joint_loss,
    keypoint_loss,
    known_mean,
    known_only,
    mesh_loss,
    part_map_loss,
    prior_loss,
    rotation_loss,
    scale_loss,
    shape_loss,
)
from bodyloop.terms.part_losses import part_loss
from bodyloop.terms.parts import PartTargets, part_alignment

__all__ = [
    "Distance",
    "PartTargets",
    "betas_loss",
    "crop_coordinates",
    "dense_distance",
    "dense_loss",
    "heatmap_loss",
    "joint_loss",
    "keypoint_loss",
    "known_mean",
    "known_only",
    "mesh_loss",
    "part_alignment",
    "part_loss",
    "part_map_loss",
    "prior_loss",
    "rotation_loss",
    "scale_loss",
    "shape_loss",
]
