"""Labels are the same wherever the body is."""

import numpy as np
import pytest

from bodyloop.annotate import labelling
from bodyloop.annotate.labelling import label_crowd
from bodyloop.annotate.methods import Settings
from bodyloop.annotate.reading import read_people
from bodyloop.body import BodyModel
from bodyloop.data.crowd import Crowd
from coco_made_up import coco_people, write_json
from pretend_gpu import DEVICE, PretendedGpu


@pytest.fixture(scope="module")
def crowd(body: BodyModel, tmp_path_factory) -> Crowd:
    folder = tmp_path_factory.mktemp("crowd")
    coco = write_json(folder / "coco.json", coco_people(body, 3))
    return read_people(coco, folder / "people", 3, 6).load(0)


@pytest.mark.parametrize("method", ["fit", "candidates"])
def test_on_another_device(crowd: Crowd, method: str, monkeypatch):
    monkeypatch.setattr(
        labelling, "_made", labelling._made.__wrapped__
    )  # a pretended body is for this test alone
    here, failures = label_crowd(crowd, Settings(method, focal=1200.0, candidates=2))
    assert failures == []
    with PretendedGpu():
        there, failures = label_crowd(crowd, Settings(method, focal=1200.0, candidates=2, device=DEVICE))
    assert failures == []
    assert here is not None
    assert there is not None
    assert np.allclose(there.pose, here.pose, atol=0.02)
    assert np.allclose(there.figures["score"], here.figures["score"], atol=0.01)
    assert there.words["verdict"].tolist() == here.words["verdict"].tolist()
    assert set(there.words["start"]) <= {"lifter", "candidate 1", "candidate 2"}
