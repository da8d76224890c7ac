"""What the commands print: progress, tables, summary."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from bodyloop.errors import InputError
from bodyloop.photos import PhotoJob, Summary, fit_photos
from bodyloop.progress import Counted, Rate, printable, progress_bar
from bodyloop.writing import make_folder

if TYPE_CHECKING:
    from torch import Tensor

    from bodyloop.annotate_jobs import AnnotateJob, ConvertJob
    from bodyloop.evaluate.claims import Claim
    from bodyloop.evaluate.scores import Scores
    from bodyloop.evaluate.tables import Table as PaperTable
    from bodyloop.evaluate_jobs import EvaluateJob
    from bodyloop.export_jobs import BodiesExportJob
    from bodyloop.fit import Fits
    from bodyloop.inference import InferJob
    from bodyloop.pool_jobs import PoolJob
    from bodyloop.prior_jobs import SampleJob, TrainJob
    from bodyloop.reproduce import ReproduceJob
    from bodyloop.review_jobs import ReviewJob
    from bodyloop.synth_jobs import SynthJob
    from bodyloop.train_jobs import ExportJob, TrainingJob
    from bodyloop.videos import VideoJob, VideoResult
    from bodyloop.view_jobs import ViewJob

MOST_FILES = 5
"""Shards that are named; of more, only their number."""
MOST_ROWS = 40
"""People in the table; of more, only those who are not to be trusted are listed."""


def run_photo_job(job: PhotoJob) -> int:
    """Run a job with a progress bar, then print its tables; returns the exit status."""
    return _run_on_photos(lambda tell: fit_photos(job, tell))


def run_video_job(job: "VideoJob") -> int:
    """Fit the people of videos with a progress bar, then print who they are; returns the exit status."""
    from bodyloop.videos import fit_videos

    with progress_bar() as bar:
        bar.say_compiling("work_out_frames")
        results = fit_videos(job, bar.show)
    shown = Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
    for result in results:
        _print_video(result, shown)
    return 1 if any(result.failure for result in results) else 0


def _print_video(result: "VideoResult", console: Console) -> None:
    """Its people, notes, files, and one line."""
    if result.people:
        people = _table(printable(result.path.name))
        for title in (
            "person",
            "from s",
            "to s",
            "frames",
            "seen",
            "error px",
            "of box",
            "feet slide m/s",
            "trust",
        ):
            people.add_column(
                title, justify="left" if title in ("person", "trust") else "right", no_wrap=True
            )
        for person in result.people:
            people.add_row(
                person.name,
                f"{person.begins:.1f}",
                f"{person.ends:.1f}",
                str(person.frames),
                f"{person.observed:.0%}",
                f"{person.error_px:.1f}",
                f"{person.error_box:.1%}",
                "-" if person.foot_skate is None else f"{person.foot_skate:.2f}",
                "no" if person.doubts else "yes",
            )
        console.print(people)
    for note in result.notes:
        console.print(printable(f"note: {note}"))
    for path in result.files:
        console.print(printable(f"  {path}"))
    if result.failure:
        console.print(printable(f"{result.path}: {result.failure}"))
        return
    took = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in result.seconds.items())
    rate = f" ({result.frames_per_second:.1f} frames a second)" if result.frames_per_second else ""
    console.print(f"{len(result.people)} people, {result.frames} frames; {took}{rate}")


def run_inference(job: "InferJob") -> int:
    """Recover people by a network with a progress bar, then print the tables; returns the exit status."""
    from bodyloop.inference import infer_photos

    return _run_on_photos(lambda tell: infer_photos(job, tell))


def _run_on_photos(work: Callable[[Callable[[int, int, str], None]], Summary]) -> int:
    with progress_bar() as bar:
        waiting_told = False

        def tell(done: int, total: int, text: str) -> None:
            nonlocal waiting_told
            bar.show(done, total, text)
            if not waiting_told and (": fitting " in text or ": refining " in text):
                waiting_told = True
                bar.say_compiling()

        summary = work(tell)
    print_summary(summary, Console(markup=False, highlight=False, emoji=False))
    return 1 if summary.failures else 0


def print_summary(summary: Summary, console: Console) -> None:
    """People with their scores, then remarks, failures, where the results are, and one line."""
    _print_people(summary, console)
    for remark in summary.remarks():
        console.print(printable(remark))
    if summary.failures:
        failures = _table("failures")
        failures.add_column("input", overflow="fold")
        failures.add_column("why", overflow="fold")
        for name, reason in summary.failures:
            failures.add_row(printable(name), printable(reason))
        console.print(failures)
    folders = [r.folder for r in summary.results if r.fits is not None]
    if folders:
        console.print(printable(f"results: {folders[0] if len(folders) == 1 else folders[0].parent}"))
    console.print(summary.line())


def _print_people(summary: Summary, console: Console) -> None:
    """A table of everybody, unless that would be long; then a line for each who is not to be trusted."""
    done = [(r, r.fits) for r in summary.results if r.fits is not None]
    if 0 < sum(len(fits) for _, fits in done) <= MOST_ROWS:
        people = _table("people")
        people.add_column("photo", overflow="fold")
        people.add_column("person", overflow="fold")
        refined = any(result.network is not None for result, _ in done)
        before = ("network px", "energy", "network's") if refined else ()
        for title in ("seen", "error px", "of box", *before):
            people.add_column(title, justify="right", no_wrap=True)
        people.add_column("start", overflow="fold")
        people.add_column("trust", no_wrap=True)
        for result, fits in done:
            for i, doubts in enumerate(fits.doubts):
                people.add_row(
                    printable(result.path.name),
                    printable(fits.evidence.labels[i]),
                    str(int(fits.seen[i])),
                    _figure(fits.error_px[i], ".1f"),
                    _figure(fits.error_box[i], ".1%"),
                    *(_before(fits, result.network, i) if refined else ()),
                    fits.start[i],
                    "no" if doubts else "yes",
                )
        console.print(people)
    for result, fits in done:
        for label, doubts in zip(fits.evidence.labels, fits.doubts, strict=True):
            if doubts:
                who = printable(f"{result.path.name}, person {label}")
                console.print(f"not to be trusted: {who}: {'; '.join(doubts)}")


def _before(fits: "Fits", network: "Fits | None", person: int) -> tuple[str, str, str]:
    """The network's error, the energy of what was kept, and the network's energy."""
    if network is None:
        return "-", "-", "-"
    return (
        _figure(network.error_px[person], ".1f"),
        _figure(fits.energy[person], ".0f"),
        _figure(network.energy[person], ".0f"),
    )


def _figure(value: "Tensor", form: str) -> str:
    """A number, "-" for NaN."""
    return "-" if math.isnan(value) else format(float(value), form)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))


def run_demo(out: Path) -> int:
    """Fit the astronaut photo of scikit-image (NASA, public domain) and put everything into one folder."""
    try:
        from skimage import data
    except ImportError:
        raise InputError("the demo's photo comes with scikit-image: pip install 'bodyloop[demo]'") from None
    from bodyloop.view import save_picture

    make_folder(out)
    save_picture(out / "photo.png", data.astronaut())
    job = PhotoJob((str(out / "photo.png"),), out, flat=True)
    status = run_photo_job(job)
    for name in job.files():
        if (out / name).exists():
            print(f"  {out / name}")
    return status


def run_viewer(job: "ViewJob") -> int:
    """Show results until the user stops, or write a page of them."""
    from bodyloop.view_jobs import view_results

    with suppress(KeyboardInterrupt):  # the way to end it
        view_results(job, lambda line: print(printable(line), flush=True))
    return 0


@contextmanager
def _told_with_time() -> Iterator[Callable[[str], None]]:
    """A function that prints a line with the time since the beginning; a spinner turns meanwhile."""
    console = Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)
    began = time.time()

    def tell(text: str) -> None:
        console.print(f"[{time.time() - began:5.0f} s] {printable(text)}")

    with console.status("working") if console.is_terminal else nullcontext():
        yield tell


def run_prior_training(job: "TrainJob") -> int:
    """Train a prior, then print its model card and where the files are."""
    from bodyloop.prior_jobs import train_prior

    with _told_with_time() as tell:
        trained = train_prior(job, tell)
    print(trained.card)
    _print_files(trained.files)
    return 0


def run_prior_sampling(job: "SampleJob") -> int:
    """Picture samples of a prior, then print where the files are."""
    from bodyloop.prior_jobs import sample_prior

    with _told_with_time() as tell:
        files = sample_prior(job, tell)
    _print_files(files)
    return 0


def run_pool_building(job: "PoolJob") -> int:
    """Build a pool of candidates, then print its card and where the files are."""
    from bodyloop.pool_jobs import make_pool

    with _told_with_time() as tell:
        pool, file, card = make_pool(job, tell)
    print(card)
    _print_files([pool, file])
    return 0


def run_synthesis(job: "SynthJob") -> int:
    """Make synthetic people with a progress bar and the rate, then print where the files are."""
    from bodyloop.synth_jobs import make_people

    counted = Counted()
    with progress_bar() as bar:

        def progress(done: int, total: int) -> None:
            counted.count(done)
            bar.show(done, total, f"{counted.rate:.0f} a second")

        files = make_people(job, bar.say, progress)
    if counted.before:
        _remark(f"{counted.before:,} samples were there already")
    if counted.made:
        _remark(f"{counted.made:,} samples, {counted.rate:.1f} a second")
    _print_some_files(files)
    return 0


def run_annotation(job: "AnnotateJob") -> int:
    """Annotate a data set with a progress bar, its rate and the time left; then print verdicts and files.

    Returns 1 if nothing was found for some people, or report or exports were not written.
    """
    from bodyloop.annotate_jobs import annotate_data_set

    rate = Rate()
    with progress_bar(counts=False) as bar:

        def progress(what: str, done: int, wanted: int) -> None:
            bar.show(done, wanted, rate.words(what, done, wanted, time.time()))

        bar.say_compiling()
        done = annotate_data_set(job, bar.say, progress)
    finished = done.finished
    for line in finished.skipped:
        _remark(f"left out: {line}")
    if finished.found:
        _remark(f"{finished.found:,} people were done already")
    verdicts = ", ".join(f"{count:,} {verdict}" for verdict, count in done.verdicts.items())
    print(f"{sum(done.verdicts.values()):,} people labelled: {verdicts}")
    if finished.failures:
        who = "1 person" if len(finished.failures) == 1 else f"{len(finished.failures):,} people"
        _remark(f"nothing found for {who}; --retry-failed tries again")
    if rate.line:
        _remark(rate.line)
    for line in done.unwritten:
        _remark(f"not written: {line}")
    _print_files(done.files)
    return 1 if finished.failures or done.unwritten else 0


def run_conversion(job: "ConvertJob") -> int:
    """Write labels in other formats, then print where the files are."""
    from bodyloop.annotate_jobs import convert_labels

    with _told_with_time() as tell:
        files = convert_labels(job, tell)
    _print_files(files)
    return 0


def run_review(job: "ReviewJob") -> int:
    """Serve the review's page until somebody interrupts."""
    from bodyloop.review_jobs import review

    review(job, lambda text: print(printable(text), flush=True))
    return 0


def run_training(job: "TrainingJob") -> int:
    """Train a network with a progress bar, then print where the files are."""
    from bodyloop.train_jobs import train_network

    with progress_bar() as bar:
        done, files = train_network(
            job, bar.say_when, lambda what, done, wanted: bar.show(done, wanted, what)
        )
    if done.errors:
        errors = ", ".join(f"{name[:-3]} {value:.1f} {name[-2:]}" for name, value in done.errors.items())
        _remark(f"best after step {done.best_step:,}: {errors}")
    _print_files(files)
    return 0


def run_export(job: "ExportJob") -> int:
    """Write a network as ONNX, then print where it is."""
    from bodyloop.train_jobs import export_network

    _print_files([export_network(job)])
    return 0


def run_bodies_export(job: "BodiesExportJob") -> int:
    """Write bodies in another format with a progress bar, then print where the files are.

    Returns 1 if some results failed.
    """
    from bodyloop.export_jobs import export_bodies

    with progress_bar() as bar:
        done = export_bodies(job, bar.show)
    for note in done.notes:
        _remark(f"note: {note}")
    for name, reason in done.failures:
        _remark(f"{name}: {reason}")
    _print_some_files(done.files)
    who = "1 person" if done.people == 1 else f"{done.people:,} people"
    print(f"{who}, frames in all: {done.frames:,}, failures: {len(done.failures)}")
    return 1 if done.failures else 0


def run_evaluation(job: "EvaluateJob") -> int:
    """Measure recovered bodies with a progress bar, then print the table and where the files are.

    Returns 1 if some people were left out.
    """
    from bodyloop.evaluate_jobs import evaluate

    counted = Counted()
    with progress_bar() as bar:

        def progress(done: int, total: int) -> None:
            counted.count(done)
            bar.show(done, total, f"{counted.rate:.1f} people a second")

        if job.method == "fit":
            bar.say_compiling()
        done = evaluate(job, bar.say, progress)
    if counted.before:
        _remark(f"{counted.before:,} people were done already")
    print_scores(done.scores, Console(markup=False, highlight=False, emoji=False))
    _print_files(done.files)
    return 1 if done.left_out else 0


def run_reproduction(job: "ReproduceJob") -> int:
    """Measure a paper's table, then print it with its claims and where the files are."""
    from bodyloop.reproduce import reproduce

    with _told_with_time() as tell:
        found = reproduce(job, tell)
    console = Console(markup=False, highlight=False, emoji=False)
    print_paper_table(found.table, console)
    print_claims(found.claims, console)
    _print_files(found.files)
    return 0


def print_paper_table(table: "PaperTable", console: Console) -> None:
    """The paper's figures beside ours; measures that neither has are left out."""
    from bodyloop.evaluate.tables import NOT_YET, TITLES, figure, text_of

    shown = _table(table.title)
    shown.add_column("", overflow="fold", min_width=20)
    columns = table.columns()
    for measure, whose in columns:
        name, _, unit = TITLES[measure].rpartition(" ")
        style = "bold" if whose == "ours" else ""
        shown.add_column(f"{name}\n{unit}\n{whose}", justify="right", no_wrap=True, style=style)
    for row in table.rows:
        cells = [
            "-" if whose == "ours" and row.ours is None else text_of(measure, figure(row, measure, whose))
            for measure, whose in columns
        ]
        shown.add_row(printable(row.name), *cells)
    console.print(shown)
    if any(row.ours is None for row in table.rows):
        console.print(f"-: {NOT_YET}")
    for note in table.notes:
        console.print(printable(note))


def print_scores(scores: "Scores", console: Console) -> None:
    """What was measured of how many people, then what one should know to read it."""
    from bodyloop.evaluate.scores import METRICS

    console.print(printable(f"{scores.name}: {len(scores):,} people"))
    shown = _table("")  # a title would be folded to the table's few columns
    shown.add_column("", overflow="fold", min_width=16)
    for title in ("mean", "median", "", "people"):
        shown.add_column(title, justify="right", no_wrap=True)
    for line in scores.table():
        measure = METRICS[line.metric]
        people = "pooled" if line.pooled else f"{line.people:,}"
        figures = measure.text(line.value), measure.text(line.median), measure.unit, people
        shown.add_row(measure.title, *figures)
    console.print(shown)
    for note in scores.notes:
        console.print(printable(note))


def print_claims(claims: Sequence["Claim"], console: Console) -> None:
    """A line for each finding: whether it holds, what it says, its figures."""
    for claim in claims:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in claim.our_values.items())
        verdict = "holds" if claim.holds else "DOES NOT HOLD"
        console.print(printable(f"{verdict}: {claim.statement} Ours: {f'{figures} {claim.unit}'.rstrip()}."))


def _print_files(files: Sequence[Path]) -> None:
    for path in files:
        print(f"  {printable(str(path))}")


def _print_some_files(files: Sequence[Path]) -> None:
    """Not more than one wants to read."""
    _print_files(files[:MOST_FILES])
    if len(files) > MOST_FILES:
        print(f"  and {len(files) - MOST_FILES:,} more")


def _remark(text: str) -> None:
    """A line beside the results, on stderr."""
    Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True).print(printable(text))
