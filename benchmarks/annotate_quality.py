"""Whether the score of a label tells its error, on synthetic people in the wild of test subjects.

    python benchmarks/annotate_quality.py --mocap DATA [--cache FOLDER] [--count 1000] [--json]

People are labelled as annotators would (`bodyloop.evaluate.label_quality.Annotators`), or exactly, and fitted as
`bodyloop annotate` does: from the lifter's answer alone, from four mean poses, too, and from five candidates.
Aims: a rank correlation of score and vertex error of 0.6, and a mean error that is 15 % lower once the worst 20 % by
score are rejected.
"""

import argparse
import json
import time
from pathlib import Path

from bodyloop.annotate.methods import Settings
from bodyloop.annotate.quality import load_quality
from bodyloop.evaluate.label_quality import (
    EXACT,
    Annotators,
    Draw,
    draw_people,
    figures,
    measure,
    swap_figures,
)

AIM_RANK, AIM_LOWER = 0.6, 0.15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mocap", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="folder for the converted clips")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    result: dict[str, object] = {"people": options.count, "split": options.split, "seed": options.seed}
    ways = {
        "fit, lifter": Settings(),
        "fit, lifter and mean": Settings(starts=("lifter", "mean")),
        "candidates, energy": Settings("candidates", starts=()),
    }
    for name, annotators in (("annotators", Annotators()), ("exact", EXACT)):
        draw = Draw(options.mocap, options.cache, options.split, options.seed, annotators)
        people = draw_people(draw, options.count, lambda text: None)
        for way, settings in ways.items() if name == "annotators" else [*ways.items()][:1]:
            began = time.process_time()
            measured = measure(people, settings)
            row = figures(measured, load_quality())
            row["ms_a_person"] = 1000 * (time.process_time() - began) / len(people)
            if name == "annotators":
                row |= {
                    f"swaps_{key}": value for key, value in swap_figures(people, measured, settings).items()
                }
            key = f"{name}, {way}"
            result[key] = {k: round(v, 3) for k, v in row.items()}
            met = row["rank_correlation"] >= AIM_RANK and row["lower_by"] >= AIM_LOWER
            print(f"{key}: {'aims met' if met else 'AIMS NOT MET'}", result[key], flush=True)
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
