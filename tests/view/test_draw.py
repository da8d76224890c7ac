import numpy as np
import pytest

from bodyloop.view import contact_sheet


def test_pictures_stand_in_rows_and_keep_their_colours():
    red, green = np.zeros((40, 80, 3), np.uint8), np.zeros((60, 30, 3), np.uint8)
    red[..., 0], green[..., 1] = 255, 255
    sheet = contact_sheet([red, green, red], 2, cell=100)
    assert sheet.shape == (128, 200, 3)
    np.testing.assert_array_equal(sheet[32, 50], [255, 0, 0])
    np.testing.assert_array_equal(sheet[32, 150], [0, 255, 0])
    np.testing.assert_array_equal(sheet[96, 50], [255, 0, 0])
    np.testing.assert_array_equal(sheet[96, 150], [255, 255, 255])


def test_captions_add_a_line_and_large_pictures_shrink():
    sheet = contact_sheet([np.zeros((500, 300, 3), np.uint8)], 4, ["a name"], cell=100)
    assert sheet.shape == (114, 100, 3)
    assert (sheet[100:] < 100).any()
    assert (sheet[:2] == 255).all()


def test_wrong_counts_are_refused():
    picture = np.zeros((4, 4, 3), np.uint8)
    for arguments in (([], 2), ([picture], 0), ([picture], 1, ["a", "b"])):
        with pytest.raises(ValueError, match="captions"):
            contact_sheet(*arguments)
