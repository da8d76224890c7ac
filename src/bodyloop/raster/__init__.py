"""Meshes to maps: which face each pixel sees, where on it, and any attribute interpolated there."""

from bodyloop.raster.labels import depth_map, iuv_map, normal_map, part_map, pncc_map
from bodyloop.raster.shading import downsample, interpolate, lit_colors, supersampled, vertex_normals
from bodyloop.raster.zbuffer import NEAR, Fragments, rasterize

__all__ = [
    "NEAR",
    "Fragments",
    "depth_map",
    "downsample",
    "interpolate",
    "iuv_map",
    "lit_colors",
    "normal_map",
    "part_map",
    "pncc_map",
    "rasterize",
    "supersampled",
    "vertex_normals",
]
