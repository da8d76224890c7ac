"""What is done to a batch of crops."""

import math

import numpy as np
import pytest

from bodyloop.data.augment import AugmentConfig
from bodyloop.data.crop_changes import Changes

WILD = AugmentConfig(56, shift=0.1, occlusion_chance=0.5)


def test_draws_have_the_ranges_of_the_configuration():
    config = AugmentConfig(56, shift=0.1)
    changes = Changes.draw(config, 96, 1.5, 4000, np.random.default_rng(0))
    factor = changes.side / (96 * config.margin / 1.5)
    assert factor.min() >= 0.75
    assert factor.max() <= 1.25
    assert abs(changes.flip.mean() - 0.5) < 0.03
    assert abs((changes.angle != 0).mean() - 0.4) < 0.03
    assert abs(changes.angle).max() <= math.radians(60)
    assert changes.gains.min() >= 0.6
    assert changes.gains.max() <= 1.4
    assert not changes.hidden.any()
    off = (changes.center - (96 - 1) / 2) / changes.side[:, None]
    assert 0.09 < abs(off).max() <= 0.1 + 1e-9


@pytest.mark.parametrize("cells", [96, 48])
@pytest.mark.parametrize("size", [56, 14])
def test_pixels_of_maps_go_forth_and_back(cells: int, size: int):
    """A pixel of a new map, looked up in the stored one, lands where the stored crop's point does."""
    changes = Changes.draw(WILD, 96, 1.5, 20, np.random.default_rng(3))
    rng = np.random.default_rng(4)
    new = rng.uniform(0, size - 1, (20, 5, 2))
    back = changes.back(size, cells, 96)
    stored = new @ back[:, :, :2].transpose(0, 2, 1) + back[:, None, :, 2]
    points = (stored + 0.5) * (96 / cells) - 0.5  # from the stored map's pixels to the stored crop's
    found = (changes.forth(points) + 0.5) * (size / 56) - 0.5
    np.testing.assert_allclose(found, new, atol=1e-3)


def test_some_of_several():
    changes = Changes.draw(WILD, 96, 1.5, 6, np.random.default_rng(3))
    both = Changes.joined([changes.of(np.array([0, 2])), changes.of(np.array([5]))])
    for name, value in vars(both).items():
        whole = getattr(changes, name)
        np.testing.assert_array_equal(value, whole[[0, 2, 5]] if isinstance(whole, np.ndarray) else whole)


def test_what_covers_a_crop_is_painted_there_alone():
    changes = Changes.draw(WILD, 96, 1.5, 30, np.random.default_rng(5))
    maps = np.zeros((30, 1, 56, 56), np.uint8)
    changes.cover(maps, 7)
    y, x = np.indices((56, 56))[:, None].repeat(30, 1)
    np.testing.assert_array_equal(maps[:, 0] == 7, changes.covered(x, y))
    assert 0 < changes.hidden.mean() < 1
    assert not maps[~changes.hidden].any()
