"""COCO annotations of made-up people, for tests of annotation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bodyloop.body import BodyModel
from bodyloop.body.skeletons import COCO17, Skeleton
from bodyloop.geometry import Camera
from fit.people import observed

SIZE = (1000, 1000)
CAMERA = Camera.from_focal(1200, *SIZE)


def coco_people(
    body: BodyModel, count: int, per_image: int = 2, skeleton: Skeleton = COCO17, seed: int = 0
) -> dict[str, Any]:
    """Exact keypoints of people seen by a camera of focal length 1200; the first lacks a few."""
    _, evidence = observed(body, count, seed, skeleton)
    images = -(-count // per_image)
    rows = torch.cat([evidence.keypoints, 2 * evidence.confidence[..., None]], -1).double().numpy().round(2)
    if count:
        rows[0, :3] = 0
    annotations = []
    for i in range(count):
        low, high = rows[i, rows[i, :, 2] > 0, :2].min(0), rows[i, :, :2].max(0)
        annotations.append(
            {
                "id": 100 + i,
                "image_id": i // per_image,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [*low.tolist(), *(high - low).tolist()],
                "num_keypoints": int((rows[i, :, 2] > 0).sum()),
                "keypoints": rows[i].ravel().tolist(),
                "segmentation": [np.zeros(20).tolist()],
            }
        )
    return {
        "info": {"year": 2017},
        "images": [
            {"id": i, "file_name": f"{i:012d}.jpg", "width": SIZE[0], "height": SIZE[1]}
            for i in range(images)
        ],
        "annotations": annotations,
        "categories": [
            {"id": 1, "name": "person", "keypoints": [n.removesuffix("_extra") for n in skeleton.keypoints]}
        ],
    }


def write_json(path: Path, data: dict[str, Any]) -> Path:
    path.write_text(json.dumps(data))
    return path
