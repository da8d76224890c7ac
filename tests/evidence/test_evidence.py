import numpy as np
import pytest
import torch

from bodyloop.body.skeletons import COCO17
from bodyloop.evidence import Evidence


def people(count: int = 3) -> Evidence:
    g = torch.Generator().manual_seed(0)
    return Evidence.from_keypoints(COCO17, torch.rand(count, 17, 2, generator=g) * 100, torch.ones(count, 17))


def test_numpy_and_tensors_are_the_same():
    tensors = people()
    arrays = Evidence.from_keypoints(COCO17, tensors.keypoints.numpy(), np.ones((3, 17)))
    assert torch.equal(arrays.keypoints, tensors.keypoints)
    assert torch.equal(arrays.boxes, tensors.boxes)


def test_what_is_not_finite_is_unseen():
    keypoints = people().keypoints.clone()
    keypoints[0, 0, 1], keypoints[1, 1, 0] = torch.nan, -torch.inf
    confidence = torch.ones(3, 17)
    confidence[2, 2], confidence[2, 3], confidence[2, 4] = torch.nan, -1, 7
    evidence = Evidence.from_keypoints(COCO17, keypoints, confidence)
    assert (evidence.confidence == 0).nonzero().tolist() == [[0, 0], [1, 1], [2, 2], [2, 3]]
    assert float(evidence.confidence.max()) == 1
    assert torch.isfinite(evidence.keypoints).all()
    assert torch.isfinite(evidence.boxes).all()


def test_people_are_chosen_by_slice_mask_and_index():
    evidence = people()
    assert evidence[1:].labels == ("1", "2")
    assert evidence[torch.tensor([True, False, True])].labels == ("0", "2")
    assert torch.equal(evidence[torch.tensor([2])].keypoints[0], evidence.keypoints[2])
    assert len(evidence[:0]) == 0


@pytest.mark.parametrize(
    ("keypoints", "confidence"), [((17, 2), (17,)), ((1, 16, 2), (1, 16)), ((2, 17, 2), (1, 17))]
)
def test_wrong_shapes_are_explained(keypoints: tuple[int, ...], confidence: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"\(N, 17, 2\).*keypoints\[None\]"):
        Evidence.from_keypoints(COCO17, torch.zeros(keypoints), torch.ones(confidence))
