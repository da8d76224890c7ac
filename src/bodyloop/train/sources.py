"""The crops of a recipe's data sets: found in a cache, or drawn into it once for all runs that want the same."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bodyloop.body import BodyModel
from bodyloop.data.crops import Crops, CropSpec, Surface, draw_crops
from bodyloop.data.formats.format import DatasetSpec
from bodyloop.data.formats.registry import open_dataset
from bodyloop.data.record import RecordSet
from bodyloop.data.splits import SplitName, read_poses
from bodyloop.data.synthetic import (
    MocapPoses,
    PoseSource,
    SurfaceLabeller,
    SyntheticPeople,
    synthetic_records,
)
from bodyloop.errors import InputError
from bodyloop.train.recipes import Data, Recipe, RecordData, SyntheticData

POSES_APART = 8.0  # degrees, as the priors are trained

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
    """

    cache: Path
    body: BodyModel
    surface: Surface | None
    mocap: Path | None = None
    clips: Path | None = None
    workers: int = 0
    tell: Tell = lambda text: None
    progress: Progress = lambda done, wanted: None
    _poses: dict[str, PoseSource] = field(default_factory=dict, init=False)

    def crops(self, data: Data, recipe: Recipe) -> Crops:
        """The crops of a data set, of the size that the recipe's network and augmentation need.

        Raises:
            InputError: no motion capture where there should be, an unknown data set, or a cache that cannot be written.
        """
        widest = recipe.augment.margin * (1 + recipe.augment.scale_limit)
        side = round(recipe.augment.resolution * widest / recipe.augment.margin)
        sizes = {"resolution": side, "margin": round(widest, 6), "maps": side // 2}
        if isinstance(data, SyntheticData):
            return self._synthetic(data, sizes)
        return self._records(data, sizes)

    def _synthetic(self, data: SyntheticData, sizes: dict[str, Any]) -> Crops:
        made_of = {k: v for k, v in asdict(data).items() if k in ("domain", "seed", "split", "size", "poses")}
        spec = CropSpec(f"{data.domain}-{data.split}", made_of, body=self.body.name, **sizes)
        folder = spec.folder(self.cache)
        if found := _complete(folder, data.count):
            return found
        people = SyntheticPeople(
            data.domain,
            seed=data.seed,
            split=data.split,
            size=data.size,
            poses=self._poses_of(data.split) if data.poses == "mocap" else None,
            body=self.body,
        )
        labeller = SurfaceLabeller(self.body, None if self.surface is None else self.surface.atlas)
        records = synthetic_records(people.sample, range(data.count), labeller, spec.name)
        return self._drawn(records, spec, folder)

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
            split=data.split,
            body=self.body,
        )
        records = open_dataset(asked)
        made_of = {"path": str(Path(data.path).resolve()), "format": data.format, "split": data.split}
        made_of["images"] = None if data.images is None else str(Path(data.images).resolve())
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
        )


def _complete(folder: Path, count: int) -> Crops | None:
    """The crops, if there are as many; drawing tells what is wrong with those there are."""
    try:
        return Crops(folder, count)
    except InputError:
        return None
