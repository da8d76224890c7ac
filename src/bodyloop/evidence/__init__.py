"""What was observed: keypoints of people in images, and the files they come in."""

from bodyloop.evidence.evidence import Evidence
from bodyloop.evidence.placement import place_in_view

__all__ = ["Evidence", "place_in_view"]
