"""What was observed: keypoints of people in images, and the files they come in."""

from bodyloop.evidence.box_files import BoxFile, read_boxes
from bodyloop.evidence.dense import disturbed, sample_dense, swapped_limbs, thinned
from bodyloop.evidence.dense_keypoints import DenseKeypoints
from bodyloop.evidence.densepose_annotations import (
    DensePoseAnnotation,
    DensePoseFile,
    read_densepose_annotations,
)
from bodyloop.evidence.evidence import Evidence
from bodyloop.evidence.focal import choose_camera, focal_warning
from bodyloop.evidence.iuv import IuvMap, read_iuv, write_iuv
from bodyloop.evidence.keypoint_files import KeypointFile, read_keypoints, write_keypoints
from bodyloop.evidence.part_map import PartMap, read_parts
from bodyloop.evidence.photos import FoundPhotos, Photo, find_photos, read_photo
from bodyloop.evidence.placement import place_in_view
from bodyloop.evidence.refine import RemovedRegion, refine_iuv
from bodyloop.evidence.rle import decode_rle, encode_rle

__all__ = [
    "BoxFile",
    "DenseKeypoints",
    "DensePoseAnnotation",
    "DensePoseFile",
    "Evidence",
    "FoundPhotos",
    "IuvMap",
    "KeypointFile",
    "PartMap",
    "Photo",
    "RemovedRegion",
    "choose_camera",
    "decode_rle",
    "disturbed",
    "encode_rle",
    "find_photos",
    "focal_warning",
    "place_in_view",
    "read_boxes",
    "read_densepose_annotations",
    "read_iuv",
    "read_keypoints",
    "read_parts",
    "read_photo",
    "refine_iuv",
    "sample_dense",
    "swapped_limbs",
    "thinned",
    "write_iuv",
    "write_keypoints",
]
