"""Who is evaluated: people of a data set or synthetic ones, each as a method sees them and with the truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from torch import Tensor
from torch.utils.data import Dataset

from bodyloop.body import Atlas, Bodies, BodyModel
from bodyloop.data.record import Gender, Record, RecordSet
from bodyloop.data.synthetic import SurfaceLabeller, SyntheticPeople, SyntheticSample, sample_record
from bodyloop.errors import InputError
from bodyloop.evaluate.evaluation import Truth, evaluate_bodies
from bodyloop.evaluate.methods import Method, Subject, subject_of
from bodyloop.evaluate.protocols import Protocol as Rules
from bodyloop.evaluate.scores import Scores
from bodyloop.evaluate.synthetic import Against, synthetic_scores
from bodyloop.evaluate.truth import TruthKind, join_truths, models_of, truth_of
from bodyloop.geometry import Camera


@dataclass(frozen=True, eq=False)
class Item:
    """One person before they are recovered; what reading processes make.

    Attributes:
        row: number of the record.
        subject: what the method gets.
        truth: of this person, where a data set gives it.
        gender: of the model of the true body.
        sample: the synthetic person.
    """

    row: int
    subject: Subject
    truth: Truth | None = None
    gender: Gender | None = None
    sample: SyntheticSample | None = None


@dataclass(frozen=True)
class Problem:
    """Why a record is left out."""

    row: int
    id: str
    reason: str


class Source(Protocol):
    """People who are known."""

    def __len__(self) -> int: ...

    def record(self, row: int) -> Record:
        """A person's record."""

    def item(self, row: int, method: Method) -> Item:
        """A person as the method sees them, with the truth.

        Raises:
            InputError: if the method cannot look at them, or the truth cannot be told.
        """

    def scores(self, items: Sequence[Item], found: Bodies, cameras: list[Camera]) -> Scores:
        """Found people against the truth."""


@dataclass(frozen=True, eq=False)
class RecordSource:
    """People of a data set, judged by a protocol.

    Attributes:
        records: those of the protocol.
        rules: the protocol.
        kind: what people are compared with.
        models: of the true bodies.
        regressor: of the protocol's joints.
        atlas: of the annotated points.
    """

    records: RecordSet
    rules: Rules
    kind: TruthKind
    models: dict[Gender, BodyModel]
    regressor: Tensor | None
    atlas: Atlas | None

    def __len__(self) -> int:
        return len(self.records)

    def record(self, row: int) -> Record:
        """As `Source`."""
        return self.records[row]

    def item(self, row: int, method: Method) -> Item:
        """As `Source`."""
        record = self.records[row]
        truth = truth_of(record, self.rules, self.kind)
        return Item(row, _subject(record, method, self.models["neutral"]), truth, record.gender)

    def scores(self, items: Sequence[Item], found: Bodies, cameras: list[Camera]) -> Scores:
        """As `Source`."""
        models = models_of([item.gender for item in items], self.models) if self.kind == "bodies" else ()
        truth = join_truths([item.truth for item in items if item.truth is not None], models)
        drawn = self.kind in ("masks", "dense")
        if self.kind == "masks":  # a map tells the image's size for certain
            cameras = [
                Camera(lens.focal, lens.center, (mask.shape[1], mask.shape[0]))
                for lens, mask in zip(cameras, truth.silhouettes, strict=True)
            ]
        return evaluate_bodies(
            self.rules,
            found,
            truth,
            self.models["neutral"],
            cameras=cameras if drawn else (),
            regressor=self.regressor,
            atlas=self.atlas,
        )


@dataclass(frozen=True, eq=False)
class SyntheticSource:
    """Synthetic people.

    Attributes:
        people: who makes them.
        count: how many.
        body: of the found ones, which is also theirs.
        against: see `synthetic_scores`.
    """

    people: SyntheticPeople
    count: int
    body: BodyModel
    against: Against

    @cached_property
    def labeller(self) -> SurfaceLabeller:
        """Makes the maps that networks may look at."""
        return SurfaceLabeller(self.people.body)

    def __len__(self) -> int:
        return self.count

    def record(self, row: int) -> Record:
        """As `Source`."""
        return self._record(self.people.sample(row))

    def _record(self, sample: SyntheticSample) -> Record:
        return sample_record(sample, self.labeller, "synthetic")

    def item(self, row: int, method: Method) -> Item:
        """As `Source`."""
        sample = self.people.sample(row)
        return Item(row, _subject(self._record(sample), method, self.body), sample=sample)

    def scores(self, items: Sequence[Item], found: Bodies, cameras: list[Camera]) -> Scores:
        """As `Source`."""
        samples = SyntheticSample.stack([item.sample for item in items if item.sample is not None])
        return synthetic_scores(found, samples, self.body, self.against)


def _subject(record: Record, method: Method, body: BodyModel) -> Subject:
    if reason := method.problem(record):
        raise InputError(reason)
    return subject_of(record, method.needs, body)


@dataclass(frozen=True, eq=False)
class Items(Dataset[Item | Problem]):
    """The people of a run, made by reading processes."""

    source: Source
    method: Method
    rows: list[int]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Item | Problem:
        row = self.rows[index]
        try:
            return self.source.item(row, self.method)
        except InputError as error:
            record = self.source.record(row)
            return Problem(row, record.id, str(error).removeprefix(f"{record.image}: "))
