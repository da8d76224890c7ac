"""The annotation of a data set: read, label, write, and go on after any interruption as if there had been none.

A folder holds ``annotation.json`` (all that the labels depend on), ``people/`` (what was read of the annotations,
until all is done) and ``labels/``. Every file is complete or not there and its content depends on the input alone, so
that a run that was killed goes on with the files that are missing.
"""

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bodyloop import __version__
from bodyloop.annotate.methods import METHODS, NO_PICTURE, Settings
from bodyloop.annotate.reading import (
    Progress,
    ReadPeople,
    load_index,
    people_file,
    read_people,
    remove_people,
)
from bodyloop.annotate.workers import Runner, Task
from bodyloop.data.crowd import Labelled, load_arrays
from bodyloop.errors import InputError
from bodyloop.writing import make_folder, remove_unfinished, write_atomic

FORMAT = 2
"""Raise when files or labels change, so that old folders are not gone on with."""
RECIPE, PEOPLE, LABELS = "annotation.json", "people", "labels"
LOOKED_FOR = 500
"""Most images that are looked for before a method that needs them begins."""


@dataclass(frozen=True)
class Campaign:
    """What is annotated, and how.

    Attributes:
        coco: the annotations.
        out: the folder.
        settings: of the labels.
        per_file: people in each file.
        least: keypoints that a person must have.
    """

    coco: Path
    out: Path
    settings: Settings
    per_file: int = 500
    least: int = 6

    def recipe(self) -> dict[str, Any]:
        """All that the labels depend on, as plain values.

        Raises:
            InputError: if the annotations cannot be read.
        """
        settings = {
            key: str(value.resolve()) if isinstance(value, Path) else value
            for key, value in asdict(self.settings).items()
        }
        return {
            "format": FORMAT,
            "version": __version__,
            "coco": self.coco.name,
            "content": fingerprint(self.coco, "--coco"),
            "per_file": self.per_file,
            "least": self.least,
            "settings": settings,
            "files": {
                name: fingerprint(path, f"--{name}")
                for name in ("body", "estimator", "judge", "pool")
                if (path := getattr(self.settings, name)) is not None
            },
        }


@dataclass(frozen=True)
class Finished:
    """What became of a campaign.

    Attributes:
        people: labelled, those of earlier runs included.
        found: of them were there already.
        failures: id and reason of everybody for whom nothing was found, in earlier runs or this one.
        skipped: why annotations were left out, a line for each reason.
        seconds: processor time of this run's workers.
    """

    people: int
    found: int
    failures: tuple[tuple[str, str], ...]
    skipped: tuple[str, ...]
    seconds: float


def fingerprint(path: Path, option: str) -> str:
    """A few words that tell a file, named by this option, from others: its size and a hash of all that it holds.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{option} {path}: expected a file, got '{reason}'; check the path") from None
    return f"{size} bytes, {digest.hexdigest()}"


def annotate(
    campaign: Campaign,
    runner: Runner,
    tell: Callable[[str], None] = lambda text: None,
    progress: Progress = lambda what, done, wanted: None,
    retry_failed: bool = False,
) -> Finished:
    """Annotate a data set, or what is left of it to do.

    Args:
        campaign: what.
        runner: where (`bodyloop.annotate.workers.choose_runner`).
        tell: called with a line whenever there is something to say.
        progress: called with ("reading", bytes, bytes in all) and ("labelling", people, people in all).
        retry_failed: label files again in which nothing was found for somebody, or somebody's picture was not read.

    Raises:
        InputError: annotations in which nobody can be used, a folder of another campaign or one that another process
            works in, or one that cannot be written to.
    """
    if campaign.settings.method not in METHODS:
        raise InputError(f"--method: expected one of {', '.join(METHODS)}, got {campaign.settings.method!r}")
    make_folder(campaign.out)
    with alone(campaign.out):
        return go_on(campaign, runner, tell, progress, retry_failed)


def go_on(
    campaign: Campaign,
    runner: Runner,
    tell: Callable[[str], None],
    progress: Progress,
    retry_failed: bool,
) -> Finished:
    """`annotate`, by whoever is `alone` in the folder."""
    _settle(campaign)
    again = _failed(campaign.out) if retry_failed else frozenset[int]()
    people = _people(campaign, again, progress)
    return _label(campaign, people, again, runner, tell, progress)


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Nobody else works in the folder meanwhile; the lock ends with the process, however that ends.

    Raises:
        InputError: if somebody does, or nobody can.
    """
    try:
        file = (out / ".lock").open("w")
    except OSError as error:
        raise InputError(
            f"{out}: cannot be written to ({error.strerror}); give a folder that you may write to with -o"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{out}: another process writes into this folder; wait, or give another"
            ) from None
        except OSError as error:
            raise InputError(
                f"{out}: cannot be locked ({error.strerror}); give a folder of another disk"
            ) from None
        yield


def _settle(campaign: Campaign) -> None:
    """Make the folder this campaign's, or see that it is."""
    out, recipe = campaign.out, campaign.recipe()
    make_folder(out / LABELS)
    remove_unfinished(out, RECIPE)
    remove_unfinished(out / LABELS, "*.npz")
    file, text = out / RECIPE, json.dumps(recipe, indent=1) + "\n"
    known = file.exists()
    free = () if campaign.settings.looks else ("images",)  # of others the report alone shows them
    differ = _differences(read_recipe(out), json.loads(text), free) if known else []
    if any((out / LABELS).iterdir()):
        if not known:
            raise InputError(f"{out}: holds labels but no {RECIPE}; give an empty folder")
        if differ:
            raise InputError(
                f"{out}: holds another annotation (other {', '.join(differ)}); give the same options and annotations "
                "to go on with it, or another folder"
            )
    if not known or differ:  # a run that wrote no label binds nobody
        remove_people(out / PEOPLE)
        write_atomic(file, text.encode())


def _differences(old: dict[str, Any], new: dict[str, Any], free: tuple[str, ...]) -> list[str]:
    """What labels depend on and differs; settings of these names may."""
    before, now = old.get("settings") or {}, new["settings"]
    names = [key for key in {**old, **new} if key != "settings" and old.get(key) != new.get(key)]
    return names + [key for key in {**before, **now} if key not in free and before.get(key) != now.get(key)]


def read_recipe(out: Path) -> dict[str, Any]:
    """All that the labels in a folder depend on.

    Raises:
        InputError: if it is no folder of ``bodyloop annotate``.
    """
    try:
        recipe = json.loads((out / RECIPE).read_text())
        if not isinstance(recipe, dict):
            raise ValueError("not an object")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{out}: expected a folder of 'bodyloop annotate', got none ({error}); check the path"
        ) from None
    return recipe


def label_file(out: Path, number: int) -> Path:
    """Where labels of a number are."""
    return out / LABELS / f"{number:06d}.npz"


def _people(campaign: Campaign, again: frozenset[int], progress: Progress) -> ReadPeople:
    """What is to be annotated, read anew unless all that is needed of it is there."""
    folder = campaign.out / PEOPLE
    people = load_index(folder)
    if people is not None:
        missing = _missing(campaign.out, people, again)
        if all(people_file(folder, number).exists() for number in missing):
            return people
    settings = campaign.settings
    return read_people(campaign.coco, folder, campaign.per_file, campaign.least, settings.images, progress)


def _missing(out: Path, people: ReadPeople, again: frozenset[int]) -> list[int]:
    """Numbers of the files of labels that are not there yet, or are to be made again."""
    return [
        n
        for n, count in enumerate(people.counts)
        if count and (n in again or not label_file(out, n).exists())
    ]


def _failed(out: Path) -> frozenset[int]:
    """Numbers of the files of labels in which another try may find more.

    Raises:
        InputError: if a file is damaged.
    """
    found = set()
    for file in (out / LABELS).glob("[0-9]*.npz"):
        arrays = load_arrays(file)
        reasons = arrays.get("word_reasons", np.zeros(0, str))
        if failures_in(arrays) or any(NO_PICTURE in reason for reason in reasons.tolist()):
            found.add(int(file.stem))
    return frozenset(found)


def failures_in(arrays: dict[str, np.ndarray]) -> list[tuple[str, str]]:
    """Id and reason of those for whom nothing was found, of the arrays of a file of labels."""
    return [(str(person), str(reason)) for person, reason in json.loads(str(arrays.get("failures", "[]")))]


def _look_for_images(campaign: Campaign, people: ReadPeople, missing: list[int]) -> None:
    """See that the folder of the images is the right one, if the labels depend on them, by those that come first.

    Raises:
        InputError: if none is there. Where labels are there already, a few that are left may well have no images.
    """
    folder, names = campaign.settings.images, dict[str, None]()
    if folder is None or not campaign.settings.looks:
        return
    for name in (name for number in missing for name in people.load(number).images.tolist()):
        if (folder / name).is_file():
            return
        names[name] = None
        if len(names) == LOOKED_FOR:
            break
    begun = any((campaign.out / LABELS).glob("[0-9]*.npz"))
    if names and not (begun and len(names) < LOOKED_FOR):
        raise InputError(
            f"--images {folder}: expected {next(iter(names))} and others in it, found none of {len(names):,}; give the "
            f"folder that names in {campaign.coco} are relative to"
        )


def _label(
    campaign: Campaign,
    people: ReadPeople,
    again: frozenset[int],
    runner: Runner,
    tell: Callable[[str], None],
    progress: Progress,
) -> Finished:
    out, wanted = campaign.out, sum(people.counts)
    missing = _missing(out, people, again)
    _look_for_images(campaign, people, missing)
    left = set(missing)
    found = done = wanted - sum(people.counts[n] for n in missing)
    progress("labelling", done, wanted)
    new, seconds = 0, 0.0
    tasks = (Task(number, people.load(number)) for number in missing)
    for outcome in runner(tasks):
        write_atomic(label_file(out, outcome.number), outcome.data)
        for person, reason in outcome.failures:
            tell(f"nothing found for {person}: {reason}")
        new += len(outcome.failures)
        seconds += outcome.seconds
        done += people.counts[outcome.number]
        left.discard(outcome.number)
        progress("labelling", done, wanted)
    if left:
        raise InputError(f"{out}: {len(left)} files of labels were not made; run again to go on")
    for number in range(len(people.counts)):
        people_file(people.folder, number).unlink(missing_ok=True)
    failures = tuple(LabelFolder.open(out).failures())
    found -= len(failures) - new
    return Finished(wanted - len(failures), found, failures, people.skipped, seconds)


@dataclass(frozen=True, eq=False)
class LabelFolder:
    """The finished labels of a campaign, some hundred people at a time.

    Attributes:
        out: the folder.
        files: of labels, in order.
        recipe: all that they depend on.
    """

    out: Path
    files: tuple[Path, ...]
    recipe: dict[str, Any]

    @classmethod
    def open(cls, out: Path) -> "LabelFolder":
        """Look what is there.

        Raises:
            InputError: no folder of ``bodyloop annotate``, or one without labels.
        """
        recipe = read_recipe(out)
        files = tuple(sorted((out / LABELS).glob("[0-9]*.npz")))
        if not files:
            raise InputError(
                f"{out}: holds no labels yet; run 'bodyloop annotate' with the same options to go on"
            )
        return cls(out, files, recipe)

    @property
    def complete(self) -> bool:
        """Whether the annotation came to its end."""
        people = load_index(self.out / PEOPLE)
        return people is not None and len(self.files) == sum(count > 0 for count in people.counts)

    def part(self, number: int) -> Labelled | None:
        """People of the file of this place; None if there is nobody in it.

        Raises:
            InputError: if the file is damaged.
        """
        arrays = load_arrays(self.files[number])
        return Labelled.from_arrays(arrays, self.files[number]) if "pose" in arrays else None

    def failures(self) -> list[tuple[str, str]]:
        """Id and reason of everybody for whom nothing was found.

        Raises:
            InputError: if a file is damaged.
        """
        return [failure for file in self.files for failure in failures_in(load_arrays(file))]

    def parts(self) -> Iterator[Labelled]:
        """All people, file by file.

        Raises:
            InputError: if a file is damaged.
        """
        for number in range(len(self.files)):
            part = self.part(number)
            if part is not None:
                yield part
