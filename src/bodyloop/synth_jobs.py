"""Synthetic people made and looked at: what ``bodyloop synth`` does."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bodyloop.body import BodyModel, get_skeleton
from bodyloop.data.splits import SplitName, read_poses
from bodyloop.data.synthetic import MocapPoses, Recipe, SyntheticPeople, SyntheticSample, write_shards
from bodyloop.data.synthetic.domains import DomainName
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.raster.labels import pncc_map
from bodyloop.writing import make_folder

Tell = Callable[[str], None]
Progress = Callable[[int, int], None]

MOST = 100_000_000
PER_SHARD = 500  # samples, about 20 MB
ON_SHEET = 32
SHEET_COLUMNS = 8
POSES_APART = 8.0  # degrees, as the priors are trained


@dataclass(frozen=True)
class SynthJob:
    """Make synthetic people.

    Attributes:
        domain: "studio", "wild", "bridge" or "wild2".
        out: folder for the shards; none are made if None.
        count: samples.
        seed: of everything.
        size: pixels each way.
        split: which subjects' motion capture, looks and places.
        mocap: folder with motion capture; poses of the shipped prior if None.
        cache: folder for the converted clips.
        photos: folder of backgrounds without people.
        workers: processes that draw; all cores if None.
        sheet: PNG or JPEG file for a contact sheet of the first samples beside their labels.
    """

    domain: DomainName
    out: Path | None = None
    count: int = 1000
    seed: int = 0
    size: int = 224
    split: SplitName = "train"
    mocap: Path | None = None
    cache: Path | None = None
    photos: Path | None = None
    workers: int | None = None
    sheet: Path | None = None


def make_people(job: SynthJob, tell: Tell, progress: Progress) -> list[Path]:
    """Make shards, a contact sheet, or both; returns the files.

    Args:
        job: what to do.
        tell: called with a line whenever there is something to say.
        progress: called with the number of samples done and wanted.

    Raises:
        InputError: nothing to do, a number out of range, no motion capture or photos where they should be, or a
            folder that holds other shards.
    """
    if job.out is None and job.sheet is None:
        raise InputError(
            "nothing to do: give a folder for shards with -o, a file for a contact sheet with --sheet"
        )
    if not 1 <= job.count <= MOST:
        raise InputError(f"-n: expected 1 to {MOST:,} samples, got {job.count}")
    if job.workers is not None and job.workers < 0:
        raise InputError(f"--workers: expected a whole number from 0 on, got {job.workers}")
    if job.sheet is not None and job.sheet.suffix.lower() not in (".png", ".jpg"):
        raise InputError(f"--sheet {job.sheet}: expected a file name that ends in .png or .jpg")
    people = _people(job, tell)
    files = []
    if job.sheet is not None:
        files.append(_write_sheet(job.sheet, people, min(job.count, ON_SHEET)))
    if job.out is not None:
        workers = len(os.sched_getaffinity(0)) if job.workers is None else job.workers
        tell(f"drawing {job.count:,} samples with poses from {people.poses.name}")
        done = write_shards(
            people, _recipe(job, people), job.out, workers, lambda made: progress(made, job.count)
        )
        files += [job.out / "manifest.json", *done]
    return files


def _people(job: SynthJob, tell: Tell) -> SyntheticPeople:
    poses = None
    if job.mocap is not None:
        found = read_poses(job.mocap, job.split, POSES_APART, job.cache, tell)
        poses = MocapPoses(found, f"motion capture, {job.split} subjects, {len(found)} poses")
    return SyntheticPeople(
        job.domain, seed=job.seed, split=job.split, size=job.size, poses=poses, photos=job.photos
    )


def _recipe(job: SynthJob, people: SyntheticPeople) -> Recipe:
    photos = () if people.photos is None else tuple(path.name for path in people.photos.paths)
    return Recipe(
        domain=job.domain,
        split=job.split,
        seed=job.seed,
        size=job.size,
        poses=people.poses.name,
        photos=photos,
        body=people.body.name,
        count=job.count,
        per_shard=PER_SHARD,
    )


def _write_sheet(file: Path, people: SyntheticPeople, count: int) -> Path:
    """Samples beside their labels."""
    from bodyloop.view import save_picture
    from bodyloop.view.draw import contact_sheet

    make_folder(file.parent)
    pictures = []
    for index in range(count):
        sample = people.sample(index)
        pictures += [sample.image.numpy(), label_picture(sample, people.body)]
    width = pictures[0].shape[1]
    save_picture(file, contact_sheet(pictures, SHEET_COLUMNS, cell=width + 4))
    return file


def label_picture(sample: SyntheticSample, body: BodyModel) -> np.ndarray:
    """The sample's picture, dimmed, with its labels on it: (H, W, 3) uint8.

    What is seen of the body has the colour of its place on the mean body (PNCC), and visible keypoints are dots.
    """
    from bodyloop.view.draw import draw_keypoints

    places = pncc_map(sample.fragments, body)
    mask = sample.fragments.mask[..., None].numpy()
    shown = np.where(mask, 255 * places.numpy(), 0.45 * sample.image.numpy()).astype(np.uint8)
    skeleton = get_skeleton("coco17")
    found = sample.keypoints(body, skeleton)
    evidence = Evidence.from_keypoints(skeleton, found.image[None], found.visible[None].float())
    return draw_keypoints(shown, evidence, radius=max(2, sample.image.shape[0] // 100))
