"""Writing files and folders, with clear errors. Every file is complete or not there."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bodyloop.errors import InputError


def make_folder(folder: Path) -> None:
    """Make a folder for results, with those above it, unless it is there.

    Raises:
        InputError: if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be made ({error.strerror}); give a folder that can be written to with -o"
        ) from None


def write_atomic(path: str | Path, data: bytes) -> None:
    """Write a file that is either the old one or complete, whatever happens meanwhile.

    Raises:
        InputError: if the folder is missing or cannot be written to.
    """
    with atomic_file(path) as file:
        file.write(data)


@contextmanager
def atomic_file(path: str | Path) -> Iterator[IO[bytes]]:
    """A file to write to that takes its name when all is written; if anything is raised before, it was never there.

    Raises:
        InputError: if the folder is missing or cannot be written to.
    """
    path = Path(path)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp's files are private
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); give a file name in an existing folder that "
            "you may write to"
        ) from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def remove_unfinished(folder: Path, *names: str) -> None:
    """Remove what a killed process left of files that it was writing; nobody may be writing there now.

    Args:
        folder: that they would have been in.
        names: of the files, or patterns of them.
    """
    for name in names:
        for path in folder.glob(f".{name}.????????"):
            path.unlink(missing_ok=True)
