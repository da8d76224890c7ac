"""Photos in, a network's bodies out: what ``bodyloop infer`` does."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bodyloop.annotate.estimates import find_device, find_weights, infer_people, part_labels_of
from bodyloop.body import BodyModel
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.evidence.photos import Photo
from bodyloop.fit import Fits
from bodyloop.fit.pool import CandidatePool
from bodyloop.geometry import Camera
from bodyloop.nets.build import load_estimator
from bodyloop.nets.cen import load_cen
from bodyloop.nets.mrt import Mrt
from bodyloop.photos import (
    MOST_CANDIDATES,
    Choice,
    Job,
    Method,
    PhotoResult,
    Summary,
    load_solver,
    work,
)
from bodyloop.surface_maps import SurfaceMaps

if TYPE_CHECKING:
    from bodyloop.nets.cen import Cen
    from bodyloop.nets.estimator import Estimator


PATHS = 5
"""Candidates of each person, if nobody says how many."""


@dataclass(frozen=True)
class InferJob(Job):
    """Recover the people in photos by a network.

    Attributes:
        weights: the network (`bodyloop.nets.build.save_estimator`); the one that ships if None.
        refine: fit each person from the network's answer, and keep what has the lower energy.
        paths, choose: of networks that make candidates better (MION): how many of each person, and which answer is
            theirs: the one that the consistency network finds nearest to the photo, or that of the lowest energy;
            `PATHS` and "cen" if None. Others take none.
        judge, pool: consistency network and pool of candidates instead of those that ship.
        device: where the network and the fits run: "cpu", "cuda", "cuda:1" ...
    """

    weights: Path | None = None
    refine: bool = False
    paths: int | None = None
    choose: Choice | None = None
    judge: Path | None = None
    pool: Path | None = None
    device: str = "cpu"


def infer_photos(job: InferJob, progress: Callable[[int, int, str], None] | None = None) -> Summary:
    """Recover people; arguments and errors as of `bodyloop.photos.work`."""
    device = find_device(job.device)
    network = load_estimator(find_weights(job.weights)).to(device)
    check_maps(job, network)
    for name in ("paths", "choose", "judge", "pool"):
        if getattr(job, name) is not None and not isinstance(network, Mrt):
            raise InputError(
                f"--{name}: this network gives one answer a person; leave it out, or give --weights mrt"
            )
    if job.paths is not None and not 1 <= job.paths <= MOST_CANDIDATES:
        raise InputError(f"--paths: expected 1 to {MOST_CANDIDATES}, got {job.paths}")
    if job.judge is not None and job.choose == "energy":
        raise InputError(f"--judge {job.judge}: goes with --choose cen; choose that, or leave it out")
    pool = None if job.pool is None else CandidatePool.load(job.pool)
    judge = None if job.judge is None else load_cen(job.judge).to(device)

    def method(body: BodyModel, photos: list[Path]) -> Method:
        fitted = body if job.refine else None
        maps = SurfaceMaps.open(job.iuv, job.parts, job.part_labels, job.atlas, fitted, photos)
        if isinstance(network, Mrt):
            return _Paths(job, body.to(device), network, maps, pool=pool, judge=judge)
        return _Inference(job, body.to(device), network, maps)

    return work(job, method, progress)


def check_maps(job: InferJob, network: "Estimator") -> None:
    """Refuse maps that nobody looks at, and the lack of those that the network looks at.

    Raises:
        InputError: naming the option.
    """
    looks = " and ".join(network.inputs)
    for kind, given in (("iuv", job.iuv), ("parts", job.parts)):
        if kind in network.inputs and given is None:
            wanted = f" of the parts {part_labels_of(network)!r}" if kind == "parts" else ""
            raise InputError(f"--{kind}: this network looks at {looks}; give the photos' maps{wanted}")
        if kind not in network.inputs and given is not None and not job.refine:
            raise InputError(
                f"--{kind} {given}: this network looks at {looks} alone; leave it out, or add --refine for fits that "
                "use it"
            )


@dataclass(frozen=True)
class _Inference:
    """The method of ``bodyloop infer``."""

    job: InferJob
    body: BodyModel
    network: "Estimator"
    maps: SurfaceMaps
    done: str = "found"
    boxes_suffice: bool = True

    @property
    def doing(self) -> str:
        """What goes on."""
        return "refining" if self.job.refine else "recovering"

    def __call__(self, photo: Photo, evidence: Evidence, camera: Camera, result: PhotoResult) -> Fits:
        iuv, parts = self.maps.read(photo)
        surfaces = None
        if self.job.refine:
            surfaces, notes = self.maps.of(photo, evidence)
            result.notes += notes
        notes = []
        found = infer_people(
            self.network,
            photo.pixels,
            evidence,
            camera,
            self.body,
            iuv=iuv,
            parts=parts,
            refine=self.job.refine,
            surfaces=surfaces,
            notes=notes,
        )
        result.notes += [note for note in notes if note not in result.notes]
        if self.job.refine:
            result.network = found.network.to("cpu")
        return found.people.to("cpu")

    def load_ahead(self) -> None:
        """The solver, where fits go on."""
        if self.job.refine:
            load_solver(self.body, ("mean",), "gmm")


@dataclass(frozen=True)
class _Paths(_Inference):
    """The method of ``bodyloop infer`` with a network that makes candidates better."""

    network: "Mrt"
    pool: CandidatePool | None = None
    judge: "Cen | None" = None
    boxes_suffice: bool = False

    def __call__(self, photo: Photo, evidence: Evidence, camera: Camera, result: PhotoResult) -> Fits:
        from bodyloop.annotate.consistency import infer_paths
        from bodyloop.nets.cen import default_cen

        surfaces = None
        if self.job.refine:
            surfaces, notes = self.maps.of(photo, evidence)
            result.notes += notes
        return infer_paths(
            self.network,
            photo.pixels,
            evidence,
            camera,
            self.body,
            judge=None if self.job.choose == "energy" else (self.judge or default_cen()),
            paths=PATHS if self.job.paths is None else self.job.paths,
            refine=self.job.refine,
            surfaces=surfaces,
            pool=self.pool,
        ).to("cpu")
