"""How things show themselves in a notebook, although what draws them lives further down the list of rooms.

The package itself names who draws what (`bodyloop._SHOWN_BY`), as it names where its public names live; it is imported
when something is first shown. Nothing else of a lower room is known up here.
"""

import warnings
from importlib import import_module
from typing import Any

import bodyloop


def html_of(thing: Any) -> str | None:
    """HTML of a thing whose class has an entry in `bodyloop._SHOWN_BY`.

    Returns:
        None if there is none, or if it cannot be drawn, which a warning tells: a notebook then shows the text.
    """
    address = bodyloop._SHOWN_BY.get(type(thing).__name__)
    if address is None:
        return None
    module, _, name = address.partition(":")
    try:
        html: str = getattr(import_module(f"bodyloop.{module}"), name)(thing)
    except Exception as error:  # a cell must not fail because its result cannot be drawn
        warnings.warn(f"no 3D view: {type(error).__name__}: {error}", stacklevel=3)
        return None
    return html
