"""What the commands print: progress bar, tables, summary."""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from bodyloop.errors import InputError
from bodyloop.photos import PhotoJob, Summary, fit_photos

MOST_ROWS = 40
"""People in the table; of more, only those who are not to be trusted are listed."""


def run_photo_job(job: PhotoJob) -> int:
    """Run a job with a progress bar, then print its tables; returns the exit status."""
    from bodyloop.fit.first_use import must_compile

    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    columns = (
        SpinnerColumn(),
        BarColumn(20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=None)
        waiting_told = False

        def tell(done: int, total: int, text: str) -> None:
            nonlocal waiting_told
            bar.update(task, completed=done, total=total, description=printable(text))
            if not waiting_told and ": fitting " in text:
                waiting_told = True
                if must_compile():
                    console.print("first run: compiling the solver for this machine, about half a minute ...")

        summary = fit_photos(job, tell)
    print_summary(summary, Console(markup=False, highlight=False, emoji=False))
    return 1 if summary.failures else 0


def printable(text: str) -> str:
    """Text without what a terminal cannot show, or obeys: odd bytes of file names, control characters."""
    return "".join(c if c.isprintable() else "?" for c in text)


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
        for title in ("seen", "error px", "of box"):
            people.add_column(title, justify="right", no_wrap=True)
        people.add_column("start", overflow="fold")
        people.add_column("trust", no_wrap=True)
        for result, fits in done:
            for i, doubts in enumerate(fits.doubts):
                people.add_row(
                    printable(result.path.name),
                    printable(fits.evidence.labels[i]),
                    str(int(fits.seen[i])),
                    f"{float(fits.error_px[i]):.1f}",
                    f"{float(fits.error_box[i]):.1%}",
                    fits.start[i],
                    "no" if doubts else "yes",
                )
        console.print(people)
    for result, fits in done:
        for label, doubts in zip(fits.evidence.labels, fits.doubts, strict=True):
            if doubts:
                who = printable(f"{result.path.name}, person {label}")
                console.print(f"not to be trusted: {who}: {'; '.join(doubts)}")


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))


def run_demo(out: Path) -> int:
    """Fit the astronaut photo of scikit-image (NASA, public domain) and put everything into one folder."""
    try:
        from skimage import data
    except ImportError:
        raise InputError("the demo's photo comes with scikit-image: pip install 'bodyloop[demo]'") from None
    from bodyloop.view import save_png

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made ({error.strerror}); give another folder with -o") from None
    save_png(out / "photo.png", data.astronaut())
    job = PhotoJob((str(out / "photo.png"),), out, flat=True)
    status = run_photo_job(job)
    for name in job.files():
        if (out / name).exists():
            print(f"  {out / name}")
    return status
