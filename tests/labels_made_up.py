"""Labels of made-up people, without a fit: the truth, with figures and words that differ from person to person."""

import numpy as np
import torch

from bodyloop.body import BodyModel
from bodyloop.body.skeletons import COCO17, Skeleton
from bodyloop.data.crowd import Crowd, Labelled
from fit.people import CAMERA, observed

SIZE = (1000, 1000)


def labels_of(
    body: BodyModel, count: int, skeleton: Skeleton = COCO17, first: int = 100, seed: int = 0
) -> Labelled:
    """The bodies that `CAMERA` sees, and where their keypoints are; the last keypoint is unseen."""
    bodies, evidence = observed(body, count, seed, skeleton)
    keypoints = torch.cat([evidence.keypoints, evidence.confidence[..., None]], -1).numpy()
    keypoints[:, -1] = 0
    verdicts = np.array(["accept", "doubtful", "reject"])[np.arange(count) % 3]
    return Labelled(
        Crowd(
            skeleton,
            np.array([str(first + i) for i in range(count)], dtype=str),
            np.array([f"{(first + i) // 2:06d}.jpg" for i in range(count)], dtype=str),
            np.array([SIZE] * count, np.int32).reshape(count, 2),
            evidence.boxes.numpy(),
            keypoints,
        ),
        bodies.pose.numpy(),
        bodies.betas.numpy(),
        bodies.translation.numpy(),
        CAMERA.focal.expand(count, 2).numpy().copy(),
        CAMERA.center.expand(count, 2).numpy().copy(),
        body.name,
        {
            "score": np.linspace(0.2, 0.9, count, dtype=np.float32),
            "error_box": np.linspace(0.05, 0.01, count, dtype=np.float32),
            "seen": np.full(count, len(skeleton) - 1, np.float32),
            "joint_error": np.where(keypoints[..., 2] > 0, np.float32(0.02), np.float32(np.nan)),
        },
        {
            "verdict": verdicts,
            "reasons": np.where(
                verdicts == "accept", "", "an unusual pose (energy 120 under the prior, over 100)"
            ),
            "start": np.array(["lifter"] * count),
            "swap": np.where(np.arange(count) == 1, "legs", ""),
        },
    )
