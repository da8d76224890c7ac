"""What a job tells about itself, and where its results go."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from bodyloop.annotate import fit_people
from bodyloop.body import BodyModel
from bodyloop.errors import InputError
from bodyloop.evidence.photos import photo_sizes, read_photo
from bodyloop.fit import Fits
from bodyloop.fit.first_use import must_compile
from bodyloop.photo_files import write_results
from bodyloop.photos import (
    PhotoJob,
    PhotoResult,
    Summary,
    _folders,
    _load_ahead,
    fit_photos,
)
from bodyloop.progress import printable
from bodyloop.terminal import MOST_ROWS, print_summary
from fit.people import CAMERA, observed


@pytest.fixture(scope="module")
def fits(body: BodyModel) -> Fits:
    """Two people: one seen well, one of whom three keypoints are seen."""
    _, evidence = observed(body, 2)
    evidence.confidence[1, 3:] = 0
    return fit_people(evidence, CAMERA, starts=("mean",))


def shown(summary: Summary, width: int) -> list[str]:
    console = Console(width=width, markup=False, highlight=False, emoji=False, color_system=None)
    with console.capture() as capture:
        print_summary(summary, console)
    return capture.get().splitlines()


def result(fits: Fits | None, name: str = "a.jpg", **more: object) -> PhotoResult:
    return PhotoResult(Path(name), Path("out") / Path(name).stem, fits, **more)  # type: ignore[arg-type]


def test_the_summary_counts(fits: Fits):
    summary = Summary([result(fits), result(None, skipped=True)], [("b.jpg", "broken")], seconds=1.25)
    assert summary.line() == (
        "1 photo, 2 people fitted, 1 not to be trusted, 1 photo done before, 1 failure, 1.2 s"
    )


def test_remarks_on_many_photos_are_one_line():
    photos = [
        result(None, f"{i}.jpg", focal_px=800.0 + i, focal_from="EXIF", notes=["turned"]) for i in range(9)
    ]
    assert Summary(photos, notes=["k.json: left out 1 x crowd"]).remarks() == [
        "focal length: 800 to 808 px (EXIF, 9 photos)",
        "note: 0.jpg and 8 more: turned",
        "note: k.json: left out 1 x crowd",
    ]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_tables_keep_to_the_terminal(fits: Fits, width: int):
    summary = Summary([result(fits, "a_long_name_" * 5 + ".jpg")], [("b[/x].jpg", "a long reason " * 20)])
    lines = shown(summary, width)
    assert max(map(len, lines)) <= width
    text = "".join("".join(lines).split())
    assert "person1:only3keypointsseen,fewerthan6" in text
    assert width == 40 or "b[/x].jpg" in text
    assert width == 40 or text.count("reason") == 20


def test_of_many_people_only_the_doubtful_are_listed(fits: Fits):
    many = Summary([result(fits, f"{i}.jpg") for i in range(MOST_ROWS)])
    lines = shown(many, 120)
    assert lines[0] == "not to be trusted: 0.jpg, person 1: only 3 keypoints seen, fewer than 6"
    assert len(lines) == MOST_ROWS + 2


def test_printable():
    assert printable("Zoë.jpg") == "Zoë.jpg"
    assert printable("a\x1b[2J\udcff\n.jpg") == "a?[2J??.jpg"


def test_every_photo_has_a_folder_of_its_own():
    photos = [Path(p) for p in ("a/x.jpg", "b/x.jpg", "c/x_2.png", "d/x.png", "e/y.jpg")]
    folders = [folder.name for _, folder in _folders(photos, Path("out"), flat=False)]
    assert folders == ["x", "x_3", "x_2", "x_4", "y"]
    assert [f for _, f in _folders(photos[:1], Path("out"), flat=True)] == [Path("out")]


def test_a_damaged_result_is_made_again(tmp_path: Path, body: BodyModel, fits: Fits):
    from bodyloop.photos import _is_done

    Image.new("RGB", (1000, 1000)).save(tmp_path / "photo.png")
    job = PhotoJob((), tmp_path, formats=("npz",), pictures=False)
    one = PhotoResult(tmp_path / "photo.png", tmp_path / "photo")
    assert not _is_done(one, job)
    write_results(one.folder, read_photo(one.path), body, fits, ("npz",), False)
    assert _is_done(one, job)
    data = (one.folder / "body.npz").read_bytes()
    (one.folder / "body.npz").write_bytes(data[:100])
    assert not _is_done(one, job)


def test_photo_sizes_are_of_the_upright_photo(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    (tmp_path / "text.jpg").write_text("no photo")
    sizes = photo_sizes([tmp_path / "turned.jpg", tmp_path / "text.jpg", tmp_path / "none.jpg"])
    assert sizes == {str(tmp_path / "turned.jpg"): (20, 40)}
    assert sizes[str(tmp_path / "turned.jpg")] == read_photo(tmp_path / "turned.jpg").size


def test_jobs_that_cannot_work(tmp_path: Path):
    with pytest.raises(InputError, match="expected lifter, mean, candidates:N"):
        fit_photos(PhotoJob(("a.jpg",), tmp_path, starts=()))
    with pytest.raises(InputError, match="name some, or a folder"):
        fit_photos(PhotoJob((), tmp_path))


def test_the_first_run_is_noticed(fits: Fits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from bodyloop.fit import compiled

    if not np.all(fits.seen.numpy() > 0) or not hasattr(compiled.fit_people, "stats"):
        pytest.skip("numba is switched off")
    assert not must_compile(), "the fits of this module have been made"
    source = tmp_path / "compiled.py"
    source.write_text("")
    later = os.stat(compiled.__file__).st_mtime + 1e6
    os.utime(source, (later, later))
    monkeypatch.setattr(compiled, "__file__", str(source))
    assert must_compile(), "the source is newer"


def test_loading_ahead_keeps_its_troubles_to_itself():
    """It runs in a thread, whose traceback would appear in the middle of the progress bar."""
    _load_ahead(PhotoJob(("a.jpg",), Path("out")), object())  # type: ignore[arg-type]
