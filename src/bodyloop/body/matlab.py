"""MATLAB v5 files, with clear errors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bodyloop.errors import InputError


def load_mat(path: Path, what: str, keys: tuple[str, ...] | None = None) -> Mapping[str, Any]:
    """Variables of a MATLAB v5 file.

    Args:
        path: the file.
        what: "expected ...", for messages.
        keys: the variables that are needed; all if None.

    Raises:
        InputError: if it cannot be read.
    """
    from scipy.io import loadmat

    try:
        with path.open("rb") as file:
            content: dict[str, Any] = loadmat(file, variable_names=keys)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); check the path; {what}"
        ) from None
    except Exception as error:  # damaged files fail in many ways; HDF5 ones with NotImplementedError
        raise InputError(f"{path}: not a readable MATLAB v5 file ({error}); {what}") from None
    return content
