"""The report of an annotation: counts, pictures, nothing from elsewhere."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bodyloop.annotate.campaign import LabelFolder
from bodyloop.body import BodyModel
from bodyloop.data.crowd import joined
from bodyloop.label_report import Shown, kind_of, save_label_report
from bodyloop.view.label_picture import PLAIN, label_picture
from labels_made_up import labels_of


def folder_of(body: BodyModel, out: Path, counts: tuple[int, ...] = (4, 3)) -> LabelFolder:
    """A finished folder of made-up labels, as `bodyloop annotate` leaves it."""
    (out / "labels").mkdir(parents=True)
    (out / "people").mkdir()
    settings = {"method": "fit", "body": None, "images": None}
    (out / "annotation.json").write_text(json.dumps({"coco": "<people>.json", "settings": settings}))
    skipped = ["2 x crowd (iscrowd 1) (first: annotation 9)"]
    (out / "people" / "index.json").write_text(
        json.dumps({"skeleton": "coco17", "counts": counts, "skipped": skipped})
    )
    first = 100
    for number, count in enumerate(counts):
        failures = [("7", "nobody <there>")] if number == 0 else []
        data = labels_of(body, count, first=first).to_bytes(failures=np.array(json.dumps(failures)))
        (out / "labels" / f"{number:06d}.npz").write_bytes(data)
        first += count
    return LabelFolder.open(out)


def test_report(body: BodyModel, tmp_path: Path):
    labels = folder_of(body, tmp_path / "out")
    page = save_label_report(labels, body, None, tmp_path / "r.html", Shown(2, 2, 2, 2)).read_text()
    assert "7 people" in page
    assert "Labels of &lt;people&gt;.json" in page
    for text in ("Worst by score", "Best by score", "Random", "Sides exchanged?", "left_knee"):
        assert text in page, text
    assert "2 x crowd" in page
    assert "nobody &lt;there&gt;" in page
    assert "<people>" not in page
    assert not re.search(r"(src|href)=\"(?!data:)", page), "nothing is loaded"
    assert page.count("<img") == 8
    assert re.search(r'class="accept">accept</td><td class="n">3<', page)
    assert "an unusual pose</td>" in page, "reasons are counted without their figures"
    again = save_label_report(labels, body, None, tmp_path / "r.html", Shown(2, 2, 2, 2)).read_text()
    assert again == page


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("expected error 242 mm, over 150", "expected error"),
        ("rejected: expected error 391 mm, over 250", "rejected: expected error"),
        ("rejected: reprojection error 14% of the box, over 12%", "rejected: reprojection error"),
        ("reprojection error 7.6% of the box, over 6%", "reprojection error"),
        ("an unusual pose (energy 120 under the prior, over 100)", "an unusual pose"),
        ("a shape coefficient of -3.2, beyond 3 standard deviations", "a shape coefficient of -N"),
        ("rejected: only 3 keypoints", "rejected: only N keypoints"),
        ("no picture for the network: /data/7.jpg: expected an image, got 'x'", "no picture for the network"),
    ],
)
def test_reasons_without_their_figures(reason: str, kind: str):
    assert kind_of(reason) == kind


def test_the_worst_are_the_worst(body: BodyModel, tmp_path: Path):
    labels = folder_of(body, tmp_path / "out")
    page = save_label_report(labels, body, None, tmp_path / "r.html", Shown(1, 2, 0, 0)).read_text()
    shown = re.findall(r"<figcaption>(\d+),", page)
    assert len(shown) == 3
    people = joined(list(labels.parts()))
    scores = dict(zip(people.crowd.ids.tolist(), people.figures["score"].tolist(), strict=True))
    order = sorted(scores, key=scores.__getitem__)
    assert {scores[p] for p in shown[:2]} == {scores[p] for p in order[:2]}
    assert scores[shown[2]] == scores[order[-1]]


def test_picture(body: BodyModel, tmp_path: Path):
    """The body covers its keypoints, on the image where there is one of the right size."""
    labels = labels_of(body, 1)
    plain = label_picture(labels, 0, body, None, 128)
    assert plain.shape == (128, 384, 3)
    assert (plain[0, 0] == PLAIN).all()
    Image.new("RGB", (1000, 1000), (10, 200, 30)).save(tmp_path / str(labels.crowd.images[0]), quality=100)
    shown = label_picture(labels, 0, body, tmp_path, 128)
    assert abs(shown[64, 2].astype(int) - (10, 200, 30)).max() < 6
    covered = (label_picture(labels, 0, body, None, 128)[:, 128:256] != PLAIN).any(-1)
    assert 0.05 < covered.mean() < 0.7
    Image.new("RGB", (500, 500)).save(tmp_path / str(labels.crowd.images[0]))
    assert np.array_equal(label_picture(labels, 0, body, tmp_path, 128), plain), "of another size"


def test_an_unfinished_folder_says_so(body: BodyModel, tmp_path: Path):
    labels = folder_of(body, tmp_path / "out")
    assert labels.complete
    labels.files[1].unlink()
    assert not LabelFolder.open(tmp_path / "out").complete


def test_a_file_of_nobody(body: BodyModel, tmp_path: Path):
    labels = folder_of(body, tmp_path / "out")
    np.savez(labels.files[0], failures=np.array(json.dumps([["1", "a"], ["2", "b"]])))
    labels = LabelFolder.open(tmp_path / "out")
    assert labels.part(0) is None
    assert sum(map(len, labels.parts())) == 3
    assert labels.failures() == [("1", "a"), ("2", "b")]
    save_label_report(labels, body, None, tmp_path / "r.html", Shown(1, 1, 1, 1))
