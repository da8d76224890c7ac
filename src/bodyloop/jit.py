"""Compiled loops: numba with a cache on disk where one can be written."""

from collections.abc import Callable
from typing import Any

import numba


def jit(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`numba.njit` without the GIL, cached where the package's or the user's cache folder is writable.

    Args:
        options: of numba.njit, such as ``parallel`` or ``fastmath``.
    """

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return numba.njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # no folder for the cache: compile anew in every process
            return numba.njit(nogil=True, **options)(function)

    return compiled
