"""Whatever is wrong with a file, its reader gives records or an InputError, never another error."""

import contextlib
import copy
import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from bodyloop.body import BodyModel
from bodyloop.data.formats import open_dataset
from bodyloop.errors import InputError
from data.formats.python2 import python2_pickle
from data.formats.test_array_formats import human_data, spin_arrays, surreal_clip
from data.formats.test_folder_formats import sequence, up3d
from data.formats.test_json_formats import coco, dense, human36m, person, smpl_param

JUNK = (
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.text(max_size=3) | st.just([])
    | st.just({}) | st.just([[1.0, 2.0]]) | st.just([None]) | st.just({"a": 1})
)  # fmt: skip
ARRAYS = st.sampled_from(
    [
        np.zeros(0), np.zeros(3), np.zeros((4, 3)), np.full((4, 72), np.nan), np.array("text"), np.array(["a", "b"]),
        np.array([None, 3], dtype=object), np.full((3, 4, 4), np.inf), np.array(5), np.zeros((4, 190, 3), bool),
        np.full(4, 1e30), np.zeros((3, 72), complex), np.array([b"x", b"y", b"z", b"w"]),
    ]
)  # fmt: skip


def open_all(path: Path, **options: Any) -> None:
    """Open a data set and make every record; bad input may give an InputError and nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            records = open_dataset(path, **options)
            for record in records:
                if record.parts is not None:
                    record.parts.read()
        except InputError:
            return


def spoil(value: Any, data: st.DataObject) -> Any:
    """The value with something in it replaced, or a key left out."""
    value = copy.deepcopy(value)
    holder, key = None, None
    inner = value
    for _ in range(data.draw(st.integers(1, 6))):
        keys = (
            list(inner)
            if isinstance(inner, dict)
            else list(range(len(inner)))
            if isinstance(inner, list)
            else []
        )
        if not keys:
            break
        holder, key = inner, data.draw(st.sampled_from(keys))
        inner = holder[key]
    if holder is None:
        return value
    if isinstance(holder, dict) and data.draw(st.integers(0, 4)) == 0:
        del holder[key]
    else:
        holder[key] = data.draw(ARRAYS if isinstance(inner, np.ndarray) else JUNK)
    return value


def as_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def as_npz(path: Path, value: Any) -> None:
    np.savez(path, **value)


def as_pickle(path: Path, value: Any) -> None:
    path.write_bytes(python2_pickle(value))


def as_mat(path: Path, value: Any) -> None:
    savemat(path, {k: v for k, v in value.items() if v is not None})


MADE: dict[str, Any] = {}


def made(name: str, body: BodyModel) -> Any:
    """The good content of a case, made once: the same for all its examples."""
    if name not in MADE:
        MADE[name] = CASES[name][1](body)
    return MADE[name]


Case = tuple[str, Callable[[BodyModel], Any], Callable[[Path, Any], None]]
FIT = {"1": {"smpl_param": smpl_param(), "cam_param": {"focal": [1.0, 1.0], "princpt": [1.0, 2.0]}}}
CASES: dict[str, Case] = {
    "spin": ("a.npz", lambda body: spin_arrays(), as_npz),
    "human-data": ("a.npz", lambda body: human_data(), as_npz),
    "coco": ("a.json", lambda body: coco(person(1), person(2)), as_json),
    "densepose": ("a.json", lambda body: coco(dense(1), dense(2)), as_json),
    "neuralannot": ("a.json", lambda body: FIT, as_json),
    "multiview": ("a.json", lambda body: {"1": {"2": {"3": smpl_param(), "4": smpl_param()}}}, as_json),
    "coco-smpl": (
        "a.json",
        lambda body: coco(person(1, smpl_param=smpl_param())) | {
            "images": [{"id": 785, "file_name": "a", "width": 9, "height": 9, "cam_param": FIT["1"]["cam_param"]}]
        },
        as_json,
    ),
    "3dpw": ("a.pkl", lambda body: sequence(body)[0], as_pickle),
    "surreal": ("a_info.mat", lambda body: surreal_clip(body, 2)[0], as_mat),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_spoilt_files(tmp_path: Path, body: BodyModel, name: str, data: st.DataObject):
    file, _, write = CASES[name]
    value = made(name, body)
    for _ in range(data.draw(st.integers(1, 2))):
        value = spoil(value, data)
    path = tmp_path / file
    try:
        write(path, value)
    except Exception:  # what cannot be written is in no file
        return
    open_all(path, body=body)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), which=st.sampled_from(["data", "camera", "joint_3d", "SMPL_NeuralAnnot"]))
def test_spoilt_human36m(tmp_path: Path, body: BodyModel, which: str, data: st.DataObject):
    path = tmp_path / "annotations" / "Human36M_subject1_data.json"
    if not path.exists():
        human36m(tmp_path, body)
    file = path.with_name(f"Human36M_subject1_{which}.json")
    good = file.read_text()
    file.write_text(json.dumps(spoil(json.loads(good), data)))
    try:
        open_all(path, body=body)
    finally:
        file.write_text(good)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_spoilt_up3d(tmp_path: Path, data: st.DataObject):
    if "up3d" not in MADE:
        MADE["up3d"] = up3d(tmp_path, 1)[1]
    fit = MADE["up3d"]
    with contextlib.suppress(UnicodeEncodeError):  # Python 2 has no such text
        (tmp_path / "00001_body.pkl").write_bytes(python2_pickle(spoil(fit, data)))
    open_all(tmp_path)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.floats(0, 1), flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=6))
def test_damaged_files(
    tmp_path: Path, body: BodyModel, name: str, cut: float, flips: list[tuple[float, int]]
):
    file, _, write = CASES[name]
    whole = tmp_path / f"whole_{file}"
    if not whole.exists():
        write(whole, made(name, body))
    content = bytearray(whole.read_bytes())
    for place, value in flips:
        content[int(place * len(content))] = value
    (tmp_path / file).write_bytes(content if cut > 0.5 else content[: int(2 * cut * len(content))])
    open_all(tmp_path / file, body=body)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_records_can_be_sent_to_other_processes(tmp_path: Path, body: BodyModel, name: str):
    file, _, write = CASES[name]
    write(tmp_path / file, made(name, body))
    records = open_dataset(tmp_path / file)
    assert records.name == Path(file).stem
    sent = pickle.loads(pickle.dumps(records))
    assert [r.id for r in sent] == [r.id for r in records]
    assert sent[0].box == records[0].box
