"""JSON files of any size, read element by element: no more than one element and a buffer are held in memory."""

import codecs
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from bodyloop.errors import InputError

CHUNK = 1 << 20
"""Bytes read at a time."""
LARGEST = 1 << 28
"""Most characters of one element. A larger one is damage: a quotation mark that is missing, say."""

_SPACE = re.compile(r"[ \t\r\n]*")
_OF_NUMBERS = frozenset("0123456789.eE+-")
_DECODER = json.JSONDecoder()


def stream_object(
    path: Path, expected: str, chunk: int = CHUNK, progress: Callable[[int], None] = lambda done: None
) -> Iterator[tuple[str, Any]]:
    """The content of a file that holds one JSON object, such as ``{"images": [...], "annotations": [...]}``.

    Args:
        path: the file, with or without a byte order mark.
        expected: what it should hold, for messages.
        chunk: bytes read at a time.
        progress: called with the number of bytes that have been read, now and then.

    Yields:
        (key, element) for every element of every list directly inside of the object, and (key, value) for every other
        value, in the file's order.

    Raises:
        InputError: no such file, not text, no object, or one that is broken or cut short; what came before has been
            yielded by then.
    """
    try:
        with path.open("rb") as file:
            yield from _object(_Reader(file, path, expected, chunk, progress))
    except UnicodeDecodeError:
        raise InputError(
            f"{path}: expected {expected}, got a file that is not text; check the path"
        ) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{path}: expected {expected}, got '{reason}'; check the path") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path!r}: expected {expected}, got '{error}'; check the path") from None


def _object(reader: "_Reader") -> Iterator[tuple[str, Any]]:
    reader.take("{", "an object")
    if reader.peek() == "}":
        return
    while True:
        if reader.peek() != '"':
            raise reader.broken("a key in quotation marks")
        key = reader.value()
        reader.take(":", "a colon behind a key")
        if reader.peek() == "[":
            yield from ((key, element) for element in _elements(reader))
        else:
            yield key, reader.value()
        if reader.take(",}", "a comma or the object's end") == "}":
            return


def _elements(reader: "_Reader") -> Iterator[Any]:
    reader.take("[", "a list")
    if reader.peek() == "]":
        reader.take("]", "the list's end")
        return
    while True:
        yield reader.value()
        if reader.take(",]", "a comma or the list's end") == "]":
            return


class _Reader:
    """A window that moves over the file's text."""

    def __init__(
        self, file: IO[bytes], path: Path, expected: str, chunk: int, progress: Callable[[int], None]
    ) -> None:
        self.file, self.path, self.expected, self.chunk, self.progress = file, path, expected, chunk, progress
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.text, self.at, self.ended = "", 0, False

    def more(self, size: int) -> bool:
        """Read on; what has been used is forgotten. False at the file's end."""
        data = self.file.read(size)
        self.ended = not data
        self.text = self.text[self.at :] + self.decoder.decode(data, final=self.ended)
        self.at = 0
        self.progress(self.file.tell())
        return not self.ended

    def peek(self) -> str:
        """The next character that is no space; empty at the file's end."""
        while True:
            found = _SPACE.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more(self.chunk):
                return ""

    def take(self, wanted: str, what: str) -> str:
        """Step over the next character that is no space, which must be one of those wanted."""
        found = self.peek()
        if not found or found not in wanted:
            raise self.broken(what)
        self.at += 1
        return found

    def value(self) -> Any:
        """The next value, whole."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except (ValueError, RecursionError) as error:
                reason = str(error)
            else:
                if self.ended or (end < len(self.text) and self.text[end] not in _OF_NUMBERS):
                    self.at = end  # a number at the window's edge may go on behind it
                    return value
                reason = "a value without an end"
            held = len(self.text) - self.at
            if self.ended or held > LARGEST:
                raise self.broken(f"a JSON value ({reason})")
            self.more(max(self.chunk, held))

    def broken(self, what: str) -> InputError:
        """The error that says where the file stopped making sense."""
        seen = repr(self.text[self.at : self.at + 40]) if self.at < len(self.text) else "the file's end"
        if self.file.tell() == 0:
            seen = "an empty file"
        return InputError(
            f"{self.path}: expected {self.expected}: {what}, got {seen} near byte {self.file.tell():,}; if it is cut "
            "short, write or download it again"
        )
