"""What the commands print: progress bar, tables, summary."""

from pathlib import Path

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


def run_photo_job(job: PhotoJob) -> int:
    """Run a job with a progress bar, then print its tables; returns the exit status."""
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        BarColumn(20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def tell(done: int, total: int, text: str) -> None:
            bar.update(task, completed=done, total=total, description=text)

        summary = fit_photos(job, tell)
    print_summary(summary, Console())
    return 1 if summary.failures else 0


def print_summary(summary: Summary, console: Console) -> None:
    """People with their scores, then failures, then one line."""
    people = Table("photo", "person", "start", "keypoints", "error px", "of box", "doubts", title="people")
    for result in summary.results:
        if result.fits is None:
            continue
        fits = result.fits
        for i in range(len(fits)):
            people.add_row(
                result.path.name,
                fits.evidence.labels[i],
                fits.start[i],
                str(int(fits.seen[i])),
                f"{float(fits.error_px[i]):.1f}",
                f"{float(fits.error_box[i]):.1%}",
                "; ".join(fits.doubts[i]) or "-",
            )
    if people.row_count:
        console.print(people)
    for note in sorted({r.camera_note for r in summary.results if r.camera_note}):
        console.print(f"focal length: {note}", highlight=False)
    for note in summary.notes:
        console.print(f"note: {note}", highlight=False, markup=False)
    if summary.failures:
        failures = Table("input", "why", title="failures")
        for name, reason in summary.failures:
            failures.add_row(name, reason)
        console.print(failures)
    folders = [r.folder for r in summary.results if r.fits is not None]
    if folders:
        console.print(
            f"results: {folders[0] if len(folders) == 1 else folders[0].parent}",
            highlight=False,
            markup=False,
        )
    console.print(summary.line(), highlight=False)


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
    status = run_photo_job(PhotoJob((str(out / "photo.png"),), out, flat=True))
    for name in ("overlay.png", "side.png", "body.glb", "body.npz"):
        if (out / name).exists():
            print(f"  {out / name}")
    return status
