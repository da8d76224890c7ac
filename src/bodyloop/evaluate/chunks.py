"""Long evaluations in chunks of people: each is on disk once it is done, so that a stopped run goes on where it was."""

import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import Bodies
from bodyloop.errors import InputError
from bodyloop.evaluate.scores import Scores
from bodyloop.evaluate.segmentation import Confusion
from bodyloop.writing import make_folder, write_atomic

RECIPE = "run.json"
FOLDER = "chunks"


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some people of an evaluation.

    Attributes:
        rows: numbers of the N people's records.
        found: their bodies, in the axes of their cameras.
        lenses: (N, 4) focal length and principal point of the cameras that they were found with, pixels.
        scores: of the N people; None if there are none.
        problems: id and reason of each record that was left out.
    """

    rows: tuple[int, ...]
    found: Bodies
    lenses: Tensor
    scores: Scores | None
    problems: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def cat(parts: "Sequence[Chunk]") -> "Chunk":
        """The people of several chunks in one."""
        scores = [part.scores for part in parts if part.scores is not None]
        return Chunk(
            tuple(row for part in parts for row in part.rows),
            Bodies.cat([part.found for part in parts]),
            torch.cat([part.lenses for part in parts]),
            Scores.cat(scores) if scores else None,
            tuple(problem for part in parts for problem in part.problems),
        )

    def left_out(self, most: int = 5) -> list[str]:
        """Why records were left out, a line for each reason, the most frequent first."""
        counts = Counter(reason for _, reason in self.problems)
        first = {reason: name for name, reason in reversed(self.problems)}
        lines = [f"{n:,} x {reason} (first: {first[reason]})" for reason, n in counts.most_common(most)]
        rest = len(self.problems) - sum(n for _, n in counts.most_common(most))
        return [*lines, f"{rest:,} x other reasons"] if rest else lines


def open_run(folder: Path, recipe: dict[str, Any]) -> None:
    """Make the folder of a run, or see that the one that is there is of the same run.

    Args:
        folder: for everything that the run writes.
        recipe: all that its results depend on, plain values.

    Raises:
        InputError: if the folder holds another run, or cannot be written to.
    """
    make_folder(folder / FOLDER)
    file, text = folder / RECIPE, json.dumps(recipe, indent=1) + "\n"
    if file.exists():
        try:
            old = json.loads(file.read_text())
            differ = [key for key in {**old, **recipe} if old.get(key) != json.loads(text).get(key)]
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"{file}: not a file of 'bodyloop evaluate' ({error}); give another folder"
            ) from None
        if differ:
            raise InputError(
                f"{folder}: holds another evaluation (other {', '.join(differ)}); give the same options to go on with "
                "it, or another folder"
            )
    elif any((folder / FOLDER).iterdir()):
        raise InputError(f"{folder}: holds chunks but no {RECIPE}; give an empty folder")
    write_atomic(file, text.encode())


def chunk_file(folder: Path, number: int) -> Path:
    """Where a chunk of a run is."""
    return folder / FOLDER / f"{number:06d}.npz"


def save_chunk(path: Path, chunk: Chunk) -> None:
    """Write a chunk; the file is complete or not there.

    Raises:
        InputError: if it cannot be written.
    """
    scores = chunk.scores
    arrays: dict[str, np.ndarray] = {
        "rotations": _array(chunk.found.rotations),
        "betas": _array(chunk.found.betas),
        "translation": _array(chunk.found.translation),
        "lenses": _array(chunk.lenses),
    }
    about: dict[str, Any] = {"rows": chunk.rows, "problems": chunk.problems, "scores": None}
    if scores is not None:
        about["scores"] = {
            "name": scores.name,
            "people": scores.people,
            "values": list(scores.values),
            "joints": scores.joints,
            "classes": {name: counts.classes for name, counts in scores.confusions.items()},
            "ignored_as_background": scores.ignored_as_background,
            "groups": scores.groups,
            "notes": scores.notes,
        }
        arrays |= {f"value_{key}": _array(value) for key, value in scores.values.items()}
        for name, counts in scores.confusions.items():
            arrays |= {f"counts_{name}": _array(counts.counts), f"ignored_{name}": _array(counts.ignored)}
        if scores.joint_errors is not None:
            arrays["joint_errors"] = _array(scores.joint_errors)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())


def load_chunk(path: Path) -> Chunk | None:
    """What `save_chunk` wrote; None if there is no such file, or a damaged one, which is then made again."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        about = json.loads(str(arrays.pop("about")))
        t = {key: torch.from_numpy(array) for key, array in arrays.items()}
        return Chunk(
            tuple(about["rows"]),
            Bodies(t["rotations"], t["betas"], t["translation"]),
            t["lenses"],
            None if about["scores"] is None else _scores(about["scores"], t),
            tuple((name, reason) for name, reason in about["problems"]),
        )
    except Exception:  # whatever a missing or damaged archive raises
        return None


def _scores(about: dict[str, Any], arrays: dict[str, Tensor]) -> Scores:
    return Scores(
        about["name"],
        tuple(about["people"]),
        {key: arrays[f"value_{key}"] for key in about["values"]},
        tuple(about["joints"]),
        arrays.get("joint_errors"),
        {
            name: Confusion(tuple(classes), arrays[f"counts_{name}"], arrays[f"ignored_{name}"])
            for name, classes in about["classes"].items()
        },
        about["ignored_as_background"],
        tuple(about["groups"]),
        tuple(about["notes"]),
    )


def _array(values: Tensor) -> np.ndarray:
    array: np.ndarray = values.detach().cpu().numpy()
    return array


def with_notes(scores: Scores, *notes: str) -> Scores:
    """The same scores with further notes before their own."""
    return replace(scores, notes=(*notes, *scores.notes))
