"""What reviewers decided about labels: a file to which every decision adds a line, and nothing is ever changed."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock

from bodyloop.data.crowd import Labelled
from bodyloop.errors import InputError

FILE = "review.jsonl"
CHOICES = ("accept", "reject", "back", "undo")
"""What can be decided: "back" sends a label back to be made again, "undo" takes the last decision on it back."""
LONGEST_NOTE = 2000


@dataclass(frozen=True)
class Decision:
    """What was decided about a person.

    Attributes:
        id: the person's.
        choice: one of `CHOICES`.
        note: why, in the reviewer's words.
        time: when, seconds since 1970.
    """

    id: str
    choice: str
    note: str = ""
    time: float = 0.0

    def __post_init__(self) -> None:
        if self.choice not in CHOICES:
            raise InputError(f"expected a decision among {', '.join(CHOICES)}, got {self.choice!r}")
        if len(self.note) > LONGEST_NOTE:
            raise InputError(f"expected a note of at most {LONGEST_NOTE} characters, got {len(self.note)}")


class DecisionFile:
    """The decisions of a folder of labels, to be added to."""

    def __init__(self, folder: Path) -> None:
        """Read what is there.

        Raises:
            InputError: if it cannot be read.
        """
        self.path = folder / FILE
        self.latest = read_decisions(folder)
        self._lock = Lock()

    def add(self, decision: Decision) -> None:
        """Write a decision down; it is on disk when this returns.

        Raises:
            InputError: if it cannot be written.
        """
        line = json.dumps(asdict(decision), ensure_ascii=False) + "\n"
        with self._lock:
            try:
                with self.path.open("ab") as file:
                    if file.tell() and not _ends_a_line(self.path):
                        file.write(b"\n")  # somebody was stopped in the middle of theirs
                    file.write(line.encode())
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise InputError(f"{self.path}: cannot be written ({error.strerror})") from None
            if decision.choice == "undo":
                self.latest.pop(decision.id, None)
            else:
                self.latest[decision.id] = decision


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def read_decisions(folder: Path) -> dict[str, Decision]:
    """The last decision about each person. A line that was cut short by a crash is passed over.

    Raises:
        InputError: if the file is there and cannot be read.
    """
    found: dict[str, Decision] = {}
    try:
        lines = (folder / FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return found
    except OSError as error:
        raise InputError(f"{folder / FILE}: cannot be read ({error.strerror}); check the rights") from None
    for line in lines:
        try:
            data = json.loads(line)
            decision = Decision(
                str(data["id"]), str(data["choice"]), str(data.get("note", "")), float(data["time"])
            )
        except (ValueError, KeyError, TypeError):
            continue
        if decision.choice == "undo":
            found.pop(decision.id, None)
        else:
            found[decision.id] = decision
    return found


def decided(labels: Labelled, decisions: Mapping[str, Decision]) -> Labelled:
    """The same labels with verdicts as the reviewers have them; what they sent back counts as rejected."""
    if not decisions or "verdict" not in labels.words:
        return labels
    verdict, reasons = labels.words["verdict"].copy(), labels.words["reasons"].astype(object)
    for row, person in enumerate(labels.crowd.ids.tolist()):
        decision = decisions.get(person)
        if decision is not None:
            verdict[row] = "accept" if decision.choice == "accept" else "reject"
            reasons[row] = "; ".join(x for x in (f"reviewed: {decision.choice}", decision.note) if x)
    return replace(labels, words=labels.words | {"verdict": verdict, "reasons": reasons.astype(str)})
