"""Docstrings as the documentation site reads them: an extension of griffe, named in ``mkdocs.yml``.

"first, last: numbers of ..." says one thing of two arguments; the site gives each a line of its own, with its type.
"""

import re
from typing import Any

from griffe import Extension, Object

SECTION = re.compile(r"^( *)(?:Args|Attributes):$")
SHARED = re.compile(r"^( *)(\w+(?:, \w+)+): ")


def parted(text: str) -> str:
    """A docstring in which every argument and attribute has an entry of its own.

    Args:
        text: with indentation removed, as griffe has it.
    """
    lines: list[str] = []
    entry, inside = -1, False
    source = text.splitlines()
    number = 0
    while number < len(source):
        line = source[number]
        if section := SECTION.match(line):
            entry, inside = len(section[1]) + 4, True
        elif line.strip() and len(line) - len(line.lstrip()) < entry:
            inside = False
        shared = SHARED.match(line) if inside else None
        if shared is None or len(shared[1]) != entry:
            lines.append(line)
            number += 1
            continue
        block = [line[shared.end() :]]
        number += 1
        while number < len(source) and source[number].startswith(" " * (entry + 1)):
            block.append(source[number])
            number += 1
        for name in shared[2].split(", "):
            lines += [f"{shared[1]}{name}: {block[0]}", *block[1:]]
    return "\n".join(lines)


class OneEntryEach(Extension):
    """Parts what several arguments share."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Rewrite the docstring of what was read."""
        if obj.docstring is not None:
            obj.docstring.value = parted(obj.docstring.value)
