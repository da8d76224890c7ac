import contextlib
import io
import os
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from bodyloop.body import Bodies, BodyFileError, load_body
from bodyloop.body.files import read_pickle
from bodyloop.body.pickles import PickleRefusedError, load_plain

Arrays = dict[str, np.ndarray]


def save(path: Path, arrays: dict[str, object]) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **arrays)  # type: ignore[arg-type]
    else:
        path.write_bytes(pickle.dumps(arrays, protocol=2))
    return path


@pytest.fixture
def fake_chumpy(monkeypatch: pytest.MonkeyPatch):
    """Classes that pickle under chumpy's names, as SMPL's own files do."""
    ch, reordering, package = (types.ModuleType(n) for n in ("chumpy.ch", "chumpy.reordering", "chumpy"))

    class Ch:
        def __init__(self, x: np.ndarray) -> None:
            self.__dict__["x"] = x

    class Select:
        def __init__(self, a: object, idxs: np.ndarray, shape: tuple[int, ...]) -> None:
            self.__dict__.update(a=a, idxs=idxs, preferred_shape=shape)

    Ch.__module__, Select.__module__ = "chumpy.ch", "chumpy.reordering"
    Ch.__qualname__, Select.__qualname__ = "Ch", "Select"
    ch.Ch, reordering.Select = Ch, Select  # type: ignore[attr-defined]
    for module in (ch, reordering, package):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return types.SimpleNamespace(Ch=Ch, Select=Select)


def test_npz_and_pickle_are_the_same_body(tmp_path: Path, smpl_arrays: Arrays):
    first = load_body(save(tmp_path / "a.npz", dict(smpl_arrays)))
    wrapped = {**smpl_arrays, "J_regressor": sparse.csc_matrix(smpl_arrays["J_regressor"])}
    second = load_body(save(tmp_path / "a.pkl", wrapped))
    bodies = Bodies.from_smpl(torch.randn(2, 72) * 0.3)
    assert torch.allclose(first.vertices(bodies), second.vertices(bodies))


def test_chumpy_wrappers_are_read_without_chumpy(tmp_path: Path, smpl_arrays: Arrays, fake_chumpy):
    dirs = smpl_arrays["shapedirs"]
    wide = np.concatenate([dirs, dirs], 2)
    index = np.arange(wide.size).reshape(wide.shape)[:, :, :10].ravel()
    wrapped = {
        **smpl_arrays,
        "v_template": fake_chumpy.Ch(smpl_arrays["v_template"]),
        "shapedirs": fake_chumpy.Select(fake_chumpy.Ch(wide), index, dirs.shape),
    }
    path = save(tmp_path / "smpl.pkl", wrapped)
    for name in ("chumpy", "chumpy.ch", "chumpy.reordering"):
        sys.modules.pop(name)
    body = load_body(path)
    assert torch.allclose(body.shapedirs, torch.from_numpy(dirs).float())


def test_more_than_ten_shape_components_are_cut(tmp_path: Path, smpl_arrays: Arrays):
    many = np.concatenate([smpl_arrays["shapedirs"]] * 3, 2)
    assert load_body(save(tmp_path / "b.npz", {**smpl_arrays, "shapedirs": many})).shapedirs.shape[2] == 10


class _Hostile:
    def __reduce__(self):
        return os.system, ("touch hacked",)


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (_Hostile(), "system"),
        ({"v_template": _Hostile()}, "system"),
        ({"v_template": np.array([_Hostile()], dtype=object)}, "system"),
        ({"x": Path("/")}, "pathlib"),
        ({"x": print}, "print"),
    ],
)
def test_hostile_pickles_are_refused_by_name(tmp_path: Path, monkeypatch, payload: object, named: str):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(payload))
    with pytest.raises(BodyFileError, match=named):
        load_body(path)
    assert not (tmp_path / "hacked").exists()


def test_eval_through_reconstructor_is_refused(tmp_path: Path):
    code = b"ccopyreg\n_reconstructor\n(cbuiltins\nset\ncbuiltins\nobject\nNtR."
    with pytest.raises(BodyFileError, match="unusual"):
        read_pickle(io.BytesIO(code), "evil")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("v_template", np.zeros((96, 2)), r"'v_template' should have shape \(any, 3\), got \(96, 2\)"),
        ("weights", np.zeros((96, 23)), r"'weights' should have shape \(96, 24\)"),
        ("weights", np.zeros((96, 24)), "sum to 1"),
        ("shapedirs", np.zeros((96, 3, 4)), "at least 10 components"),
        ("f", np.full((5, 3), 96), "names vertex 96"),
        ("kintree_table", np.zeros((2, 52), int), "SMPL-H"),
        ("kintree_table", np.zeros((2, 55), int), "SMPL-X"),
        ("posedirs", np.zeros((96, 3, 459)), "'posedirs'"),
        ("v_template", np.full((96, 3), np.nan), "NaN"),
        ("v_template", np.array([["a"] * 3] * 96), "should hold numbers"),
    ],
)
def test_wrong_arrays_are_explained(
    tmp_path: Path, smpl_arrays: Arrays, key: str, value: object, message: str
):
    with pytest.raises(BodyFileError, match=message):
        load_body(save(tmp_path / "bad.npz", {**smpl_arrays, key: value}))


def test_missing_key_and_missing_file(tmp_path: Path, smpl_arrays: Arrays):
    rest = {k: v for k, v in smpl_arrays.items() if k != "weights"}
    with pytest.raises(BodyFileError, match="no 'weights'"):
        load_body(save(tmp_path / "bad.pkl", rest))
    with pytest.raises(BodyFileError, match="cannot be opened"):
        load_body(tmp_path / "none.pkl")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(BodyFileError, match="not a readable"):
        load_body(tmp_path / "text.npz")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.integers(0, 4000), flips=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=4)
)
def test_damaged_pickles_never_raise_anything_else(
    smpl_arrays: Arrays, cut: int, flips: list[tuple[int, int]]
):
    data = bytearray(pickle.dumps({k: v[:4] for k, v in smpl_arrays.items()}, protocol=2)[: 4000 - cut])
    for place, value in flips:
        if place < len(data):
            data[place] = value
    with contextlib.suppress(BodyFileError):
        read_pickle(io.BytesIO(bytes(data)), "damaged")


def landmarks(**changes: object) -> Arrays:
    good = {"names": np.array(["nose"]), "rows": np.array([0, 0]), "cols": np.array([3, 5])}
    arrays = good | {"values": np.array([0.5, 0.5])} | changes
    return {f"landmark_{key}": np.asarray(value) for key, value in arrays.items() if value is not None}


def test_a_file_may_bring_landmarks(tmp_path: Path, smpl_arrays: Arrays):
    body = load_body(save(tmp_path / "a.npz", {**smpl_arrays, **landmarks()}))
    bodies = Bodies.from_smpl(torch.randn(2, 72) * 0.3)
    expected = body.vertices(bodies)[:, [3, 5]].mean(1)
    assert torch.allclose(body.points(bodies, body.landmark_points(("nose",)))[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": None}, "no 'landmark_rows'"),
        ({"cols": np.array([3, 96])}, "vertices 0 to 95"),
        ({"rows": np.array([0, 1])}, "each of the 1 landmarks"),
        ({"values": np.array([1.0])}, r"shape \(2\)"),
        ({"names": np.array([1])}, "should hold text"),
    ],
)
def test_broken_landmarks_are_named(tmp_path: Path, smpl_arrays: Arrays, changes: Arrays, message: str):
    path = save(tmp_path / "a.npz", {**smpl_arrays, **landmarks(**changes)})
    with pytest.raises(BodyFileError, match=message):
        load_body(path)


def test_lists_that_are_no_arrays_and_bodies_without_vertices(tmp_path: Path, smpl_arrays: Arrays):
    with pytest.raises(BodyFileError, match="'v_template' is no array"):
        load_body(save(tmp_path / "a.pkl", {**smpl_arrays, "v_template": [[1.0], [1.0, 2.0]]}))
    none = {key: smpl_arrays[key][:0] for key in ("v_template", "shapedirs", "weights", "posedirs", "f")}
    none["J_regressor"] = smpl_arrays["J_regressor"][:, :0]
    with pytest.raises(BodyFileError, match="no vertices"):
        load_body(save(tmp_path / "a.npz", {**smpl_arrays, **none}))


def test_damaged_archives_are_refused(tmp_path: Path, smpl_arrays: Arrays):
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    with pytest.raises(BodyFileError, match=r"array\.npz"):
        load_body(tmp_path / "array.npz")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **smpl_arrays)
    rng = np.random.default_rng(0)
    for _ in range(60):  # some fail in zlib, some in zipfile, some in numpy
        content = bytearray(buffer.getvalue())
        for place in rng.integers(0, len(content), 40):
            content[place] = rng.integers(0, 256)
        (tmp_path / "a.npz").write_bytes(content)
        with contextlib.suppress(BodyFileError):
            load_body(tmp_path / "a.npz")


def test_containers_that_hold_themselves_or_each_other(tmp_path: Path):
    own: list[object] = []
    own.append(own)
    with pytest.raises(PickleRefusedError, match="holds itself"):
        load_plain(io.BytesIO(pickle.dumps(own)))
    bomb: list[object] = []
    for _ in range(60):
        bomb = [bomb, bomb]
    load_plain(io.BytesIO(pickle.dumps(bomb)))
    nested = b"\x80\x02" + b"]" * 10_001 + b"a" * 10_000 + b"."
    with pytest.raises(PickleRefusedError, match="nested too deeply"):
        load_plain(io.BytesIO(nested))


def test_nested_containers_are_opened(fake_chumpy):
    content = {
        "betas": [fake_chumpy.Ch(np.arange(3.0)), np.ones(2)],
        "names": ["m", "f"],
        3: {"a": (1, None)},
    }
    found = load_plain(io.BytesIO(pickle.dumps(content, protocol=2)))
    assert found["betas"][0].tolist() == [0, 1, 2]
    assert found["names"] == ["m", "f"]
    assert found["3"] == {"a": (1, None)}
