"""Labels for whole data sets: annotate, convert, review."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from bodyloop.commands.options import File, Folder

Formats = tuple[Literal["neuralannot", "eft", "spin", "human-data", "amass", "parquet"], ...]
Verdicts = tuple[Literal["accept", "doubtful", "reject"], ...]


@dataclass(frozen=True)
class Annotate:
    """Give every person of a data set with 2D keypoints a body: SMPL parameters, camera, score and verdict.

    Writes labels in files of some hundred people, and report.html. A run that was stopped or killed goes on where it
    was when called again with the same options.

    Exit status: 0 all went well, 1 nothing was found for some people or an export was not written (the rest is done), 2
    nothing could be done.
    """

    coco: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """COCO keypoint annotations, of any size."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")]
    """Folder for labels and report."""
    images: Annotated[Path | None, Folder] = None
    """That the images' names are relative to: for networks, and for the pictures of the report."""
    method: Annotated[
        Literal["fit", "network", "spin", "candidates"], tyro.conf.arg(metavar="NAME", help_behavior_hint="")
    ] = "fit"
    """fit (if not given): to the keypoints. network: --estimator's answers to the pictures. spin: fits that start from
    those. candidates: fits from several candidates of the pool, one of which is kept."""
    estimator: Annotated[Path | None, tyro.conf.arg(metavar="WEIGHTS", help_behavior_hint="")] = None
    """A network's weights (.safetensors), for --method network and spin."""
    candidates: Annotated[int, tyro.conf.arg(metavar="N")] = 5
    """Of each person, for --method candidates."""
    choose: Literal["energy", "cen"] = "energy"
    """Which fit from candidates is kept: the one of lowest energy, or the one that a network finds nearest to the
    picture."""
    judge: Annotated[Path | None, File] = None
    """That network, if not the one that ships: of bodyloop train cen."""
    pool: Annotated[Path | None, File] = None
    """Pool of candidates, if not the one that ships: of bodyloop pool build."""
    starts: Annotated[
        tuple[Literal["lifter", "mean"], ...] | None, tyro.conf.arg(metavar="NAME ...", help_behavior_hint="")
    ] = None
    """Where fits to keypoints start from: lifter (if not given), mean, or both, which takes more than twice as long.
    With --method candidates: of one more fit."""
    focal: Annotated[float | None, tyro.conf.arg(metavar="PIXELS", help_behavior_hint="")] = None
    """Focal length of all images in pixels. Without it: each image's diagonal."""
    body: Annotated[Path | None, File] = None
    """SMPL .npz or .pkl instead of the built-in body."""
    device: Annotated[str, tyro.conf.arg(metavar="NAME")] = "cpu"
    """Where networks and fits run: cpu, cuda, cuda:1 ..."""
    least: Annotated[int, tyro.conf.arg(metavar="N")] = 6
    """Keypoints that a person must have; others are left out and counted."""
    per_file: Annotated[int, tyro.conf.arg(metavar="N")] = 500
    """People in a file of labels."""
    doubtful_mm: Annotated[float, tyro.conf.arg(metavar="MM")] = 150.0
    """Labels are doubtful with a larger expected error of the vertices, mm."""
    reject_mm: Annotated[float, tyro.conf.arg(metavar="MM")] = 250.0
    """Labels are rejected with a larger expected error of the vertices, mm."""
    reject_error: Annotated[float, tyro.conf.arg(metavar="SHARE")] = 0.12
    """Or with a larger mean reprojection error, as a share of the box."""
    reject_pose: Annotated[float, tyro.conf.arg(metavar="NATS")] = 200.0
    """Or with a less usual pose: its energy under the prior."""
    reject_beta: Annotated[float, tyro.conf.arg(metavar="SD")] = 5.0
    """Or with a larger shape coefficient, standard deviations."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Processes; one a core if not given."""
    ray: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS", help_behavior_hint="")] = None
    """Work on a Ray cluster instead: its address, auto, or local."""
    write: Formats = ()
    """Export accepted and doubtful labels, too: neuralannot, eft, spin, human-data, amass, parquet."""
    report: bool = True
    """Write report.html."""
    retry_failed: bool = False
    """Label files again in which nothing was found for somebody, or somebody's picture could not be read."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.annotate_jobs import AnnotateJob
        from bodyloop.terminal import run_annotation

        return run_annotation(AnnotateJob(**vars(self)))


@dataclass(frozen=True)
class Convert:
    """Write the labels of bodyloop annotate in the formats of others."""

    labels: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Of bodyloop annotate."""
    to: Formats
    """neuralannot, eft, spin, human-data, amass, parquet."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="")] = None
    """For the files; export in the labels' folder if not given."""
    verdicts: Verdicts = ("accept", "doubtful")
    """Whose labels are written. What a reviewer decided goes before."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.annotate_jobs import ConvertJob
        from bodyloop.terminal import run_conversion

        return run_conversion(ConvertJob(**vars(self)))


@dataclass(frozen=True)
class Review:
    """Look at labels on a local web page and accept, reject or send them back, by keyboard.

    Every decision is saved at once, in review.jsonl beside the labels.
    """

    labels: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Of bodyloop annotate."""
    images: Annotated[Path | None, Folder] = None
    """That the images' names are relative to, if not the folder that was annotated."""
    verdicts: Verdicts = ("doubtful",)
    """Whose labels are shown, the lowest score first."""
    port: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Of the page; any free one if 0."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.review_jobs import ReviewJob
        from bodyloop.terminal import run_review

        return run_review(ReviewJob(**vars(self)))
