"""What a run needs on disk before it begins: crops of its data sets, and fits of those whom nobody labelled.

All of it is found in a cache, or made and kept there once for all runs that want the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.batch import Batch
from bodyloop.data.crop_batches import CropBatches, CropSource, Wanted
from bodyloop.data.crops import Crops, CropSpec, Surface, draw_crops
from bodyloop.data.formats.format import DatasetSpec
from bodyloop.data.formats.registry import open_dataset
from bodyloop.data.labels import NO_ERRORS, Labels
from bodyloop.data.mixture import Draw
from bodyloop.data.record import RecordSet
from bodyloop.data.splits import SplitName, read_poses
from bodyloop.data.synthetic import (
    MocapPoses,
    PoseSource,
    SurfaceLabeller,
    SyntheticPeople,
    synthetic_records,
)
from bodyloop.data.synthetic.streams import stream
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.fit.pool import CandidatePool, default_pool
from bodyloop.geometry import Camera
from bodyloop.nets.backbones import SHIPPED
from bodyloop.nets.build import build
from bodyloop.nets.estimator import Estimator
from bodyloop.nets.two_branch import TwoBranchConfig
from bodyloop.train.candidates import CandidateStock, stock_candidates
from bodyloop.train.config import AnyRecipe, CandidateStart, Data, Phase, Recipe, RecordData, SyntheticData
from bodyloop.train.features import keep_features
from bodyloop.train.fits import FitsDictionary, initial_fits
from bodyloop.train.regressor import Regressor

POSES_APART = 8.0  # degrees, as the priors are trained
SHARED = 112
"""Pixels of the networks that crops serve at least."""

WHOLE_BODY = ("has_pose", "has_orientation", "has_betas")
"""What `Batch` says of people by whose bodies networks can be judged."""
_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")

Tell = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Pantry:
    """Where crops are kept, and what they are made of on this machine.

    Attributes:
        cache: folder for the crops of all runs.
        body: the model of all people.
        surface: its atlas, for dense keypoints; None for none.
        mocap: folder with motion capture, for data that ask for it.
        clips: folder for the converted clips.
        workers: processes that draw.
        tell: called with a line whenever there is something to say.
        progress: called with the numbers of crops that are done and wanted.
        pool: of candidates; the one that ships if None.
    """

    cache: Path
    body: BodyModel
    surface: Surface | None
    mocap: Path | None = None
    clips: Path | None = None
    workers: int = 0
    tell: Tell = lambda text: None
    progress: Progress = lambda done, wanted: None
    pool: CandidatePool | None = None
    _poses: dict[str, PoseSource] = field(default_factory=dict, init=False)

    def crops(self, data: Data, recipe: AnyRecipe) -> Crops:
        """The crops of a data set, of the size that the recipe's network and augmentation need, or larger.

        Networks of up to `SHARED` pixels share their crops.

        Raises:
            InputError: no motion capture where there should be, an unknown data set, or a cache that cannot be written.
        """
        widest = recipe.augment.margin * (1 + recipe.augment.scale_limit)
        side = round(max(recipe.augment.resolution, SHARED) * widest / recipe.augment.margin)
        sizes = {"resolution": side, "margin": round(widest, 6), "maps": side // 2}
        if isinstance(data, SyntheticData):
            return self._synthetic(data, sizes)
        return self._records(data, sizes)

    def _synthetic(self, data: SyntheticData, sizes: dict[str, Any]) -> Crops:
        made_of: dict[str, Any] = {k: getattr(data, k) for k in ("domain", "seed", "split", "size", "poses")}
        if data.subjects is not None:
            made_of["subjects"] = data.subjects
        spec = CropSpec(f"{data.domain}-{data.split}", made_of, body=self.body.name, **sizes)
        folder = spec.folder(self.cache)
        if found := _complete(folder, data.count):
            return found
        people = SyntheticPeople(
            data.domain,
            seed=data.seed,
            split=data.split,
            size=data.size,
            poses=self._poses_of(data.subjects or data.split) if data.poses == "mocap" else None,
            body=self.body,
        )
        labeller = self._labeller()
        records = synthetic_records(people.sample, range(data.count), labeller, spec.name)
        return self._drawn(records, spec, folder)

    def _labeller(self) -> SurfaceLabeller:
        if self.surface is None or len(self.surface.atlas.faces) != len(self.body.faces):
            raise InputError(
                f"synthetic people of the body {self.body.name!r} have no atlas of all its faces; leave --body out, or "
                "train and validate on data sets (RecordData) alone"
            )
        return SurfaceLabeller(self.body, self.surface.atlas)

    def _poses_of(self, split: SplitName) -> PoseSource:
        if self.mocap is None:
            raise InputError("these data take poses of motion capture; name its folder with --mocap")
        if split not in self._poses:
            found = read_poses(self.mocap, split, POSES_APART, self.clips, self.tell)
            self._poses[split] = MocapPoses(found, f"motion capture, {split} subjects, {len(found)} poses")
        return self._poses[split]

    def _records(self, data: RecordData, sizes: dict[str, Any]) -> Crops:
        if not data.path:
            raise InputError("a RecordData needs the path of a data set")
        asked = DatasetSpec(
            Path(data.path),
            data.format,
            images=None if data.images is None else Path(data.images),
            masks=None if data.masks is None else Path(data.masks),
            annotations=None if data.annotations is None else Path(data.annotations),
            split=data.split,
            body=self.body,
        )
        records = open_dataset(asked)
        made_of: dict[str, Any] = {
            "path": str(Path(data.path).resolve()),
            "format": data.format,
            "split": data.split,
        }
        made_of["images"] = None if data.images is None else str(Path(data.images).resolve())
        made_of["written"] = _written(asked)
        for key in ("masks", "annotations"):
            if (given := getattr(data, key)) is not None:
                made_of[key] = str(Path(given).resolve())
        spec = CropSpec(asked.label, made_of, partition=data.partition, body=self.body.name, **sizes)
        folder = spec.folder(self.cache)
        return _complete(folder, len(records)) or self._drawn(records, spec, folder)

    def _drawn(self, records: RecordSet, spec: CropSpec, folder: Path) -> Crops:
        self.tell(f"drawing {len(records):,} crops of {spec.name} into {folder}")
        return draw_crops(
            records,
            spec,
            folder,
            body=self.body,
            surface=self.surface,
            workers=self.workers,
            progress=self.progress,
            tell=self.tell,
        )


def _written(spec: DatasetSpec) -> list[int]:
    """When the newest file of labels was written, in nanoseconds, and how many bytes they all have: labels that were
    changed are other labels. Pictures, which may be millions, are not looked at."""
    files: list[Path] = []
    for path in (spec.path, spec.annotations):
        if path is not None:
            inside = path.rglob("*") if path.is_dir() else [path]
            files += [file for file in inside if file.suffix.lower() not in _PICTURES and file.is_file()]
    found = [file.stat() for file in files]
    return [max((one.st_mtime_ns for one in found), default=0), sum(one.st_size for one in found)]


def _complete(folder: Path, count: int) -> Crops | None:
    """The crops, if there are as many; drawing tells what is wrong with those there are."""
    try:
        return Crops(folder, count)
    except InputError:
        return None


def _untrained(recipe: AnyRecipe) -> Path:
    raise InputError(
        f"needs the network of the recipe {recipe.name!r}; train by 'bodyloop train', which sees to it"
    )


def _no_alternatives(evidence: Evidence, camera: Camera, count: int) -> list[Bodies]:
    raise InputError("needs fits from candidates; train by 'bodyloop train', which makes them")


@dataclass(frozen=True, eq=False)
class Tools:
    """What a run takes from rooms above.

    Attributes:
        measure: errors (N,) in mm by name, of found and true bodies; `Recipe.choose` is one of the names.
        fit: N people from scratch, by the kind of start (`FitLoop.initial`, `FitLabels.start`).
        picture: writes a picture of a batch and the bodies found in it.
        real_poses: so many body poses (N, 23, 3, 3) that people take, for discriminators.
        tell: called with a line whenever there is something to say.
        progress: called with what is done, how much is done and how much there is to do.
        trained: folder of the finished run of another recipe.
        alternatives: K times N people, fitted from so many candidates.
    """

    measure: Callable[[Bodies, Bodies, BodyModel], dict[str, Tensor]]
    fit: Callable[[Evidence, Camera, str], Bodies]
    picture: Callable[[Path, Batch, Bodies], None]
    real_poses: Callable[[int, torch.Generator], Tensor]
    tell: Callable[[str], None] = lambda text: None
    progress: Callable[[str, int, int], None] = lambda what, done, wanted: None
    trained: Callable[[AnyRecipe], Path] = _untrained
    alternatives: Callable[[Evidence, Camera, int], list[Bodies]] = _no_alternatives


@dataclass(frozen=True, eq=False)
class Larder:
    """All that a run draws from.

    Attributes:
        phases: makes the lessons of each phase.
        validation: makes those of the validation people, one source, not augmented.
        fits: of each phase, by the number of the data set within it; phases share those of the same people.
        candidates: likewise, for networks that start from some.
        validation_candidates: of the validation people.
    """

    phases: list[CropBatches]
    validation: CropBatches
    fits: list[dict[int, FitsDictionary]]
    candidates: list[dict[int, CandidateStock]]
    validation_candidates: dict[int, CandidateStock]


def stock(
    recipe: Recipe,
    pantry: Pantry,
    tools: Tools,
    backbones: dict[str, str | Path] | None = None,
) -> Larder:
    """Find or make what a recipe needs.

    Args:
        recipe: of the run.
        pantry, tools: of the run.
        backbones: weights that its backbones begin with, as for `build`.

    Raises:
        InputError: see `Pantry.crops`, and files that are damaged.
    """
    recipe = _as_labelled(recipe)
    phases = [_phase(recipe, phase, pantry) for phase in recipe.phases]
    if recipe.versions:
        network = build(recipe.network, recipe.seed, backbones)
        phases = [seen(batches, recipe, network, pantry, tools) for batches in phases]
    people = source_of(replace(recipe.validation, skeleton=None), recipe, pantry)
    if not np.all([people.crops.column(name) for name in WHOLE_BODY], 0).any():
        raise InputError(
            f"validation: expected people with SMPL's pose, orientation and betas, got none among those of "
            f"{people.crops.spec.name}; choose others"
        )
    validation = plain(people, recipe, pantry, _wanted(recipe, None))
    # Candidates of the validation people are found by what is labelled in training.
    skeleton = recipe.phases[0].data[0].skeleton
    own = _candidates(recipe, pantry, tools, [replace(validation.sources[0], skeleton=skeleton)])
    candidates = [_candidates(recipe, pantry, tools, batches.sources) for batches in phases]
    return Larder(phases, validation, _fits(recipe, pantry, tools, phases), candidates, own)


def _phase(recipe: Recipe, phase: Phase, pantry: Pantry) -> CropBatches:
    sources = [source_of(data, recipe, pantry) for data in phase.data]
    return CropBatches(sources, recipe.augment, pantry.body, _wanted(recipe, phase))


def seen(
    batches: CropBatches, recipe: Recipe, network: Estimator, pantry: Pantry, tools: Tools
) -> CropBatches:
    """The same with features of versions of all crops in place of pictures, found or made by a network as it is."""
    regressor = Regressor(network, pantry.body)
    known = []
    for number, source in enumerate(batches.sources):
        tools.tell(
            f"features of {source.crops.spec.name}, {recipe.versions} versions of {len(source.crops):,} crops"
        )
        features = keep_features(
            batches,
            number,
            recipe.versions,
            regressor,
            lambda done, wanted: tools.progress("looking", done, wanted),
        )
        known.append(replace(source, known=features))
    return CropBatches(known, batches.augment, pantry.body, batches.wanted)


def see_before(recipe: Recipe, pantry: Pantry, tools: Tools) -> None:
    """Make the features of a recipe that begins with backbones that ship, for runs in several processes."""
    if recipe.versions and recipe.begin is None and recipe.start == "shipped":
        network = build(recipe.network, recipe.seed, shipped_backbones(recipe))
        recipe = _as_labelled(recipe)
        for phase in recipe.phases:
            seen(_phase(recipe, phase, pantry), recipe, network, pantry, tools)


def shipped_backbones(recipe: Recipe) -> dict[str, str | Path]:
    """For `build`: those that ship, in every role."""
    return dict.fromkeys(build(recipe.network, recipe.seed).backbones(), SHIPPED)


def _as_labelled(recipe: Recipe) -> Recipe:
    """The recipe without 3D labels, if its loop is to do without."""
    if recipe.loop is None or recipe.loop.mode != "unpaired":
        return recipe
    unpaired = [replace(p, data=tuple(map(_without_3d, p.data))) for p in recipe.phases]
    return replace(recipe, phases=tuple(unpaired))


def source_of(data: Data, recipe: AnyRecipe, pantry: Pantry) -> CropSource:
    """A data set's crops, drawn if they are not there, with the labels that count."""
    mirror = None if pantry.surface is None else pantry.surface.mirror
    errors = data.errors if isinstance(data, SyntheticData) else NO_ERRORS
    return CropSource(pantry.crops(data, recipe), data.labels, data.skeleton, mirror, errors, pantry.surface)


def _without_3d(data: Data) -> Data:
    return replace(data, labels=replace(data.labels, three_d=0.0))


def _wanted(recipe: Recipe, phase: Phase | None) -> Wanted:
    """Maps that the network looks at, and those that a phase's losses want."""
    network, losses = recipe.network, None if phase is None else phase.losses
    looked_at = network.partition if isinstance(network, TwoBranchConfig) else "densepose"
    targets = None if losses is None or not (losses.parts or losses.part_maps) else losses.partition
    parts = looked_at if "parts" in recipe.inputs else None
    return Wanted(parts, "iuv" in recipe.inputs, targets, recipe.part_map)


def plain(source: CropSource, recipe: AnyRecipe, pantry: Pantry, wanted: Wanted) -> CropBatches:
    """Crops that are not augmented."""
    augment = AugmentConfig.none(recipe.augment.resolution, recipe.augment.margin)
    return CropBatches([replace(source, known=None)], augment, pantry.body, wanted)


def fitted_data(recipe: Recipe) -> list[Data]:
    """Data sets of a recipe with a loop that have a fits dictionary, in the order in which a run keeps those; weights
    are 1."""
    phases = _as_labelled(recipe).phases
    everything = (replace(data, weight=1.0) for phase in phases for data in phase.data)
    return list(dict.fromkeys(data for data in everything if not _all_labelled(data)))


def _all_labelled(data: Data) -> bool:
    return isinstance(data, SyntheticData) and data.labels.three_d == 1


def _fits(
    recipe: Recipe, pantry: Pantry, tools: Tools, phases: list[CropBatches]
) -> list[dict[int, FitsDictionary]]:
    if recipe.loop is None:
        return [{} for _ in phases]
    made: dict[Data, FitsDictionary] = {}
    found = []
    for phase, batches in zip(recipe.phases, phases, strict=True):
        own = {}
        for number, (data, source) in enumerate(zip(phase.data, batches.sources, strict=True)):
            if _all_labelled(data):
                continue
            key = replace(data, weight=1.0)
            if key not in made:
                made[key] = fitted(source, recipe, pantry, tools, recipe.loop.initial)
            own[number] = made[key]
        found.append(own)
    return found


def fitted(
    source: CropSource, recipe: Recipe, pantry: Pantry, tools: Tools, start: Literal["lifter", "mean", "flow"]
) -> FitsDictionary:
    """Fits of all people of a data set, to the 2D keypoints that are labelled; `start` as of `FitLabels`."""
    upright, labels = plain(source, recipe, pantry, Wanted()), source.labels
    kind = f"fits-{start}-{source.skeleton or 'all'}-{labels.keypoints:g}-{labels.seed}"

    def batch_of(span: range) -> Batch:
        return upright.lesson([Draw(0, row, row) for row in span], stream(0)).batch

    def fit(evidence: Evidence, camera: Camera) -> Bodies:
        return tools.fit(evidence, camera, start)

    count = len(source.crops)
    tools.tell(f"fits of {source.crops.spec.name}, {count:,} people")
    folder = source.crops.folder / kind
    return initial_fits(
        count,
        batch_of,
        pantry.body,
        fit,
        folder,
        lambda done, wanted: tools.progress("fitting", done, wanted),
    )


def _candidates(
    recipe: Recipe, pantry: Pantry, tools: Tools, sources: Sequence[CropSource]
) -> dict[int, CandidateStock]:
    """Of each source, by number; none where the network starts from none."""
    if recipe.candidates is None:
        return {}
    return {
        number: candidates_of(source, recipe, recipe.candidates, pantry, tools)
        for number, source in enumerate(sources)
    }


def _kept_of(labels: Labels) -> str:
    """Which 2D keypoints candidates are found by, for the folder's name; nothing where it is all of them."""
    return "" if labels.keypoints == 1 else f"-{labels.keypoints:g}-{labels.seed}"


def candidates_of(
    source: CropSource, recipe: Recipe, start: CandidateStart, pantry: Pantry, tools: Tools
) -> CandidateStock:
    """Candidates of all people of a data set, by the 2D keypoints that are labelled.

    Args:
        source: the people.
        recipe: whose crops they are.
        start: how many, and how found.
        pantry, tools: of the run.
    """
    crops, count = plain(source, recipe, pantry, Wanted()), len(source.crops)

    def batch_of(span: range) -> Batch:
        return crops.lesson([Draw(0, row, row) for row in span], stream(0)).batch

    tools.tell(f"candidates of {source.crops.spec.name}, {count:,} people")
    return stock_candidates(
        count,
        batch_of,
        pantry.body,
        pantry.pool or default_pool(),
        start,
        source.crops.folder / f"starts-{source.skeleton or 'all'}{_kept_of(source.labels)}",
        lambda done, wanted: tools.progress("finding candidates", done, wanted),
    )
