"""What a step of training sees, cut out of stored crops: a whole batch changed at a time.

The same augmentation as `Change` makes of one record, with all labels, for B crops at once: pictures and maps by
compiled loops, everything else by arrays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel, ChartMirror, get_skeleton
from bodyloop.body.parts import partition
from bodyloop.body.skeletons import UNION45
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.batch import Batch
from bodyloop.data.crop_changes import Changes
from bodyloop.data.crops import FLAGS, Crops, Surface
from bodyloop.data.labels import NO_ERRORS, DenseErrors, Labels
from bodyloop.data.mixture import Draw
from bodyloop.data.part_maps import UNKNOWN, PartMap, merges_into
from bodyloop.data.record import Record
from bodyloop.data.synthetic.streams import stream
from bodyloop.errors import InputError
from bodyloop.geometry import Camera

_ERRORS, _VERSION = 31, 32  # which random stream


@dataclass(frozen=True, eq=False)
class Lesson:
    """A batch with what losses want besides.

    Attributes:
        batch: (B,) crops with labels.
        corners: (B, D, 3) int64 vertices of the triangles that the dense keypoints lie in.
        barycentric: (B, D, 3) their weights; `Batch.dense_weight` says which there are.
        part_targets: (B, T, T) uint8 the map of parts that is a label, of low resolution; None if not asked for.
        has_part_targets: (B,) bool.
        features: (B, C) by role, what a network's backbones make of the crops, where that is kept (`Kept`): then
            pictures, and maps that only a network looks at, are left black.
    """

    batch: Batch
    corners: Tensor
    barycentric: Tensor
    part_targets: Tensor | None
    has_part_targets: Tensor
    features: dict[str, Tensor] | None = None

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Lesson":
        """The same on another device."""
        maps, features = self.part_targets, self.features
        return Lesson(
            self.batch.to(device, non_blocking),
            self.corners.to(device, non_blocking=non_blocking),
            self.barycentric.to(device, non_blocking=non_blocking),
            None if maps is None else maps.to(device, non_blocking=non_blocking),
            self.has_part_targets.to(device, non_blocking=non_blocking),
            None
            if features is None
            else {k: v.to(device, non_blocking=non_blocking) for k, v in features.items()},
        )

    def pin_memory(self) -> "Lesson":
        """The same in page-locked memory, for faster copies to a GPU; a loader calls this."""
        maps, features = self.part_targets, self.features
        return Lesson(
            self.batch.pin_memory(),
            self.corners.pin_memory(),
            self.barycentric.pin_memory(),
            None if maps is None else maps.pin_memory(),
            self.has_part_targets.pin_memory(),
            None if features is None else {k: v.pin_memory() for k, v in features.items()},
        )


@dataclass(frozen=True)
class Wanted:
    """What lessons hold besides pictures and points.

    Attributes:
        parts: partition of the maps of parts that a network looks at, of the crop's resolution; None for none.
        iuv: whether a network looks at IUV maps.
        targets: partition of the maps of parts that are labels; None for none.
        target_size: their side in pixels.
    """

    parts: str | None = None
    iuv: bool = False
    targets: str | None = None
    target_size: int = 28


@dataclass(frozen=True, eq=False)
class Kept:
    """What is known of several versions of each crop of a data set, each changed in its own way for good.

    Attributes:
        features: of each of V versions (N, C), by role.
    """

    features: Mapping[str, Sequence[np.ndarray]]


@dataclass(frozen=True, eq=False)
class CropSource:
    """One data set of a mixture.

    Attributes:
        crops: on disk.
        labels: which of its labels count. Maps that a network looks at are no labels: they stay.
        skeleton: name of the keypoint set that is labelled in 2D; all landmarks there are if None.
        mirror: of the atlas that its IUV maps are for; without it mirrored crops have none, and no dense
            keypoints.
        errors: of its dense keypoints.
        surface: on which points with noise are found anew; the built-in body's if None.
        known: features of versions of its crops, in place of pictures; all data sets of a mixture have some or none.
    """

    crops: Crops
    labels: Labels = field(default_factory=Labels)
    skeleton: str | None = None
    mirror: ChartMirror | None = field(default_factory=ChartMirror)
    errors: DenseErrors = NO_ERRORS
    surface: Surface | None = None
    known: Kept | None = None

    def rows(self, numbers: list[int]) -> np.ndarray:
        """Crops by number, their dense keypoints with errors."""
        rows = self.crops.rows(numbers)
        if self.errors != replace(NO_ERRORS, seed=self.errors.seed):
            for row, number in zip(rows, numbers, strict=True):
                self._spoil(row, stream(_ERRORS, self.errors.seed, number))
        return rows

    def _spoil(self, row: np.ndarray, rng: np.random.Generator) -> None:
        chances, noise = rng.random(len(row["dense_weight"])), rng.standard_normal(row["dense_uv"].shape)
        row["dense_weight"][chances >= self.errors.share] = 0
        there = row["dense_weight"] > 0
        if self.errors.sigma and there.any():
            uv = row["dense_uv"][there] + noise[there] * (self.errors.sigma / 255)
            row["dense_uv"][there] = uv.clip(0, 1)
            surface = self.surface or Surface.builtin()
            part = _tensor(row["dense_part"][there]).long()
            corners, weights = surface.located(part, _tensor(row["dense_uv"][there]))
            row["corners"][:, there], row["barycentric"][:, there] = corners.numpy(), weights.numpy()

    def kept(self) -> dict[str, np.ndarray]:
        """Kind of label (fields of `Labels`) to which crops (N,) keep it."""
        name, ids = self.crops.spec.name, self.crops.column("id").tolist()
        records = [Record(name, text.decode()) for text in ids]
        kinds = ("keypoints", "dense", "parts", "iuv", "three_d")
        return {kind: np.array([self.labels.keeps(kind, r) for r in records]) for kind in kinds}

    def landmarks(self) -> np.ndarray:
        """(K,) bool, which of the union's landmarks are labelled in 2D."""
        if self.skeleton is None:
            return np.ones(len(UNION45), bool)
        known = set(get_skeleton(self.skeleton).keypoints)
        return np.array([name in known for name in UNION45.keypoints])


class CropBatches:
    """Makes lessons of draws from several folders of crops."""

    def __init__(
        self,
        sources: Sequence[CropSource],
        augment: AugmentConfig,
        body: BodyModel,
        wanted: Wanted | None = None,
    ) -> None:
        """Prepare.

        Args:
            sources: of one layout.
            augment: how crops are changed. Its margin is at most the stored crops'.
            body: whose root turns about its rest pelvis when pictures are turned.
            wanted: maps.

        Raises:
            InputError: if the sources' crops differ in resolution or margin, or are narrower than the augmentation
                needs.
        """
        if not sources:
            raise InputError("a mixture needs a data set; expected at least one")
        kinds = {(s.crops.spec.layout, s.crops.spec.margin) for s in sources}
        if len(kinds) != 1:
            raise InputError(
                f"crops of one mixture need one layout and margin, got {len(kinds)}; draw them alike"
            )
        self.spec = sources[0].crops.spec
        if augment.margin > self.spec.margin:
            raise InputError(
                f"crops with a margin of {augment.margin:g} cannot be cut out of crops with {self.spec.margin:g}; draw "
                "them wider"
            )
        self.sources, self.augment, self.body = tuple(sources), augment, body
        self.wanted = wanted or Wanted()
        self.versions = len(next(iter(sources[0].known.features.values()))) if sources[0].known else 0
        self._versions: dict[tuple[int, int], Changes] = {}
        self._kept = [source.kept() for source in sources]
        self._landmarks = [source.landmarks() for source in sources]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Crops of each source."""
        return tuple(len(s.crops) for s in self.sources)

    def lesson(self, draws: Sequence[Draw], rng: np.random.Generator) -> Lesson:
        """The crops drawn, changed at random; all draws come from the generator.

        Of crops with features of versions, one of these is drawn.
        """
        spec = self.spec
        if not self.versions:
            return self._lesson(
                draws, Changes.draw(self.augment, spec.resolution, spec.margin, len(draws), rng), None
            )
        version = rng.integers(self.versions, size=len(draws))
        source, row = np.array([d.source for d in draws]), np.array([d.row for d in draws])
        changes, features = [], dict[str, list[np.ndarray]]()
        order = []
        for number, own in enumerate(self.sources):
            for v in range(self.versions):
                here = np.flatnonzero((source == number) & (version == v))
                if not len(here):
                    continue
                order.append(here)
                changes.append(self._version(number, v, row[here]))
                for role, versions in own.known.features.items():  # type: ignore[union-attr]
                    features.setdefault(role, []).append(versions[v][row[here]])
        back = np.argsort(np.concatenate(order))
        found = {
            role: torch.from_numpy(np.concatenate(values)[back].astype(np.float32))
            for role, values in features.items()
        }
        return self._lesson(draws, Changes.joined(changes).of(back), found)

    def version(self, source: int, number: int, rows: Sequence[int]) -> Lesson:
        """Crops of a source in one of their versions, pictures and all."""
        draws = [Draw(source, row, row) for row in rows]
        return self._lesson(draws, self._version(source, number, np.asarray(rows)), None)

    def _version(self, source: int, number: int, rows: np.ndarray) -> Changes:
        """Changes of some crops in one of their versions: the same in every run, whatever its seed."""
        if (source, number) not in self._versions:
            self._versions[source, number] = Changes.draw(
                self.augment,
                self.spec.resolution,
                self.spec.margin,
                len(self.sources[source].crops),
                stream(_VERSION, number),
            )
        return self._versions[source, number].of(rows)

    def _lesson(self, draws: Sequence[Draw], changes: Changes, features: dict[str, Tensor] | None) -> Lesson:
        rows = np.empty(len(draws), self.spec.layout)
        source, row = np.array([d.source for d in draws]), np.array([d.row for d in draws])
        kept = {kind: np.ones(len(draws), bool) for kind in self._kept[0]}
        landmarks = np.stack(self._landmarks)[source]
        for number, own in enumerate(self.sources):
            here = np.flatnonzero(source == number)
            if len(here):
                rows[here] = own.rows(row[here].tolist())
                for kind, which in self._kept[number].items():
                    kept[kind][here] = which[row[here]]
        return self._changed(rows, source, row, kept, landmarks, changes, features)

    def _changed(
        self,
        rows: np.ndarray,
        source: np.ndarray,
        row: np.ndarray,
        kept: dict[str, np.ndarray],
        landmarks: np.ndarray,
        changes: Changes,
        features: dict[str, Tensor] | None,
    ) -> Lesson:
        three_d = kept["three_d"]
        values: dict[str, Any] = {name: _tensor(rows[name]) for name in FLAGS}
        for name in ("has_pose", "has_orientation", "has_betas", "has_translation"):
            values[name] &= _tensor(three_d)
        seen = features is None
        maps, part_targets, has_targets = self._maps(rows, source, kept, changes, seen)
        dense = self._dense(rows, source, kept["dense"], changes)
        corners, barycentric = dense.pop("corners"), dense.pop("barycentric")
        values |= maps | dense | self._places(rows, changes)
        values |= _keypoints(rows, kept["keypoints"], landmarks, changes) | _joints(rows, three_d, changes)
        batch = Batch(
            image=torch.from_numpy(self._pictures(rows, changes)) if seen else self._black(len(rows)),
            skeleton=UNION45,
            bodies=self._bodies(rows, values["has_pose"], values["has_translation"], changes),
            gender=_tensor(rows["gender"]).long(),
            source=torch.from_numpy(source.astype(np.int64)),
            row=torch.from_numpy(row.astype(np.int64)),
            names=tuple(
                f"{self.sources[s].crops.spec.name}/{i.decode()}"
                for s, i in zip(source.tolist(), rows["id"].tolist(), strict=True)
            ),
            **values,
        )
        return Lesson(batch, corners, barycentric, part_targets, has_targets, features)

    def _black(self, count: int) -> Tensor:
        """Pictures that nobody looks at, for their size alone."""
        return torch.zeros(1).expand(count, 3, self.augment.resolution, self.augment.resolution)

    def _pictures(self, rows: np.ndarray, changes: Changes) -> np.ndarray:
        from bodyloop.data.crop_kernels import sample_pictures

        side, stored = changes.resolution, self.spec.resolution
        out = np.empty((len(rows), 3, side, side), np.float32)
        sample_pictures(rows["image"], changes.back(side, stored, stored), changes.gains, out)
        changes.cover(out, changes.color)
        return out

    def _parts(self, rows: np.ndarray, source: np.ndarray, name: str, size: int, changes: Changes) -> Tensor:
        """(B, size, size) labels of a partition."""
        from bodyloop.data.crop_kernels import sample_labels

        of_source = np.stack([_part_tables(own.crops.spec.partition, name) for own in self.sources])
        tables = of_source[source, changes.flip.astype(np.int64)]
        out = np.empty((len(rows), size, size), np.uint8)
        back = changes.back(size, self.spec.maps, self.spec.resolution)
        sample_labels(rows["parts"], back, tables, out)
        changes.cover(out[:, None], 0)
        return torch.from_numpy(out)

    def _iuv(self, rows: np.ndarray, source: np.ndarray, changes: Changes) -> tuple[Tensor, Tensor]:
        """(B, 3, R, R) I, U, V, and who has them (B,)."""
        from bodyloop.data.crop_kernels import sample_iuv

        out = np.empty((len(rows), 3, changes.resolution, changes.resolution), np.float32)
        sample_iuv(rows["iuv"], changes.back(changes.resolution, self.spec.maps, self.spec.resolution), out)
        changes.cover(out, 0)
        iuv, known = torch.from_numpy(out), _tensor(rows["has_iuv"])
        for number, own in enumerate(self.sources):
            flipped = torch.from_numpy((source == number) & changes.flip)
            if own.mirror is None:  # of which nobody knows how its charts mirror
                known &= ~flipped
            elif flipped.any():
                part, uv = own.mirror(iuv[flipped, 0].long(), iuv[flipped, 1:].movedim(1, -1))
                iuv[flipped] = torch.cat([part[:, None].float(), uv.movedim(-1, 1)], 1)
        return iuv * known[:, None, None, None], known

    def _maps(
        self,
        rows: np.ndarray,
        source: np.ndarray,
        kept: dict[str, np.ndarray],
        changes: Changes,
        seen: bool,
    ) -> tuple[dict[str, Tensor | None], Tensor | None, Tensor]:
        """The batch's maps, and those that are labels."""
        wanted, parts, iuv, targets = self.wanted, None, None, None
        has_iuv = _tensor(rows["has_iuv"])
        if wanted.parts is not None and seen:
            parts = self._parts(rows, source, wanted.parts, changes.resolution, changes)
        if wanted.targets is not None:
            targets = self._parts(rows, source, wanted.targets, wanted.target_size, changes)
        if wanted.iuv and seen:
            iuv, has_iuv = self._iuv(rows, source, changes)
        has_parts = self._merging(wanted.parts)[source] & rows["has_parts"]
        has_targets = self._merging(wanted.targets)[source] & rows["has_parts"] & kept["parts"]
        batch = {"parts": parts, "iuv": iuv, "has_iuv": has_iuv, "has_parts": _tensor(has_parts)}
        return batch, targets, _tensor(has_targets)

    def _merging(self, name: str | None) -> np.ndarray:
        """Which sources have maps of a partition."""
        own = [source.crops.spec.partition for source in self.sources]
        return np.array([name is not None and merges_into(partition, name) for partition in own])

    def _dense(
        self, rows: np.ndarray, source: np.ndarray, keeps: np.ndarray, changes: Changes
    ) -> dict[str, Tensor]:
        pixels = changes.forth(rows["dense_pixels"])
        weight = rows["dense_weight"] * keeps[:, None]
        weight = np.where(changes.covered(pixels[..., 0], pixels[..., 1]), 0.0, weight).astype(np.float32)
        side, people = changes.flip.astype(np.int64), np.arange(len(rows))
        part, uv = _tensor(rows["dense_part"]).long(), _tensor(rows["dense_uv"])
        for number, own in enumerate(self.sources):
            flipped = torch.from_numpy((source == number) & changes.flip)
            if own.mirror is None:  # of which nobody knows how its charts mirror
                weight[flipped.numpy()] = 0.0
            elif flipped.any():
                part[flipped], uv[flipped] = own.mirror(part[flipped], uv[flipped])
        there = weight > 0
        return {
            "dense_pixels": _tensor(np.where(there[..., None], pixels, 0).astype(np.float32)),
            "dense_part": torch.where(torch.from_numpy(there), part, 0),
            "dense_uv": uv,
            "dense_weight": torch.from_numpy(weight),
            "corners": _tensor(rows["corners"][people, side]).long(),
            "barycentric": _tensor(rows["barycentric"][people, side]),
        }

    def _places(self, rows: np.ndarray, changes: Changes) -> dict[str, Any]:
        """Camera and place of the crops."""
        scale = changes.resolution / changes.side
        center = changes.forth(rows["center"][:, None].astype(np.float64))[:, 0]
        size = (changes.resolution, changes.resolution)
        pixel = (rows["crop_size"] / self.spec.resolution).astype(np.float64)  # image pixels of a stored one
        middle = (self.spec.resolution - 1) / 2
        # Where image pixels are not square this is as exact as their shape allows; only a shifted crop is concerned.
        moved = rows["crop_center"] + (changes.center - middle) * pixel[:, None]
        return {
            "camera": Camera(
                _tensor((rows["focal"] * scale[:, None]).astype(np.float32)),
                _tensor(center.astype(np.float32)),
                size,
            ),
            "crop_center": _tensor(moved.astype(np.float32)),
            "crop_size": _tensor((changes.side * pixel).astype(np.float32)),
            "crop_angle": _tensor(changes.angle.astype(np.float32)),
            "flipped": torch.from_numpy(changes.flip),
        }

    def _bodies(self, rows: np.ndarray, known: Tensor, placed: Tensor, changes: Changes) -> Bodies:
        stored = Bodies(*(_tensor(rows[name]) for name in ("rotations", "betas", "translation")))
        turn = torch.from_numpy(_turns(changes.angle)).float()
        with torch.no_grad():
            pelvis = self.body.rest_pelvis(stored.betas.to(self.body.v_template)).to(stored.betas)
        turned = stored.turned(turn, pelvis)
        turned = replace(
            turned, translation=torch.where(placed[:, None], turned.translation, stored.translation)
        )
        mirrored, flip = turned.mirrored(), torch.from_numpy(changes.flip)
        rest = Bodies.rest(len(rows))

        def chosen(name: str) -> Tensor:
            a, b, c = (getattr(x, name) for x in (mirrored, turned, rest))
            shape = (-1, *[1] * (a.ndim - 1))
            return torch.where(known.view(shape), torch.where(flip.view(shape), a, b), c)

        return Bodies(chosen("rotations"), chosen("betas"), chosen("translation"))


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def _turns(angle: np.ndarray) -> np.ndarray:
    """(B, 3, 3) rotations about the optical axis, as `CropTransform.turn`."""
    turn = np.zeros((len(angle), 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
    turn[:, 1, 0] = np.sin(angle)
    turn[:, 0, 1] = -turn[:, 1, 0]
    turn[:, 2, 2] = 1
    return turn


def _part_tables(own: str, name: str) -> np.ndarray:
    """(2, 256) labels of a partition in a coarser one, as they are and of mirrored people; all 0 if it is not."""
    if not merges_into(own, name):
        return np.zeros((2, 256), np.uint8)
    labels = np.zeros((1, 256), np.uint8)
    count = len(partition(own).parts)
    labels[0, : count + 1] = np.arange(count + 1)
    labels[0, UNKNOWN] = UNKNOWN
    merged = PartMap(labels, own).merged(name)
    return np.concatenate([merged.labels, merged.swapped().labels])


def _keypoints(
    rows: np.ndarray, keeps: np.ndarray, landmarks: np.ndarray, changes: Changes
) -> dict[str, Tensor]:
    flip = np.array(UNION45.flip)
    pixels = changes.forth(rows["keypoints"].astype(np.float64))
    confidence = rows["confidence"] * (keeps[:, None] & landmarks)
    values = {"keypoints": pixels.astype(np.float32), "confidence": confidence, "detected": rows["detected"]}
    found = {name: _swapped(value, flip, changes.flip) for name, value in values.items()}
    seen = found["confidence"] > 0
    found["keypoints"] = np.where(seen[..., None], found["keypoints"], 0).astype(np.float32)
    found["detected"] = found["detected"] & seen
    return {name: torch.from_numpy(value) for name, value in found.items()}


def _joints(rows: np.ndarray, keeps: np.ndarray, changes: Changes) -> dict[str, Tensor]:
    points = rows["joints"] @ _turns(changes.angle).transpose(0, 2, 1).astype(np.float32)
    points[changes.flip, :, 0] = -points[changes.flip, :, 0]
    flip = np.array(UNION45.flip)
    points, known = (_swapped(x, flip, changes.flip) for x in (points, rows["joints_known"]))
    known = known & keeps[:, None]
    points = np.where(known[..., None], points, 0).astype(np.float32)
    return {"joints": torch.from_numpy(points), "joints_known": torch.from_numpy(known)}


def _swapped(values: np.ndarray, flip: np.ndarray, who: np.ndarray) -> np.ndarray:
    """Values (B, K, ...) with the other side's for those who are mirrored."""
    return np.where(who.reshape(-1, *[1] * (values.ndim - 1)), values[:, flip], values)
