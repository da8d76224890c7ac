"""The streaming reader gives what the whole one gives, whatever the size of its window."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bodyloop.errors import InputError
from bodyloop.evidence.json_stream import stream_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def whole(data: dict[str, Any]) -> list[tuple[str, Any]]:
    """What should come, by the slow way."""
    out: list[tuple[str, Any]] = []
    for key, value in data.items():
        out += [(key, element) for element in value] if isinstance(value, list) else [(key, value)]
    return out


@settings(max_examples=60, deadline=None)
@given(
    data=st.dictionaries(st.text(), VALUES, max_size=5),
    chunk=st.integers(1, 40),
    indent=st.sampled_from([None, 0, 2]),
    escaped=st.booleans(),
)
def test_as_the_whole_reader(tmp_path_factory, data, chunk, indent, escaped):
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(json.dumps(data, indent=indent, ensure_ascii=escaped), encoding="utf-8")
    assert list(stream_object(path, "an object", chunk)) == whole(data)


def test_a_byte_order_mark_and_spaces(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf \n{ "a" : [ 1 , 22 ] , "b" : 333 } \n')
    assert list(stream_object(path, "an object", 1)) == [("a", 1), ("a", 22), ("b", 333)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty file"),
        ("[1, 2]", "an object, got"),
        ('{"a": [1, 2', "a comma or the list's end, got the file's end"),
        ('{"a": [{"b": 1}, {"b": ', "a JSON value"),
        ('{"a": [1 2]}', "a comma or the list's end"),
        ('{"a" 1}', "a colon"),
        ("{a: 1}", "a key in quotation marks"),
        ('{"a": 1', "a comma or the object's end"),
        ('{"a": ' + "[" * 100_000, "a JSON value"),
    ],
)
def test_broken_files_say_where(tmp_path: Path, text: str, message: str):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError, match="expected an object") as caught:
        list(stream_object(path, "an object"))
    assert message in str(caught.value)


def test_no_file_and_no_text(tmp_path: Path):
    with pytest.raises(InputError, match="No such file"):
        list(stream_object(tmp_path / "gone.json", "an object"))
    (tmp_path / "a.json").write_bytes(b'{"a": ["\xff\xfe"]}')
    with pytest.raises(InputError, match="not text"):
        list(stream_object(tmp_path / "a.json", "an object"))


def test_what_came_before_the_fault_is_there(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text('{"a": [1, 2, 3')
    stream = stream_object(path, "an object")
    assert [next(stream) for _ in range(2)] == [("a", 1), ("a", 2)]


def test_memory_does_not_grow_with_the_file(tmp_path: Path):
    path = tmp_path / "a.json"
    element = json.dumps({"keypoints": [1.5] * 51, "id": 7})
    with path.open("w") as file:
        file.write('{"annotations": [')
        file.write(", ".join([element] * 20_000))
        file.write("]}")
    assert path.stat().st_size > 5e6
    tracemalloc.start()
    count = sum(1 for _ in stream_object(path, "an object", 1 << 16))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 1e6
