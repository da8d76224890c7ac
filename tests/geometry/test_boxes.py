import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bodyloop.geometry import (
    Camera,
    CropTransform,
    box_overlap,
    keypoint_boxes,
    pair_boxes,
    square_boxes,
)


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


@given(st.floats(-3, 3), st.booleans(), st.floats(0.8, 1.3))
def test_the_crop_of_a_projection_is_the_projection_of_the_turned_world(
    angle: float, flip: bool, uneven: float
):
    camera = Camera(
        torch.tensor([900.0 * uneven, 900.0], dtype=torch.float64),
        torch.tensor([310.0, 250.0]).double(),
        (640, 480),
    )
    center, size = torch.tensor([400.0, 100.0]).double(), torch.tensor(180.0).double()
    crop = CropTransform(center, size, 224, angle, flip, uneven)
    points = torch.randn(30, 3, dtype=torch.float64) + torch.tensor([0.3, -0.5, 5.0])
    turned = points @ crop.turn.T
    if flip:
        turned = turned * torch.tensor([-1.0, 1.0, 1.0])
    seen = crop.image_to_crop_camera(camera)
    assert seen.size == (224, 224)
    assert torch.allclose(seen.project(turned), crop.image_to_crop(camera.project(points)), atol=1e-8)
    assert torch.allclose(crop.crop_to_image(crop.image_to_crop(points[:, :2])), points[:, :2], atol=1e-8)


def test_a_rotated_crop_of_uneven_pixels_is_refused():
    camera = Camera(torch.tensor([900.0, 800.0]), torch.tensor([310.0, 250.0]), (640, 480))
    center, size = torch.tensor([400.0, 100.0]), torch.tensor(180.0)
    with pytest.raises(ValueError, match="stretch = fx / fy"):
        CropTransform(center, size, 224, 0.1).image_to_crop_camera(camera)
    assert CropTransform(center, size, 224).image_to_crop_camera(camera).focal[0] > 900


def test_overlap():
    a = torch.tensor([[0.0, 0, 2, 2], [5, 5, 5, 5]])
    b = torch.tensor([[1.0, 0, 3, 2], [0, 0, 2, 2], [9, 9, 10, 10]])
    expected = torch.tensor([[1 / 3, 1, 0], [0, 0, 0]])
    assert torch.allclose(box_overlap(a, b), expected)
    assert torch.allclose(box_overlap(b, a), expected.T)


def test_pairs_of_boxes():
    """The largest overlap first, each box once, none that hardly overlap or are no boxes."""
    a = torch.tensor([[0.0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60], [torch.nan] * 4])
    b = torch.tensor([[3.0, 0, 13, 10], [1, 0, 11, 10], [59, 59, 69, 69]])
    assert pair_boxes(a, b)[2:] == [(2, 2)]
    assert sorted(pair_boxes(a, b)[:2]) == [(0, 1), (1, 0)]
    assert {pair for pair in pair_boxes(a, b, 0.1)} == {(0, 1), (1, 0)}
    assert pair_boxes(a[:0], b) == []
