import numpy as np
import pytest
import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.data.synthetic import SyntheticSample
from bodyloop.geometry import Camera
from bodyloop.raster import rasterize
from bodyloop.view import comparison, sample_comparison
from bodyloop.view.comparison import partial_comparison
from made_up import random_bodies

CELL = 120


@pytest.fixture(scope="module")
def truth() -> Bodies:
    return random_bodies(2, dtype=torch.float32)


@pytest.fixture(scope="module")
def found(truth: Bodies) -> Bodies:
    other = random_bodies(2, seed=4, dtype=torch.float32)
    return Bodies(truth.rotations, truth.betas, truth.translation + 0.1 * other.betas[:, :3])


def panels(sheet: np.ndarray) -> list[np.ndarray]:
    return [sheet[:CELL, i * CELL : (i + 1) * CELL].astype(int) for i in range(4)]


def test_four_pictures(body: BodyModel, found: Bodies, truth: Bodies):
    photo = np.full((60, 60, 3), 90, np.uint8)
    camera = Camera.from_focal(110, 60, 60)
    sheet = comparison(photo, body, found[:1], truth[:1], camera, CELL)
    assert sheet.shape[1] == 4 * CELL
    plain, ours, true, side = panels(sheet)
    middle = slice(8, -8)
    assert (plain[middle, middle] == 90).all()
    assert abs(ours - true)[middle, middle].max() > 20
    assert abs(side - plain)[middle, middle].max() > 20
    same = panels(comparison(photo, body, truth[:1], truth[:1], camera, CELL))
    assert (same[1] == same[2])[middle, middle].all()


def test_the_side_view_puts_pelvis_on_pelvis(body: BodyModel, found: Bodies, truth: Bodies):
    photo, camera = np.full((60, 60, 3), 90, np.uint8), Camera.from_focal(110, 60, 60)
    moved, still = (
        panels(comparison(photo, body, b[:1], truth[:1], camera, CELL))[3] for b in (found, truth)
    )
    assert abs(moved - still).mean() < 3, "the pose is the same, the place alone differs"


def test_samples_by_number(body: BodyModel, found: Bodies, truth: Bodies):
    lens = Camera(torch.full((2, 2), 110.0), torch.full((2, 2), 29.5), (60, 60))
    photos = torch.tensor([50, 150], dtype=torch.uint8)[:, None, None, None].expand(2, 60, 60, 3)
    seen = rasterize(body.vertices(truth), body.faces, lens)
    number = torch.arange(2)
    samples = SyntheticSample(photos, truth, lens, seen, number, number, number)
    picture = sample_comparison(samples, found, body)
    one = Camera(lens.focal[1], lens.center[1], lens.size)
    assert np.array_equal(picture(1), comparison(photos[1].numpy(), body, found[1:], truth[1:], one))


def test_what_is_not_known_is_not_drawn(body: BodyModel, found: Bodies, truth: Bodies):
    photo, camera = np.full((60, 60, 3), 90, np.uint8), Camera.from_focal(110, 60, 60)
    whole = comparison(photo, body, found[:1], truth[:1], camera, CELL)
    assert np.array_equal(
        partial_comparison(photo, body, found[:1], truth[:1], camera, camera, CELL), whole
    ), "with everything known it is the comparison"
    placeless = partial_comparison(photo, body, found[:1], truth[:1], camera, None, CELL)
    assert placeless.shape[1] == 3 * CELL
    assert np.array_equal(placeless[:CELL, : 2 * CELL], whole[:CELL, : 2 * CELL])
    alone = partial_comparison(photo, body, found[:1], None, camera, None, CELL)
    assert alone.shape[1] == 3 * CELL
    assert partial_comparison(None, body, found[:1], truth[:1], None, None, CELL).shape[1] == CELL
