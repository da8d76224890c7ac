"""What was observed: keypoints of people in images, and the files they come in."""

from bodyloop.evidence.box_files import BoxFile, read_boxes
from bodyloop.evidence.evidence import Evidence
from bodyloop.evidence.focal import choose_camera, focal_warning
from bodyloop.evidence.keypoint_files import KeypointFile, read_keypoints, write_keypoints
from bodyloop.evidence.photos import FoundPhotos, Photo, find_photos, read_photo
from bodyloop.evidence.placement import place_in_view

__all__ = [
    "BoxFile",
    "Evidence",
    "FoundPhotos",
    "KeypointFile",
    "Photo",
    "choose_camera",
    "find_photos",
    "focal_warning",
    "place_in_view",
    "read_boxes",
    "read_keypoints",
    "read_photo",
    "write_keypoints",
]
