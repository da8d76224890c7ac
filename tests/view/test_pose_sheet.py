import numpy as np
import pytest
import torch

from bodyloop.geometry import axis_angle_to_rotmat
from bodyloop.view import pose_sheet
from bodyloop.view.stage import BACKGROUND, shaded_ground

REST = torch.eye(3).expand(23, 3, 3)
PLACE = (60, 70)


def bodies_of(picture: np.ndarray) -> np.ndarray:
    """Where a picture is blue."""
    return picture[..., 2].astype(int) - picture[..., 0] > 30


def test_a_grid_of_places(ball):
    sheet = pose_sheet(ball, REST.expand(5, 23, 3, 3), 3, PLACE)
    assert sheet.shape == (140, 180, 3)
    assert sheet.dtype == np.uint8
    blue = bodies_of(sheet)
    places = [blue[y : y + 70, x : x + 60] for y in (0, 70) for x in (0, 60, 120)]
    assert all((place == places[0]).all() for place in places[:5])
    assert not places[5].any(), "an empty place stays empty"
    rows, columns = np.nonzero(places[0])
    assert abs(columns.mean() - 29.5) < 1, "in the middle of its place"
    assert places[0][1:-1, 1:-1].sum() == places[0].sum(), "nothing is cut"
    assert np.ptp(rows) > 5


def test_seen_from_the_front_upright_at_one_scale(body):
    arm = torch.zeros(23, 3)
    arm[15, 2] = 1.3  # the left shoulder lifts the left arm
    knees = torch.zeros(23, 3)
    knees[0:2, 0], knees[3:5, 0] = -1.5, 1.5
    sheet = bodies_of(pose_sheet(body, axis_angle_to_rotmat(torch.stack([arm, knees])), 2, (120, 130)))
    lifted, crouched = sheet[:, :120], sheet[:, 120:]
    rows, columns = np.nonzero(lifted)
    highest = columns[rows < rows.min() + 5]
    assert highest.mean() > 65, "the person's left is on the right of who faces them"
    assert np.ptp(np.nonzero(crouched)[0]) < 0.85 * np.ptp(rows)


def test_the_ground_fades_and_is_darkest_under_what_touches_it():
    stone = torch.tensor([[0.0, -0.02, 0.0]]) + 0.05 * torch.randn(200, 3) * torch.tensor([1.0, 0.0, 1.0])
    touching, floating = (shaded_ground(stone - torch.tensor([0, h, 0]), 1.0) for h in (0.0, 0.6))
    rim = touching.vertices.norm(dim=-1) > 0.99
    assert torch.allclose(touching.colors[rim], torch.tensor(BACKGROUND), atol=0.01)
    middle = touching.vertices.norm(dim=-1).argmin()
    far = (touching.vertices - torch.tensor([0.5, 0, 0])).norm(dim=-1).argmin()
    assert touching.colors[middle].mean() < floating.colors[middle].mean() < touching.colors[far].mean()
    assert (touching.vertices[:, 1] == 0).all()


def test_nothing_to_show(ball):
    with pytest.raises(ValueError, match="got 0 poses"):
        pose_sheet(ball, REST[None][:0], 3)
    with pytest.raises(ValueError, match="0 columns"):
        pose_sheet(ball, REST[None], 0)
