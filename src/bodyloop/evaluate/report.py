"""Scores as one HTML page that needs nothing else: figures, errors by joint, pictures of the worst, best and others."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bodyloop.errors import InputError
from bodyloop.evaluate.scores import METRICS, Scores
from bodyloop.writing import write_atomic

Picture = Callable[[int], np.ndarray]
"""The picture (H, W, 3) uint8 of a person by number, made when it is needed."""

QUALITY = 85
"""JPEG's, of the pictures inside the page."""

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2530; background: #fff; max-width: 1100px; margin: 2em auto;
  padding: 0 1em; }
h1 { font-size: 1.5em; margin-bottom: .2em; } h2 { font-size: 1.15em; margin: 2em 0 .6em; }
p, li { color: #4a5361; } table { border-collapse: collapse; }
th, td { padding: .25em .9em .25em 0; text-align: right; border-bottom: 1px solid #e4e6ea; }
th:first-child, td:first-child { text-align: left; } td.bar { width: 26em; padding: .15em 0; border: 0; }
td.bar div { height: .95em; background: #2f6fb3; } td.joint { border: 0; }
figure { margin: 0 0 1.6em; } figure img { max-width: 100%; display: block; border: 1px solid #e4e6ea; }
figcaption { margin-top: .3em; overflow-wrap: anywhere; } .value { font-weight: 600; }
"""


@dataclass(frozen=True)
class Choice:
    """Who is shown.

    Attributes:
        metric: key of `METRICS` that tells good from bad; the first that was measured person by person if None.
        worst, best, random: how many of each; the random ones are drawn from everybody.
        seed: of the draw.
    """

    metric: str | None = None
    worst: int = 12
    best: int = 4
    random: int = 4
    seed: int = 0

    def people(self, scores: Scores) -> tuple[str, dict[str, list[int]]]:
        """The metric's key, and title -> numbers of the people shown.

        Raises:
            InputError: if the metric was not measured person by person, or of nobody.
        """
        metric = self.metric or next(iter(scores.values), "")
        if metric not in scores.values:
            raise InputError(
                f"{metric or 'nothing'!r} was not measured person by person; choose one of {', '.join(scores.values)}"
            )
        order = scores.order(metric).tolist()
        if not order:
            raise InputError(f"{metric!r} was measured of nobody; choose another metric")
        draw = torch.randperm(len(order), generator=torch.Generator().manual_seed(self.seed)).tolist()
        return metric, {
            "Worst": order[: self.worst],
            "Best": order[::-1][: self.best],
            "Random": [order[i] for i in draw[: self.random]],
        }


def html_report(scores: Scores, picture: Picture | None = None, choice: Choice | None = None) -> str:
    """The page. All text of the scores is escaped, and the page may load nothing from elsewhere.

    Args:
        scores: what was measured.
        picture: of a person; without it only their figures are listed.
        choice: who is shown.

    Raises:
        InputError: as `Choice.people`.
    """
    metric, shown = (choice or Choice()).people(scores)
    sections = [_figures(scores), _joints(scores)]
    made: dict[int, str] = {}
    for title, numbers in shown.items():
        if numbers:
            by = f"{METRICS[metric].title}, {len(numbers)} of {len(scores):,}"
            sections.append(f"<h2>{title} by {escape(by)}</h2>")
            sections += [_person(scores, i, metric, picture, made) for i in numbers]
    notes = "".join(f"<li>{escape(note)}</li>" for note in scores.notes)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; style-src '
        "'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(scores.name)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(scores.name)}</h1><p>{len(scores):,} people.</p>"
        f"{f'<ul>{notes}</ul>' if notes else ''}{''.join(sections)}</body></html>\n"
    )


def save_report(
    path: str | Path, scores: Scores, picture: Picture | None = None, choice: Choice | None = None
) -> None:
    """Write the page; arguments as of `html_report`.

    Raises:
        InputError: as `Choice.people`, or if the file cannot be written.
    """
    write_atomic(path, html_report(scores, picture, choice).encode())


def _figures(scores: Scores) -> str:
    rows = []
    for line in scores.table():
        measure = METRICS[line.metric]
        people = "pooled" if line.pooled else f"{line.people:,}"
        cells = (measure.title, measure.text(line.value), measure.text(line.median), measure.unit, people)
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{title}</th>" for title in ("", "mean", "median", "", "people"))
    return f"<h2>Figures</h2><table><tr>{head}</tr>{''.join(rows)}</table>"


def _joints(scores: Scores) -> str:
    means = {name: value for name, value in scores.joint_means().items() if value == value}
    if not means:
        return ""
    most = max(max(means.values()), 1e-9)
    rows = [
        f'<tr><td class="joint">{escape(name)}</td><td class="joint">{value:.1f}</td>'
        f'<td class="bar"><div style="width: {100 * value / most:.1f}%"></div></td></tr>'
        for name, value in means.items()
    ]
    return f"<h2>Mean error by joint, mm</h2><table>{''.join(rows)}</table>"


def _person(scores: Scores, number: int, metric: str, picture: Picture | None, made: dict[int, str]) -> str:
    """A figure of one person; pictures are kept in `made`, since somebody may be among the random ones too."""
    if picture is not None and number not in made:
        made[number] = _data_url(picture(number))
    image = f'<img alt="" src="{made[number]}">' if number in made else ""
    words = []
    for key, values in scores.values.items():
        measure = METRICS[key]
        unit = "%" if measure.unit == "%" else f" {measure.unit}"
        text = escape(f"{measure.title} {measure.text(float(values[number]))}{unit}")
        words.append(f'<span class="value">{text}</span>' if key == metric else text)
    label = escape(scores.people[number])
    return f"<figure>{image}<figcaption>{label}: {', '.join(words)}</figcaption></figure>"


def _data_url(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
