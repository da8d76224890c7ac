import torch
from hypothesis import given
from hypothesis import strategies as st

from bodyloop.geometry import CropTransform, keypoint_boxes, square_boxes


@given(st.floats(-3, 3), st.booleans(), st.integers(8, 512), st.floats(5, 2000))
def test_crop_and_back(angle: float, flip: bool, resolution: int, size: float):
    crop = CropTransform(
        torch.tensor([[30.0, 70.0]]).double(), torch.tensor([size]).double(), resolution, angle, flip
    )
    pixels = torch.randn(1, 20, 2, dtype=torch.float64) * 100
    assert torch.allclose(crop.crop_to_image(crop.image_to_crop(pixels)), pixels, atol=1e-6)


def test_the_centre_goes_to_the_middle_and_clockwise_is_clockwise():
    crop = CropTransform(torch.tensor([50.0, 50.0]), torch.tensor(20.0), 21, torch.pi / 2)
    middle = crop.image_to_crop(torch.tensor([[50.0, 50.0]]))
    assert torch.allclose(middle, torch.tensor([[10.0, 10.0]]))
    right_of_it = crop.image_to_crop(torch.tensor([[55.0, 50.0]]))  # turned clockwise: now below
    assert right_of_it[0, 1] > 10
    assert abs(float(right_of_it[0, 0]) - 10) < 1e-4


def test_boxes_ignore_unseen_keypoints():
    keypoints = torch.tensor([[[1.0, 2], [5, 9], [999, 999]]])
    box = keypoint_boxes(keypoints, torch.tensor([[1.0, 0.1, 0]]))
    assert box.tolist() == [[1, 2, 5, 9]]
    center, side = square_boxes(box, 1.5)
    assert center.tolist() == [[3, 5.5]]
    assert side.tolist() == [10.5]
    assert keypoint_boxes(keypoints, torch.zeros(1, 3)).isnan().all()
