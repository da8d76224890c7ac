"""Data sets annotated and converted: what ``bodyloop annotate`` and ``bodyloop convert`` do."""

import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from bodyloop.annotate.campaign import LABELS, Campaign, Finished, LabelFolder, alone, go_on
from bodyloop.annotate.decisions import decided, read_decisions
from bodyloop.annotate.estimates import find_weights
from bodyloop.annotate.methods import METHODS, NETWORKS, Settings, make_method
from bodyloop.annotate.quality import Verdicts
from bodyloop.annotate.reading import Progress
from bodyloop.annotate.start_names import MOST_CANDIDATES, Choice, StartName
from bodyloop.annotate.workers import choose_runner
from bodyloop.body import load_body
from bodyloop.data.crowd import VERDICTS, chosen
from bodyloop.data.writers import WRITERS
from bodyloop.data.writers.parquet import load_pyarrow
from bodyloop.errors import InputError
from bodyloop.label_report import save_label_report
from bodyloop.writing import make_folder, remove_unfinished

Tell = Callable[[str], None]
Verdict = Literal["accept", "doubtful", "reject"]
EXPORTS, REPORT = "export", "report.html"
THRESHOLDS = ("doubtful_mm", "reject_mm", "reject_error", "reject_pose", "reject_beta")
"""Those of verdicts that a job may set."""
HALF_EXPORTS = ("neuralannot.json", "eft.json", "spin.npz", "human_data.npz", "labels.parquet")
"""Files of exports, which are hidden and have longer names until they are complete."""


@dataclass(frozen=True)
class AnnotateJob:
    """Annotate a data set.

    Attributes:
        coco: COCO keypoint annotations.
        out: folder for labels, report and exports.
        images: folder that the images' names are relative to.
        method: a name in `bodyloop.annotate.methods.METHODS`.
        estimator: a network's weights, from whose answers fits start.
        starts: of fits to keypoints; the lifter if None, or, besides candidates, none.
        candidates: of each person, for the method of that name.
        choose: which of the fits from them is kept.
        judge, pool: consistency network and pool of candidates instead of those that ship.
        device: where networks and fits run.
        focal: focal length of all images in pixels; each one's diagonal if None.
        body: SMPL .npz or .pkl instead of the built-in body.
        least: keypoints that a person must have.
        per_file: people in a file of labels.
        doubtful_mm, reject_mm, reject_error, reject_pose, reject_beta: thresholds, as of
            `bodyloop.annotate.quality.Verdicts`.
        workers: processes; one a core if None; 0 works in this one.
        ray: address of a Ray cluster that works instead.
        write: formats to export to.
        report: whether the report is written.
        retry_failed: whether files are labelled again in which something failed for somebody.
    """

    coco: Path
    out: Path
    images: Path | None = None
    method: str = "fit"
    estimator: Path | None = None
    starts: tuple[StartName, ...] | None = None
    candidates: int = 5
    choose: Choice = "energy"
    judge: Path | None = None
    pool: Path | None = None
    device: str = "cpu"
    focal: float | None = None
    body: Path | None = None
    least: int = 6
    per_file: int = 500
    doubtful_mm: float = Verdicts.doubtful_mm
    reject_mm: float = Verdicts.reject_mm
    reject_error: float = Verdicts.reject_error
    reject_pose: float = Verdicts.reject_pose
    reject_beta: float = Verdicts.reject_beta
    workers: int | None = None
    ray: str | None = None
    write: tuple[str, ...] = ()
    report: bool = True
    retry_failed: bool = False


@dataclass(frozen=True)
class Annotated:
    """What came of it.

    Attributes:
        finished: the campaign.
        verdicts: how often each was passed.
        files: that were written.
        unwritten: why the report or an export was not.
    """

    finished: Finished
    verdicts: dict[str, int]
    files: list[Path]
    unwritten: tuple[str, ...]


def annotate_data_set(job: AnnotateJob, tell: Tell, progress: Progress) -> Annotated:
    """Annotate a data set, or what is left of it to do; then its report and exports.

    Args:
        job: what to do.
        tell: called with a line whenever there is something to say.
        progress: called with what is done, how much, and of how much.

    Raises:
        InputError: options that are no good, annotations in which nobody can be used, or a folder of others.
    """
    _check(job)
    settings = Settings(
        method=job.method,
        body=_absolute(job.body),
        focal=job.focal,
        starts=_starts(job),
        candidates=job.candidates,
        choose=job.choose,
        judge=_absolute(job.judge),
        pool=_absolute(job.pool),
        estimator=None if job.estimator is None else find_weights(job.estimator, "--estimator").absolute(),
        images=_absolute(job.images),
        device=job.device,
        verdicts=Verdicts(**{name: getattr(job, name) for name in THRESHOLDS}),
    )
    workers = len(os.sched_getaffinity(0)) if job.workers is None else job.workers
    make_method(settings)  # what nobody can work with is said before anybody begins
    campaign = Campaign(job.coco, job.out, settings, job.per_file, job.least)
    runner = choose_runner(settings, workers, job.ray)
    make_folder(job.out)
    with alone(job.out):
        finished = go_on(campaign, runner, tell, progress, job.retry_failed)
        labels = LabelFolder.open(job.out)
        files, unwritten = [job.out / LABELS], list[str]()
        for write in _after_labelling(labels, job, tell):
            try:
                files.append(write())
            except InputError as error:  # the labels are there all the same
                unwritten.append(str(error))
        counts = dict.fromkeys(VERDICTS, 0)
        for part in labels.parts():
            for verdict in VERDICTS:
                counts[verdict] += int((part.words["verdict"] == verdict).sum())
    return Annotated(finished, counts, files, tuple(unwritten))


def _after_labelling(labels: LabelFolder, job: AnnotateJob, tell: Tell) -> Iterator[Callable[[], Path]]:
    """What writes the report and each export."""
    if job.report:
        _say_missing(labels, job, tell)
        remove_unfinished(job.out, REPORT)
        yield lambda: save_label_report(labels, load_body(job.body), job.images, job.out / REPORT)
    for name in job.write:
        yield partial(_export, labels, name, job.out / EXPORTS, VERDICTS[:2])


def _say_missing(labels: LabelFolder, job: AnnotateJob, tell: Tell) -> None:
    """Say if no image is where it should be, judged by those of the first file."""
    part = next(labels.parts(), None)
    if job.images is None or part is None:
        return
    names = sorted(set(part.crowd.images.tolist()))
    if names and not any((job.images / name).is_file() for name in names):
        tell(
            f"--images {job.images}: expected {names[0]} and others in it, found none of {len(names):,}; the report "
            f"shows bodies alone. Name the folder that names in {job.coco} are relative to, and run this again"
        )


def _check(job: AnnotateJob) -> None:
    """Refuse what nothing can come of."""
    if job.focal is not None and not (math.isfinite(job.focal) and job.focal > 0):
        raise InputError(
            f"--focal: expected a positive number of pixels, got {job.focal:g}; leave it out if not known"
        )
    for name in THRESHOLDS:
        if not 0 < getattr(job, name) < math.inf:
            option = name.replace("_", "-")
            raise InputError(
                f"--{option}: expected a positive number, got {getattr(job, name):g}; leave it out for the usual"
            )
    if job.method not in METHODS:
        raise InputError(f"--method: expected one of {', '.join(METHODS)}, got {job.method!r}")
    if job.estimator is not None and job.method not in NETWORKS:
        raise InputError(
            f"--estimator: --method {job.method} uses no such network; add --method network or --method spin"
        )
    if job.choose != "energy" and job.method != "candidates":
        raise InputError(f"--choose {job.choose}: there is nothing to choose from; add --method candidates")
    if job.pool is not None and job.method != "candidates":
        raise InputError(f"--pool {job.pool}: nothing starts from it; add --method candidates")
    if job.judge is not None and job.choose != "cen":
        raise InputError(f"--judge {job.judge}: goes with --choose cen; add that, or leave it out")
    if job.candidates > MOST_CANDIDATES:
        raise InputError(f"--candidates: expected at most {MOST_CANDIDATES}, got {job.candidates}")
    if job.starts == ():
        raise InputError("--starts: expected lifter, mean or both, got none; leave it out for the usual")
    if job.ray is not None and ":" in job.device:
        raise InputError(
            f"--device {job.device}: Ray gives each worker a GPU of its own; give {job.device.partition(':')[0]}"
        )
    for name, value, least in (
        ("workers", job.workers, 0),
        ("per-file", job.per_file, 1),
        ("least", job.least, 1),
        ("candidates", job.candidates, 1),
    ):
        if value is not None and value < least:
            raise InputError(f"--{name}: expected a whole number from {least} on, got {value}")
    if job.images is not None and not job.images.is_dir():
        raise InputError(
            f"--images {job.images}: expected a folder, got none; check the path, or leave it out"
        )
    _known(job.write)


def _absolute(path: Path | None) -> Path | None:
    """The path for workers that stand in other folders."""
    return None if path is None else path.absolute()


def _starts(job: AnnotateJob) -> tuple[StartName, ...]:
    if job.starts is None:
        return () if job.method == "candidates" else ("lifter",)
    return job.starts


def _known(names: Sequence[str]) -> None:
    """Refuse formats that there are not, or whose library there is not."""
    if unknown := [name for name in names if name not in WRITERS]:
        raise InputError(f"no format is called {unknown[0]!r}; expected one of {', '.join(WRITERS)}")
    if "parquet" in names:
        load_pyarrow()


@dataclass(frozen=True)
class ConvertJob:
    """Write finished labels in other formats.

    Attributes:
        labels: folder of ``bodyloop annotate``.
        to: formats.
        out: folder for the files; "export" in the labels' folder if None.
        verdicts: whose labels are written. What a reviewer decided goes before.
    """

    labels: Path
    to: tuple[str, ...]
    out: Path | None = None
    verdicts: tuple[Verdict, ...] = ("accept", "doubtful")


def convert_labels(job: ConvertJob, tell: Tell) -> list[Path]:
    """Write the labels; returns the files.

    Raises:
        InputError: no labels, an unknown format or one whose library is missing, or a folder that cannot be written to.
    """
    _known(job.to)
    if not job.to:
        raise InputError(f"--to: expected one or more of {', '.join(WRITERS)}, got none")
    labels = LabelFolder.open(job.labels)
    if not labels.complete:
        tell(
            f"{job.labels} is not finished: what is there so far is written; 'bodyloop annotate' goes on with it"
        )
    return [_export(labels, name, job.out or job.labels / EXPORTS, job.verdicts) for name in job.to]


def _export(labels: LabelFolder, name: str, out: Path, verdicts: Sequence[str]) -> Path:
    """Write labels in a format; returns the file, or the folder of files.

    Raises:
        InputError: nobody to write, or a folder that cannot be written to or that another process writes into.
    """
    make_folder(out)
    decisions = read_decisions(labels.out)
    body = labels.recipe.get("settings", {}).get("body")
    parts = chosen((decided(part, decisions) for part in labels.parts()), verdicts)
    with alone(out):
        _remove_half_exports(out)
        try:
            return WRITERS[name](parts, out, load_body(None if body is None else Path(body)))
        except OSError as error:
            raise InputError(
                f"{out}: {name} cannot be written ({error.strerror or error}); make room, or give another folder"
            ) from None


def _remove_half_exports(out: Path) -> None:
    """Remove what exports that were killed left; nobody may be exporting into the folder now."""
    for folder in out.glob(".columns-????????"):
        shutil.rmtree(folder, ignore_errors=True)
    remove_unfinished(out, *HALF_EXPORTS)
    for folder in (out / "amass").glob("[0-9]*"):
        remove_unfinished(folder, "*_poses.npz")
