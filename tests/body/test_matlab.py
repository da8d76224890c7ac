"""MATLAB v5 files against scipy's reader, and damaged ones, which crash that."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from bodyloop.body.matlab import load_mat
from bodyloop.errors import InputError

RNG = np.random.default_rng(0)


def variables() -> dict[str, Any]:
    cells = np.empty((1, 3), dtype=object)
    cells[0, 0], cells[0, 1], cells[0, 2] = np.eye(3), np.arange(4), "text"
    return {
        "double": RNG.normal(size=(3, 4)), "single": RNG.normal(size=(2, 24, 5)).astype(np.float32),
        "bytes": RNG.integers(0, 255, (7, 1)).astype(np.uint8), "small": np.array([[3]], np.int16),
        "whole": np.arange(6, dtype=np.int64).reshape(2, 3), "empty": np.zeros((0, 3)), "flag": np.array([True, False]),
        "a_name_of_more_than_eight_letters": np.array([1.5]), "cells": cells, "word": "a text", "z": np.array([1 + 2j]),
        "record": {"a": 1.0},
    }  # fmt: skip


@pytest.mark.parametrize("compressed", [False, True])
def test_the_same_as_scipy(tmp_path: Path, compressed: bool):
    path = tmp_path / "a.mat"
    savemat(path, variables(), do_compression=compressed)
    found, expected = dict(load_mat(path, "")), loadmat(path)
    assert set(found) == set(variables())
    assert (found.pop("word"), found.pop("z"), found.pop("record")) == (None, None, None)
    for key, value in found.items():
        if key == "cells":
            assert value.shape == (1, 3)
            assert all(np.array_equal(value[0, i], expected[key][0, i]) for i in (0, 1))
            assert value[0, 2] is None
        else:
            assert np.array_equal(value, expected[key]), key
            assert value.dtype.itemsize == expected[key].dtype.itemsize
            assert value.shape == expected[key].shape
    assert set(load_mat(path, "", ("single", "gone"))) == {"single"}


@pytest.mark.parametrize("content", [b"", b"MATLAB", b"\x89HDF\r\n\x1a\n" + b"x" * 300, b"x" * 500])
def test_other_files(tmp_path: Path, content: bytes):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.mat: not a readable MATLAB v5 file.*expected a thing"):
        load_mat(tmp_path / "a.mat", "expected a thing")
    with pytest.raises(InputError, match="cannot be read"):
        load_mat(tmp_path / "gone.mat", "expected a thing")


@pytest.mark.parametrize("compressed", [False, True])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.floats(0.5, 1.5), flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=6)
)
def test_damage_is_an_input_error(
    tmp_path: Path, compressed: bool, cut: float, flips: list[tuple[float, int]]
):
    whole = tmp_path / "whole.mat"
    if not whole.exists():
        savemat(whole, variables(), do_compression=compressed)
    content = bytearray(whole.read_bytes())
    for place, value in flips:
        content[int(place * len(content))] = value
    (tmp_path / "a.mat").write_bytes(content[: int(cut * len(content))])
    with contextlib.suppress(InputError):
        load_mat(tmp_path / "a.mat", "expected a thing")
