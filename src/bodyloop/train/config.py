"""Everything that a training run depends on, as frozen dataclasses; `bodyloop.train.recipes` makes the papers'."""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from bodyloop.data.augment import AugmentConfig
from bodyloop.data.labels import NO_ERRORS, DenseErrors, Labels
from bodyloop.data.splits import SplitName
from bodyloop.data.synthetic import get_domain
from bodyloop.data.synthetic.domains import DomainName
from bodyloop.errors import InputError
from bodyloop.fit.problem import EnergyWeights
from bodyloop.nets.build import Config
from bodyloop.nets.estimator import InputKind
from bodyloop.nets.mrt import MrtConfig
from bodyloop.nets.pose2d import Pose2dConfig
from bodyloop.nets.two_branch import TwoBranchConfig
from bodyloop.terms import Distance
from bodyloop.train.settings import LATER

Scale = Literal["smoke", "cpu", "gpu"]


@dataclass(frozen=True)
class FileLabels:
    """Bodies in a file of the fits dictionary's form (`bodyloop.train.fits.FitsDictionary`).

    Attributes:
        path: of the file; a row a person, in the data set's order.
    """

    path: str = ""


@dataclass(frozen=True)
class FitLabels:
    """Fits to the 2D keypoints that are labelled.

    Attributes:
        start: "lifter", poses regressed from the keypoints; "mean", the mean pose, as SMPLify's; "flow", the lifter's,
            fitted on under the flow prior in its latent space.
        threshold: as of `FitLoop`; worse fits do not supervise.
    """

    start: Literal["lifter", "mean", "flow"] = "lifter"
    threshold: float = 0.05


@dataclass(frozen=True)
class CandidateLabels:
    """Fits from several candidates of the pool, of which the consistency network that ships chooses (MION).

    Attributes:
        count: candidates of each person.
        threshold: as of `FitLabels`.
    """

    count: int = 5
    threshold: float = 0.05


@dataclass(frozen=True, repr=False)
class NetworkLabels:
    """What a network that another recipe trains says of its own training pictures (Moon et al. 2023, section 2.1).

    Attributes:
        recipe: of the annotation network f.
    """

    recipe: "Recipe"

    def __repr__(self) -> str:
        return f"NetworkLabels({self.recipe.name})"


@dataclass(frozen=True, repr=False)
class LoopLabels:
    """The best fits of a run with fits in the loop, at its end: SPIN's labels.

    Attributes:
        recipe: of the run, on the same people.
        threshold: as of `FitLabels`.
    """

    recipe: "Recipe"
    threshold: float = 0.05

    def __repr__(self) -> str:
        return f"LoopLabels({self.recipe.name})"


Teacher = FileLabels | FitLabels | CandidateLabels | NetworkLabels | LoopLabels
"""Who says what the bodies of people are whom nobody labelled in 3D; `bodyloop.train.teachers` asks them."""


@dataclass(frozen=True)
class SyntheticData:
    """Synthetic people.

    Attributes:
        domain, seed, split, size: as for `SyntheticPeople`.
        count: people.
        poses: of the flow that ships, or of motion capture.
        weight: share of the batches, next to other data sets'.
        skeleton: keypoint set that is labelled in 2D; every landmark there is if None.
        labels: shares of the people that keep each kind of label.
        errors: of the dense keypoints.
        teacher: of people without 3D labels; nobody if None.
        subjects: split whose subjects' motion capture gives the poses; that of `split` if None.
    """

    domain: DomainName = "wild"
    count: int = 10_000
    seed: int = 0
    split: SplitName = "train"
    size: int = 160
    poses: Literal["flow", "mocap"] = "flow"
    weight: float = 1.0
    skeleton: str | None = None
    labels: Labels = field(default_factory=Labels)
    errors: DenseErrors = NO_ERRORS
    teacher: Teacher | None = field(default=None, metadata=LATER)
    subjects: SplitName | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        get_domain(self.domain)
        if self.count < 1 or self.weight < 0:
            raise InputError(
                f"data need a count from 1 and a weight from 0, got {self.count}, {self.weight:g}"
            )


@dataclass(frozen=True)
class RecordData:
    """A data set in a format that bodyloop reads (docs/formats.md).

    Attributes:
        path, format, images, split, masks, annotations: as of `DatasetSpec`.
        partition: of its maps of parts: "smpl" for SURREAL's, "densepose" for DensePose's.
        weight, skeleton, labels, teacher: as of `SyntheticData`.
    """

    path: str = ""
    format: str | None = None
    images: str | None = None
    split: str | None = None
    partition: str = "smpl"
    weight: float = 1.0
    skeleton: str | None = None
    labels: Labels = field(default_factory=Labels)
    teacher: Teacher | None = field(default=None, metadata=LATER)
    masks: str | None = field(default=None, metadata=LATER)
    annotations: str | None = field(default=None, metadata=LATER)


Data = SyntheticData | RecordData


@dataclass(frozen=True)
class Supervision:
    """Weights of the losses (`bodyloop.terms`); 0 leaves one out.

    Attributes:
        joints, joint_distance: 3D joints.
        rotations, betas, parameter_distance: SMPL parameters.
        mesh, mesh_distance: vertices.
        keypoints, keypoint_distance: 2D keypoints.
        detected: factor of the confidence of those that a detector found; SPIN's released code has 0, and leaves them
            to its fits.
        dense, dense_distance: dense keypoints.
        parts, partition: part alignment, and the parts.
        prior, pose_prior: the pose's energy; "own" is that of a network's own latent space.
        shape: |betas|^2.
        scale: keeps weak-perspective scales above 0.
        adversarial: HMR's discriminators, trained along.
        heatmaps, part_maps: of networks that put these out; of Pose2Pose, the places of its joints.
        every_stage: all of the network's answers are judged, not the last alone.
    """

    joints: float = 0.0
    joint_distance: Distance = "squared"
    rotations: float = 0.0
    betas: float = 0.0
    parameter_distance: Distance = "squared"
    mesh: float = 0.0
    mesh_distance: Distance = "absolute"
    keypoints: float = 0.0
    keypoint_distance: Distance = "absolute"
    dense: float = 0.0
    dense_distance: Distance = "absolute"
    parts: float = 0.0
    partition: str = "densepose"
    prior: float = 0.0
    pose_prior: Literal["gmm", "flow", "vae", "own"] = "gmm"
    shape: float = 0.0
    scale: float = 0.0
    adversarial: float = 0.0
    heatmaps: float = 0.0
    part_maps: float = 0.0
    every_stage: bool = False
    detected: float = field(default=1.0, metadata=LATER)


@dataclass(frozen=True)
class Phase:
    """A stretch of training.

    Attributes:
        name: for the log.
        steps: of the optimiser.
        data: what is drawn from.
        losses: what it is trained by.
    """

    name: str
    steps: int
    data: tuple[Data, ...]
    losses: Supervision

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.data:
            raise InputError(
                f"a phase needs a step and a data set at least, got {self.steps} and {len(self.data)}"
            )


@dataclass(frozen=True)
class Optimiser:
    """Adam.

    Attributes:
        rate: of learning.
        schedule: "constant", as in most papers; "drop" falls to a tenth after a third of each phase (MION, section
            3.4); "cosine" rises over the first hundredth of each phase and falls to 0 at its end.
        batch: people a step, over all devices.
        decay: of the weights (AdamW).
        clip: longest gradient; None for any.
        adversary_rate: of the discriminators.
    """

    rate: float = 1e-4
    schedule: Literal["constant", "drop", "cosine"] = "constant"
    batch: int = 64
    decay: float = 0.0
    clip: float | None = None
    adversary_rate: float = 1e-4

    def __post_init__(self) -> None:
        if self.batch < 2 or self.rate <= 0 or self.adversary_rate <= 0 or self.decay < 0:
            raise InputError(
                f"the optimiser needs a batch from 2 and rates above 0, got {self.batch}, {self.rate:g}, "
                f"{self.adversary_rate:g}, decay {self.decay:g}"
            )

    def rate_at(self, step: int, steps: int) -> float:
        """Rate of a step, from 0 on, of a phase of so many."""
        if self.schedule == "constant":
            return self.rate
        if self.schedule == "drop":
            return self.rate if 3 * step < steps else self.rate / 10
        warm = max(1, steps // 100)
        return self.rate * min((step + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * step / steps))


@dataclass(frozen=True)
class FitLoop:
    """SPIN's collaboration with the fitter (Kolotouros et al. 2019, sections 3.4 and 3.5).

    Attributes:
        mode: "static": the fits made before the training supervise it ("Ours - static fits" in table 1); "in_loop":
            the network's answers start fits within every step, and the best fit of each person so far supervises;
            "unpaired": the same, without any 3D label (section 4.2).
        initial: start of the fits made before the training: "lifter", poses regressed from the keypoints, as the paper
            prefers, or "mean", the mean pose.
        steps: most iterations of a fit in the loop. Second-order ones: the paper takes 50 first-order ones.
        weights: of the fit's energy, SPIN's if not given. With an anchor, the fit stays near the network's pose as it
            does near a lifter's: SPIN takes that pose as a start alone, and where the keypoints say nothing of depth
            its fits forget it.
        spread: radians by which the network's joints are taken to be off, for the anchor.
        threshold: fits with a larger mean reprojection error, as a share of the person's extent in the image, do not
            supervise; SPIN's released threshold on its loss corresponds to about this.
        most_beta: nor do shape coefficients beyond this; they are pulled to the mean instead.
    """

    mode: Literal["static", "in_loop", "unpaired"] = "in_loop"
    initial: Literal["lifter", "mean"] = "lifter"
    steps: int = 10
    weights: EnergyWeights = field(default_factory=EnergyWeights)
    spread: float = 0.3
    threshold: float = 0.05
    most_beta: float = 3.0


@dataclass(frozen=True)
class CandidateStart:
    """Candidates that a network makes better (MION, Liu et al. 2021, section 3.1).

    Attributes:
        count: of each person; a step takes one of them at random, validation the one that meets the keypoints best.
        noise: standard deviation of the keypoints that they are found by, as a share of the box. The paper's are a
            detector's.
    """

    count: int = 10
    noise: float = 0.02

    def __post_init__(self) -> None:
        if self.count < 1 or self.noise < 0:
            raise InputError(
                f"candidates need a count from 1 and noise from 0, got {self.count}, {self.noise:g}"
            )


@dataclass(frozen=True)
class Pose2dRecipe:
    """Everything that the training of a 2D pose network depends on.

    Attributes:
        name: of the recipe.
        source: where its numbers come from.
        network: which one.
        data: what is drawn from.
        validation: people with 2D labels, for the log.
        steps: of the optimiser.
        optimiser: rates as of one phase.
        augment: how crops are changed; its resolution is made the network's.
        spread: standard deviation of the heatmaps' Gaussians, in cells.
        report_every: steps between lines of the log, and between states to go on from.
        seed: of everything.
        start: of the backbone: random weights, or a classifier's, which have to be given.
    """

    name: str
    source: str
    network: Pose2dConfig
    data: tuple[Data, ...]
    validation: Data
    steps: int
    optimiser: Optimiser = field(default_factory=Optimiser)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    spread: float = 2.0
    report_every: int = 500
    seed: int = 0
    start: Literal["random", "classifier"] = "random"

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.data or self.report_every < 1 or self.seed < 0 or self.spread <= 0:
            raise InputError(
                "a 2D pose network needs a step, a data set, a spread above 0 and steps between reports, got "
                f"{self.steps}, {len(self.data)}, {self.spread:g}, {self.report_every} and seed {self.seed}"
            )
        same = replace(self.augment, resolution=self.network.resolution)
        object.__setattr__(self, "augment", same)

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, from 0 on."""
        return self.optimiser.rate_at(step, self.steps)


@dataclass(frozen=True)
class Recipe:
    """Everything that a training run depends on.

    Attributes:
        name: of the recipe.
        source: where its numbers come from.
        network: which one; its inputs are the training's.
        phases: one after the other.
        validation: people with 3D labels, on whom the best weights are chosen.
        optimiser: of all phases.
        augment: how crops are changed; its resolution is made the network's.
        loop: SPIN's, if any.
        mesh_points: vertices, spread over the body, that mesh and part losses look at; 0 for all.
        part_map: side of the maps of parts that are labels.
        choose: the error on the validation people by which the best weights are chosen.
        validate_every, save_every, log_every: steps.
        seed: of everything.
        start: of its backbones: random weights, those of the small backbone that ships, or a classifier's, which have
            to be given.
        begin: network, trained by a recipe of its own, with whose backbone this one's begin instead.
        candidates: for networks that start from some.
        versions: if not 0, backbones stay as they begin, and what they make of so many changed versions of each crop is
            kept on disk: a step then costs a small part of what it does else, and draws one of the versions.
    """

    name: str
    source: str
    network: Config
    phases: tuple[Phase, ...]
    validation: Data
    optimiser: Optimiser = field(default_factory=Optimiser)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loop: FitLoop | None = None
    mesh_points: int = 600
    part_map: int = 28
    choose: Literal["pa_mpjpe_mm", "mpjpe_mm", "pve_mm"] = "pa_mpjpe_mm"
    validate_every: int = 500
    save_every: int = 100
    log_every: int = 20
    seed: int = 0
    start: Literal["random", "shipped", "classifier"] = "random"
    begin: "Recipe | Pose2dRecipe | None" = field(default=None, metadata=LATER)
    candidates: CandidateStart | None = field(default=None, metadata=LATER)
    versions: int = field(default=0, metadata=LATER)

    def __post_init__(self) -> None:
        if not self.phases:
            raise InputError("a recipe needs a phase at least")
        if isinstance(self.network, MrtConfig) != (self.candidates is not None):
            raise InputError("a network that starts from candidates, and no other, needs to be told of them")
        same = replace(self.augment, resolution=self.network.resolution)
        object.__setattr__(self, "augment", same)
        if min(self.validate_every, self.save_every, self.log_every) < 1 or self.seed < 0:
            raise InputError("steps between events are at least 1, and a seed is at least 0")
        if self.versions < 0 or (self.versions and self.start == "random" and self.begin is None):
            raise InputError(
                "versions: features are kept of backbones that were trained before; set start=shipped, or versions=0"
            )

    @property
    def steps(self) -> int:
        """Of all phases."""
        return sum(phase.steps for phase in self.phases)

    @property
    def inputs(self) -> tuple[InputKind, ...]:
        """What the network looks at."""
        return self.network.inputs if isinstance(self.network, TwoBranchConfig) else ("image",)

    def phase_at(self, step: int) -> int:
        """Number of the phase that a step, from 0 on, belongs to."""
        end = 0
        for number, phase in enumerate(self.phases):
            end += phase.steps
            if step < end:
                return number
        raise ValueError(f"step {step} of {self.steps}")

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, from 0 on, of all."""
        number = self.phase_at(step)
        before = sum(phase.steps for phase in self.phases[:number])
        return self.optimiser.rate_at(step - before, self.phases[number].steps)


AnyRecipe = Recipe | Pose2dRecipe


def recipes_before(recipe: AnyRecipe) -> tuple[AnyRecipe, ...]:
    """Recipes that have to be trained before one: those of its teachers, and the one it begins with."""
    if isinstance(recipe, Pose2dRecipe):
        return ()
    teachers = (data.teacher for phase in recipe.phases for data in phase.data)
    found: list[AnyRecipe] = [t.recipe for t in teachers if isinstance(t, NetworkLabels | LoopLabels)]
    if recipe.begin is not None:
        found.append(recipe.begin)
    return tuple(dict.fromkeys(found))
