"""rtmlib's detectors (RTMPose and others in ONNX, Apache-2.0); fetches its weights at first use."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import SKELETONS
from bodyloop.detect.base import Detections, check_boxes, check_pixels
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence


class RtmlibDetector:
    """Detector on rtmlib's ``Body``: COCO's 17 keypoints.

    Args:
        mode: rtmlib's "lightweight", "balanced" or "performance".
        device: "cpu" or "cuda".

    Raises:
        InputError: if rtmlib is missing.
    """

    def __init__(self, mode: str = "balanced", device: str = "cpu") -> None:
        try:
            from rtmlib import Body
        except ImportError as error:
            raise InputError(
                f"the detector 'rtmlib' needs the package rtmlib, which does not load ({error}); pip install "
                "rtmlib onnxruntime, or use the detector 'mediapipe'"
            ) from error
        self._body: Any = Body(mode=mode, backend="onnxruntime", device=device)

    def __call__(self, pixels: np.ndarray, boxes: Tensor | None = None) -> Detections:
        """People in an image (H, W, 3) uint8, or one for each box (N, 4) x0, y0, x1, y1."""
        check_pixels(pixels)
        bgr = np.ascontiguousarray(pixels[..., ::-1])
        if boxes is None:
            points, scores = self._body(bgr)
        else:
            boxes = check_boxes(boxes)
            points, scores = self._body.pose_model(bgr, bboxes=boxes.numpy()) if len(boxes) else ([], [])
        keypoints = torch.from_numpy(np.asarray(points, np.float32).reshape(-1, 17, 2))
        confidence = torch.from_numpy(np.asarray(scores, np.float32).reshape(-1, 17))
        return Detections(Evidence.from_keypoints(SKELETONS["coco17"], keypoints, confidence, boxes))
