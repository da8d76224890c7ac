"""Regression networks trained and exported: what ``bodyloop train`` and ``bodyloop export`` do."""

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from bodyloop import __version__
from bodyloop.annotate import fit_people
from bodyloop.annotate.alternatives import fit_alternatives
from bodyloop.body import Bodies, BodyModel, builtin_body, load_body
from bodyloop.body.densepose import read_densepose_atlas, read_densepose_mirror
from bodyloop.data.batch import Batch
from bodyloop.data.crops import Surface
from bodyloop.data.splits import read_poses
from bodyloop.errors import InputError
from bodyloop.evaluate.metrics import mpjpe, pa_mpjpe, pve
from bodyloop.evidence import Evidence
from bodyloop.geometry import Camera, axis_angle_to_rotmat
from bodyloop.nets.backbones import find_backbone
from bodyloop.nets.build import build, load_estimator
from bodyloop.priors import load_prior
from bodyloop.priors.prior import LatentPrior
from bodyloop.train.cards import card_text
from bodyloop.train.cen_run import ERROR as DISTANCE
from bodyloop.train.cen_run import CenRecipe, cen, train_cen_network
from bodyloop.train.config import (
    AnyRecipe,
    Data,
    LoopLabels,
    NetworkLabels,
    Pose2dRecipe,
    Recipe,
    Scale,
    SyntheticData,
    recipes_before,
)
from bodyloop.train.larder import POSES_APART, Pantry, Tools
from bodyloop.train.moon import pose2d
from bodyloop.train.pose2d import ERROR, train_pose2d
from bodyloop.train.recipes import SIZES, get_recipe
from bodyloop.train.run import Finished, Machine, Precision, train
from bodyloop.train.run_files import LAST, folder_of
from bodyloop.train.settings import KIND, changed, from_text
from bodyloop.writing import write_atomic

Tell = Callable[[str], None]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TrainingJob:
    """Train a regression network.

    Attributes:
        recipe: name, or a JSON file as runs write it.
        out: folder of the run.
        scale: of a named recipe, "cpu" if None; a file says its own.
        set: changes, "NAME=VALUE" with dotted names.
        crops: folder for the crops of all runs; ``crops`` beside the run's if None.
        mocap: folder with motion capture, from which synthetic people then take their poses.
        cache: folder for the converted clips.
        body: SMPL's own body, for data sets with its labels; the built-in one if None.
        atlas: DensePose's UV_Processed.mat, for dense labels of SMPL's own body.
        mirror: DensePose's UV_symmetry_transforms.mat, without which mirrored crops of SMPL's own body have no dense
            labels.
        backbone: trained weights of the backbones, or "hub", as for `find_backbone`; of recipes before this one too
            that begin with a classifier's.
        resume: go on with the run in the folder.
        accelerator, devices, nodes, precision, channels_last, log: as of `Machine`.
        workers: processes that make batches, for each device; one, or none on a single core, if None.
    """

    recipe: str
    out: Path
    scale: str | None = None
    set: tuple[str, ...] = ()
    crops: Path | None = None
    mocap: Path | None = None
    cache: Path | None = None
    body: Path | None = None
    atlas: Path | None = None
    mirror: Path | None = None
    backbone: str | None = None
    resume: bool = False
    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    precision: Precision = "32-true"
    channels_last: bool = False
    log: Literal["csv", "tensorboard"] = "csv"
    workers: int | None = None

    def read(self) -> AnyRecipe | CenRecipe:
        """The recipe with its changes.

        Raises:
            InputError: no such recipe, or a change that is none.
        """
        recipe: AnyRecipe | CenRecipe
        if self.recipe.endswith(".json"):
            path = Path(self.recipe)
            if not path.is_file():
                raise InputError(f"{path}: no such file; expected a recipe in JSON")
            if self.scale is not None:
                raise InputError(f"--scale: {path} says all sizes itself; leave it out, or name a recipe")
            recipe = _read_recipe(path)
        elif self.recipe in OTHERS:
            scales = [scale for scale in SIZES if scale == (self.scale or "cpu")]
            if not scales:
                raise InputError(f"no scale is called {self.scale!r}; expected one of {', '.join(SIZES)}")
            recipe = OTHERS[self.recipe](scales[0])
        else:
            recipe = get_recipe(self.recipe, self.scale or "cpu")
        if self.mocap is not None:
            recipe = with_mocap(recipe)
        for change in self.set:
            name, equals, value = change.partition("=")
            if not equals:
                raise InputError(f"--set {change}: expected NAME=VALUE")
            recipe = changed(recipe, name, value)
        return recipe


OTHERS: dict[str, Callable[[Scale], Pose2dRecipe | CenRecipe]] = {"pose2d": pose2d, "cen": cen}
"""Recipes of networks that are no regression networks, by the name that the command line takes."""


def _read_recipe(path: Path) -> AnyRecipe | CenRecipe:
    """A recipe of any kind; what cannot be read is taken for one of a regression network."""
    text = path.read_text(errors="replace")
    with suppress(ValueError, AttributeError):
        kind = json.loads(text).get(KIND)
        if kind == Pose2dRecipe.__name__:
            return from_text(Pose2dRecipe, text, str(path))
        if kind == CenRecipe.__name__:
            return from_text(CenRecipe, text, str(path))
    return from_text(Recipe, text, str(path))


RecipeT = TypeVar("RecipeT", bound=AnyRecipe | CenRecipe)


def with_mocap(recipe: RecipeT) -> RecipeT:
    """The recipe with poses of motion capture for all synthetic people, those of recipes within it too."""
    if isinstance(recipe, CenRecipe):
        return replace(recipe, people=with_mocap(recipe.people))
    people = _posed(recipe.validation)
    if isinstance(recipe, Pose2dRecipe):
        return replace(recipe, data=tuple(map(_posed, recipe.data)), validation=people)
    phases = tuple(replace(phase, data=tuple(map(_posed, phase.data))) for phase in recipe.phases)
    begin = recipe.begin
    if begin is not None:
        begin = with_mocap(begin)
    return replace(recipe, phases=phases, validation=people, begin=begin)


def _posed(data: Data) -> Data:
    """Data with poses of motion capture."""
    if isinstance(data.teacher, NetworkLabels | LoopLabels):
        data = replace(data, teacher=replace(data.teacher, recipe=with_mocap(data.teacher.recipe)))
    return replace(data, poses="mocap") if isinstance(data, SyntheticData) else data


def train_network(
    job: TrainingJob, tell: Tell = print, progress: Progress = lambda what, done, wanted: None
) -> tuple[Finished, list[Path]]:
    """Draw what is missing, train, and write the weights' model card.

    Args:
        job: what to do.
        tell: called with a line whenever there is something to say.
        progress: called with what is done, how much is done and how much there is to do.

    Returns:
        what came of it, and the files.

    Raises:
        InputError: see `bodyloop.train.run.train`.
    """
    if job.devices < 1 or job.nodes < 1 or (job.workers is not None and job.workers < 0):
        raise InputError(
            f"expected at least one device and node and no fewer than 0 workers, got {job.devices}, {job.nodes}, "
            f"{job.workers}"
        )
    recipe = job.read()
    if isinstance(recipe, CenRecipe) and job.backbone is not None:
        raise InputError(
            "--backbone: a consistency network begins as its recipe says; leave it out, or --set training.start=random"
        )
    given = None if isinstance(recipe, CenRecipe) else _given(job.backbone, recipe)
    if isinstance(recipe, Pose2dRecipe | CenRecipe):
        for name, usual in (("precision", "32-true"), ("channels_last", False), ("log", "csv")):
            if getattr(job, name) != usual:
                raise InputError(
                    f"--{name.replace('_', '-')}: 2D pose and consistency networks train in single precision with "
                    "their own memory layout, and write no other log; leave it out"
                )
    cores = len(os.sched_getaffinity(0))
    workers = min(1, cores - 1) if job.workers is None else job.workers
    machine = Machine(
        job.accelerator, job.devices, job.nodes, job.precision, job.channels_last, workers, job.log
    )
    body = builtin_body() if job.body is None else load_body(job.body)
    pantry = Pantry(
        job.out.parent / "crops" if job.crops is None else job.crops,
        body,
        _surface(job),
        job.mocap,
        job.cache,
        cores,
        tell,
        lambda done, wanted: progress("drawing crops", done, wanted),
    )
    tools = make_tools(job, body, tell, progress)
    tools = replace(tools, trained=Trainer(job.out.parent, pantry, tools, machine, job.backbone))
    if isinstance(recipe, Pose2dRecipe):
        began = time.perf_counter()
        backbone = None if given is None else given["image"]
        found = train_pose2d(recipe, job.out, pantry, tools, machine, resume=job.resume, backbone=backbone)
        spent = {"training": time.perf_counter() - began}
        return Finished(found.weights, found.weights, {ERROR: found.error}, recipe.steps, spent), [
            found.weights
        ]
    if isinstance(recipe, CenRecipe):
        began = time.perf_counter()
        judge = train_cen_network(recipe, job.out, pantry, tools, machine, resume=job.resume)
        spent = {"training": time.perf_counter() - began}
        errors = {DISTANCE: judge.error}
        return Finished(judge.weights, judge.weights, errors, recipe.steps, spent), [judge.weights]
    done = train(recipe, job.out, pantry, tools, machine, resume=job.resume, backbones=given)
    if not done.leads:
        return done, []
    files = [path for path in (done.best, done.last) if path.exists()]
    if done.best.exists():
        files.append(done.best.with_suffix(".md"))
        write_atomic(files[-1], _card(job, recipe, done).encode())
    return done, files


def _given(backbone: str | None, recipe: AnyRecipe) -> dict[str, str | Path] | None:
    """Weights of every role of a recipe's network; None where its backbones begin as the recipe says.

    Raises:
        InputError: if the recipe says where they begin, and nobody else wants any.
    """
    if backbone is None:
        return None
    begin = getattr(recipe, "begin", None)
    if begin is None:
        return {role: find_backbone(backbone, name) for role, name in _roles(recipe).items()}
    if not any(before.start == "classifier" for before in _all_before(recipe)):
        raise InputError(
            f"--backbone: this recipe begins with the backbone of {begin.name!r}, which is trained first; leave it "
            "out, or --set begin=none"
        )
    return None


def _all_before(recipe: AnyRecipe) -> list[AnyRecipe]:
    """Recipes that have to be trained before one, and before these."""
    return [r for before in recipes_before(recipe) for r in (before, *_all_before(before))]


@dataclass(frozen=True, eq=False)
class Trainer:
    """Trains the networks that others need, each once, into folders beside each other.

    Attributes:
        parent: of the folders, which `folder_of` names.
        pantry, tools, machine: as of the run that needs them.
        backbones: as of `train_recipe`.
    """

    parent: Path
    pantry: Pantry
    tools: Tools
    machine: Machine
    backbones: str | Path | None = None

    def __call__(self, recipe: AnyRecipe) -> Path:
        """Folder of a finished run; a run that was stopped is gone on with.

        Raises:
            InputError: see `bodyloop.train.run.train`.
        """
        out = folder_of(recipe, self.parent)
        if not (out / LAST).exists():
            self.tools.tell(f"{recipe.name} first, into {out}")
            tools = replace(self.tools, trained=self)
            train_recipe(recipe, out, self.pantry, tools, self.machine, self.backbones)
        return out


def train_recipe(
    recipe: AnyRecipe,
    out: Path,
    pantry: Pantry,
    tools: Tools,
    machine: Machine,
    backbones: str | Path | None = None,
) -> dict[str, float]:
    """Train by a recipe of either kind, going on with what is there; errors on its validation people by name.

    Args:
        recipe: what to do.
        out, pantry, tools, machine: as of `bodyloop.train.run.train`.
        backbones: classifiers' weights for recipes that begin with them, as for `find_backbone`.

    Raises:
        InputError: see `bodyloop.train.run.train` and `find_backbone`.
    """
    given: dict[str, str | Path] | None = None
    if backbones is not None and recipe.start == "classifier" and getattr(recipe, "begin", None) is None:
        given = {role: find_backbone(backbones, name) for role, name in _roles(recipe).items()}
    if isinstance(recipe, Pose2dRecipe):
        backbone = None if given is None else given["image"]
        found = train_pose2d(recipe, out, pantry, tools, machine, resume=True, backbone=backbone)
        return {ERROR: found.error}
    return train(recipe, out, pantry, tools, machine, resume=True, backbones=given).errors


def _roles(recipe: AnyRecipe) -> dict[str, str]:
    """The names of a network's backbones."""
    if isinstance(recipe, Pose2dRecipe):
        return {"image": recipe.network.backbone}
    return {role: name for role, (name, _) in build(recipe.network).backbones().items()}


def _surface(job: TrainingJob) -> Surface | None:
    """The atlas of the job's body."""
    if job.body is None:
        for name in ("atlas", "mirror"):
            if getattr(job, name) is not None:
                raise InputError(f"--{name}: is for SMPL's own body; give that with --body, or leave it out")
        return Surface.builtin()
    if job.atlas is None:
        return None
    mirror = None if job.mirror is None else read_densepose_mirror(job.mirror)
    if mirror is None:
        raise InputError("--atlas: give --mirror UV_symmetry_transforms.mat too, for crops that are mirrored")
    return Surface(read_densepose_atlas(job.atlas), mirror)


def make_tools(job: TrainingJob, body: BodyModel, tell: Tell, progress: Progress) -> Tools:
    """What a run takes from rooms above."""

    def fit(evidence: Evidence, camera: Camera, start: str) -> Bodies:
        return fit_people(
            evidence,
            camera,
            body,
            starts=("mean",) if start == "mean" else ("lifter", "mean"),
            prior="flow" if start == "flow" else "gmm",
        ).bodies

    def alternatives(evidence: Evidence, camera: Camera, count: int) -> list[Bodies]:
        return [fits.bodies for fits in fit_alternatives(evidence, camera, body, candidates=count).ranks]

    pictures, real = Pictures(body), _real_poses(job, tell)
    return Tools(measure, fit, pictures, real, tell, progress, alternatives=alternatives)


def measure(found: Bodies, truth: Bodies, body: BodyModel) -> dict[str, Tensor]:
    """Errors (N,) in mm over SMPL's joints and all vertices, from the pelvis or after a similarity."""
    joints, true = body.joints(found), body.joints(truth)
    mesh = pve(body.vertices(found), body.vertices(truth), joints[:, 0], true[:, 0])
    errors = {"mpjpe_mm": mpjpe(joints, true), "pa_mpjpe_mm": pa_mpjpe(joints, true), "pve_mm": mesh}
    return {name: values.cpu() for name, values in errors.items()}


@dataclass(frozen=True, eq=False)
class Pictures:
    """Crops beside the bodies found in them."""

    body: BodyModel

    def __call__(self, path: Path, batch: Batch, found: Bodies) -> None:
        """Write them, in pairs."""
        from bodyloop.view import overlay, save_picture
        from bodyloop.view.draw import contact_sheet

        pictures = []
        shown = (255 * batch.image).round().byte().movedim(1, -1).cpu().numpy()
        bodies = found.to(self.body.v_template)
        focal, center = batch.camera.focal.cpu(), batch.camera.center.cpu()
        for i, pixels in enumerate(np.ascontiguousarray(shown)):
            camera = Camera(focal[i], center[i], batch.camera.size)
            pictures += [pixels, overlay(pixels, self.body, bodies[i : i + 1], camera)]
        save_picture(path, contact_sheet(pictures, 8, cell=shown.shape[1] + 4))


def _real_poses(job: TrainingJob, tell: Tell) -> Callable[[int, torch.Generator], Tensor]:
    """Poses that people take: of motion capture where there is some, else of the flow that ships."""
    made: dict[str, Any] = {}

    def draw(count: int, generator: torch.Generator) -> Tensor:
        if job.mocap is not None:
            if not made:
                made["poses"] = read_poses(job.mocap, "train", POSES_APART, job.cache, tell)
            pose = made["poses"].draw(count, generator).float()
            return axis_angle_to_rotmat(pose[:, 3:].unflatten(1, (23, 3)))
        if not made:
            made["prior"] = load_prior("flow")
        prior: LatentPrior = made["prior"]
        with torch.no_grad():
            return prior.sample(count, generator)

    return draw


def _card(job: TrainingJob, recipe: Recipe, done: Finished) -> str:
    """The model card of the best weights."""
    network = load_estimator(done.best)
    numbers = sum(parameter.numel() for parameter in network.parameters())
    errors = ", ".join(f"{name.removesuffix('_mm')} {value:.1f} mm" for name, value in done.errors.items())
    data = "; ".join(f"{phase.name}: {', '.join(map(str, phase.data))}" for phase in recipe.phases)
    lines = [
        f"Recipe: {recipe.name} ({recipe.source}), {recipe.steps:,} steps of {recipe.optimiser.batch} people, seed "
        f"{recipe.seed}; all settings are in recipe.json beside this card.",
        f"Network: {type(recipe.network).__name__}, {numbers:,} numbers, looks at {' and '.join(recipe.inputs)} of "
        f"{recipe.network.resolution} pixels.",
        f"Data: {data}.",
        f"Validation: {recipe.validation}; best after step {done.best_step:,}: {errors}.",
        f"Command: `{_command(job)}`, bodyloop {__version__}.",
    ]
    return card_text(
        "Regression network", "From crops of people to SMPL parameters, trained by bodyloop.", lines
    )


def _command(job: TrainingJob) -> str:
    """What to type for the same weights; files by their names alone."""
    words = ["bodyloop train", Path(job.recipe).name, "-o DIR"]
    if not job.recipe.endswith(".json"):
        words.append(f"--scale {job.scale or 'cpu'}")
    if job.set:
        words.append(f"--set {' '.join(job.set)}")
    for name in ("mocap", "body", "atlas", "mirror", "backbone"):
        if (value := getattr(job, name)) is not None:
            words.append(f"--{name} {Path(value).name}")
    for name, usual in (("devices", 1), ("nodes", 1), ("precision", "32-true")):
        if (value := getattr(job, name)) != usual:
            words.append(f"--{name} {value}")
    return " ".join([*words, *(["--channels-last"] if job.channels_last else [])])


@dataclass(frozen=True)
class ExportJob:
    """Write a network for whoever runs it without torch.

    Attributes:
        weights: of a network that bodyloop trained.
        onnx: file to write.
    """

    weights: Path
    onnx: Path


def export_network(job: ExportJob) -> Path:
    """Write the ONNX file; returns it.

    Raises:
        InputError: no such weights, or a file that cannot be written.
    """
    from bodyloop.nets.onnx import export_onnx

    if job.onnx.suffix != ".onnx":
        raise InputError(f"--onnx {job.onnx}: expected the name of a file that ends in .onnx")
    export_onnx(load_estimator(job.weights), job.onnx)
    return job.onnx
