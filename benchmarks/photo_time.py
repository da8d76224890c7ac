"""Wall-clock seconds of the whole command `bodyloop fit PHOTO`, imports and pictures included.

    python benchmarks/photo_time.py [--photo FILE] [--json]

Without --photo: scikit-image's astronaut (512 x 512). The first run, which compiles, is reported apart if the
cache is cold.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds(photo: Path) -> float:
    """One run in a fresh process."""
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "bodyloop.cli", "fit", str(photo), "-o", out],
            check=True,
            capture_output=True,
        )
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photo = arguments.photo
        if photo is None:
            from PIL import Image
            from skimage import data

            photo = Path(folder) / "astronaut.png"
            Image.fromarray(data.astronaut()).save(photo)
        first = seconds(photo)
        times = [seconds(photo) for _ in range(arguments.runs)]
    result = {
        "first_s": round(first, 2),
        "median_s": round(statistics.median(times), 2),
        "least_s": round(min(times), 2),
        "runs": arguments.runs,
    }
    for key, value in result.items():
        print(f"{key:12s} {value}")
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
