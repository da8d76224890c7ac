"""Who of the found people is whom."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.data.record import Record
from bodyloop.errors import InputError
from bodyloop.saved_results import match_results, read_results
from bodyloop.view import save_npz
from fit.people import CAMERA, observed


def save(
    path: Path, body: BodyModel, bodies: Bodies, photo: str | None, labels: tuple[str, ...] | None
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scores = {} if photo is None else {"photo": np.array(photo)}
    if labels is not None:
        scores["label"] = np.array(labels)
    save_npz(path, bodies, CAMERA, body.name, scores)


@pytest.fixture(scope="module")
def people(body: BodyModel) -> tuple[Bodies, list[Record]]:
    """Three people beside each other, and their records in another order."""
    bodies, _ = observed(body, 3)
    aside = torch.tensor([[-1.2, 0, 0], [0, 0, 0], [1.2, 0, 0]])
    bodies = replace(bodies, translation=bodies.translation + aside)
    seen = CAMERA.project(body.joints(bodies))
    boxes = torch.cat([seen.amin(1), seen.amax(1)], 1).tolist()
    records = [Record("d", f"id{i}", Path("data/TS1/a.jpg"), box=tuple(boxes[i])) for i in (2, 0, 1)]
    return bodies, records


def owners(found, bodies: Bodies) -> dict[str, int]:
    """Record id to number of the person."""
    return {
        name: int((bodies.betas == person.betas).all(1).nonzero()[0, 0])
        for name, (person, _) in found.items()
    }


EXPECTED = {"id0": 0, "id1": 1, "id2": 2}


@pytest.mark.parametrize("labels", [("0", "1", "2"), None])
def test_by_boxes(tmp_path: Path, body: BodyModel, people, labels):
    bodies, records = people
    save(tmp_path / "a" / "body.npz", body, bodies, "/elsewhere/TS1/a.jpg", labels)
    found = match_results(read_results(tmp_path, body), records, body)
    assert owners(found, bodies) == EXPECTED
    _, lens = found["id0"]
    assert torch.equal(lens.focal, CAMERA.focal)
    far = [replace(records[0], box=(5000.0, 5000.0, 5100.0, 5100.0)), *records[1:]]
    assert owners(match_results(read_results(tmp_path, body), far, body), bodies) == {"id0": 0, "id1": 1}


def test_numbers_are_no_names(tmp_path: Path, body: BodyModel, people):
    """A detector's 0, 1, 2 are not the rows 0, 1, 2 of a data set."""
    bodies, records = people
    numbered = [replace(record, id=str(i)) for i, record in enumerate(records)]
    save(tmp_path / "body.npz", body, bodies, "a.jpg", ("0", "1", "2"))
    found = match_results(read_results(tmp_path, body), numbered, body)
    assert owners(found, bodies) == {"0": 2, "1": 0, "2": 1}


def test_by_names(tmp_path: Path, body: BodyModel, people):
    bodies, records = people
    save(tmp_path / "body.npz", body, bodies, "a.jpg", ("id1", "id0", "other"))
    boxless = [replace(record, box=None) for record in records]
    found = match_results(read_results(tmp_path, body), boxless, body)
    assert owners(found, bodies) == {"id1": 0, "id0": 1}
    imageless = [replace(record, image=None) for record in records]
    assert owners(match_results(read_results(tmp_path, body), imageless, body), bodies) == {
        "id1": 0,
        "id0": 1,
    }


def test_photos_of_one_name(tmp_path: Path, body: BodyModel, people):
    """The nearest path counts; a photo that nobody worked on has nobody."""
    bodies, records = people
    save(tmp_path / "1" / "body.npz", body, bodies[:1], "x/TS1/a.jpg", None)
    save(tmp_path / "2" / "body.npz", body, bodies[1:2], "x/TS2/a.jpg", None)
    first = records[1]
    second = replace(records[2], image=Path("data/TS2/a.jpg"))
    third = replace(records[0], image=Path("data/TS2/b.jpg"))
    results = read_results(tmp_path, body)
    assert owners(match_results(results, [first, second, third], body), bodies) == {"id0": 0, "id1": 1}
    save(tmp_path / "3" / "body.npz", body, bodies[:1], "y/TS1/a.jpg", None)
    with pytest.raises(InputError, match=r"both may be of .*a\.jpg"):
        match_results(read_results(tmp_path, body), [first], body)


def test_folders_that_are_none(tmp_path: Path, body: BodyModel, people):
    with pytest.raises(InputError, match="expected a folder of results"):
        read_results(tmp_path / "none", body)
    with pytest.raises(InputError, match=r"expected \.npz files of 'bodyloop fit'"):
        read_results(tmp_path, body)
    save(tmp_path / "a.npz", replace(body, name="smpl"), people[0], None, None)
    with pytest.raises(InputError, match="expected bodies of the model 'builtin', got those of 'smpl'"):
        read_results(tmp_path, body)
    (tmp_path / "a.npz").write_bytes(b"PK rubbish")
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        read_results(tmp_path, body)
