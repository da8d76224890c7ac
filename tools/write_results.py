"""Run benchmarks and write what they measured: docs/results.json, docs/results.md made from it, and README's figures.

    python tools/write_results.py heldout --mocap DATA
    python tools/write_results.py photos --photos FOLDER
    python tools/write_results.py detect --photos FOLDER
    python tools/write_results.py weights --mocap DATA
    python tools/write_results.py speed | time | pool | temporal | networks
    python tools/write_results.py raster | synth | scores | train
    python tools/write_results.py surface --mocap DATA
    python tools/write_results.py annotate
    python tools/write_results.py quality --mocap DATA
    python tools/write_results.py table --results FOLDER/zanfir-table1.json
    python tools/write_results.py page

Each run replaces its own section; `table` takes over what `bodyloop reproduce` measured on this machine, with its bar
plot; `page` only writes the page anew. No figure is typed in by hand.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from bodyloop.evaluate.tables import NOT_YET, TITLES, Table, figure, text_of
from bodyloop.table_names import NetworkTable

ROOT = Path(__file__).parents[1]
STORE, PAGE = ROOT / "docs" / "results.json", ROOT / "docs" / "results.md"
README, CLAIMS = ROOT / "README.md", ROOT / "docs" / "claims.json"
BEGIN, END = "<!-- figures: written by tools/write_results.py -->", "<!-- end of figures -->"
PHOTO_METHODS = {
    "fit": "fit (`bodyloop fit`)",
    "candidates": "best of five candidates' fits, by energy",
    "candidates-cen": "the same, by the consistency network",
    "network": "network, which does not see the keypoints (`bodyloop infer`)",
    "refined": "the same, refined by a fit",
    "mrt": "candidates made better (`bodyloop infer --weights mrt`)",
    "mrt-refined": "the same, refined by a fit",
}
COMMANDS = {
    "heldout": ["benchmarks/heldout_accuracy.py", "--mocap", "DATA"],
    "photos": [
        *("benchmarks/photo_accuracy.py", "--photos", "PHOTOS"),
        *("--methods", "fit", "candidates", "candidates-cen", "mrt", "mrt-refined"),
    ],
    "detect": ["benchmarks/detect_photos.py", "--photos", "PHOTOS"],
    "weights": ["benchmarks/tune_weights.py", "--mocap", "DATA"],
    "speed": ["benchmarks/fit_speed.py"],
    "time": ["benchmarks/photo_time.py"],
    "surface": ["benchmarks/tune_surface.py", "--mocap", "DATA"],
    "raster": ["benchmarks/raster_speed.py"],
    "synth": ["benchmarks/synth_speed.py"],
    "scores": ["benchmarks/score_speed.py"],
    "annotate": ["benchmarks/annotate_speed.py"],
    "pool": ["benchmarks/pool_speed.py"],
    "temporal": ["benchmarks/temporal_speed.py"],
    "quality": ["benchmarks/annotate_quality.py", "--mocap", "DATA"],
    "networks": ["benchmarks/network_sizes.py"],
    "train": ["benchmarks/train_speed.py"],
}


def machine() -> str:
    """Cores and processor, without names."""
    return f"{os.cpu_count()} cores, {platform.machine()}, no GPU, Python {platform.python_version()}"


def run(section: str, places: dict[str, str], extra: list[str]) -> dict[str, Any]:
    """Run a section's benchmark; its last line is a JSON object."""
    command = COMMANDS[section]
    called = [sys.executable, *(places.get(word, word) for word in command), *extra, "--json"]
    done = subprocess.run(called, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    print(done.stdout)
    return {
        "command": "python " + " ".join(command) + " --json",
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "result": json.loads(done.stdout.strip().splitlines()[-1]),
    }


def head(title: str, section: dict[str, Any]) -> list[str]:
    """Title and where the figures come from."""
    source = f"`{section['command']}`, {section['date']}, {section['machine']}."
    return ["", f"## {title}", "", source, ""]


def table(columns: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table."""
    return ["| " + " | ".join(r) + " |" for r in (columns, ["---"] * len(columns), *rows)]


def heldout_page(section: dict[str, Any]) -> list[str]:
    """Accuracy on motion capture."""
    result = section["result"]
    lines = head("Held-out motion capture, exact and disturbed 2D keypoints", section)
    lines += [
        f"{result['people']} frames of the {result['split']} subjects, seed {result['seed']}; random cameras "
        "(known to the fit) and shapes. MPJPE and PVE in mm after root alignment, PA-MPJPE after similarity "
        "alignment, reprojection "
        "error as a share of the box's longer side, failures: PA-MPJPE over 120 mm.",
        "",
    ]
    for skeleton in ("coco17", "openpose25"):
        rows = [
            [name, *(f"{row[k]:.1f}" for k in ("mpjpe_mm", "pa_mpjpe_mm", "pve_mm")),
             f"{row['reprojection_share_of_box']:.2%}", f"{row['failures']:.1%}"]
            for name, row in result[skeleton]["exact"].items()
        ]  # fmt: skip
        lines += [f"**{skeleton}, exact keypoints**", ""]
        lines += [*table(["", "MPJPE", "PA-MPJPE", "PVE", "reprojection", "failures"], rows), ""]
    names = list(result["coco17"]["exact"])
    rows = [
        [
            name,
            *(f"{c[name]['mpjpe_mm']:.0f} / {c[name]['pa_mpjpe_mm']:.0f}" for c in result["coco17"].values()),
        ]
        for name in names
    ]
    lines += ["**coco17, noise in shares of the box, and missing keypoints: MPJPE / PA-MPJPE**", ""]
    return lines + table(["", *result["coco17"]], rows)


def weights_page(section: dict[str, Any]) -> list[str]:
    """The balance of the energy's terms."""
    result = section["result"]
    lines = head("Weights of the energy", section)
    lines += [
        f"{result['people']} frames of the validation subjects, seed {result['seed']}. The weights of the last rounds "
        "(`MATCHED`), each larger and smaller, the same trials for both priors. MPJPE in mm; score: geometric mean of "
        "MPJPE and PA-MPJPE over the conditions; ms a person, five starts, all rounds.",
    ]
    for prior, name in (("gmm", "mixture"), ("flow", "flow")):
        rows = [[trial, *(f"{v:.1f}" for v in row.values())] for trial, row in result[prior].items()]
        columns = list(next(iter(result[prior].values())))
        lines += ["", f"**{name}**", "", *table(["", *columns], rows)]
    return lines


def surface_page(section: dict[str, Any]) -> list[str]:
    """The weights of dense keypoints and part alignment."""
    result = dict(section["result"])
    lines = head("Weights of dense evidence", section)
    lines += [
        f"{result.pop('people')} synthetic people in the wild, poses of the validation subjects, seed "
        f"{result.pop('seed')}. PVE in mm; score: geometric mean over the conditions.",
    ]
    for of in ("dense", "parts"):
        rows = {name: row for name, row in result.items() if name.startswith(f"{of} ")}
        columns = list(next(iter(rows.values())))
        lines += ["", *table(["", *columns], [[name, *map(str, row.values())] for name, row in rows.items()])]
    return lines


def plain_page(title: str, note: str) -> Callable[[dict[str, Any]], list[str]]:
    """A page that lists what a benchmark printed, as it names it."""

    def page(section: dict[str, Any]) -> list[str]:
        rows = [
            [key.replace("_", " "), ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in value.items())]
            if isinstance(value, dict)
            else [key.replace("_", " "), str(value)]
            for key, value in section["result"].items()
        ]
        return [*head(title, section), note, "", *table(["", ""], rows)]

    return page


def quality_page(section: dict[str, Any]) -> list[str]:
    """What scores of labels are worth, a row for each way to find them."""
    columns = {
        "rank_correlation": "rank correlation",
        "rank_correlation_of_reprojection": "that of the reprojection error",
        "mean_pve_mm": "mean PVE, mm",
        "mean_pve_of_kept_mm": "of the kept, mm",
        "lower_by": "lower by",
        "lower_by_at_best": "by the true error",
        "lower_by_reprojection": "by the reprojection error",
        "swaps_found": "exchanged sides found",
        "swaps_wrongly": "suspected wrongly",
        "ms_a_person": "ms a person",
    }
    rows = [
        [way, *(str(row.get(name, "-")) for name in columns)]
        for way, row in section["result"].items()
        if isinstance(row, dict)
    ]
    note = (
        f"{section['result']['people']} synthetic people in the wild, {section['result']['split']} subjects, labelled "
        "as annotators would or exactly; the fits' focal length is the image's diagonal. Rank correlation: of expected "
        "and true vertex error. Kept: the 80 % of the best scores; next to it, had other things told whom to reject."
    )
    title = "Scores of labels against their errors"
    return [*head(title, section), note, "", *table(["", *columns.values()], rows)]


def take_table(file: Path) -> tuple[str, dict[str, Any]]:
    """Name and section of a table that `bodyloop reproduce` wrote; its plots go to docs/img."""
    found = json.loads(file.read_text())
    for plot in (p for p in file.parent.glob(f"{file.stem}*") if p.suffix in (".png", ".jpg")):
        shutil.copyfile(plot, ROOT / "docs" / "img" / plot.name)
    section = {
        "command": found["run"]["command"],
        "date": found["run"]["date"],
        "machine": machine(),
        "result": found,
    }
    return file.stem, section


PLOTS = {".png": "the paper's errors and ours", "-curves.png": "curves", "-pictures.jpg": "pictures"}
"""Ends of the names of a table's plots, and what they show."""


def paper_page(name: str) -> Callable[[dict[str, Any]], list[str]]:
    """A table that `bodyloop reproduce` measured, the paper beside ours, with the plots that there are."""

    def page(section: dict[str, Any]) -> list[str]:
        plots = {
            end: what for end, what in PLOTS.items() if (ROOT / "docs" / "img" / f"{name}{end}").exists()
        }
        found = Table.from_json(section["result"])
        columns = found.columns()
        shown = [f"{TITLES[measure]}{', paper' if whose == 'paper' else ''}" for measure, whose in columns]
        rows = [
            [row.name, *(text_of(measure, figure(row, measure, whose)) for measure, whose in columns)]
            for row in found.rows
        ]
        rows = [
            [*row[:-1], NOT_YET] if mine.ours is None else row
            for row, mine in zip(rows, found.rows, strict=True)
        ]
        return [
            *head(found.title, section),
            *table(["", *shown], rows),
            "",
            *(f"- {note}" for note in found.notes),
            "",
            "The findings, judged by these figures, are in [claims.md](claims.md).",
            *(line for end, what in plots.items() for line in ("", f"![{what}](img/{name}{end})")),
        ]

    return page


def photos_page(section: dict[str, Any]) -> list[str]:
    """Labelled photos."""
    r = section["result"]
    rows = [
        [
            PHOTO_METHODS[name],
            f"{found['pckh_0.5']:.3f}",
            f"{found['reprojection_share_of_box']:.2%}",
            f"{found['trusted']}",
        ]
        for name, found in r.items()
    ]
    return [
        *head("Photos with labelled keypoints", section),
        f"{r['fit']['people']} large people of 27 photos, COCO-17 labels in, assumed camera. Keypoints are what is "
        "fitted to, and what all are judged by; the network does not know them, so its figures are of another kind.",
        "",
        *table(["", "PCKh@0.5", "reprojection error, share of the box", "trusted"], rows),
        "",
        "Each person on plain ground with the labelled keypoints (COCO, CC BY 4.0), and from the side, fitted:",
        "",
        "![fits to labelled photos](img/photos.png)",
    ]


def detect_page(section: dict[str, Any]) -> list[str]:
    """The detector."""
    r = section["result"]
    rows = [[k.replace("_", " "), str(v)] for k, v in r.items() if not isinstance(v, dict | list)]
    note = "The windows and thresholds of the search were chosen on these photos, so the figures flatter."
    return [*head("Detector on the same photos", section), note, "", *table(["", ""], rows)]


def speed_page(section: dict[str, Any]) -> list[str]:
    """The fitter's speed."""
    r = section["result"]
    rows = [
        [name, f"{ms:.2f}", f"{r['people_per_second'][name]:,.1f}"]
        for name, ms in r["ms_per_person_and_start"].items()
    ]
    return [
        *head("Speed of the fitter", section),
        f"Seed {r['seed']}. The usual way is Adam, 100 + 100 steps, through the whole mesh, on the same energy "
        f"from the same start. Ratio at batch 64: **{r['ratio_batch_64']:,}**; at batch 1: {r['ratio_batch_1']:,}. "
        f"Mean final energy: ours {r['mean_energy_ours']}, Adam {r['mean_energy_adam']}; ours is as low or lower for "
        f"{r['ours_at_or_below_adam']:.0%} of the people. Peak memory of a process that fits 10,000 people in one "
        f"call: {r['peak_mb_for_10000_people']:,} MB.",
        "",
        *table(["", "ms a person and start", "people a second"], rows),
    ]


def time_page(section: dict[str, Any]) -> list[str]:
    """The whole command."""
    r = section["result"]
    return [
        *head("One photo from the command line", section),
        f"`bodyloop fit PHOTO -o DIR`, 512 x 512, imports, detection, five starts, pictures and files included: "
        f"median {r['median_s']} s, least {r['least_s']} s of {r['runs']} runs, with the solver compiled before.",
    ]


def networks_page(section: dict[str, Any]) -> list[str]:
    """Sizes of the regression networks."""
    counts = ("resolution", "giga_multiply_adds", "million_parameters", "megabytes")
    rows = [
        [
            name,
            *(f"{r[key]:,}" for key in counts),
            f"{r.get('images_per_s', '')}",
            f"{r.get('ratio_to_full', '')}",
        ]
        for name, r in section["result"].items()
    ]
    return [
        *head("Regression networks", section),
        "Multiply-adds for one person, trainable parameters, 2^20 bytes of the weights' file. Small twins: images a "
        "second, forward and backward on one core, and how many times that is the rate of the full size.",
        "",
        *table(["", "side", "10^9 multiply-adds", "10^6 parameters", "MB", "images a second", "ratio"], rows),
    ]


PAGES = {
    "heldout": heldout_page,
    **{
        name: paper_page(name)
        for name in ("zanfir-table1", "zanfir-table3", "dense-fits", *get_args(NetworkTable))
    },
    "surface": surface_page,
    "weights": weights_page,
    "photos": photos_page,
    "detect": detect_page,
    "speed": speed_page,
    "time": time_page,
    "raster": plain_page(
        "Speed of the rasteriser", "One 224 x 224 image, and 64 PNCC maps of 56 x 56 pixels."
    ),
    "synth": plain_page("Speed of the synthetic people", "Samples a second and processor time, 224 x 224."),
    "annotate": plain_page(
        "Speed of the annotation of a data set",
        "Made-up COCO people, fits from the lifter's answer; processor time, and shares of reading, fitting, writing.",
    ),
    "quality": quality_page,
    "pool": plain_page(
        "Speed of the search for candidates",
        "Five candidates of each made-up person, out of the whole pool; plain tensors find the lowest error alone.",
    ),
    "temporal": plain_page(
        "Speed of fits over time",
        "Somebody walks, COCO-17 keypoints with 2 % noise; fits of single frames, the best path, and all frames "
        "together, without detection.",
    ),
    "scores": plain_page("Speed of the metrics", "Scores of synthetic people, next to the plain way."),
    "networks": networks_page,
    "train": plain_page(
        "Speed of training",
        "The small network of SPIN's recipe with fits in the loop: people a second through the whole step, what its "
        "time goes into, and batches a core makes when that is all it does (people a second).",
    ),
}


def headlines(stored: dict[str, Any]) -> list[str]:
    """The README's few figures, each with the section that it comes from."""
    held, photos = stored["heldout"]["result"], stored["photos"]["result"]["fit"]
    exact = held["coco17"]["exact"]["both (bodyloop fit)"]
    speed, video = stored["speed"]["result"], stored["temporal"]["result"]["1,000 frames"]
    people = stored["annotate"]["result"]["minutes_of_fitting_for_100000"]
    rows = {row.name: row.ours for row in Table.from_json(stored["zanfir-table3"]["result"]).rows}
    single, many = rows["static"], rows["64 frames"]
    assert single is not None
    assert many is not None
    claims = json.loads(CLAIMS.read_text())
    lines = [
        ("exact COCO-17 keypoints, 500 frames of motion capture of people whom nothing was trained on",
         f"PA-MPJPE {exact['pa_mpjpe_mm']:.0f} mm, MPJPE {exact['mpjpe_mm']:.0f} mm"),
        ("labelled photos", f"PCKh {photos['pckh_0.5']:.3f}"),
        ("a fit, in batches of 64",
         f"{speed['ms_per_person_and_start']['compiled, batch 64']:.1f} ms a start, {speed['ratio_batch_64']:,} times "
         "as fast as Adam through the mesh"),
        ("100,000 people of a data set", f"{people:.1f} minutes of fitting"),
        ("1,000 frames of a video, fitted together", f"{video['seconds']:.1f} s"),
        ("noisy keypoints with gaps, 64 frames together",
         f"MPJPE {many.mpjpe_mm:.0f} mm, frame by frame {single.mpjpe_mm:.0f} mm"),
    ]  # fmt: skip
    holding = sum(claim["holds"] for claim in claims)
    return [
        *table(["on two cores of a CPU", ""], [list(line) for line in lines]),
        "",
        f"Of {len(claims)} findings of the papers {holding} hold here, on small networks and synthetic people.",
    ]


def write_readme(stored: dict[str, Any]) -> None:
    """Put the figures between their marks."""
    before, rest = README.read_text().split(BEGIN)
    after = rest.split(END)[1]
    README.write_text("\n".join([before + BEGIN, "", *headlines(stored), END]) + after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("section", choices=[*COMMANDS, "table", "page"])
    parser.add_argument("--results", type=Path)
    parser.add_argument("--mocap", default="")
    parser.add_argument("--photos", default="")
    arguments, extra = parser.parse_known_args()
    stored = json.loads(STORE.read_text()) if STORE.exists() else {}
    if arguments.section == "table":
        name, stored_table = take_table(arguments.results)
        stored[name] = stored_table
    elif arguments.section != "page":
        places = {"DATA": arguments.mocap, "PHOTOS": arguments.photos}
        stored[arguments.section] = run(arguments.section, places, extra)
    if arguments.section != "page":
        STORE.write_text(json.dumps(stored, indent=1) + "\n")
    lines = [
        "# Results",
        "",
        "Written by `tools/write_results.py` from `results.json`; every figure was measured by the command named "
        "with it. DATA is a folder with CMU motion capture (`cmu/bvh`, `cmu/npz_deepmimic`), PHOTOS one with COCO "
        "photos and `person_keypoints.json`.",
    ]
    for name, page in PAGES.items():
        if name in stored:
            lines += page(stored[name])
    notes = ROOT / "docs" / "results_notes.md"
    if notes.exists():
        lines += ["", notes.read_text().rstrip()]
    PAGE.write_text("\n".join(lines) + "\n")
    write_readme(stored)


if __name__ == "__main__":
    main()
