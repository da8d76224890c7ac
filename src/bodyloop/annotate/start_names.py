"""The words that say where fits start from."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from bodyloop.errors import InputError

StartName = Literal["lifter", "mean"]

EXPECTED = "lifter, mean, candidates:N, or the path of a file of bodies (docs/formats.md)"


@dataclass(frozen=True)
class StartChoice:
    """Where fits start from.

    Attributes:
        kinds: starts that need nothing but keypoints.
        candidates: how many of the candidate pool; 0 = none.
        file: of bodies that others found, or a folder of results.
    """

    kinds: tuple[StartName, ...] = ()
    candidates: int = 0
    file: Path | None = None

    @property
    def usual(self) -> tuple[StartName, ...]:
        """Starts of people whom the file does not know."""
        return self.kinds or get_args(StartName)


def parse_starts(words: Sequence[str]) -> StartChoice:
    """What the words of ``--starts`` mean.

    Raises:
        InputError: for none, for a word that is neither a start nor a path, and for a second file or count.
    """
    kinds: dict[StartName, None] = {}
    candidates, file = 0, None
    for word in words:
        count = re.fullmatch(r"candidates:(.*)", word)
        if word in get_args(StartName):
            kinds[cast(StartName, word)] = None
        elif count:
            if candidates or not re.fullmatch(r"[1-9]\d{0,3}", count[1]):
                raise InputError(
                    f"--starts {word}: expected one candidates:N with N from 1 on, e.g. candidates:5"
                )
            candidates = int(count[1])
        elif not _is_there(word):
            raise InputError(
                f"--starts {word}: expected {EXPECTED}, got a word that is none and no path either"
            )
        elif file is not None:
            raise InputError(f"--starts {word}: expected one file or folder of bodies, got {file} too")
        else:
            file = Path(word)
    if not kinds and not candidates and file is None:
        raise InputError(f"--starts: expected {EXPECTED}, got none; leave it out for lifter and mean")
    return StartChoice(tuple(kinds), candidates, file)


def _is_there(word: str) -> bool:
    try:
        return bool(word) and Path(word).exists()
    except (OSError, ValueError):  # too long for a path, or with a null byte in it
        return False
