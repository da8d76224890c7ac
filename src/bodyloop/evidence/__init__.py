"""What was observed: keypoints of people in images, and the files they come in."""

from bodyloop.evidence.evidence import Evidence

__all__ = ["Evidence"]
