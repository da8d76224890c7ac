"""joblib's files are read without joblib, and without running anything."""

import gzip
import os
import pickle
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bodyloop.body import pickles
from bodyloop.body.pickles import PickleRefusedError, load_joblib

RNG = np.random.default_rng(0)
CONTENT = {
    "frame.jpg": {
        "smpl": [{"betas": RNG.normal(size=10).astype(np.float32)}],
        "order": np.asfortranarray(RNG.normal(size=(3, 4))),
        "empty": np.zeros((0, 3)),
        "scalar": np.float32(0.5),
        "point": np.array(3, np.int16),
        "names": np.array(["a", "bcd"]),
        "mask": [{"size": [2, 3], "counts": "abc"}, None, (1, 2.5, True)],
    }
}


def dumped(path: Path, value: object, compress: Any = 0) -> bytes:
    joblib.dump(value, path, compress=compress)
    return path.read_bytes()


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return bool(a == b)


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3)])
def test_what_joblib_writes(tmp_path: Path, compress: Any):
    assert same(load_joblib(dumped(tmp_path / "a.pkl", CONTENT, compress)), CONTENT)


def test_plain_pickles_too():
    assert load_joblib(pickle.dumps({"a": [1, "b"]})) == {"a": [1, "b"]}


def test_arrays_of_files_before_alignment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """joblib up to 1.1 wrote neither the padding nor the attribute."""
    from joblib import numpy_pickle

    class Old(numpy_pickle.NumpyArrayWrapper):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            del self.numpy_array_alignment_bytes

    Old.__qualname__ = Old.__name__ = "NumpyArrayWrapper"
    Old.__module__ = "joblib.numpy_pickle"
    monkeypatch.setattr(numpy_pickle, "NumpyArrayWrapper", Old)
    data = dumped(tmp_path / "a.pkl", CONTENT)
    monkeypatch.undo()
    assert same(load_joblib(data), CONTENT)


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/never",)


@pytest.mark.parametrize("compress", [0, 3])
def test_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compress: int):
    ran: list[str] = []
    data = dumped(tmp_path / "a.pkl", {"a": np.zeros(3), "b": Evil()}, compress)
    monkeypatch.setattr(os, "system", ran.append)
    with pytest.raises(PickleRefusedError, match=r"holds (posix|nt)\.system"):
        load_joblib(data)
    assert not ran


def test_arrays_of_objects_are_refused(tmp_path: Path):
    with pytest.raises(PickleRefusedError, match="of objects"):
        load_joblib(dumped(tmp_path / "a.pkl", {"a": np.array([Evil()], object)}))


def test_what_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pickles, "LARGEST", 1000)
    with pytest.raises(PickleRefusedError, match="more than 1000 bytes"):
        load_joblib(zlib.compress(bytes(10_000)))
    data = dumped(tmp_path / "a.pkl", np.zeros((4, 5)))
    assert data.count(b"K\x04K\x05") == 1, "the shape"
    vast = data.replace(
        b"K\x04K\x05", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f", 1
    )  # breaks the frame's length as well
    with pytest.raises(PickleRefusedError):
        load_joblib(vast)


def test_files_cut_short(tmp_path: Path):
    for data in (dumped(tmp_path / "a.pkl", CONTENT), dumped(tmp_path / "b.pkl", CONTENT, 3)):
        with pytest.raises(PickleRefusedError):
            load_joblib(data[:-200])
    with pytest.raises(PickleRefusedError):
        load_joblib(gzip.compress(b"")[:-4])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 255), st.booleans())
def test_damaged_files_never_raise_anything_else(tmp_path_factory: Any, where: int, byte: int, packed: bool):
    data = bytearray(dumped(tmp_path_factory.getbasetemp() / "damaged.pkl", CONTENT, 3 if packed else 0))
    data[where % len(data)] = byte
    with suppress(PickleRefusedError):
        load_joblib(bytes(data))
