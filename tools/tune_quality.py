"""Fit the model that predicts how good a label is, on synthetic people of validation subjects, into the package.

    python tools/tune_quality.py --mocap DATA [--cache FOLDER] [--count 3000]

The people are labelled as annotators would (`bodyloop.evaluate.label_quality.Annotators`) and fitted as `bodyloop
annotate` does. `benchmarks/annotate_quality.py` judges the model on test people.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from bodyloop.annotate import quality
from bodyloop.annotate.methods import Settings
from bodyloop.evaluate.label_quality import Draw, draw_people, figures, fit_quality, measure
from bodyloop.writing import write_atomic

OUT = Path(quality.__file__).with_name(quality.SHIPPED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mocap", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="folder for the converted clips")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tell = lambda text: print(text, flush=True)  # noqa: E731
    draw = Draw(options.mocap, options.cache, "validation", options.seed)
    people = draw_people(draw, options.count, tell)
    measured = measure(people, Settings(starts=("lifter",)))
    half = len(people) // 2
    first, rest = measured.some(slice(0, half)), measured.some(slice(half, None))
    for name, own, other in (("first half", first, rest), ("second half", rest, first)):
        print(f"fitted on the {name}, judged on the other:", figures(other, fit_quality(own)))
    model = fit_quality(measured)
    print("fitted on all, judged on the same:", figures(measured, model))
    made = {
        "made_by": "tools/tune_quality.py",
        "people": len(people),
        "seed": options.seed,
        "split": "validation",
    }
    write_atomic(OUT, (json.dumps(made | asdict(model), indent=1) + "\n").encode())
    print(OUT)


if __name__ == "__main__":
    main()
