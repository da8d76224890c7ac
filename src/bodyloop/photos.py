"""Photos in, bodies out: what ``bodyloop fit`` does for each input, and what it tells about it.

`work` goes through the photos of any such command, whose `Method` says what is done with the people in them.
"""

import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import numpy as np
import torch

from bodyloop.annotate.start_names import MOST_CANDIDATES, Choice, StartChoice, StartName, parse_starts
from bodyloop.body import BodyModel, load_body
from bodyloop.body.skeletons import COCO17
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.evidence.focal import choose_camera
from bodyloop.evidence.keypoint_files import read_keypoints
from bodyloop.evidence.photos import Photo, find_photos, photo_sizes, read_photo
from bodyloop.fit import FitConfig, Fits, Surface
from bodyloop.fit.pool import CandidatePool
from bodyloop.geometry import Camera
from bodyloop.photo_files import Format, write_results
from bodyloop.photo_people import people_source, seen_people
from bodyloop.surface_maps import PartLabels, SurfaceMaps
from bodyloop.writing import make_folder

if TYPE_CHECKING:
    from bodyloop.nets.cen import Cen
    from bodyloop.start_files import StartFile

PriorName = Literal["gmm", "flow"]


@dataclass(frozen=True)
class Job:
    """What commands on photos share.

    Attributes:
        inputs: images, folders of images, or globs.
        out: folder for the results: one folder a photo with overlay.png, side.png, body.npz, body.glb.
        keypoints: 2D keypoints instead of the detector: COCO, OpenPose, MediaPipe or bodyloop JSON.
        boxes: boxes to detect people in: JSON or CSV of x, y, w, h.
        iuv: IUV map of a photo, or a folder of them (`bodyloop.surface_maps`).
        parts: map of parts of a photo, or a folder of them.
        part_labels: what the labels of `parts` mean: a name of `bodyloop.body.parts.PARTITIONS`.
        atlas: DensePose's UV_Processed.mat for `iuv` and a `body` of SMPL; the built-in body has its own.
        focal: focal length in pixels; from EXIF, else the image diagonal, if not given.
        body: SMPL .npz or .pkl instead of the built-in body.
        detector: which keypoint detector to use; "none" takes the boxes for all that is known.
        formats: of the result files.
        pictures: whether overlay and side view are drawn.
        resume: skip photos whose results are there already.
        flat: put the results of a single photo into `out` itself.
    """

    inputs: tuple[str, ...]
    out: Path
    keypoints: Path | None = None
    boxes: Path | None = None
    iuv: Path | None = None
    parts: Path | None = None
    part_labels: PartLabels = "densepose"
    atlas: Path | None = None
    focal: float | None = None
    body: Path | None = None
    detector: Literal["mediapipe", "rtmlib", "none"] = "mediapipe"
    formats: tuple[Format, ...] = ("npz", "glb")
    pictures: bool = True
    resume: bool = False
    flat: bool = False

    def files(self) -> list[str]:
        """Names of the files that a photo's folder gets."""
        pictures = ["overlay.png", "side.png"] if self.pictures else []
        return pictures + [f"body.{suffix}" for suffix in dict.fromkeys(self.formats)]


@dataclass(frozen=True)
class PhotoJob(Job):
    """Fit bodies to the people in photos; dense keypoints of `iuv` and body parts of `parts` are met too.

    Attributes:
        starts: where fits start from (`parse_starts`); the best one of each person wins.
        start_annotations: what goes with a file among the starts (`bodyloop.start_files.read_starts`).
        prior: of the pose, "gmm" or "flow"; see `fit_people`.
        hypotheses: whether what every start led to is written into body.npz, for `bodyloop view`; the fits of
            candidates always are.
        choose: which of the fits of candidates is a person's: that of the lowest energy, or the one that the
            consistency network finds nearest to the photo.
        judge: that network; the one that ships if None.
        pool: of candidates (`bodyloop pool build`); the one that ships if None.
    """

    starts: tuple[str, ...] = ("lifter", "mean")
    start_annotations: Path | None = None
    prior: PriorName = "gmm"
    hypotheses: bool = False
    choose: Choice = "energy"
    judge: Path | None = None
    pool: Path | None = None


@dataclass
class PhotoResult:
    """What became of one photo.

    Attributes:
        path: the photo.
        folder: where its results are.
        fits: its people, unless it failed or was done before.
        network: the same people as a network sees them, where fits went on from there.
        focal_px: the focal length that was used.
        focal_from: where that came from.
        notes: what the user should know although it did not fail.
        failure: why it failed; empty if it did not.
        skipped: its results were there already.
    """

    path: Path
    folder: Path
    fits: Fits | None = None
    network: Fits | None = None
    focal_px: float = 0.0
    focal_from: str = ""
    notes: list[str] = field(default_factory=list)
    failure: str = ""
    skipped: bool = False


@dataclass
class Summary:
    """What became of a job.

    Attributes:
        results: one a photo, in order.
        failures: (input, reason), of photos and of inputs that led to none.
        notes: what the user should know of the job as a whole although nothing failed.
        seconds: wall-clock time.
        done: what was done to people, for the last line.
    """

    results: list[PhotoResult] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    done: str = "fitted"

    def line(self) -> str:
        """One line for the end of a run."""
        done = [r.fits for r in self.results if r.fits is not None]
        people = sum(len(f) for f in done)
        doubtful = sum(int((~f.trusted).sum()) for f in done)
        skipped = sum(r.skipped for r in self.results)
        parts = [f"{_count(len(done), 'photo')}, {_count(people, 'person', 'people')} {self.done}"]
        if doubtful:
            parts.append(f"{doubtful} not to be trusted")
        if skipped:
            parts.append(f"{_count(skipped, 'photo')} done before")
        parts.append(_count(len(self.failures), "failure"))
        return ", ".join(parts) + f", {self.seconds:.1f} s"

    def remarks(self) -> list[str]:
        """Where focal lengths came from, and the notes; a remark on many photos is one line."""
        focal: dict[str, list[float]] = {}
        for result in self.results:
            if result.focal_from:
                focal.setdefault(result.focal_from, []).append(result.focal_px)
        lines = []
        for source, values in focal.items():
            span = f"{min(values):.0f}" + (f" to {max(values):.0f}" if max(values) - min(values) >= 1 else "")
            many = f", {_count(len(values), 'photo')}" if len(self.results) > 1 else ""
            lines.append(f"focal length: {span} px ({source}{many})")
        alike = Counter(note for result in self.results for note in result.notes)
        for note, times in alike.items():
            first = next(r.path.name for r in self.results if note in r.notes)
            lines.append(f"note: {first}" + (f" and {times - 1} more" if times > 1 else "") + f": {note}")
        return lines + [f"note: {note}" for note in self.notes]


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


class Method(Protocol):
    """What is done with the people of a photo."""

    @property
    def doing(self) -> str:
        """In a word: "fitting"."""

    @property
    def done(self) -> str:
        """In a word: "fitted"."""

    @property
    def boxes_suffice(self) -> bool:
        """Whether people of whom no keypoint is seen, but a box is known, are served too."""

    def __call__(self, photo: Photo, evidence: Evidence, camera: Camera, result: PhotoResult) -> Fits:
        """The people's bodies; notes go into the result.

        Raises:
            InputError: if the photo cannot be worked on.
        """

    def load_ahead(self) -> None:
        """Load what takes long, in a thread of its own, while the detector looks for people."""


def fit_photos(job: PhotoJob, progress: Callable[[int, int, str], None] | None = None) -> Summary:
    """Fit bodies to the people in photos; arguments and errors as of `work`."""
    if job.prior not in get_args(PriorName):
        raise InputError(f"--prior: expected one of {', '.join(get_args(PriorName))}, got {job.prior!r}")
    choice = parse_starts(job.starts)
    _check_candidates(job, choice)
    file = _start_file(job, choice)
    pool = None if job.pool is None else CandidatePool.load(job.pool)
    judge = None
    if job.judge is not None:
        from bodyloop.nets.cen import load_cen

        judge = load_cen(job.judge)

    def method(body: BodyModel, photos: list[Path]) -> Method:
        if file is not None and file.one_photo and len(photos) > 1:
            raise InputError(
                f"--starts {file.path}: it does not name the photo that its people are of; give that photo alone"
            )
        maps = SurfaceMaps.open(job.iuv, job.parts, job.part_labels, job.atlas, body, photos)
        return _Fitting(job, body, maps, choice, file, pool, judge)

    summary = work(job, method, progress)
    if file is not None:
        summary.notes += [f"{file.path}: left out {line}" for line in _some_lines(file.skipped)]
    return summary


def _start_file(job: PhotoJob, choice: StartChoice) -> "StartFile | None":
    if choice.file is None:
        if job.start_annotations is not None:
            raise InputError(
                "--start-annotations: goes with a file among --starts; name one, or leave it out"
            )
        return None
    from bodyloop.start_files import read_starts

    return read_starts(choice.file, job.start_annotations)


def work(
    job: Job,
    method_of: Callable[[BodyModel, list[Path]], Method],
    progress: Callable[[int, int, str], None] | None = None,
) -> Summary:
    """Run a job: photo after photo, each written as soon as it is done, so that a failure costs only itself.

    Args:
        job: what to do.
        method_of: what is done with people, made once the body and the photos are known.
        progress: called with (photos done, photos in all, what is being done now).

    Raises:
        InputError: if nothing can be done at all: no readable body, keypoints or output folder, no photo.
    """
    began = time.time()
    tell = progress or (lambda done, total, text: None)
    _check(job)
    body = load_body(job.body)
    found = find_photos(job.inputs)
    summary = Summary(failures=[(e.partition(": ")[0], e.partition(": ")[2] or e) for e in found.errors])
    if not found.paths:
        raise InputError("no photo to work on: " + ("; ".join(found.errors) or "name some, or a folder"))
    method = method_of(body, found.paths)
    summary.done = method.done
    known = read_keypoints(job.keypoints, photo_sizes(found.paths)) if job.keypoints else None
    make_folder(job.out)
    if known:
        summary.notes += [f"{job.keypoints}: left out {line}" for line in _some_lines(known.skipped)]
    summary.results = [PhotoResult(path, folder) for path, folder in _folders(found.paths, job.out, job.flat)]
    for result in summary.results:
        result.skipped = job.resume and _is_done(result, job)
    total = len(summary.results)
    if not all(r.skipped for r in summary.results):
        Thread(target=_load_ahead, args=(job, method), daemon=True).start()
    source = None
    for done, result in enumerate(summary.results):
        if result.skipped:
            continue
        tell(done, total, f"{result.path.name}: looking for people")
        source = source or people_source(known, job.keypoints, job.boxes, job.detector, method.boxes_suffice)
        with _failure_into(result):
            photo = read_photo(result.path)
            if photo.note:
                result.notes.append(photo.note)
            evidence, notes = seen_people(source(photo), method.boxes_suffice)
            result.notes += notes
            people = _count(len(evidence), "person", "people")
            tell(done, total, f"{result.path.name}: {method.doing} {people}")
            fits = method(photo, evidence, _camera(photo, job, result), result)
            tell(done, total, f"{result.path.name}: writing")
            write_results(result.folder, photo, body, fits, job.formats, job.pictures, result.network)
            result.fits = fits
        if result.failure:
            summary.failures.append((str(result.path), result.failure))
    tell(total, total, "done")
    summary.seconds = time.time() - began
    return summary


def _load_ahead(job: Job, method: Method) -> None:
    """Load the compiled solver and the mesh writer while the detector, which holds no lock, looks for people.

    It shortens a single photo (`benchmarks/photo_time.py`). What fails here fails again where it is needed, and is told
    there.
    """
    with suppress(Exception):
        method.load_ahead()
        if "glb" in job.formats:
            import pygltflib  # noqa: F401


def _check(job: Job) -> None:
    """Refuse what would fail for every photo."""
    if job.focal is not None and not (math.isfinite(job.focal) and job.focal > 0):
        raise InputError(
            f"--focal: expected a positive number of pixels, got {job.focal:g}; leave it out if not known"
        )
    if not job.files():
        raise InputError(
            "nothing to write: name one of --formats npz, glb, obj, ply, or leave the pictures on"
        )
    if job.detector == "none" and job.boxes is None and job.keypoints is None:
        raise InputError(
            "--detector none: nothing says where people are; give --boxes or --keypoints, or a detector"
        )


@dataclass(frozen=True)
class _Fitting:
    """The method of ``bodyloop fit``."""

    job: PhotoJob
    body: BodyModel
    maps: SurfaceMaps
    choice: StartChoice
    file: "StartFile | None" = None
    pool: CandidatePool | None = None
    judge: "Cen | None" = None
    doing: str = "fitting"
    done: str = "fitted"
    boxes_suffice: bool = False

    def __call__(self, photo: Photo, evidence: Evidence, camera: Camera, result: PhotoResult) -> Fits:
        from bodyloop.annotate import fit_people

        surfaces, notes = self.maps.of(photo, evidence)
        result.notes += notes
        job, choice = self.job, self.choice
        config = FitConfig(keep_tried=job.hypotheses)
        if choice.candidates:
            return self._of_candidates(photo, evidence, camera, config, surfaces)
        if self.file is None:
            return fit_people(evidence, camera, self.body, config, choice.kinds, job.prior, surfaces)
        from bodyloop.start_files.fits import fit_from_file

        return fit_from_file(
            self.file,
            photo.path,
            evidence,
            camera,
            self.body,
            choice,
            job.prior,
            surfaces,
            result.notes,
            config,
        )

    def _of_candidates(
        self,
        photo: Photo,
        evidence: Evidence,
        camera: Camera,
        config: FitConfig,
        surfaces: Sequence[Surface] | None,
    ) -> Fits:
        """One of several fits of each person; the others are kept beside it."""
        from bodyloop.annotate.alternatives import fit_alternatives

        choice = self.choice
        found = fit_alternatives(
            evidence, camera, self.body, config, choice.candidates, choice.kinds, surfaces, self.pool
        )
        if self.job.choose == "energy":
            return found.chosen(torch.zeros(len(evidence), dtype=torch.int64))
        from bodyloop.annotate.consistency import picture_distances
        from bodyloop.nets.cen import default_cen

        distances = picture_distances(
            self.judge or default_cen(),
            photo.pixels,
            evidence,
            camera,
            self.body,
            [fits.bodies for fits in found.ranks],
        )
        return found.chosen(distances.argmin(0))

    def load_ahead(self) -> None:
        load_solver(self.body, self.choice.usual, self.job.prior)


def _check_candidates(job: PhotoJob, choice: StartChoice) -> None:
    """Refuse what does not go with candidates, or needs them.

    Raises:
        InputError: naming the option.
    """
    if job.choose not in get_args(Choice):
        raise InputError(f"--choose: expected one of {', '.join(get_args(Choice))}, got {job.choose!r}")
    if job.judge is not None and job.choose != "cen":
        raise InputError(f"--judge {job.judge}: goes with --choose cen; add that, or leave it out")
    if not choice.candidates:
        if job.pool is not None:
            raise InputError(f"--pool {job.pool}: nothing starts from it; add --starts candidates:5")
        if job.choose != "energy":
            raise InputError(
                f"--choose {job.choose}: there is nothing to choose from; add --starts candidates:5"
            )
        return
    if choice.file is not None:
        raise InputError(f"--starts: expected candidates or a file, got both; leave out {choice.file}")
    if job.prior != "gmm":
        raise InputError(f"--prior {job.prior}: candidates are fitted under gmm; leave one of them out")
    if choice.candidates > MOST_CANDIDATES:
        raise InputError(
            f"--starts candidates:{choice.candidates}: expected at most {MOST_CANDIDATES}; the paper takes 1 to 10"
        )


def load_solver(body: BodyModel, starts: tuple[StartName, ...], prior: PriorName) -> None:
    """Fit nobody, which loads the compiled solver. One that has yet to be compiled is left to the fit, where the
    terminal says so.
    """
    from bodyloop.annotate import fit_people
    from bodyloop.fit.first_use import must_compile

    if not must_compile():
        nobody = Evidence.from_keypoints(COCO17, torch.zeros(0, 17, 2), torch.zeros(0, 17))
        fit_people(nobody, Camera.from_focal(1, 1, 1), body, starts=starts, prior=prior)


def _camera(photo: Photo, job: Job, result: PhotoResult) -> Camera:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        camera, result.focal_from = choose_camera(photo.size, photo.focal_px, job.focal)
    result.notes += [str(warning.message) for warning in caught]
    result.focal_px = float(camera.focal.reshape(-1)[0])
    return camera


def _is_done(result: PhotoResult, job: Job) -> bool:
    """Whether all files of a photo are there, and are this photo's (another may have had its name)."""
    if not all((result.folder / name).exists() for name in job.files()):
        return False
    if "npz" not in job.formats:
        return True
    try:
        with np.load(result.folder / "body.npz", allow_pickle=False) as archive:
            return str(archive["photo"]) == str(result.path.resolve())
    except Exception:  # whatever a damaged archive raises: the photo is fitted again
        return False


def _some_lines(lines: list[str], most: int = 5) -> list[str]:
    rest = len(lines) - most
    return lines[:most] + ([f"more for {_count(rest, 'other reason')}"] if rest > 0 else [])


def _folders(photos: list[Path], out: Path, flat: bool) -> Iterator[tuple[Path, Path]]:
    """A folder a photo, named after it; of photos with one name, the later ones get a number."""
    if flat and len(photos) == 1:
        yield photos[0], out
        return
    stems = {path.stem for path in photos}
    taken: set[str] = set()
    for path in photos:
        name, n = path.stem, 1
        while name in taken or (n > 1 and name in stems):
            n += 1
            name = f"{path.stem}_{n}"
        taken.add(name)
        yield path, out / name


@contextmanager
def _failure_into(result: PhotoResult) -> Iterator[None]:
    """Turn an exception into the photo's failure; the other photos go on."""
    try:
        yield
    except InputError as error:
        result.failure = str(error).removeprefix(f"{result.path}: ")
    except Exception as error:  # a fault of ours in one photo must not cost the results of the others
        result.failure = f"internal error, please report it: {type(error).__name__}: {error}"
