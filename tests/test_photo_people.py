"""Who is in a photo."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bodyloop.body.skeletons import COCO17
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.evidence.photos import MIN_SIDE, Photo
from bodyloop.photo_people import people_source, seen_people

PHOTO = Photo(Path("a.jpg"), np.zeros((64, 64, 3), np.uint8), None)


def people(*confidence: float, side: float = 40.0) -> Evidence:
    count = len(confidence)
    boxes = torch.tensor([[0.0, 0.0, side, side]]).repeat(count, 1)
    seen = torch.tensor(confidence)[:, None].repeat(1, len(COCO17))
    return Evidence.from_keypoints(COCO17, torch.ones(count, len(COCO17), 2), seen, boxes)


def test_people_without_a_keypoint_are_left_out_and_named():
    left, notes = seen_people(people(1.0, 0.0, 1.0), boxes_suffice=False)
    assert left.labels == ("0", "2")
    assert notes == ["no keypoint seen of person 1, left out"]
    assert seen_people(people(1.0), boxes_suffice=False)[1] == []
    with pytest.raises(InputError, match="nobody to fit"):
        seen_people(people(0.0), boxes_suffice=False)


def test_where_boxes_suffice_they_must_be_boxes():
    left, notes = seen_people(people(0.0, 0.0), boxes_suffice=True)
    assert len(left) == 2
    assert notes == []
    with pytest.raises(InputError, match="nobody to crop"):
        seen_people(people(1.0, side=MIN_SIDE / 2), boxes_suffice=True)


def test_boxes_alone(tmp_path: Path):
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"a.jpg": [[4, 4, 20, 30]]}))
    found = people_source(None, None, boxes, "none", True)(PHOTO)
    assert found.boxes.tolist() == [[4, 4, 24, 34]]
    assert not found.confidence.any()
    with pytest.raises(InputError, match="has no boxes for it"):
        people_source(None, None, boxes, "none", True)(Photo(Path("b.jpg"), PHOTO.pixels, None))
