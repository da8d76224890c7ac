"""Tables of the papers, measured again: what ``bodyloop reproduce`` does."""

import datetime
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from bodyloop import __version__
from bodyloop.errors import InputError
from bodyloop.evaluate.claims import Claim, Ledger
from bodyloop.evaluate.tables import Table
from bodyloop.table_names import NetworkTable, TableName
from bodyloop.view.bar_plot import require_plots, save_bar_plot
from bodyloop.view.export import save_picture
from bodyloop.view.line_plot import save_line_plot
from bodyloop.writing import make_folder, write_atomic

Tell = Callable[[str], None]

PICTURED, CELL = 8, 200
"""People on a sheet of pictures, and the side of each picture in pixels."""


@dataclass(frozen=True)
class ReproduceJob:
    """Measure a paper's table again.

    Attributes:
        table: which, one of `TABLES`.
        mocap: folder that holds ``cmu/bvh`` and ``cmu/npz_deepmimic``, or one of them. Tables of trained networks can
            do without: their people then take poses of the flow prior.
        out: folder for TABLE.json and TABLE.png; trained networks go into ``networks`` there, for all tables.
        cache: folder for the converted clips, so that the next run need not convert them.
        count: frames or people of the test subjects; the table's own number if None. Not of tables of networks.
        seed: of all random draws.
        quick: a small run that shows that all works; its figures say little.
        docs: folder of the claims ledger; nothing is recorded if None.
        scale: of trained networks: "cpu" or "gpu"; a quick run is of scale "smoke".
        seeds: trained networks of so many seeds, from `seed` on, make a row.
        crops: folder for the pictures that networks are trained on; ``crops`` in `out` if None.
        workers: networks trained at once; as many as there are cores if None. On a GPU processes that make batches.
        accelerator: "cpu" or "gpu", for trained networks.
        backbones: classifiers that networks begin with, at scale "gpu": "hub", or a folder of files with torchvision's
            names; random weights if None.
    """

    table: TableName
    out: Path
    mocap: Path | None = None
    cache: Path | None = None
    count: int | None = None
    seed: int = 0
    quick: bool = False
    docs: Path | None = None
    scale: Literal["cpu", "gpu"] = "cpu"
    seeds: int = 1
    crops: Path | None = None
    workers: int | None = None
    accelerator: Literal["cpu", "gpu"] = "cpu"
    backbones: str | None = None

    def command(self) -> str:
        """What to type for the same figures; DATA and FOLDER stand for the user's folders."""
        count = "" if self.count is None else f" --count {self.count}"
        seed = "" if self.seed == ReproduceJob.seed else f" --seed {self.seed}"
        quick = " --quick" if self.quick else ""
        mocap = "" if self.mocap is None else " --mocap DATA"
        scale = (
            ""
            if self.scale == ReproduceJob.scale
            else f" --scale {self.scale} --accelerator {self.accelerator}"
        )
        seeds = "" if self.seeds == ReproduceJob.seeds else f" --seeds {self.seeds}"
        begin = "" if self.backbones is None else " --backbones hub"
        return f"bodyloop reproduce {self.table}{mocap} -o FOLDER{count}{seed}{quick}{scale}{seeds}{begin}"

    def motion(self) -> Path:
        """The folder with motion capture.

        Raises:
            InputError: if there is none.
        """
        if self.mocap is None:
            raise InputError(f"{self.table} needs motion capture; name its folder with --mocap")
        return self.mocap


@dataclass(frozen=True)
class Reproduced:
    """What was measured.

    Attributes:
        table: the paper's figures beside ours.
        claims: the paper's findings, judged.
        files: what was written.
    """

    table: Table
    claims: tuple[Claim, ...]
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Measurement:
    """How a table is measured.

    Attributes:
        measure: gives the table and its claims, whose command and date are filled in afterwards, from the job.
        count: people or frames, where the job does not say; None if a job cannot say.
        draw: draws pictures of some of the people, where there are any to be seen.
    """

    measure: Callable[[ReproduceJob, int, Tell], tuple[Table, list[Claim]]]
    count: int | None
    draw: Callable[[ReproduceJob, Tell], np.ndarray] | None = None


def _zanfir_table1(job: ReproduceJob, count: int, tell: Tell) -> tuple[Table, list[Claim]]:
    from bodyloop.evaluate.zanfir import table1

    return table1(job.motion(), job.cache, count, job.seed, job.quick, tell)


def _zanfir_table3(job: ReproduceJob, count: int, tell: Tell) -> tuple[Table, list[Claim]]:
    from bodyloop.evaluate.zanfir_video import table3

    return table3(job.motion(), job.cache, count, job.seed, job.quick, tell)


def _dense_fits(job: ReproduceJob, count: int, tell: Tell) -> tuple[Table, list[Claim]]:
    from bodyloop.evaluate.dense_fits import dense_fits

    return dense_fits(job.motion(), job.cache, count, job.seed, job.quick, tell)


def _dense_pictures(job: ReproduceJob, tell: Tell) -> np.ndarray:
    """The first people: picture, fits to keypoints and to dense evidence, the truth; both from the side."""
    from bodyloop.body import builtin_body
    from bodyloop.data.synthetic import SyntheticSample
    from bodyloop.evaluate.dense_fits import CONDITIONS, DENSE, KEYPOINTS, fitted, wild_people
    from bodyloop.view import overlay
    from bodyloop.view.comparison import enlarged, side_by_side
    from bodyloop.view.draw import contact_sheet

    body, panels = builtin_body(), []
    chosen = [condition for condition in CONDITIONS if condition.name in (KEYPOINTS, DENSE)]
    for sample in wild_people(job.motion(), job.cache, "test", 2 if job.quick else PICTURED, job.seed, tell):
        picture, truth = sample.image.numpy(), SyntheticSample.stack([sample]).bodies
        found = [fitted(sample, condition, body, job.seed) for condition in chosen]
        panels += [picture, *(overlay(picture, body, people, sample.camera) for people in (*found, truth))]
        panels += [side_by_side(body, people, truth, CELL) for people in found]
    names = [condition.name for condition in chosen]
    captions = ("picture", *names, "truth", *(f"{name}; truth orange" for name in names))
    captions += ("",) * (len(panels) - len(captions))
    return contact_sheet([enlarged(panel, CELL) for panel in panels], 2 + 2 * len(names), captions, CELL)


def _networks(name: str) -> Measurement:
    """A table of trained networks."""

    def measure(job: ReproduceJob, count: int, tell: Tell) -> tuple[Table, list[Claim]]:
        from bodyloop.studies import measure_table
        from bodyloop.studies.networks import Workshop
        from bodyloop.studies.study import Asked

        asked = Asked(
            "smoke" if job.quick else job.scale,
            job.mocap is not None,
            tuple(job.seed + i for i in range(job.seeds)),
            job.backbones is not None,
        )
        shop = Workshop(
            job.out / "networks",
            job.out / "crops" if job.crops is None else job.crops,
            job.mocap,
            job.cache,
            job.accelerator,
            workers=len(os.sched_getaffinity(0)) if job.workers is None else job.workers,
            backbones=job.backbones,
        )
        return measure_table(name, asked, shop, tell)

    return Measurement(measure, None)


TABLES: dict[str, Measurement] = {
    "zanfir-table1": Measurement(_zanfir_table1, 500),
    "zanfir-table3": Measurement(_zanfir_table3, 3200),
    "dense-fits": Measurement(_dense_fits, 300, _dense_pictures),
    **{name: _networks(name) for name in get_args(NetworkTable)},
}


def reproduce(job: ReproduceJob, tell: Tell = print) -> Reproduced:
    """Measure a table, write it as JSON and as a bar plot, and record its claims if a ledger is named.

    What would spoil the results is looked for before anything is measured.

    Args:
        job: what to do.
        tell: called with a line whenever there is something to say.

    Raises:
        InputError: no usable motion capture, no matplotlib, places that cannot be written to, no ledger.
    """
    if job.table not in TABLES:
        raise InputError(f"no table is called {job.table!r}; expected one of {', '.join(TABLES)}")
    usual = TABLES[job.table].count
    count = job.count or usual or 0
    if job.count is not None and usual is None:
        raise InputError(f"--count: {job.table} has its own number of people for each scale; leave it out")
    if job.count is not None and job.count < 1:
        raise InputError(f"--count: expected at least 1 frame, got {job.count}")
    if job.seeds < 1 or (job.workers is not None and job.workers < 1):
        raise InputError(f"--seeds and --workers: expected at least 1, got {job.seeds} and {job.workers}")
    if job.backbones is not None and job.scale != "gpu":
        raise InputError(
            "--backbones: no classifier fits the small networks, which see by what ships; add --scale gpu"
        )
    if job.quick and job.docs is not None:
        raise InputError("--docs: a quick run is no evidence for the ledger; leave out --quick or --docs")
    require_plots()
    if job.docs is not None:
        Ledger.read(job.docs)
    make_folder(job.out)
    began = time.time()
    table, found = TABLES[job.table].measure(job, count, tell)
    tell(f"measured in {time.time() - began:.0f} s")
    command, date = job.command(), datetime.date.today().isoformat()
    claims = tuple(replace(claim, command=command, date=date) for claim in found)
    files = [job.out / f"{job.table}.json", job.out / f"{job.table}.png"]
    run = {"command": command, "date": date, "version": __version__, "seed": job.seed, "count": count or None}
    described = {
        **table.to_json(),
        "claims": [asdict(claim) for claim in claims],
        "run": {**run, "quick": job.quick},
    }
    write_atomic(files[0], (json.dumps(described, indent=1, ensure_ascii=False) + "\n").encode())
    save_bar_plot(files[1], table)
    if table.curves:
        files.append(job.out / f"{job.table}-curves.png")
        save_line_plot(files[-1], table)
    if (draw := TABLES[job.table].draw) is not None:
        tell("drawing pictures")
        files.append(job.out / f"{job.table}-pictures.jpg")
        save_picture(files[-1], draw(job, tell))
    if job.docs is not None:
        Ledger.read(job.docs).record(claims)  # read anew: another run may have recorded meanwhile
        files += [job.docs / "claims.json", job.docs / "claims.md"]
    return Reproduced(table, claims, tuple(files))
