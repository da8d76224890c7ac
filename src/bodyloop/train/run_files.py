"""Files of a run's folder, and the folder's name."""

from pathlib import Path

from bodyloop.errors import InputError
from bodyloop.train.recipes import AnyRecipe
from bodyloop.train.settings import digest, from_text, to_text
from bodyloop.writing import make_folder, write_atomic

RECIPE, STATE, LOG = "recipe.json", "state.ckpt", "log.csv"
BEST, LAST = "estimator.safetensors", "last.safetensors"


def folder_of(recipe: AnyRecipe, parent: Path) -> Path:
    """Where a recipe's run lies among others, if nobody said: named by everything that the recipe says."""
    return parent / f"{recipe.name}-{digest(recipe)}"


def settle(recipe: AnyRecipe, out: Path, resume: bool) -> None:
    """Write the recipe, or see that the one that is there is the same.

    Raises:
        InputError: if the folder holds a run and should not, or another one.
    """
    make_folder(out)
    file = out / RECIPE
    if not file.exists():
        write_atomic(file, to_text(recipe).encode())
        return
    old = from_text(type(recipe), file.read_text(), str(file))
    if old != recipe:
        raise InputError(f"{file}: is another recipe; give another folder, or the same recipe and settings")
    if not resume and any((out / name).exists() for name in (STATE, LAST)):
        raise InputError(f"{out}: holds a run already; give --resume to go on with it, or another folder")
