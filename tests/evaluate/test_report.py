"""The page says what the scores say, loads nothing, and obeys no file name."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bodyloop.errors import InputError
from bodyloop.evaluate.report import Choice, html_report, save_report
from bodyloop.evaluate.scores import Scores

NASTY = '<script>alert("&")</script>\'" onerror=x.jpg'


def scores() -> Scores:
    return Scores(
        "<b>protocol</b>",
        (NASTY, *(f"person {i}" for i in range(1, 9))),
        {
            "pve_mm": torch.tensor([50.0, 90, 10, float("nan"), 70, 30, 20, 60, 40]).double(),
            "silhouette_iou": torch.linspace(0.1, 0.9, 9).double(),
        },
        ("<knee>", "ankle"),
        torch.tensor([[10.0, 40]]).double().expand(9, 2),
        notes=("a <note>",),
    )


def picture(number: int) -> np.ndarray:
    return np.full((8, 12, 3), 20 * number, np.uint8)


class Page(HTMLParser):
    """Tags, the text of headings and captions, and images."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.headings: list[str] = []
        self.captions: list[str] = []
        self.images: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "img":
            self.images.append(dict(attrs)["src"])
        if tag == "figcaption":
            self.captions.append("")
        if tag == "h2":
            self.headings.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, "every tag is closed, in its order"

    def handle_data(self, data):
        if "figcaption" in self.open:
            self.captions[-1] += data
        elif "h2" in self.open:
            self.headings[-1] += data


def test_worst_best_and_random():
    page = Page(html_report(scores(), picture, Choice("pve_mm", 3, 2, 2, seed=1)))
    assert page.headings[2:] == ["Worst by PVE, 3 of 9", "Best by PVE, 2 of 9", "Random by PVE, 2 of 9"]
    who = [re.match(r"(.*): PVE", caption)[1] for caption in page.captions]
    assert who[:5] == ["person 1", "person 4", "person 7", "person 2", "person 6"]
    assert not {"person 3"} & set(who), "who was not measured is not shown"
    again = Page(html_report(scores(), picture, Choice("pve_mm", 3, 2, 2, seed=1)))
    assert again.captions == page.captions
    assert page.open == []
    shares = Page(html_report(scores(), picture, Choice("silhouette_iou", 1, 1, 0)))
    assert [re.match(r"(.*): PVE", caption)[1] for caption in shares.captions] == [NASTY, "person 8"]
    assert len(shares.headings) == 4, "no heading without people"


def test_pictures_are_inside():
    text = html_report(scores(), picture, Choice("pve_mm", 1, 1, 0))
    images = Page(text).images
    for source, number in zip(images, (1, 2), strict=True):
        kind, _, data = source.partition(",")
        assert kind == "data:image/jpeg;base64"
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        assert pixels.shape == (8, 12, 3)
        assert abs(pixels.astype(int) - 20 * number).max() <= 2
    assert not re.search(r"https?:|//", re.sub(r"base64,[^\"]*", "", text)), "nothing is loaded"
    assert "default-src 'none'" in text


def test_each_picture_is_made_once():
    made = []

    def counted(number: int) -> np.ndarray:
        made.append(number)
        return picture(number)

    html_report(scores(), counted, Choice("pve_mm", 8, 8, 8))
    assert sorted(made) == [0, 1, 2, 4, 5, 6, 7, 8]


def test_text_is_text():
    text = html_report(scores(), picture, Choice("silhouette_iou", 1, 0, 0))
    page = Page(text)
    assert {"script", "b", "note", "knee"}.isdisjoint(page.tags)
    assert page.captions[0].startswith(NASTY)
    assert "<title>&lt;b&gt;protocol&lt;/b&gt;</title>" in text


def test_without_pictures_and_without_joints(tmp_path: Path):
    bare = Scores("p", ("a",), {"pve_mm": torch.ones(1).double()})
    page = Page(html_report(bare))
    assert page.images == []
    assert page.headings == [
        "Figures",
        "Worst by PVE, 1 of 1",
        "Best by PVE, 1 of 1",
        "Random by PVE, 1 of 1",
    ]
    save_report(tmp_path / "page.html", bare)
    assert (tmp_path / "page.html").read_text() == html_report(bare)


def test_nothing_to_choose_by_is_an_error():
    with pytest.raises(
        InputError, match="'mpjpe_mm' was not measured person by person; choose one of pve_mm"
    ):
        html_report(scores(), None, Choice("mpjpe_mm"))
    nobody = Scores("p", ("a",), {"pve_mm": torch.tensor([float("nan")]).double()})
    with pytest.raises(InputError, match="measured of nobody"):
        html_report(nobody)
    with pytest.raises(InputError, match="'nothing' was not measured"):
        html_report(Scores("p", ("a",), {}))
