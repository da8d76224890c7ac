"""Keypoints from an image; each detector an adapter, its library imported where it is used."""

from typing import TYPE_CHECKING, Literal

from bodyloop.detect.base import Detections, Detector
from bodyloop.detect.mediapipe import MediaPipeDetector
from bodyloop.detect.rtmlib import RtmlibDetector

if TYPE_CHECKING:
    from torch import Tensor

    from bodyloop.evidence import Evidence, Photo

__all__ = [
    "Detections",
    "Detector",
    "DetectorName",
    "MediaPipeDetector",
    "RtmlibDetector",
    "detect_people",
    "load_detector",
]

DetectorName = Literal["mediapipe", "rtmlib"]


def load_detector(name: DetectorName = "mediapipe") -> Detector:
    """A detector by name, ready to use.

    Raises:
        InputError: if its library is not installed; the message says how to get it.
    """
    return RtmlibDetector() if name == "rtmlib" else MediaPipeDetector()


def detect_people(
    photo: "Photo", boxes: "Tensor | None" = None, detector: DetectorName = "mediapipe"
) -> "Evidence":
    """2D keypoints of the people in a photo; keep the result of `load_detector` for many photos.

    Args:
        photo: from `bodyloop.read_photo`.
        boxes: (N, 4) x0, y0, x1, y1 in pixels to look in; the whole photo if None.
        detector: "mediapipe" (ships with the extra ``detect``) or "rtmlib".
    """
    return load_detector(detector)(photo.pixels, boxes).evidence
