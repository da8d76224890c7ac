"""What became of an annotation, as one HTML page that needs nothing else: scores, errors, pictures, suspects."""

import base64
import heapq
import io
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from bodyloop.annotate.campaign import LabelFolder
from bodyloop.annotate.reading import load_index
from bodyloop.body import BodyModel
from bodyloop.data.crowd import VERDICTS, Labelled
from bodyloop.view.label_picture import label_picture
from bodyloop.writing import write_atomic

BINS = 20
QUALITY = 85
"""JPEG's, of the pictures inside the page."""
ERROR_BINS = np.linspace(0, 0.1, BINS + 1)
"""Shares of the box; what is more counts to the last."""

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2530; background: #fff; max-width: 1200px; margin: 2em auto;
  padding: 0 1em; }
h1 { font-size: 1.5em; margin-bottom: .2em; } h2 { font-size: 1.15em; margin: 2em 0 .6em; }
p, li, figcaption { color: #4a5361; } table { border-collapse: collapse; }
td { padding: .12em .9em .12em 0; } td.n { text-align: right; font-variant-numeric: tabular-nums; }
td.bar { width: 16em; padding: 0; } td.bar div { height: .9em; background: #2f6fb3; }
.charts { columns: 2 500px; column-gap: 3em; } .charts section { break-inside: avoid; padding-top: .1em; }
.charts h2 { margin-top: 1em; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(380px, 1fr)); gap: 1em; }
figure { margin: 0; } figure img { width: 100%; display: block; border: 1px solid #e4e6ea; }
figcaption { font-size: .85em; margin-top: .2em; overflow-wrap: anywhere; }
.accept { color: #1a7f4b; } .doubtful { color: #9a6700; } .reject { color: #b3261e; }
"""


@dataclass(frozen=True)
class Shown:
    """How many people are pictured: the best and the worst by score, random ones, suspects of exchanged sides."""

    best: int = 12
    worst: int = 18
    random: int = 12
    swapped: int = 12


@dataclass(order=True, frozen=True)
class _Place:
    """Somebody's place in a heap of the largest keys."""

    key: float
    file: int
    row: int


@dataclass
class Figures:
    """What is counted on the way through the files.

    Attributes:
        people: how many.
        verdicts, reasons, starts, swaps: how often each.
        scores: (BINS,) people by score, from 0 to 1.
        errors: (BINS,) people by reprojection error, from 0 to a tenth of the box.
        joint_sum, joint_count: (K,) of reprojection errors.
    """

    people: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    starts: Counter[str] = field(default_factory=Counter)
    swaps: Counter[str] = field(default_factory=Counter)
    scores: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    errors: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    joints: tuple[str, ...] = ()
    joint_sum: np.ndarray = field(default_factory=lambda: np.zeros(0))
    joint_count: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def add(self, part: Labelled) -> None:
        """Count some more people."""
        self.people += len(part)
        self.verdicts.update(part.words["verdict"].tolist())
        self.starts.update(part.words["start"].tolist())
        self.swaps.update(x for x in part.words["swap"].tolist() if x)
        self.reasons.update(
            kind_of(r) for line in part.words["reasons"].tolist() for r in line.split("; ") if r
        )
        self.scores += np.histogram(part.figures["score"], BINS, (0, 1))[0]
        self.errors += np.histogram(part.figures["error_box"].clip(0, ERROR_BINS[-1]), ERROR_BINS)[0]
        off = part.figures["joint_error"]
        if not self.joints:
            self.joints = part.crowd.skeleton.keypoints
            self.joint_sum, self.joint_count = np.zeros(off.shape[1]), np.zeros(off.shape[1])
        self.joint_sum += np.nan_to_num(off).sum(0, dtype=np.float64)
        self.joint_count += np.isfinite(off).sum(0)


def kind_of(reason: str) -> str:
    """A reason without its figures, so that like ones can be counted."""
    head, colon, rest = reason.partition(": ")
    text = f"{head}{colon}{rest}" if head == "rejected" else head  # behind other colons are names of files
    short = re.split(r" \(|, over|, beyond|, fewer", text)[0]
    return re.sub(r"\d[\d.]*", "N", re.sub(r" -?[\d.]+( mm|% of the box)", "", short))


def save_label_report(
    labels: LabelFolder, body: BodyModel, images: Path | None, path: Path, shown: Shown | None = None
) -> Path:
    """Write the page; the files are gone through twice, one at a time.

    Args:
        labels: the finished labels.
        body: their model.
        images: folder of the images, for pictures; bodies stand on a plain ground without.
        path: of the page.
        shown: how many are pictured.

    Returns:
        the path.

    Raises:
        InputError: if a file is damaged or the page cannot be written.
    """
    figures, chosen = _gone_through(labels, shown or Shown())
    pictures = _pictures(labels, {place for places in chosen.values() for place in places}, body, images)
    charts = [
        _bars("Verdicts", [(v, figures.verdicts[v], f"{figures.verdicts[v]:,}", v) for v in VERDICTS]),
        _histogram("Score", figures.scores, np.linspace(0, 1, BINS + 1), ".2f"),
        _histogram("Reprojection error, share of the box", figures.errors, ERROR_BINS, ".1%"),
        _joints(figures),
        _counts("Reasons", figures.reasons),
        _counts("Exchanged sides suspected", figures.swaps),
        _counts("Starts that won", figures.starts),
    ]
    sections = [
        f'<div class="charts">{"".join(charts)}</div>',
        _list("Left out", [*_skipped(labels), *(f"{p}: {why}" for p, why in labels.failures()[:50])]),
    ]
    titles = {
        "worst": "Worst by score",
        "best": "Best by score",
        "random": "Random",
        "swapped": "Sides exchanged?",
    }
    for name, places in chosen.items():
        if places:
            cells = "".join(pictures[place] for place in places)
            sections.append(f'<h2>{titles[name]}</h2><div class="sheet">{cells}</div>')
    name = escape(f"Labels of {labels.recipe.get('coco', '?')}")
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; style-src '
        "'unsafe-inline'\">"
        f'<meta name="viewport" content="width=device-width"><title>{name}</title><style>{_STYLE}</style></head><body>'
        f"<h1>{name}</h1><p>{figures.people:,} people, method {escape(str(_setting(labels, 'method')))}. Pictures: "
        "keypoints, the body over them, the body from the side.</p>"
        f"{''.join(sections)}</body></html>\n"
    )
    write_atomic(path, page.encode())
    return path


def _setting(labels: LabelFolder, name: str) -> object:
    return labels.recipe.get("settings", {}).get(name, "?")


def _skipped(labels: LabelFolder) -> tuple[str, ...]:
    people = load_index(labels.out / "people")
    return () if people is None else people.skipped


def _gone_through(labels: LabelFolder, shown: Shown) -> tuple[Figures, dict[str, list[tuple[int, int]]]]:
    """Counts, and the places (file, row) of those who are pictured."""
    figures = Figures()
    most = {"worst": shown.worst, "best": shown.best, "random": shown.random, "swapped": shown.swapped}
    heaps: dict[str, list[_Place]] = {name: [] for name in most}
    for number in range(len(labels.files)):
        part = labels.part(number)
        if part is None:
            continue
        figures.add(part)
        score = part.figures["score"]
        for row, person in enumerate(part.crowd.ids.tolist()):
            keys = {"worst": -float(score[row]), "best": float(score[row]), "random": _draw(person)}
            if part.words["swap"][row]:
                keys["swapped"] = -float(score[row])
            for name, key in keys.items():
                heap, place = heaps[name], _Place(key, number, row)
                if len(heap) < most[name]:
                    heapq.heappush(heap, place)
                elif heap and place > heap[0]:
                    heapq.heapreplace(heap, place)
    return figures, {
        name: [(p.file, p.row) for p in sorted(heap, reverse=True)] for name, heap in heaps.items()
    }


def _draw(person: str) -> float:
    """A number from 0 to 1 that only the id tells."""
    return int.from_bytes(blake2b(person.encode(), digest_size=7).digest(), "big") / 2**56


def _pictures(
    labels: LabelFolder, places: set[tuple[int, int]], body: BodyModel, images: Path | None
) -> dict[tuple[int, int], str]:
    found, held, part = {}, -1, None
    for file, row in sorted(places):
        if file != held:
            held, part = file, labels.part(file)
        assert part is not None, "somebody in it was chosen"
        found[file, row] = _figure(part, row, label_picture(part, row, body, images))
    return found


def _figure(part: Labelled, row: int, pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode()
    verdict, why = str(part.words["verdict"][row]), str(part.words["reasons"][row])
    words = [
        f"{escape(str(part.crowd.ids[row]))}, {escape(str(part.crowd.images[row]))}",
        f'<b class="{escape(verdict)}">{escape(verdict)}</b>',
        f"score {part.figures['score'][row]:.2f}",
        f"error {part.figures['error_box'][row]:.1%} of the box",
        f"{int(part.figures['seen'][row])} keypoints",
    ]
    caption = ", ".join(words) + (f": {escape(why)}" if why else "")
    return (
        f'<figure><img alt="" src="data:image/jpeg;base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )


def _bars(title: str, rows: Iterable[tuple[str, float, str, str]]) -> str:
    """Rows of a name, a length, its text and a class."""
    rows = list(rows)
    most = max([length for _, length, _, _ in rows] + [1e-12])
    lines = [
        f'<tr><td class="{escape(kind)}">{escape(name)}</td><td class="n">{escape(text)}</td>'
        f'<td class="bar"><div style="width: {100 * length / most:.1f}%"></div></td></tr>'
        for name, length, text, kind in rows
    ]
    return f"<section><h2>{escape(title)}</h2><table>{''.join(lines)}</table></section>"


def _histogram(title: str, counts: np.ndarray, edges: np.ndarray, form: str) -> str:
    rows = []
    for i, count in enumerate(counts.tolist()):
        name = f"{format(edges[i], form)} to {format(edges[i + 1], form)}"
        rows.append((name, float(count), f"{count:,}", ""))
    return _bars(title, rows)


def _joints(figures: Figures) -> str:
    means = figures.joint_sum / np.maximum(figures.joint_count, 1)
    rows = [
        (name, float(mean), f"{mean:.2%}", "")
        for name, mean, count in zip(figures.joints, means, figures.joint_count, strict=True)
        if count
    ]
    return _bars("Mean reprojection error by keypoint, share of the box", rows)


def _counts(title: str, counts: Counter[str]) -> str:
    if not counts:
        return ""
    return _bars(title, [(name, float(n), f"{n:,}", "") for name, n in counts.most_common(20)])


def _list(title: str, lines: list[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h2>{escape(title)}</h2><ul>{items}</ul>" if lines else ""
