"""Photos in, bodies out: what ``bodyloop fit`` does for each input, and what it tells about it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bodyloop.body import BodyModel, load_body
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.evidence.focal import choose_camera
from bodyloop.evidence.keypoint_files import KeypointFile, read_keypoints
from bodyloop.evidence.photos import Photo, find_photos, read_photo
from bodyloop.fit import Fits

StartName = Literal["lifter", "mean"]
Format = Literal["npz", "glb", "obj", "ply"]


@dataclass(frozen=True)
class PhotoJob:
    """Fit bodies to the people in photos.

    Attributes:
        inputs: images, folders of images, or globs.
        out: folder for the results: one folder a photo with overlay.png, side.png, body.npz, body.glb.
        keypoints: 2D keypoints instead of the detector: COCO, OpenPose, MediaPipe or bodyloop JSON.
        boxes: boxes to detect people in: JSON or CSV of x, y, w, h.
        focal: focal length in pixels; from EXIF, else the image diagonal, if not given.
        body: SMPL .npz or .pkl instead of the built-in body.
        detector: which keypoint detector to use.
        starts: where fits start from; the best one of each person wins.
        formats: of the result files.
        pictures: whether overlay and side view are drawn.
        resume: skip photos whose results are there already.
        flat: put the results of a single photo into `out` itself.
    """

    inputs: tuple[str, ...]
    out: Path
    keypoints: Path | None = None
    boxes: Path | None = None
    focal: float | None = None
    body: Path | None = None
    detector: Literal["mediapipe", "rtmlib"] = "mediapipe"
    starts: tuple[StartName, ...] = ("lifter", "mean")
    formats: tuple[Format, ...] = ("npz", "glb")
    pictures: bool = True
    resume: bool = False
    flat: bool = False


@dataclass
class PhotoResult:
    """What became of one photo."""

    path: Path
    folder: Path
    fits: Fits | None = None
    camera_note: str = ""
    failure: str = ""
    skipped: bool = False


@dataclass
class Summary:
    """What became of a job.

    Attributes:
        results: one a photo, in order.
        failures: (input, reason), of photos and of inputs that led to none.
        notes: what the user should know although nothing failed.
        seconds: wall-clock time.
    """

    results: list[PhotoResult] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def line(self) -> str:
        """One line for the end of a run."""
        done = [r.fits for r in self.results if r.fits is not None]
        people = sum(len(f) for f in done)
        doubtful = sum(int((~f.trusted).sum()) for f in done)
        skipped = sum(r.skipped for r in self.results)
        parts = [f"{_count(len(done), 'photo')}, {_count(people, 'person', 'people')} fitted"]
        if doubtful:
            parts.append(f"{doubtful} not to be trusted")
        if skipped:
            parts.append(f"{_count(skipped, 'photo')} done before")
        parts.append(_count(len(self.failures), "failure"))
        return ", ".join(parts) + f", {self.seconds:.1f} s"


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


def fit_photos(job: PhotoJob, progress: Callable[[int, int, str], None] | None = None) -> Summary:
    """Run a job: photo after photo, each written as soon as it is done, so that a failure costs only itself.

    Args:
        job: what to do.
        progress: called with (photos done, photos in all, what is being done now).

    Raises:
        InputError: if nothing can be done at all: no readable body, keypoints or output folder, no photo.
    """
    began = time.time()
    tell = progress or (lambda done, total, text: None)
    body = load_body(job.body)
    known = read_keypoints(job.keypoints) if job.keypoints else None
    found = find_photos(job.inputs)
    summary = Summary(failures=[(e.partition(": ")[0], e.partition(": ")[2] or e) for e in found.errors])
    if not found.paths:
        raise InputError("no photo to work on. " + "; ".join(found.errors))
    _make_folder(job.out)
    if known and known.skipped:
        summary.notes.append(f"{job.keypoints}: {_count(len(known.skipped), 'record')} skipped")
    source = _source_of_evidence(job, known, len(found.paths) == 1)
    for done, (path, folder) in enumerate(_folders(found.paths, job.out, job.flat)):
        result = PhotoResult(path, folder)
        summary.results.append(result)
        if job.resume and (folder / "body.npz").exists():
            result.skipped = True
            continue
        with _failure_into(result):
            tell(done, len(found.paths), f"{path.name}: looking for people")
            photo = read_photo(path)
            evidence = source(photo)
            tell(done, len(found.paths), f"{path.name}: fitting {_count(len(evidence), 'person', 'people')}")
            result.fits, result.camera_note = fit_photo(photo, evidence, body, job)
            tell(done, len(found.paths), f"{path.name}: writing")
            write_results(folder, photo, body, result.fits, job.formats, job.pictures)
        if result.failure:
            result.fits = None
            summary.failures.append((str(path), result.failure))
    tell(len(found.paths), len(found.paths), "done")
    summary.seconds = time.time() - began
    return summary


def fit_photo(photo: Photo, evidence: Evidence, body: BodyModel, job: PhotoJob) -> tuple[Fits, str]:
    """Fit the people of one photo; also says where the focal length came from."""
    from bodyloop.annotate import fit_people

    camera, note = choose_camera(photo.size, photo.focal_px, job.focal)
    return fit_people(evidence, camera, body, starts=job.starts), note


def write_results(
    folder: Path, photo: Photo, body: BodyModel, fits: Fits, formats: tuple[Format, ...], pictures: bool
) -> None:
    """Write one photo's results; ``body.npz`` comes last, so that it marks a finished folder.

    Raises:
        InputError: if something cannot be written.
    """
    from bodyloop.view import overlay, save_glb, save_npz, save_obj, save_ply, save_png, side_view

    _make_folder(folder)
    names = [f"person_{label}" for label in fits.evidence.labels]
    if pictures:
        save_png(folder / "overlay.png", overlay(photo.pixels, body, fits.bodies, fits.camera, fits.evidence))
        save_png(folder / "side.png", side_view(body, fits.bodies))
    if "glb" in formats:
        save_glb(folder / "body.glb", body, fits.bodies, names)
    if "obj" in formats:
        save_obj(folder / "body.obj", body, fits.bodies, names)
    if "ply" in formats:
        save_ply(folder / "body.ply", body, fits.bodies)
    if "npz" in formats:
        save_npz(folder / "body.npz", fits.bodies, fits.camera, body.name, scores_of(fits))


def scores_of(fits: Fits) -> dict[str, "object"]:
    """Arrays that describe how good each fit is, for the result file."""
    import numpy as np

    return {
        "energy": fits.energy,
        **{f"energy_{name}": value for name, value in fits.terms.items()},
        "error_px": fits.error_px,
        "error_box": fits.error_box,
        "keypoints_seen": fits.seen,
        "trusted": fits.trusted,
        "start": np.array(fits.start),
        "doubts": np.array(["; ".join(d) for d in fits.doubts]),
        "label": np.array(fits.evidence.labels),
        "keypoints": fits.evidence.keypoints,
        "confidence": fits.evidence.confidence,
        "skeleton": np.array(fits.evidence.skeleton.name),
    }


def _source_of_evidence(
    job: PhotoJob, known: KeypointFile | None, single: bool
) -> Callable[[Photo], Evidence]:
    """How people are found in a photo: from the keypoint file, or by the detector."""
    if known is not None:

        def from_file(photo: Photo) -> Evidence:
            evidence = known.for_image(photo.path)
            if evidence is None or len(evidence) == 0:
                raise InputError(
                    f"{job.keypoints} has no keypoints for it; the file speaks of {_some(list(known.people))}"
                )
            return evidence

        return from_file

    from bodyloop.detect import load_detector
    from bodyloop.evidence.box_files import read_boxes

    boxes = read_boxes(job.boxes) if job.boxes else None
    detector = load_detector(job.detector)

    def from_detector(photo: Photo) -> Evidence:
        inside = None
        if boxes is not None:
            inside = boxes.for_image(photo.path)
            if inside is None:
                raise InputError(
                    f"{job.boxes} has no boxes for it; the file speaks of {_some(list(boxes.boxes))}"
                )
        evidence = detector(photo.pixels, inside).evidence
        if len(evidence) == 0:
            raise InputError("nobody found in it; give --boxes or --keypoints if somebody is there")
        return evidence

    return from_detector


def _some(names: list[str | None], most: int = 3) -> str:
    shown = ", ".join(str(n) for n in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def _folders(photos: list[Path], out: Path, flat: bool) -> Iterator[tuple[Path, Path]]:
    """A folder a photo, named after it; photos of the same name get a number."""
    if flat and len(photos) == 1:
        yield photos[0], out
        return
    taken: dict[str, int] = {}
    for path in photos:
        n = taken.get(path.stem, 0)
        taken[path.stem] = n + 1
        yield path, out / (path.stem if n == 0 else f"{path.stem}_{n + 1}")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be made ({error.strerror}); give a folder that can be written to with -o"
        ) from None


@contextmanager
def _failure_into(result: PhotoResult) -> Iterator[None]:
    """Turn an exception into the photo's failure; the other photos go on."""
    try:
        yield
    except InputError as error:
        result.failure = str(error).removeprefix(f"{result.path}: ")
    except Exception as error:  # a fault of ours in one photo must not cost the results of the others
        result.failure = f"internal error, please report it: {type(error).__name__}: {error}"
