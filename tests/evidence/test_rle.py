import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bodyloop.errors import InputError
from bodyloop.evidence import decode_rle, encode_rle
from bodyloop.evidence.rle import counts_to_string, string_to_counts

MASKS = arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


def slow_string(counts):
    """The COCO API's rleToString, digit by digit."""
    text = ""
    for i, count in enumerate(counts):
        x = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            c = x & 0x1F
            x >>= 5
            more = x != -1 if c & 0x10 else x != 0
            text += chr((c | 0x20 if more else c) + 48)
    return text


def slow_counts(text):
    """The COCO API's rleFrString."""
    counts, i = [], 0
    while i < len(text):
        x = k = 0
        more = True
        while more:
            c = ord(text[i]) - 48
            x |= (c & 0x1F) << 5 * k
            more = bool(c & 0x20)
            i, k = i + 1, k + 1
            if not more and c & 0x10:
                x |= -1 << 5 * k
        counts.append(x + counts[-2] if len(counts) > 2 else x)
    return counts


def slow_runs(mask):
    counts, value = [0], False
    for column in mask.T.tolist():
        for pixel in column:
            if pixel != value:
                counts.append(0)
                value = pixel
            counts[-1] += 1
    return counts


@settings(max_examples=200, deadline=None)
@given(MASKS)
def test_round_trip_and_slow_twin(mask):
    plain, packed = encode_rle(mask, compressed=False), encode_rle(mask)
    assert plain == {"size": list(mask.shape), "counts": slow_runs(mask)}
    assert packed["counts"] == slow_string(plain["counts"])
    for rle in (plain, packed, packed | {"counts": packed["counts"].encode()}):
        assert np.array_equal(decode_rle(rle), mask)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 2**28), min_size=1, max_size=30))
def test_strings_of_long_runs(counts):
    text = counts_to_string(np.array(counts))
    assert text == slow_string(counts)
    assert string_to_counts(text).tolist() == slow_counts(text) == counts


@pytest.mark.parametrize(
    ("size", "counts", "runs"),
    [
        ([2, 3], "122O", [1, 2, 2, 1]),  # the fourth run is a difference, -1
        ([1, 43], "Z11", [42, 1]),  # two characters for a run of 32 or more
        ([9, 10], "j2", [90]),
        ([3, 3], "09", [0, 9]),
    ],
)
def test_known_strings(size, counts, runs):
    assert string_to_counts(counts).tolist() == slow_counts(counts) == runs
    mask = decode_rle({"size": size, "counts": counts})
    assert mask.shape == tuple(size)
    assert mask.sum() == sum(runs[1::2])
    assert encode_rle(mask)["counts"] == counts


def test_columns_come_first():
    mask = decode_rle({"size": [2, 3], "counts": [1, 2, 3]})
    assert mask.astype(int).tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    "rle",
    [
        None, [], "122O", {"size": [2, 3]}, {"counts": "122O"}, {"size": [2], "counts": "122O"},
        {"size": [2, 4], "counts": "122O"}, {"size": [2, 3], "counts": "122"}, {"size": [2, 3], "counts": ""},
        {"size": [2, 3], "counts": "122o"}, {"size": [2, 3], "counts": "12 2"}, {"size": [2, 3], "counts": "é"},
        {"size": [2, 3], "counts": "ooooooooooooo0"}, {"size": [2, 3], "counts": [7, -1]},
        {"size": [2, 3], "counts": [3.0, 3.0]}, {"size": [2, 3], "counts": [True] * 6},
        {"size": [2, 3], "counts": None}, {"size": [2, 3], "counts": [10**30]}, {"size": [0, 3], "counts": []},
        {"size": [2.0, 3], "counts": [6]}, {"size": [10**9, 10**9], "counts": [10**18]},
        {"size": [2, 3], "counts": "O6"}, {"size": "23", "counts": "122O"},
    ],
)  # fmt: skip
def test_damage_is_an_input_error(rle):
    with pytest.raises(InputError, match=r"expected .*got"):
        decode_rle(rle)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=12) | st.binary(max_size=12))
def test_any_text_gives_a_mask_or_an_input_error(counts):
    with contextlib.suppress(InputError):
        assert decode_rle({"size": [4, 5], "counts": counts}).shape == (4, 5)


def test_only_masks_are_encoded():
    for shape in ((3,), (0, 4), (2, 3, 4)):
        with pytest.raises(ValueError, match="a mask is"):
            encode_rle(np.zeros(shape))
