"""Configurations survive JSON and are changed by name; what is wrong is told."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bodyloop.errors import InputError
from bodyloop.train.settings import changed, from_text, to_text


@dataclass(frozen=True)
class Round:
    radius: float = 1.0


@dataclass(frozen=True)
class Square:
    side: int = 2
    names: tuple[str, ...] = ("a", "b")

    def __post_init__(self) -> None:
        if self.side < 0:
            raise ValueError("sides are at least 0")


@dataclass(frozen=True)
class Drawing:
    shapes: tuple[Round | Square, ...] = (Round(), Square())
    first: Square = Square(3)
    color: Literal["red", "blue", 3] = "red"
    share: float | None = None
    size: tuple[int, float] = (1, 2.0)
    filled: bool = False
    extra: Round | None = None


SQUARES = st.builds(Square, st.integers(0, 99), st.lists(st.text(max_size=5), max_size=3).map(tuple))
ROUNDS = st.builds(Round, st.floats(allow_nan=False))
DRAWINGS = st.builds(
    Drawing,
    st.lists(st.one_of(SQUARES, ROUNDS), max_size=3).map(tuple),
    SQUARES,
    st.sampled_from(["red", "blue", 3]),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.tuples(st.integers(), st.floats(allow_nan=False)),
    st.booleans(),
    st.none() | ROUNDS,
)


@given(DRAWINGS)
def test_json_and_back(drawing: Drawing):
    assert from_text(Drawing, to_text(drawing)) == drawing


def test_what_is_missing_has_its_default():
    assert from_text(Drawing, "{}") == Drawing()
    assert from_text(Drawing, '{"share": 1}').share == 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "expected JSON"),
        ("[]", "fields of Drawing"),
        ('{"shade": 1}', "has no shade; it has shapes"),
        ('{"kind": "Round"}', "fields of Drawing"),
        ('{"filled": 1}', "filled: expected true or false"),
        ('{"share": "x"}', "share: expected a number"),
        ('{"color": "green"}', "color: expected one of red, blue, 3"),
        ('{"color": true}', "color: expected one of"),
        ('{"size": [1]}', "size: expected 2 values, got 1"),
        ('{"size": 1}', "size: expected a list"),
        ('{"first": {"side": -1}}', "first: sides are at least 0"),
        ('{"first": {"names": [1]}}', r"names\.0: expected text"),
        ('{"shapes": [{"side": 1}]}', "kind to be one of Round, Square"),
        ('{"shapes": [3]}', "expected one of Round, Square"),
        ('{"extra": {"kind": "Square"}}', "one of Round"),
    ],
)
def test_wrong_files(text: str, message: str):
    with pytest.raises(InputError, match=message):
        from_text(Drawing, text)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("filled", "true", Drawing(filled=True)),
        ("first.side", "7", Drawing(first=Square(7))),
        ("first.names", "x, y,z", Drawing(first=Square(3, ("x", "y", "z")))),
        ("first.names", "", Drawing(first=Square(3, ()))),
        ("first.names.1", "z", Drawing(first=Square(3, ("a", "z")))),
        ("shapes.0.radius", "1e-3", Drawing((Round(0.001), Square()))),
        ("shapes.1.side", "4", Drawing((Round(), Square(4)))),
        ("color", "3", Drawing(color=3)),
        ("share", "0.5", Drawing(share=0.5)),
        ("share", "none", Drawing()),
        ("size", "4, 5", Drawing(size=(4, 5.0))),
        ("size.1", "9", Drawing(size=(1, 9.0))),
        ("extra", "none", Drawing()),
    ],
)
def test_fields_are_changed_by_name(name: str, text: str, expected: Drawing):
    assert changed(Drawing(), name, text) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("shade", "1", "shade: no such setting; expected one of shapes"),
        ("first.shade", "1", r"first\.shade: no such setting; expected one of side"),
        ("first", "1", "has settings within"),
        ("extra", "1", "has settings within"),
        ("first.side", "x", "side: expected a whole number, got 'x'"),
        ("first.side", "-1", "sides are at least 0"),
        ("first.side.more", "1", "no settings within"),
        ("shapes.2.side", "1", "from 0 to 1"),
        ("shapes.x.side", "1", "from 0 to 1"),
        ("filled", "1", "expected true or false"),
        ("color", "green", "one of red, blue, 3"),
        ("size", "1", "expected 2 values"),
        ("share", "x", "expected a number"),
    ],
)
def test_wrong_changes(name: str, text: str, message: str):
    with pytest.raises(InputError, match=message):
        changed(Drawing(), name, text)


def test_a_class_is_never_taken_from_the_file():
    with pytest.raises(InputError):
        from_text(Drawing, '{"extra": {"kind": "InputError"}}')
    value: Any = from_text(Drawing, '{"extra": {"kind": "Round", "radius": 2}}')
    assert value.extra == Round(2.0)
