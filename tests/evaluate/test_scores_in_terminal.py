import io

import torch
from rich.console import Console

from bodyloop.evaluate.scores import Scores
from bodyloop.terminal import print_scores


def test_a_table_of_scores():
    scores = Scores(
        "a name that is longer than the table is wide, with \x1b[31mcolour",
        ("a", "b"),
        {"mpjpe_mm": torch.tensor([10.0, 21]).double(), "pck": torch.tensor([0.5, float("nan")]).double()},
        notes=("a note [bold]as it is[/bold]",),
    )
    text = io.StringIO()
    print_scores(scores, Console(file=text, width=100, markup=False, highlight=False, emoji=False))
    lines = [line.split() for line in text.getvalue().splitlines() if line.strip()]
    assert " ".join(lines[0]).endswith("with ?[31mcolour: 2 people")
    assert ["MPJPE", "15.5", "15.5", "mm", "2"] in lines
    assert ["PCK", "50.0", "50.0", "%", "1"] in lines
    assert " ".join(lines[-1]) == "a note [bold]as it is[/bold]"
