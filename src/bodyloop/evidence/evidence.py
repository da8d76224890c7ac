"""`Evidence`: what was observed of the people in one image, or of any batch of people."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import Skeleton
from bodyloop.geometry import keypoint_boxes


@dataclass(frozen=True)
class Evidence:
    """2D keypoints of N people.

    Attributes:
        skeleton: which keypoint set.
        keypoints: (N, K, 2) image pixels; the place of an unseen keypoint is ignored.
        confidence: (N, K) in [0, 1]; 0 = not observed.
        boxes: (N, 4) x0, y0, x1, y1 in pixels, around each person.
        labels: N names for files and messages, e.g. an annotation id.
    """

    skeleton: Skeleton
    keypoints: Tensor
    confidence: Tensor
    boxes: Tensor
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        n, k = self.keypoints.shape[0], len(self.skeleton)
        got = tuple(self.keypoints.shape), tuple(self.confidence.shape), tuple(self.boxes.shape)
        if got != ((n, k, 2), (n, k), (n, 4)) or len(self.labels) != n:
            raise ValueError(
                f"{self.skeleton.name} evidence of {n} people needs keypoints ({n}, {k}, 2), confidence "
                f"({n}, {k}), boxes ({n}, 4) and {n} labels, got {got} and {len(self.labels)} labels"
            )

    @classmethod
    def from_keypoints(
        cls,
        skeleton: Skeleton,
        keypoints: Tensor | np.ndarray,
        confidence: Tensor | np.ndarray,
        boxes: Tensor | np.ndarray | None = None,
        labels: tuple[str, ...] | None = None,
    ) -> "Evidence":
        """Evidence with cleaned keypoints: one that is not finite, or has no confidence, counts as unseen.

        Args:
            skeleton, keypoints, confidence: as the attributes; confidence is clamped to [0, 1].
            boxes: tight boxes around the keypoints if None.
            labels: "0", "1", ... if None.

        Raises:
            ValueError: if the shapes are not those of N people with this skeleton.
        """
        keypoints, confidence = torch.as_tensor(keypoints).float(), torch.as_tensor(confidence).float()
        want = (len(skeleton), 2)
        if keypoints.dim() != 3 or keypoints.shape[1:] != want or confidence.shape != keypoints.shape[:2]:
            raise ValueError(
                f"{skeleton.name} keypoints should be (N, {want[0]}, 2) with confidence (N, {want[0]}), got "
                f"{tuple(keypoints.shape)} and {tuple(confidence.shape)}; of one person, give keypoints[None]"
            )
        good = torch.isfinite(keypoints).all(-1) & torch.isfinite(confidence) & (confidence > 0)
        keypoints = torch.where(good[..., None], keypoints, 0.0)
        confidence = torch.where(good, confidence, 0.0).clamp(0, 1)
        if boxes is None:
            boxes = keypoint_boxes(keypoints, confidence)
        boxes = torch.as_tensor(boxes).float()
        names = tuple(str(i) for i in range(len(keypoints))) if labels is None else labels
        return cls(skeleton, keypoints, confidence, boxes, names)

    def __len__(self) -> int:
        return len(self.keypoints)

    def to(self, *args: Any) -> "Evidence":
        """The same evidence on another device or in another precision."""
        return Evidence(
            self.skeleton,
            self.keypoints.to(*args),
            self.confidence.to(*args),
            self.boxes.to(*args),
            self.labels,
        )

    def __getitem__(self, index: slice | Tensor) -> "Evidence":
        chosen = index.cpu() if isinstance(index, Tensor) else index
        labels = tuple(self.labels[i] for i in torch.arange(len(self))[chosen].tolist())
        return Evidence(
            self.skeleton, self.keypoints[index], self.confidence[index], self.boxes[index], labels
        )
