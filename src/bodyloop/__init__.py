"""bodyloop: 3D human pose and shape from photos, 2D keypoints and weak labels."""

__version__ = "0.1.0"
