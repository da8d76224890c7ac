"""EFT's JSON in its own layout, and what is wrong with it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bodyloop.data.formats import open_dataset
from bodyloop.errors import InputError


def entry(**changes: Any) -> dict[str, Any]:
    found = {
        "parm_pose": [np.eye(3).tolist()] * 24,
        "parm_shape": [0.1] * 10,
        "parm_cam": [0.9, 0.1, -0.1],
        "bbox_scale": 1.2,
        "bbox_center": [100.0, 200.0],
        "joint_validity_openpose18": [1] * 18,
        "gt_keypoint_2d": [[float(i), 2.0 * i, float(i >= 25)] for i in range(49)],
        "smpltype": "smpl",
        "annotId": 7,
        "imageName": "a.jpg",
    }
    return {k: v for k, v in {**found, **changes}.items() if v is not None}


def save(path: Path, *entries: Any) -> Path:
    path.write_text(json.dumps({"ver": 0.1, "data": list(entries)}))
    return path


@pytest.mark.filterwarnings("error")
def test_eft(tmp_path: Path):
    records = open_dataset(save(tmp_path / "COCO2014-Part-ver01.json", entry(), entry(annotId=None)))
    first = records[0]
    assert [r.id for r in records] == ["7", "1"]
    assert first.image == tmp_path / "a.jpg"
    assert first.box == pytest.approx((0, 100, 200, 300))
    assert first.body is not None
    assert (first.body.frame, first.body.has_betas, first.body.has_translation) == ("camera", True, False)
    assert first.keypoints is not None
    assert first.keypoints.skeleton.name == "spin49"
    assert first.keypoints.pixels[30].tolist() == [30, 60]
    assert first.keypoints.confidence.tolist() == [0.0] * 25 + [1.0] * 24
    assert first.camera is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parm_pose": [np.ones((3, 3)).tolist()] * 24}, "holds no rotations"),
        ({"parm_pose": None}, "'parm_pose' must be"),
        ({"parm_shape": [0.0] * 9}, r"'parm_shape' must be finite numbers of shape \(10,\)"),
        ({"bbox_scale": 0}, "sees nothing"),
        ({"bbox_center": ["a", 1]}, "'bbox_center' must be numbers"),
        ({"gt_keypoint_2d": [[1, 2, 3]]}, "49 keypoints"),
        ({"imageName": None}, "'imageName'"),
        ({"smpltype": "smplx"}, "another body"),
    ],
)
def test_broken_entries_are_counted(tmp_path: Path, changes: dict[str, Any], message: str):
    path = save(tmp_path / "a.json", entry(), entry(**changes))
    with pytest.warns(UserWarning, match=message):
        assert len(open_dataset(path)) == 1
    with pytest.raises(InputError, match=message):
        open_dataset(path, format="eft", strict=True)
