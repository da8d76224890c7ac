"""Configurations that are frozen dataclasses: to JSON and back, and changed by dotted names.

Fields may be bool, int, float, str, None, a Literal, a dataclass, a tuple of these, or a union of dataclasses or with
None. What a text or a file holds is converted by the field's type alone, so that a file can name no class of its own.
"""

import hashlib
import json
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from bodyloop.errors import InputError

T = TypeVar("T")
KIND = "kind"
"""Name of the dataclass, among the fields in JSON."""
LATER = {"later": True}
"""Metadata of a field that was added when there were results of configurations without it: while it has its default, it
is not written, so that the text of those configurations, by which their results are found, stays what it was."""


def digest(config: Any) -> str:
    """Twelve letters for all that a configuration says."""
    return hashlib.sha256(to_text(config).encode()).hexdigest()[:12]


def to_data(config: Any) -> Any:
    """A configuration in JSON's types."""
    if is_dataclass(config):
        values = {f: getattr(config, f.name) for f in fields(config)}
        told = {
            f.name: to_data(v) for f, v in values.items() if not f.metadata.get("later") or v != f.default
        }
        return {KIND: type(config).__name__} | told
    if isinstance(config, tuple):
        return [to_data(value) for value in config]
    return config


def to_text(config: Any) -> str:
    """A configuration as JSON."""
    return json.dumps(to_data(config), indent=1) + "\n"


def from_text(kind: type[T], text: str, what: str = "configuration") -> T:
    """The configuration that `to_text` wrote.

    Raises:
        InputError: if it is none of this kind, naming the field.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{what}: expected JSON, got something else ({error})") from None
    found: T = from_data(kind, data, what)
    return found


def from_data(hint: Any, data: Any, where: str) -> Any:
    """A value of a type from JSON's types.

    Raises:
        InputError: if it is of another type, naming where.
    """
    if is_dataclass(hint):
        return _dataclass(hint, data, where)
    if get_origin(hint) is tuple:
        if not isinstance(data, list):
            raise InputError(f"{where}: expected a list, got {_shown(data)}")
        kinds = _kinds_of(hint, len(data), where)
        items = enumerate(zip(kinds, data, strict=True))
        return tuple(from_data(kind, value, f"{where}.{i}") for i, (kind, value) in items)
    if get_origin(hint) is Literal:
        if not any(type(data) is type(value) and data == value for value in get_args(hint)):
            raise InputError(f"{where}: expected one of {_words(get_args(hint))}, got {_shown(data)}")
        return data
    if get_origin(hint) in (Union, UnionType):
        return _one_of(get_args(hint), data, where)
    if hint is float and type(data) is int:
        return float(data)
    if type(data) is not hint:
        raise InputError(f"{where}: expected {_name(hint)}, got {_shown(data)}")
    return data


def _dataclass(hint: Any, data: Any, where: str) -> Any:
    """A dataclass from its fields; those that are not given have their defaults."""
    if not isinstance(data, dict) or data.get(KIND, hint.__name__) != hint.__name__:
        raise InputError(f"{where}: expected the fields of {hint.__name__}, got {_shown(data)}")
    hints = _hints(hint)
    given = {name: value for name, value in data.items() if name != KIND}
    if unknown := [name for name in given if name not in hints]:
        raise InputError(f"{where}: {hint.__name__} has no {', '.join(unknown)}; it has {', '.join(hints)}")
    values = {name: from_data(hints[name], value, f"{where}.{name}") for name, value in given.items()}
    return _built(hint, values, where)


def _built(hint: Any, values: dict[str, Any], where: str) -> Any:
    try:
        return hint(**values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {error}") from None


def _one_of(choices: tuple[Any, ...], data: Any, where: str) -> Any:
    """A value of one type of a union: None, a dataclass by its name, or another by its type."""
    if data is None and NoneType in choices:
        return None
    structured: list[Any] = [choice for choice in choices if is_dataclass(choice)]
    classes = {choice.__name__: choice for choice in structured}
    if isinstance(data, dict):
        if data.get(KIND) in classes:
            return _dataclass(classes[data[KIND]], data, where)
        raise InputError(
            f"{where}: expected the {KIND} to be one of {', '.join(classes)}, got {_shown(data)}"
        )
    rest = [choice for choice in choices if choice is not NoneType and not is_dataclass(choice)]
    for choice in rest:
        try:
            return from_data(choice, data, where)
        except InputError:
            if choice is rest[-1]:
                raise
    raise InputError(f"{where}: expected one of {', '.join(classes)}, got {_shown(data)}")


def changed(config: T, name: str, text: str) -> T:
    """The configuration with one field changed, e.g. ``changed(recipe, "phases.0.steps", "100")``.

    Args:
        config: a dataclass.
        name: of the field; those of fields within fields after a dot, items of tuples by number.
        text: the value. ``true`` or ``false``; tuples with commas; ``none``.

    Raises:
        InputError: no such field, or a text that is no such value.
    """
    found: T = _changed(config, type(config), name.split("."), text, "")
    return found


def _changed(config: Any, hint: Any, path: list[str], text: str, where: str) -> Any:
    if not path:
        return _parsed(hint, text, where)
    name, *rest = path
    here = f"{where}.{name}".lstrip(".")
    if is_dataclass(config) and not isinstance(config, type):
        hints = _hints(type(config))
        if name not in hints:
            raise InputError(f"--set {here}: no such setting; expected one of {', '.join(hints)}")
        value = _changed(getattr(config, name), hints[name], rest, text, here)
        try:
            return replace(config, **{name: value})
        except (TypeError, ValueError) as error:
            raise InputError(f"--set {here}: {error}") from None
    if isinstance(config, tuple):
        if not name.isdecimal() or int(name) >= len(config):
            raise InputError(
                f"--set {here}: expected a number from 0 to {len(config) - 1} in place of {name!r}"
            )
        at = int(name)
        kind = _kinds_of(_without_none(hint), len(config), where)[at]
        return (*config[:at], _changed(config[at], kind, rest, text, here), *config[at + 1 :])
    raise InputError(f"--set {here}: {where} has no settings within; give it a value")


def _parsed(hint: Any, text: str, where: str) -> Any:
    """A value of a type from text."""
    if get_origin(hint) in (Union, UnionType):
        if text.lower() == "none" and NoneType in get_args(hint):
            return None
        for choice in (c for c in get_args(hint) if c is not NoneType and not is_dataclass(c)):
            return _parsed(choice, text, where)
    if get_origin(hint) is tuple:
        parts = [part.strip() for part in text.split(",")] if text else []
        kinds = _kinds_of(hint, len(parts), f"--set {where}")
        return tuple(_parsed(kind, part, where) for kind, part in zip(kinds, parts, strict=True))
    if get_origin(hint) is Literal:
        for value in get_args(hint):
            if str(value) == text:
                return value
        raise InputError(f"--set {where}: expected one of {_words(get_args(hint))}, got {text!r}")
    if hint is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if hint is str:
        return text
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            pass
    if is_dataclass(hint) or get_origin(hint) in (Union, UnionType):
        raise InputError(f"--set {where}: has settings within; give one of those, as in {where}.NAME=VALUE")
    raise InputError(f"--set {where}: expected {_name(hint)}, got {text!r}")


def _without_none(hint: Any) -> Any:
    rest = [choice for choice in get_args(hint) if choice is not NoneType]
    return rest[0] if get_origin(hint) in (Union, UnionType) and len(rest) == 1 else hint


def _kinds_of(hint: Any, count: int, where: str) -> tuple[Any, ...]:
    """Types of a tuple's items."""
    kinds = get_args(hint)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return (kinds[0],) * count
    if len(kinds) != count:
        raise InputError(f"{where}: expected {len(kinds)} values, got {count}")
    return tuple(kinds)


@lru_cache
def _hints(kind: Any) -> dict[str, Any]:
    """Types of a dataclass's fields."""
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind) if f.init}


def _words(values: tuple[Any, ...]) -> str:
    return ", ".join(map(str, values))


def _name(hint: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", NoneType: "none"}
    return names.get(hint, str(hint))


def _shown(data: Any) -> str:
    text = json.dumps(data)
    return text if len(text) <= 60 else f"{text[:60]} ..."
