"""Keypoints from an image; each detector an adapter, its library imported where it is used."""

from bodyloop.detect.base import Detections, Detector
from bodyloop.detect.mediapipe import MediaPipeDetector
from bodyloop.detect.rtmlib import RtmlibDetector

__all__ = ["Detections", "Detector", "MediaPipeDetector", "RtmlibDetector"]
