"""Files of a run's folder, and the folder's name."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from bodyloop.errors import InputError
from bodyloop.nets.backbones import weights_sum
from bodyloop.train.config import AnyRecipe
from bodyloop.train.settings import digest, from_text, to_text
from bodyloop.writing import make_folder, write_atomic

RECIPE, STATE, LOG = "recipe.json", "state.ckpt", "log.csv"
BEST, LAST = "estimator.safetensors", "last.safetensors"
BACKBONES = "backbones.json"
"""Where backbones began that the recipe does not name: by role the source, and the sum of the weights."""

Begun = dict[str, dict[str, str]]
"""What `BACKBONES` holds."""


def folder_of(recipe: AnyRecipe, parent: Path) -> Path:
    """Where a recipe's run lies among others, if nobody said: named by everything that the recipe says."""
    return parent / f"{recipe.name}-{digest(recipe)}"


def begun_with(modules: Mapping[str, nn.Module], sources: Mapping[str, str | Path]) -> Begun:
    """Backbones by role, as they were loaded, and what they were loaded from."""
    return {
        role: {"source": str(source), "sha256": weights_sum(modules[role].state_dict())}
        for role, source in sources.items()
    }


def settle(recipe: Any, out: Path, resume: bool, begun: Begun | None = None) -> None:
    """Write the recipe and where its backbones begin, or see that what is there is the same.

    Args:
        recipe: of the run, a dataclass.
        out: its folder.
        resume: whether a run that is there is gone on with.
        begun: backbones that were given beside the recipe.

    Raises:
        InputError: if the folder holds a run and should not, or another one.
    """
    make_folder(out)
    file = out / RECIPE
    if not file.exists():
        write_atomic(file, to_text(recipe).encode())
        _settle_backbones(recipe, out, begun)
        return
    old = from_text(type(recipe), file.read_text(), str(file))
    if old != recipe:
        raise InputError(f"{file}: is another recipe; give another folder, or the same recipe and settings")
    if not resume and any((out / name).exists() for name in (STATE, LAST)):
        raise InputError(f"{out}: holds a run already; give --resume to go on with it, or another folder")
    _settle_backbones(recipe, out, begun)


def _settle_backbones(recipe: AnyRecipe, out: Path, begun: Begun | None) -> None:
    file = out / BACKBONES
    if not any((out / name).exists() for name in (STATE, LAST)):
        file.unlink(missing_ok=True)  # of a run that never came to keep anything
        old = begun
    else:
        old = _read_begun(file)
    if old is None and recipe.start == "classifier":
        old = begun  # not written down before there was such a file
    if old is None and begun is not None:
        raise InputError(
            f"{out}: holds a run that began without --backbone; leave it out, or give another folder"
        )
    if old is not None and begun is None:
        sources = ", ".join(sorted({entry["source"] for entry in old.values()}))
        raise InputError(f"{out}: holds a run that began with --backbone {sources}; give that again")
    if old is None or begun is None:
        return
    if {role: entry["sha256"] for role, entry in old.items()} != {r: e["sha256"] for r, e in begun.items()}:
        sources = ", ".join(sorted({entry["source"] for entry in old.values()}))
        raise InputError(
            f"{file}: the run began with other weights, of {sources}; give --backbone that file as it was then, or "
            "another folder"
        )
    if not file.exists():
        write_atomic(file, (json.dumps(begun, indent=1) + "\n").encode())


def _read_begun(file: Path) -> Begun | None:
    if not file.exists():
        return None
    try:
        found = json.loads(file.read_text())
        return {role: {key: str(entry[key]) for key in ("source", "sha256")} for role, entry in found.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file}: expected sources and sums of backbones, got something else ({error}); delete the run's folder to "
            "start anew"
        ) from None
