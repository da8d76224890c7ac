"""Which of the bodies in a folder of results belong to which records of a data set."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.data.record import Record
from bodyloop.errors import InputError
from bodyloop.geometry import Camera, pair_boxes
from bodyloop.view.export import SavedBodies, load_npz

Found = dict[str, tuple[Bodies, Camera]]
"""Record id to one person (1, ...) and the camera in whose axes they are."""


@dataclass(frozen=True, eq=False)
class Result:
    """The people of one file.

    Attributes:
        path: the file.
        saved: what it holds.
        photo: parts of the photo's path; none if the file does not tell.
        labels: names of the people; none if the file does not tell.
    """

    path: Path
    saved: SavedBodies
    photo: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def numbered(self) -> bool:
        """Whether the labels are mere numbers, 0, 1 ..., which mean nothing to a data set."""
        return self.labels == tuple(str(i) for i in range(len(self.labels)))

    def person(self, number: int) -> tuple[Bodies, Camera]:
        """One person, and the camera."""
        camera, one = self.saved.camera, slice(number, number + 1)
        lens = Camera(
            camera.focal.reshape(-1, 2)[number if camera.focal.dim() > 1 else 0],
            camera.center.reshape(-1, 2)[number if camera.center.dim() > 1 else 0],
            camera.size,
        )
        return self.saved.bodies[one], lens


def read_result(path: Path) -> Result:
    """One file as `bodyloop fit`, `infer` and `save_npz` write it.

    Raises:
        InputError: if it is no such file, or damaged.
    """
    saved = load_npz(path)
    photo, labels = (saved.scores.get(key) for key in ("photo", "label"))
    names = () if labels is None or labels.shape != (len(saved.bodies),) else tuple(labels.tolist())
    parts = () if photo is None else Path(str(photo)).parts
    return Result(path, saved, parts, tuple(map(str, names)))


def read_results(folder: Path, body: BodyModel) -> list[Result]:
    """All results under a folder: ``.npz`` files as `bodyloop fit`, `infer` and `save_npz` write them.

    Args:
        folder: searched through with all folders in it.
        body: whose bodies they should be.

    Raises:
        InputError: no folder, no such files in it, one that is damaged, or bodies of another model.
    """
    if not folder.is_dir():
        raise InputError(f"--bodies {folder}: expected a folder of results, got none; check the path")
    results = []
    for path in sorted(folder.rglob("*.npz")):
        result = read_result(path)
        if result.saved.body_name != body.name:
            raise InputError(
                f"{path}: expected bodies of the model {body.name!r}, got those of {result.saved.body_name!r}; give "
                "the model with --body"
            )
        results.append(result)
    if not results:
        raise InputError(
            f"--bodies {folder}: expected .npz files of 'bodyloop fit' or 'bodyloop infer', got none; check the path"
        )
    return results


def match_results(results: list[Result], records: Iterable[Record], body: BodyModel) -> Found:
    """Who of the found people is whom.

    - Where a record's image is a file, only people of that photo count: the result whose path shares most of its end.
    - Of these, the one who bears the record's id, unless the labels are mere numbers; otherwise people and records are
      matched by the overlap of the box around the projected joints and the record's box, the largest first.
    - Where there is no image file, or a result does not tell its photo, labels alone count.

    Raises:
        InputError: if two results of one photo are equally near.
    """
    by_label: dict[str, tuple[Result, int]] = {}
    by_name: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        if result.photo:
            by_name[result.photo[-1]].append(result)
        for number, label in enumerate(result.labels):
            by_label.setdefault(label, (result, number))
    found: Found = {}
    waiting: dict[Path, list[Record]] = defaultdict(list)
    chosen: dict[Path, Result] = {}
    for record in records:
        own = _of_photo(record.image, by_name) if isinstance(record.image, Path) else None
        if own is None:
            named = by_label.get(record.id)
            if named is not None and not (named[0].photo and isinstance(record.image, Path)):
                found[record.id] = named[0].person(named[1])
        elif not own.numbered and record.id in own.labels:
            found[record.id] = own.person(own.labels.index(record.id))
        elif record.box is not None:
            waiting[own.path].append(record)
            chosen[own.path] = own
    for path, several in waiting.items():
        found |= _by_boxes(chosen[path], several, body)
    return found


def _of_photo(image: Path, by_name: dict[str, list[Result]]) -> Result | None:
    candidates = by_name.get(image.name, [])
    shared = [common_end(result.photo, image.parts) for result in candidates]
    best = [result for result, n in zip(candidates, shared, strict=True) if n == max(shared)]
    if len(best) > 1:
        raise InputError(
            f"{best[0].path} and {best[1].path}: both may be of {image}; give one folder of results without copies"
        )
    return best[0] if best else None


def common_end(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """How many parts two paths share at their ends."""
    shared = 0
    for x, y in zip(reversed(a), reversed(b), strict=False):
        if x != y:
            break
        shared += 1
    return shared


def _by_boxes(result: Result, records: list[Record], body: BodyModel) -> Found:
    """Pairs of the largest overlap, each person and each record once; no overlap is no pair."""
    with torch.no_grad():
        joints = body.joints(result.saved.bodies.to(body.v_template))
    seen = result.saved.camera.expand(len(joints)).to(joints).project(joints)
    boxes = torch.cat([seen.amin(1), seen.amax(1)], 1).cpu()
    wanted = torch.tensor([record.box for record in records], dtype=boxes.dtype)
    return {records[number].id: result.person(person) for person, number in pair_boxes(boxes, wanted)}
