"""The training run: from a recipe to weights, on one device or many, killed and gone on with as often as it takes.

Devices, processes, precision and TensorBoard are Lightning Fabric's; the loop is our own, since every step has to be a
function of the recipe, the step's number and the state before it, whatever happened in between.
"""

import csv
import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bodyloop.body import Bodies, BodyModel
from bodyloop.data.batch import Batch
from bodyloop.data.crop_batches import Lesson
from bodyloop.data.mixture import Draw
from bodyloop.data.synthetic.streams import stream
from bodyloop.errors import InputError
from bodyloop.nets.build import build, save_estimator
from bodyloop.nets.estimator import Estimate
from bodyloop.nets.multistage import MultistageConfig
from bodyloop.nets.pose2pose import Pose2PoseConfig
from bodyloop.priors.adversarial import Adversarial, discriminator_loss
from bodyloop.train.config import Phase, Recipe, Supervision
from bodyloop.train.feed import Feed
from bodyloop.train.fits import FitsDictionary, Loop
from bodyloop.train.larder import Larder, Pantry, Tools, shipped_backbones, stock
from bodyloop.train.regressor import Regressor, Targets
from bodyloop.train.run_files import BEST, LAST, LOG, STATE, begun_with, settle
from bodyloop.train.teachers import Taught, teach
from bodyloop.writing import make_folder, write_atomic

PICTURES, SHOWN = "pictures", 8
NO_CLASSIFIER = (
    "start: this recipe begins with a classifier's backbone, of which none ships; give --backbone FILE (weights with "
    "torchvision's names, of the same network and width) or --backbone hub, or --set start=random"
)
MOST_SKIPPED = 50
"""Steps in a row without finite gradients before a run is given up."""
_STEP, _REAL = 21, 22  # which random stream

Precision = Literal["32-true", "bf16-mixed"]


@dataclass(frozen=True)
class Machine:
    """What a run runs on. It changes the result by rounding alone, but for the number of processes.

    Attributes:
        accelerator, devices, nodes: Lightning's: "cpu", "gpu", "auto"; devices of each of so many machines.
        precision: of the network; losses and fits are always in single precision.
        channels_last: memory layout, faster with "bf16-mixed" on CPUs and on GPUs.
        workers: processes that make batches, for each device.
        log: "csv" writes log.csv alone, "tensorboard" that and TensorBoard's files.
    """

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    precision: Precision = "32-true"
    channels_last: bool = False
    workers: int = 1
    log: Literal["csv", "tensorboard"] = "csv"

    @property
    def device(self) -> torch.device:
        """The one device of runs that take no more.

        Raises:
            InputError: several devices, or a GPU that is not there.
        """
        if self.devices * self.nodes > 1:
            raise InputError(f"this network trains on one device, got {self.devices * self.nodes}")
        there = torch.cuda.is_available()
        if self.accelerator == "gpu" and not there:
            raise InputError(
                "--accelerator gpu: torch sees none; leave it out, or install torch for your GPU"
            )
        return torch.device("cuda" if there and self.accelerator != "cpu" else "cpu")


@dataclass
class Clock:
    """Seconds by what they went into."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        """Count the time within."""
        began = time.perf_counter()
        yield
        self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - began


@dataclass(frozen=True)
class Finished:
    """What came of a run.

    Attributes:
        best, last: weights with the least error on the validation people, and those of the last step.
        errors: in mm by name, of the best.
        best_step: after which the best were saved.
        seconds: by what they went into, in this process.
        leads: whether this process is the first of several.
    """

    best: Path
    last: Path
    errors: dict[str, float]
    best_step: int
    seconds: dict[str, float]
    leads: bool = True


def train(
    recipe: Recipe,
    out: Path,
    pantry: Pantry,
    tools: Tools,
    machine: Machine | None = None,
    *,
    resume: bool = False,
    backbones: dict[str, str | Path] | None = None,
    until: int | None = None,
) -> Finished:
    """Train a network.

    The folder gets recipe.json, log.csv, state.ckpt to go on from, the best and the last weights, and pictures of the
    validation people. A killed run that is gone on with ends with the same weights as one that was not.

    Args:
        recipe: what to do.
        out: folder of this run alone.
        pantry: has the crops.
        tools: of rooms above.
        machine: what it runs on.
        resume: go on with the run in the folder, if there is one.
        backbones: as for `build`, which the folder then says; if None, as the recipe says.
        until: stop after so many steps, as if killed.

    Raises:
        InputError: a folder that holds another run, options that do not fit together, data that are not there, or a
            run whose gradients stay infinite.
    """
    machine = machine or Machine()
    _check(recipe, machine)
    if recipe.start == "classifier" and backbones is None and recipe.begin is None:
        raise InputError(NO_CLASSIFIER)
    if os.environ.get("LOCAL_RANK", "0") != "0":  # one process does the talking
        tools = replace(tools, tell=lambda text: None, progress=lambda what, done, wanted: None)
        pantry = replace(pantry, tell=tools.tell, progress=lambda done, wanted: None)
    fabric = _fabric(machine, out)
    begun = None
    if backbones is not None:  # Wrong files are told now, not when everybody is drawn.
        network = build(recipe.network, recipe.seed, backbones)
        begun = begun_with({role: module for role, (_, module) in network.backbones().items()}, backbones)
    settle(recipe, out, resume, begun)
    # Before there are other processes, which would wait, and give up waiting, while data are drawn.
    if recipe.begin is not None and backbones is None:
        file = tools.trained(recipe.begin) / LAST
        backbones = dict.fromkeys(build(recipe.network, recipe.seed).backbones(), file)
    if backbones is None and recipe.start == "shipped":
        backbones = shipped_backbones(recipe)
    larder = stock(recipe, pantry, tools, backbones)
    taught = teach(recipe, larder, pantry, tools, fabric.device)
    fabric.launch()
    run = _Run(recipe, out, pantry.body, larder, taught, tools, machine, fabric, backbones)
    return run.go(recipe.steps if until is None else min(until, recipe.steps))


def _check(recipe: Recipe, machine: Machine) -> None:
    """Refuse what cannot be before anything is drawn."""
    processes = machine.devices * machine.nodes
    if recipe.optimiser.batch // processes < 2:
        raise InputError(
            f"optimiser.batch: expected at least 2 people for each of {processes} processes, got "
            f"{recipe.optimiser.batch}"
        )
    for phase in recipe.phases:
        losses, net = phase.losses, recipe.network
        if not loss_names(losses):
            raise InputError(f"phase {phase.name!r} has no losses; give one of them a weight above 0")
        if (
            losses.prior
            and losses.pose_prior == "own"
            and isinstance(net, Pose2PoseConfig)
            and net.pose != "latent"
        ):
            raise InputError(
                'losses.pose_prior: "own" is the prior of a network that puts out a code; set network.pose=latent, or '
                "losses.prior=0"
            )
        if losses.part_maps and isinstance(net, MultistageConfig) and losses.partition != net.partition:
            raise InputError(
                f"losses.partition: expected {net.partition!r}, that of the network's maps, got {losses.partition!r}"
            )


def _fabric(machine: Machine, out: Path) -> Any:
    """Lightning's, not launched yet."""
    try:
        from lightning.fabric import Fabric
    except ImportError as error:
        raise InputError(
            f"training networks needs lightning, which does not load ({error}); pip install 'bodyloop[train]'"
        ) from None
    loggers = None
    if machine.log == "tensorboard":
        try:
            from lightning.fabric.loggers import TensorBoardLogger

            loggers = TensorBoardLogger(out, name="tensorboard", version="")
        except ImportError as error:
            raise InputError(
                f"--log tensorboard needs a package that does not load ({error}); pip install tensorboard, or leave it "
                "out: log.csv is written in any case"
            ) from None
    try:
        fabric = Fabric(
            accelerator=machine.accelerator,
            devices=machine.devices,
            num_nodes=machine.nodes,
            precision=machine.precision,
            loggers=loggers,
        )
    except (ValueError, RuntimeError) as error:  # Lightning's MisconfigurationException among them
        raise InputError(f"these devices cannot be had: {error}") from None
    return fabric


class _Run:
    """A run on one process."""

    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        body: BodyModel,
        larder: Larder,
        taught: list[dict[int, tuple[FitsDictionary, float]]],
        tools: Tools,
        machine: Machine,
        fabric: Any,
        backbones: dict[str, str | Path] | None,
    ) -> None:
        self.recipe, self.out, self.tools, self.machine, self.fabric = recipe, out, tools, machine, fabric
        self.clock, self.larder = Clock(), larder
        self.body = body.to(fabric.device)
        self.network = build(recipe.network, recipe.seed, backbones).to(fabric.device)
        if machine.channels_last:
            self.network = self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model: nn.Module = self.network
        if fabric.world_size > 1:
            # Maps without labels, and backbones whose features are kept.
            some_idle = isinstance(recipe.network, MultistageConfig) or recipe.versions > 0
            self.model = nn.parallel.DistributedDataParallel(self.network, find_unused_parameters=some_idle)
        self.regressor = Regressor(self.network, self.body, recipe.mesh_points)
        chosen = recipe.optimiser
        kind = torch.optim.AdamW if chosen.decay else torch.optim.Adam
        self.optimiser = kind(self.network.parameters(), chosen.rate, weight_decay=chosen.decay)
        self.adversary, self.adversary_optimiser = self._adversary()
        self.feeds = [self._feed(number) for number in range(len(recipe.phases))]
        self.validation, self.fits = larder.validation, larder.fits
        self.taught = [Taught(self.body, own) if own else None for own in taught]
        self.step, self.best, self.best_step, self.skipped = 0, float("inf"), 0, 0
        self.errors: dict[str, float] = {}

    # What is prepared

    def _adversary(self) -> tuple[Adversarial | None, torch.optim.Optimizer | None]:
        if not any(phase.losses.adversarial for phase in self.recipe.phases):
            return None, None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed)
            adversary = Adversarial().to(self.fabric.device)
        return adversary, torch.optim.Adam(adversary.parameters(), self.recipe.optimiser.adversary_rate)

    def _feed(self, number: int) -> Feed:
        weights = [data.weight for data in self.recipe.phases[number].data]
        return Feed(
            self.larder.phases[number],
            weights,
            self.recipe.optimiser.batch // self.fabric.world_size,
            seed=self.recipe.seed,
            phase=number,
            rank=self.fabric.global_rank,
            world=self.fabric.world_size,
        )

    # What is kept

    def _restore(self) -> None:
        """Go on from the state in the folder, if there is one."""
        file = self.out / STATE
        if not file.exists():
            return
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
            if self.adversary is not None and self.adversary_optimiser is not None:
                self.adversary.load_state_dict(state["adversary"])
                self.adversary_optimiser.load_state_dict(state["adversary_optimiser"])
            for fits, stored in zip(self._dictionaries(), state["fits"], strict=True):
                fits.load_state_dict(stored)
            self.step, self.best, self.errors = (
                int(state["step"]),
                float(state["best"]),
                dict(state["errors"]),
            )
            self.best_step, self.skipped = int(state["best_step"]), int(state["skipped"])
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"{file}: not the state of this run ({type(error).__name__}); delete it to start anew"
            ) from error
        self.tools.tell(f"going on after step {self.step:,}")

    def _keep(self) -> None:
        """Write the state; a kill while writing leaves the one before."""
        self._share_fits()
        if not self.fabric.is_global_zero:
            return
        state: dict[str, Any] = {
            "step": self.step,
            "best": self.best,
            "best_step": self.best_step,
            "errors": self.errors,
            "skipped": self.skipped,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "fits": [fits.state_dict() for fits in self._dictionaries()],
        }
        if self.adversary is not None and self.adversary_optimiser is not None:
            state["adversary"] = self.adversary.state_dict()
            state["adversary_optimiser"] = self.adversary_optimiser.state_dict()
        partial = self.out / f"{STATE}.tmp"
        torch.save(state, partial)
        os.replace(partial, self.out / STATE)

    def _dictionaries(self) -> list[FitsDictionary]:
        """Each once."""
        return list({id(fits): fits for own in self.fits for fits in own.values()}.values())

    def _share_fits(self) -> None:
        """All processes get the best of all."""
        if self.fabric.world_size == 1:
            return
        for fits in self._dictionaries():
            gathered = self.fabric.all_gather(fits.state_dict())
            for rank in range(self.fabric.world_size):
                fits.merge({name: values[rank].cpu() for name, values in gathered.items()})

    # What is done

    def go(self, end: int) -> Finished:
        """Train up to a step."""
        self._restore()
        log = Log(self.out / LOG, self._columns(), self.step) if self.fabric.is_global_zero else None
        while self.step < end:
            number = self.recipe.phase_at(self.step)
            before = sum(phase.steps for phase in self.recipe.phases[:number])
            until = min(end, before + self.recipe.phases[number].steps)
            pin = self.fabric.device.type == "cuda"
            span = self.step - before, until - before
            lessons = self.feeds[number].lessons(*span, self.machine.workers, pin)
            loop = None
            if self.recipe.loop is not None:
                loop = Loop(self.recipe.loop, self.body, self.fits[number])
            for _ in range(*span):
                with self.clock("data"):
                    lesson = next(lessons).to(self.fabric.device, non_blocking=pin)
                if (taught := self.taught[number]) is not None:
                    lesson = taught(lesson)
                figures = self._do(lesson, number, loop)
                self.step += 1
                self._after(figures, self.recipe.phases[number], log)
        finished = self.step == self.recipe.steps
        if finished and self.fabric.is_global_zero:
            save_estimator(self.network, self.out / LAST)
        return Finished(
            self.out / BEST,
            self.out / LAST,
            self.errors,
            self.best_step,
            dict(self.clock.seconds),
            bool(self.fabric.is_global_zero),
        )

    def _do(self, lesson: Lesson, number: int, loop: Loop | None) -> dict[str, float]:
        """One step of the optimiser in a phase; returns figures for the log."""
        phase = self.recipe.phases[number]
        seeds = stream(_STEP, self.recipe.seed, self.step, self.fabric.global_rank)
        torch.manual_seed(int(seeds.integers(2**62)))  # of dropout, and of the candidates drawn
        rate = self.recipe.rate_at(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.model.train()
        with self.clock("network"):
            crops = self.regressor.crops(lesson.batch, self.larder.candidates[number], lesson.features)
            with self.fabric.autocast():
                estimate: Estimate = self.model(crops)
        figures: dict[str, float] = {}
        targets = Targets.labelled(lesson.batch)
        if loop is not None:
            with self.clock("fit"):
                with torch.no_grad():
                    answers = self.regressor.placed(estimate, lesson.batch)
                targets, figures = loop.targets(lesson.batch, answers)
        with self.clock("losses"):
            losses = self.regressor.losses(estimate, lesson, targets, phase.losses, self.adversary)
            total = torch.stack(list(losses.values())).sum()
        with self.clock("network"):
            self.optimiser.zero_grad()
            total.backward()
            self._descend(self.network, self.optimiser, self.recipe.optimiser.clip)
        if phase.losses.adversarial:
            with self.clock("losses"):
                figures["discriminators"] = self._teach_adversary(estimate)
        return figures | {"loss": float(total.detach())} | {k: float(v.detach()) for k, v in losses.items()}

    def _descend(self, network: nn.Module, optimiser: torch.optim.Optimizer, clip: float | None) -> None:
        """A step of the optimiser, unless the gradients are not finite.

        Raises:
            InputError: if they have not been for many steps.
        """
        longest = float("inf") if clip is None else clip
        norm = nn.utils.clip_grad_norm_(network.parameters(), longest)
        if bool(torch.isfinite(norm)):
            optimiser.step()
            self.skipped = 0
            return
        self.skipped += 1
        self.tools.tell(f"step {self.step}: gradients are not finite, step left out")
        if self.skipped >= MOST_SKIPPED:
            raise InputError(
                f"no finite gradients in {MOST_SKIPPED} steps; lower optimiser.rate or set optimiser.clip, and start "
                "anew in another folder"
            )

    def _teach_adversary(self, estimate: Estimate) -> float:
        """A step of the discriminators, against the poses that the network has just made up."""
        assert self.adversary is not None
        assert self.adversary_optimiser is not None
        fake = estimate.rotations[:, 1:].detach()
        seed = stream(_REAL, self.recipe.seed, self.step, self.fabric.global_rank).integers(2**62)
        real = self.tools.real_poses(len(fake), torch.Generator().manual_seed(int(seed))).to(fake)
        self.adversary_optimiser.zero_grad()
        loss = discriminator_loss(self.adversary.scores(real), self.adversary.scores(fake))
        loss.backward()
        if self.fabric.world_size > 1:
            for parameter in self.adversary.parameters():
                parameter.grad = self.fabric.all_reduce(parameter.grad, reduce_op="mean")
        self.adversary_optimiser.step()
        return float(loss.detach())

    def _after(self, figures: dict[str, float], phase: Phase, log: "Log | None") -> None:
        """What is due after a step: validation, a line in the log, the state."""
        recipe, last = self.recipe, self.step == self.recipe.steps
        validated = self.step % recipe.validate_every == 0 or last
        if validated and self.fabric.is_global_zero:
            figures |= self._validated()
        if log is not None and (validated or self.step % recipe.log_every == 0):
            line = {"step": self.step, "phase": phase.name, **figures}
            line["rate"] = recipe.rate_at(self.step - 1)
            log.write(line)
            if self.fabric.loggers:
                numbers = {k: v for k, v in line.items() if isinstance(v, float)}
                self.fabric.log_dict(numbers, step=self.step)
        if validated or self.step % recipe.save_every == 0:
            self._keep()
        self.tools.progress("training", self.step, recipe.steps)

    @torch.no_grad()
    def _validated(self) -> dict[str, float]:
        """Errors on the validation people; the best weights so far are written."""
        self.network.eval()
        count, size = len(self.validation.sources[0].crops), max(self.recipe.optimiser.batch, 2)
        errors: dict[str, list[Tensor]] = {}
        for first in range(0, count, size):
            draws = [Draw(0, row, row) for row in range(first, min(first + size, count))]
            batch = self.validation.lesson(draws, stream(0)).batch.to(self.fabric.device)
            batch = batch[(batch.has_pose & batch.has_orientation & batch.has_betas).nonzero()[:, 0]]
            if not len(batch):
                continue
            with self.fabric.autocast():
                crops = self.regressor.crops(batch, self.larder.validation_candidates)
                estimate = self.network(crops)
            found = self.regressor.placed(estimate, batch)
            if not errors:
                self._picture(batch, found)
            for name, values in self.tools.measure(found, batch.bodies, self.body).items():
                errors.setdefault(name, []).append(values)
        means = {name: float(torch.cat(values).mean()) for name, values in errors.items()}
        if means[self.recipe.choose] < self.best:
            self.best, self.best_step, self.errors = means[self.recipe.choose], self.step, means
            save_estimator(self.network, self.out / BEST)
        shown = ", ".join(f"{name.removesuffix('_mm')} {value:.1f} mm" for name, value in means.items())
        self.tools.tell(f"step {self.step:,} of {self.recipe.steps:,}: {shown}")
        return means

    def _picture(self, batch: Batch, found: Bodies) -> None:
        some = torch.arange(min(SHOWN, len(batch)), device=batch.row.device)
        folder = self.out / PICTURES
        make_folder(folder)
        self.tools.picture(folder / f"step-{self.step:07d}.jpg", batch[some], found[some])

    def _columns(self) -> tuple[str, ...]:
        """Of the log."""
        losses = [phase.losses for phase in self.recipe.phases]
        weighted = {name for one in losses for name in loss_names(one)}
        names = [name for name in vars(losses[0]) if name in weighted]
        more = ["discriminators"] if self.adversary is not None else []
        more += ["fits_good", "fits_error", "fits_better"] if self.recipe.loop is not None else []
        measured = ["mpjpe_mm", "pa_mpjpe_mm", "pve_mm"]
        return ("step", "phase", "rate", "loss", *names, *more, *measured)


def loss_names(losses: Supervision) -> list[str]:
    """Losses with a weight."""
    weights = {name: value for name, value in vars(losses).items() if name != "detected"}
    return [name for name, value in weights.items() if isinstance(value, float) and value > 0]


class Log:
    """A CSV file; of a run that goes on, lines after its state are written anew."""

    def __init__(self, path: Path, columns: tuple[str, ...], step: int) -> None:
        self.path, self.columns = path, columns
        lines = [",".join(columns)]
        if step and path.exists():
            rows = list(csv.reader(io.StringIO(path.read_text())))
            kept = [row for row in rows[1:] if len(row) == len(columns) and int(row[0]) <= step]
            buffer = io.StringIO()
            csv.writer(buffer, lineterminator="\n").writerows(kept)
            lines += buffer.getvalue().splitlines()
        write_atomic(path, ("\n".join(lines) + "\n").encode())

    def write(self, line: dict[str, Any]) -> None:
        """Add a line; figures have six digits."""
        cells = [line.get(name, "") for name in self.columns]
        texts = [f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells]
        with self.path.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(texts)
