"""Recovered bodies against the truth of a data set or of synthetic people: what ``bodyloop evaluate`` does."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from bodyloop import __version__
from bodyloop.annotate.estimates import find_device, find_weights
from bodyloop.body import Atlas, Bodies, BodyModel, builtin_atlas, load_body, read_joint_regressor
from bodyloop.body.densepose import read_densepose_atlas
from bodyloop.body.skeletons import H36M17, MPI17, Skeleton
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.batch import Layout
from bodyloop.data.formats import FORMATS, DatasetSpec, open_dataset
from bodyloop.data.mixture import RecordDataset
from bodyloop.data.record import Gender, Record, RecordSet
from bodyloop.data.splits import SplitName, read_poses
from bodyloop.data.synthetic import MocapPoses, SyntheticPeople
from bodyloop.data.synthetic.domains import DomainName
from bodyloop.errors import InputError
from bodyloop.evaluate.chunks import Chunk, chunk_file, load_chunk, open_run, save_chunk, with_notes
from bodyloop.evaluate.evaluation import joint_notes, joint_source
from bodyloop.evaluate.methods import FitMethod, Method, NetworkMethod, SavedMethod
from bodyloop.evaluate.mupots import MupotsFrame, mupots_scores
from bodyloop.evaluate.mupots_files import read_mupots
from bodyloop.evaluate.protocols import PROTOCOLS
from bodyloop.evaluate.protocols import Protocol as Rules
from bodyloop.evaluate.report import Choice, save_report
from bodyloop.evaluate.scores import Scores
from bodyloop.evaluate.sources import Item, Items, Problem, RecordSource, Source, SyntheticSource
from bodyloop.evaluate.synthetic import Against
from bodyloop.evaluate.truth import truth_kind
from bodyloop.geometry import Camera, CropTransform
from bodyloop.nets.build import load_estimator
from bodyloop.nets.estimator import Estimator
from bodyloop.saved_results import Result, by_photo, match_results, read_results, result_of_photo
from bodyloop.view.comparison import partial_comparison
from bodyloop.writing import make_folder

Tell = Callable[[str], None]
Progress = Callable[[int, int], None]

CHUNK = 64
"""People who are recovered, scored and written at once."""
SYNTHETIC_COUNT = 1000
POSES_APART = 8.0  # degrees, as the priors are trained
PICTURE = 320
"""Side in pixels of the crops in the report."""


@dataclass(frozen=True)
class EvaluateJob:
    """Measure how well people are recovered.

    Attributes:
        out: folder for scores.json, scores.csv, report.html, and what is needed to go on with a stopped run.
        weights: a network (`bodyloop.nets.build.save_estimator`).
        bodies: folder of results of ``bodyloop fit`` or ``bodyloop infer``.
        method: "fit": fits to the records' 2D keypoints. One of `weights`, `bodies` and `method` is given.
        data: "FORMAT:PATH" or a path, of a data set (`bodyloop.data.formats`), with a `protocol`.
        protocol: name in `bodyloop.evaluate.protocols.PROTOCOLS`.
        images, masks, annotations: as in `DatasetSpec`.
        split: of the data set, or of the synthetic people, "test" if None.
        synthetic: domain of synthetic people, instead of `data`.
        mocap: motion capture for their poses; those of the shipped prior if None.
        cache: folder for the converted clips.
        against: what drawn synthetic people are compared with (`bodyloop.evaluate.synthetic`).
        seed: of synthetic people.
        count: how many people, spread evenly over the data set; all of them, or 1,000 synthetic ones, if None.
        body: SMPL file of the recovered bodies; the built-in body if None.
        female, male: SMPL files of the true bodies' models; `body` if None.
        regressor: J_regressor_h36m.npy, joints of the protocol from the mesh.
        atlas: DensePose's UV_Processed.mat.
        device: where networks and fits run.
        workers: processes that read and crop images.
    """

    out: Path
    weights: Path | None = None
    bodies: Path | None = None
    method: Literal["fit"] | None = None
    data: str | None = None
    protocol: str | None = None
    images: Path | None = None
    masks: Path | None = None
    annotations: Path | None = None
    split: str | None = None
    synthetic: DomainName | None = None
    mocap: Path | None = None
    cache: Path | None = None
    against: Against = "body"
    seed: int = 0
    count: int | None = None
    body: Path | None = None
    female: Path | None = None
    male: Path | None = None
    regressor: Path | None = None
    atlas: Path | None = None
    device: str = "cpu"
    workers: int = 0


@dataclass(frozen=True)
class Evaluated:
    """What came out.

    Attributes:
        scores: of everybody who could be judged.
        files: what was written.
        left_out: why others could not, a line for each reason.
    """

    scores: Scores
    files: tuple[Path, ...]
    left_out: tuple[str, ...]


def evaluate(
    job: EvaluateJob, tell: Tell = print, progress: Progress = lambda done, total: None
) -> Evaluated:
    """Recover, score, write; what an earlier run of the same job has done already is kept.

    Args:
        job: what to do.
        tell: called with a line whenever there is something to say.
        progress: called with the number of people done and in all.

    Raises:
        InputError: options that do not go together, files that are missing or damaged, another run in the folder,
            or nobody who can be judged.
    """
    _check(job)
    if job.protocol is not None and job.protocol.startswith("mupots"):
        return _evaluate_mupots(job, tell, progress)
    device = find_device(job.device)
    body = load_body(job.body)
    network = None if job.weights is None else _network(job)  # Told before anything is read.
    source, about = _source(job, body, tell)
    method, identity = _method(job, body.to(device), source, network)
    tell(f"{about['people']}: {len(source):,} people, {method.name}")
    recipe = {key: value for key, value in about.items() if key != "notes"} | identity
    open_run(job.out, {"version": __version__, "chunk": CHUNK, "count": len(source), **recipe})
    whole = _run(job, source, method, progress)
    left_out = tuple(whole.left_out())
    if whole.scores is None:
        raise InputError(f"nobody of {len(source):,} people could be judged: {'; '.join(left_out)}")
    notes = [f"Recovered by: {method.name}.", *about["notes"]]
    if whole.problems:
        notes.append(
            f"{len(whole.problems):,} of {len(source):,} people are left out, and figures are of the others: "
            f"{'; '.join(left_out)}."
        )
    scores = with_notes(whole.scores, *notes)
    files = tuple(job.out / name for name in ("scores.json", "scores.csv", "report.html"))
    for path in files[:2]:
        scores.save(path)
    tell("drawing the worst, the best and some others")
    save_report(files[2], scores, _pictures(source, whole, body), Choice(_telling(scores)))
    return Evaluated(scores, files, left_out)


def _evaluate_mupots(job: EvaluateJob, tell: Tell, progress: Progress) -> Evaluated:
    """Of MuPoTS, where people of results have to be matched with annotated ones first."""
    assert job.data is not None, "checked"
    if job.protocol not in PROTOCOLS:
        raise InputError(f"--protocol: expected one of {', '.join(PROTOCOLS)}, got {job.protocol!r}")
    if job.bodies is None:
        raise InputError(
            "--protocol: MuPoTS judges whoever is found in its pictures; run bodyloop fit or infer on them, and give "
            "their folder with --bodies"
        )
    rules, body = PROTOCOLS[job.protocol], load_body(job.body)
    regressor = None
    if job.regressor is not None:
        regressor = _regressor(job.regressor, body, MPI17)
    joints = joint_source(body, MPI17, regressor)
    frames = list(read_mupots(Path(job.data.removeprefix("mupots:"))))
    if job.count is not None:
        frames = [frames[i] for i in np.linspace(0, len(frames) - 1, min(job.count, len(frames))).astype(int)]
    by_name, seen = by_photo(read_results(job.bodies, body)), 0
    made: tuple[list[MupotsFrame], list[MupotsFrame]] = ([], [])
    for number, frame in enumerate(frames, 1):
        result = result_of_photo(frame.image, by_name)
        seen += result is not None
        pixels, places = _seen_joints(result, joints)
        for list_, truth in zip(made, (frame.universal, frame.places), strict=True):
            list_.append(MupotsFrame(frame.sequence, frame.frame, frame.pixels, truth, pixels, places))
        progress(number, len(frames))
    if not seen:
        raise InputError(
            f"--bodies {job.bodies}: no result is of any of {len(frames):,} pictures like {frames[0].image}; results "
            "have to tell their photo's path"
        )
    tell(f"{rules.title}: {len(frames):,} frames, results of {seen:,}")
    scores, absolute = (mupots_scores(rules, several) for several in made)
    if "pck_abs" in scores.values:  # counted where people stood, not scaled to one height
        scores = replace(scores, values={**scores.values, "pck_abs": absolute.values["pck_abs"]})
    notes = [f"Recovered by: {job.bodies}; pictures without a result: {len(frames) - seen:,}."]
    scores = with_notes(scores, *notes, *joint_notes(rules, body, regressor))
    make_folder(job.out)
    files = tuple(job.out / name for name in ("scores.json", "scores.csv", "report.html"))
    for path in files[:2]:
        scores.save(path)
    save_report(files[2], scores)
    return Evaluated(scores, files, ())


def _regressor(path: Path, body: BodyModel, skeleton: Skeleton) -> Tensor:
    """A regressor (K, V) of a protocol's joints from J_regressor_h36m.npy, whose rows are Human3.6M's: MPI-INF-3DHP
    names the same joints in another order.

    Raises:
        InputError: see `read_joint_regressor`.
    """
    rows = H36M17 if skeleton == MPI17 else skeleton
    matrix = read_joint_regressor(path, body, rows)
    return matrix[[rows.index(name) for name in skeleton.keypoints]]


def _seen_joints(result: Result | None, joints: Callable[[Bodies], Tensor]) -> tuple[Tensor, Tensor]:
    """Pixels (P, 17, 2) and places (P, 17, 3) of MuPoTS' joints of the people in a result."""
    if result is None:
        return torch.zeros(0, len(MPI17), 2).double(), torch.zeros(0, len(MPI17), 3).double()
    places = joints(result.saved.bodies)
    return result.saved.camera.project(places).double(), places.double()


def _check(job: EvaluateJob) -> None:
    """Refuse options that do not go together."""
    given = [name for name in ("weights", "bodies", "method") if getattr(job, name) is not None]
    if len(given) > 1:
        raise InputError(
            f"expected one of --weights, --bodies and --method, got {' and '.join('--' + name for name in given)}"
        )
    if (job.data is None) == (job.synthetic is None):
        raise InputError("expected either --data with --protocol, or --synthetic, got both or neither")
    if job.data is not None and job.protocol is None:
        raise InputError(f"--data needs a --protocol: one of {', '.join(PROTOCOLS)}")
    if job.data is None and job.protocol is not None:
        raise InputError("--protocol is for --data; synthetic people are measured in all ways there are")
    if job.data is None and job.body is not None:
        raise InputError(
            "--body: synthetic people have the built-in body, and so must those who are compared with them"
        )
    if job.count is not None and job.count < 1:
        raise InputError(f"--count: expected at least 1, got {job.count}")
    if job.workers < 0:
        raise InputError(f"--workers: expected a whole number from 0 on, got {job.workers}")


def _source(job: EvaluateJob, body: BodyModel, tell: Tell) -> tuple[Source, dict[str, Any]]:
    """Who is judged, and what says so: "people" and "notes" for people, all else for `open_run`."""
    if job.synthetic is not None:
        return _synthetic(job, job.synthetic, body, tell)
    assert job.data is not None, "checked"
    assert job.protocol is not None, "checked"
    if job.protocol not in PROTOCOLS:
        raise InputError(f"--protocol: expected one of {', '.join(PROTOCOLS)}, got {job.protocol!r}")
    rules = PROTOCOLS[job.protocol]
    form, path = _data(job.data)
    spec = DatasetSpec(
        path, form, job.images, job.masks, job.annotations, job.split, body=None if job.body is None else body
    )
    records = _of_protocol(open_dataset(spec), rules)
    whole = len(records)
    rows = np.arange(whole) if job.count is None else np.linspace(0, whole - 1, min(job.count, whole)).round()
    chosen = RecordSet(records.name, path, records.make, records.rows[rows.astype(int)], records.skipped)
    models: dict[Gender, BodyModel] = {"neutral": body}
    for gender, file in (("female", job.female), ("male", job.male)):
        if file is not None:
            models[gender] = load_body(file)  # type: ignore[index]
    kind = truth_kind(rules, chosen)
    regressor = None
    if job.regressor is not None and rules.skeleton is not None:
        regressor = _regressor(job.regressor, body, rules.skeleton)
    source = RecordSource(
        chosen, rules, kind, models, regressor, _atlas(job, body) if kind == "dense" else None
    )
    notes = [f"{chosen.name}: {len(rows):,} of {whole:,} people."] if len(rows) < whole else []
    notes += [f"{chosen.name}: left out while reading: {line}." for line in records.skipped[:5]]
    if kind == "bodies" and len(models) == 1 and chosen[0].gender in ("female", "male"):
        notes.append(
            "True bodies are taken to be of the found ones' model, whatever their gender: see --female, --male."
        )
    if kind == "dense" and job.atlas is None:
        notes.append(
            "Charts are those of the built-in body's atlas, which imitates DensePose's: see --atlas."
        )
    return source, {
        "people": rules.title,
        "data": str(path.resolve()),
        "written": path.stat().st_mtime_ns,
        "options": {
            key: None if value is None else str(value)
            for key, value in asdict(job).items()
            if key
            in (
                "protocol",
                "images",
                "masks",
                "annotations",
                "split",
                "body",
                "female",
                "male",
                "regressor",
                "atlas",
            )
        },
        "notes": notes,
    }


def _data(text: str) -> tuple[str | None, Path]:
    """Format, if it is named, and path."""
    name, colon, rest = text.partition(":")
    if colon and name in FORMATS:
        return name, Path(rest)
    if colon and rest and not Path(text).exists() and Path(rest).exists():
        raise InputError(f"--data {text}: no format is called {name!r}; expected one of {', '.join(FORMATS)}")
    return None, Path(text)


def _of_protocol(records: RecordSet, rules: Rules) -> RecordSet:
    """The records whose images the protocol keeps.

    Raises:
        InputError: if there are none.
    """
    if rules.keeps(""):  # it keeps everything, and nothing needs to be looked at
        return records
    kept = [i for i in range(len(records)) if rules.keeps(str(records[i].image or ""))]
    if not kept:
        first = records[0].image
        raise InputError(
            f"{records.path}: none of {len(records):,} records is of {rules.title} ({rules.people}); the first shows "
            f"{first if isinstance(first, Path) else 'no image file'}"
        )
    return RecordSet(records.name, records.path, records.make, records.rows[kept], records.skipped)


def _atlas(job: EvaluateJob, body: BodyModel) -> Atlas:
    return builtin_atlas() if job.atlas is None else read_densepose_atlas(job.atlas)


def _synthetic(
    job: EvaluateJob, domain: DomainName, body: BodyModel, tell: Tell
) -> tuple[Source, dict[str, Any]]:
    split, count = job.split or "test", job.count or SYNTHETIC_COUNT
    names: tuple[SplitName, ...] = ("train", "validation", "test")
    if split not in names:
        raise InputError(f"--split: expected one of {', '.join(names)}, got {split!r}")
    chosen: SplitName = next(name for name in names if name == split)
    poses = None
    if job.mocap is not None:
        found = read_poses(job.mocap, chosen, POSES_APART, job.cache, tell)
        poses = MocapPoses(found, f"motion capture, {split} subjects, {len(found)} poses")
    people = SyntheticPeople(domain, seed=job.seed, split=chosen, poses=poses, body=body)
    return SyntheticSource(people, count, body, job.against), {
        "people": f"synthetic people, {domain}, {split}",
        "poses": people.poses.name,
        "seed": job.seed,
        "against": job.against,
        "notes": [f"Synthetic people, {domain}, split {split}, seed {job.seed}; poses: {people.poses.name}."],
    }


def _network(job: EvaluateJob) -> Estimator:
    """The network whose answers are judged.

    Raises:
        InputError: no such network, or one that makes candidates better, which nobody has here.
    """
    path = find_weights(job.weights)
    network = load_estimator(path)
    if network.needs_candidate:
        raise InputError(
            f"--weights {job.weights}: this network makes candidates better, which have to be found first; run "
            "bodyloop infer with it on the pictures and give its folder with --bodies (of synthetic people: bodyloop "
            "reproduce mion-table1)"
        )
    return network


def _method(
    job: EvaluateJob, body: BodyModel, source: Source, network: Estimator | None
) -> tuple[Method, dict[str, Any]]:
    """What recovers people, and what its answers depend on."""
    if job.method == "fit":
        return FitMethod(body), {"method": "fit"}
    if job.bodies is not None:
        results = read_results(job.bodies, body)
        newest = max(result.path.stat().st_mtime_ns for result in results)
        ids = _ids(source)
        found = match_results(results, ids, body)
        if not found:
            raise InputError(f"--bodies {job.bodies}: nobody in it belongs to any of {len(source):,} people")
        identity = {"bodies": str(job.bodies.resolve()), "files": len(results), "newest": newest}
        return SavedMethod(found, str(job.bodies), body), identity
    network, path = network or _network(job), find_weights(job.weights)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return NetworkMethod(network.to(body.device), body, path.name), {"weights": digest}


def _ids(source: Source) -> list[Record]:
    """Records to look for in results; of synthetic people only the ids, as making them takes long."""
    if isinstance(source, SyntheticSource):
        return [Record("synthetic", str(row)) for row in range(len(source))]
    return [source.record(row) for row in range(len(source))]


def _run(job: EvaluateJob, source: Source, method: Method, progress: Progress) -> Chunk:
    """All chunks; those that are missing are made."""
    total = len(source)
    spans = [list(range(first, min(first + CHUNK, total))) for first in range(0, total, CHUNK)]
    done = {number: load_chunk(chunk_file(job.out, number)) for number in range(len(spans))}
    missing = [number for number, chunk in done.items() if chunk is None]
    count = total - sum(len(spans[number]) for number in missing)
    progress(count, total)
    items = Items(source, method, [row for number in missing for row in spans[number]])
    # Only the last chunk can be smaller, so that batches of the loader are chunks.
    loader: DataLoader[Any] = DataLoader(
        items,
        CHUNK,
        num_workers=min(job.workers, len(items)),
        collate_fn=list,
        generator=torch.Generator().manual_seed(0),
    )
    for number, batch in zip(missing, loader, strict=True):
        chunk = _chunk(batch, source, method)
        save_chunk(chunk_file(job.out, number), chunk)
        done[number] = chunk
        count += len(batch)
        progress(count, total)
    return Chunk.cat([chunk for chunk in done.values() if chunk is not None])


@torch.no_grad()
def _chunk(batch: list[Item | Problem], source: Source, method: Method) -> Chunk:
    items = [item for item in batch if isinstance(item, Item)]
    problems = tuple((item.id, item.reason) for item in batch if isinstance(item, Problem))
    if not items:
        return Chunk((), Bodies.rest(0), torch.zeros(0, 4), None, problems)
    found, cameras = method([item.subject for item in items])
    found = found.to(
        "cpu", torch.float32
    )  # the truth's models stay there, where reading processes use them too
    scores = source.scores(items, found, cameras)
    lenses = torch.stack([torch.cat([lens.focal, lens.center]) for lens in cameras])
    return Chunk(tuple(item.row for item in items), found, lenses.float(), scores, problems)


def _telling(scores: Scores) -> str | None:
    """The first measure that was taken of somebody."""
    return next((key for key, values in scores.values.items() if not values.isnan().all()), None)


def _pictures(source: Source, whole: Chunk, body: BodyModel) -> Callable[[int], np.ndarray]:
    """What draws a person of a run by number: the crop, the found body, the true one if there is one."""

    def picture(number: int) -> np.ndarray:
        record = source.record(whole.rows[number])
        found, lens = whole.found[number : number + 1], whole.lenses[number]
        crop = _picture_crop(record, body)
        pixels, place = (None, None) if crop is None else crop
        label = record.body
        truth = None
        if label is not None and label.frame == "camera":
            truth = Bodies(
                *(x[None] for x in (label.bodies.rotations, label.bodies.betas, label.bodies.translation))
            )
        true_camera = record.camera if label is not None and label.has_translation else None
        if place is None:
            return partial_comparison(None, body, found, truth, None, None)
        return partial_comparison(
            pixels,
            body,
            found,
            truth,
            place.image_to_crop_camera(Camera(lens[:2], lens[2:], (1, 1))),
            None if true_camera is None else place.image_to_crop_camera(true_camera),
        )

    return picture


def _picture_crop(record: Record, body: BodyModel) -> tuple[np.ndarray, CropTransform] | None:
    """Pixels around a person, and where they lie in the image; None if there is no image."""
    seen = replace(
        record, keypoints=None, joints=None, body=None, dense=None, parts=None, iuv=None, silhouette=None
    )
    try:
        crop = RecordDataset([seen], AugmentConfig.none(PICTURE), Layout(dense=0), body=body, strict=True)[0]
    except InputError:
        return None
    if not bool(crop.has_image):
        return None
    pixels = (crop.image * 255).round().to(torch.uint8).movedim(0, -1).numpy()
    return np.ascontiguousarray(pixels), CropTransform(crop.crop_center, crop.crop_size, PICTURE)
