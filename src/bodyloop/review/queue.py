"""Whom a reviewer sees, in which order."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any

import numpy as np

from bodyloop.annotate.campaign import LabelFolder
from bodyloop.data.crowd import VERDICTS, Labelled
from bodyloop.errors import InputError


@dataclass(frozen=True, eq=False)
class ReviewQueue:
    """People in the order in which they are shown; of each only a few numbers and the id are held in memory.

    Attributes:
        labels: where they are.
        file, row: (N,) their places.
        ids: (N,) text.
    """

    labels: LabelFolder
    file: np.ndarray
    row: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def build(cls, labels: LabelFolder, verdicts: tuple[str, ...]) -> "ReviewQueue":
        """Everybody of these verdicts, the lowest score first.

        Raises:
            InputError: nobody, or a damaged file.
        """
        files, rows, scores, ids = [], [], [], []
        for number in range(len(labels.files)):
            part = labels.part(number)
            if part is None:
                continue
            own = np.flatnonzero(np.isin(part.words["verdict"], list(verdicts)))
            files.append(np.full(len(own), number, np.int32))
            rows.append(own.astype(np.int32))
            scores.append(part.figures["score"][own])
            ids.append(part.crowd.ids[own])
        count = sum(map(len, rows))
        if not count:
            raise InputError(
                f"{labels.out}: nobody to review among the labels of {', '.join(verdicts)}; name others of "
                f"{', '.join(VERDICTS)} with --verdicts"
            )
        order = np.argsort(np.concatenate(scores), kind="stable")
        columns = (np.concatenate(column)[order] for column in (files, rows, ids))
        return cls(labels, *columns)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.ids.tolist())

    def decided(self, decisions: Collection[str]) -> int:
        """How many of them are among the ids of those on whom something was decided."""
        return sum(person in self._known for person in decisions)

    def undecided(self, number: int, decisions: Collection[str]) -> int | None:
        """The first from a number on who is not among these ids, or the first at all; None if all are."""
        for place in chain(range(number, len(self)), range(min(number, len(self)))):
            if self.ids[place] not in decisions:
                return place
        return None

    def person(self, number: int) -> tuple[Labelled, int]:
        """The labels that somebody is among, and their row.

        Raises:
            InputError: if the file is damaged.
            IndexError: a number that nobody has.
        """
        if not 0 <= number < len(self):
            raise IndexError(number)
        return self._part(int(self.file[number])), int(self.row[number])

    def _part(self, number: int) -> Labelled:
        part = _loaded(self.labels, number)
        assert part is not None, "somebody in it is in the queue"
        return part

    def about(self, number: int) -> dict[str, Any]:
        """What the page says of somebody; errors as of `person`."""
        part, row = self.person(number)
        return {
            "number": number,
            "id": str(part.crowd.ids[row]),
            "image": str(part.crowd.images[row]),
            "verdict": str(part.words["verdict"][row]),
            "reasons": str(part.words["reasons"][row]),
            "score": round(float(part.figures["score"][row]), 3),
            "error": round(float(part.figures["error_box"][row]), 4),
            "seen": int(part.figures["seen"][row]),
        }


@lru_cache(maxsize=16)
def _loaded(labels: LabelFolder, number: int) -> Labelled | None:
    return labels.part(number)
