"""Meshes to maps: which face each pixel sees, where on it, and any attribute interpolated there."""

from bodyloop.raster.shading import downsample, interpolate, lit_colors, supersampled, vertex_normals
from bodyloop.raster.zbuffer import NEAR, Fragments, rasterize

__all__ = [
    "NEAR",
    "Fragments",
    "downsample",
    "interpolate",
    "lit_colors",
    "rasterize",
    "supersampled",
    "vertex_normals",
]
