"""Recipes: functions that return everything a training run depends on, as one frozen configuration.

Three scales of each: "gpu" has the paper's sizes; "cpu" trains a small network within the hour on two cores; "smoke"
shows within seconds that all works. Small networks start from the small backbones that ship, and learn with a higher
rate that falls to 0; those of which only vectors of features are wanted see by landmarks and leave that backbone as it
is. The papers' start from ImageNet's (`--backbone hub`) and keep theirs. Data sets are the synthetic
domains in the place of the papers' own (see docs/synthetic.md); `RecordData` names real ones.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from bodyloop.data.augment import AugmentConfig
from bodyloop.data.labels import NO_ERRORS, DenseErrors, Labels
from bodyloop.data.synthetic.domains import DomainName
from bodyloop.errors import InputError
from bodyloop.fit.problem import MATCHED, EnergyWeights
from bodyloop.nets.estimator import InputKind
from bodyloop.nets.hmr import HmrConfig
from bodyloop.nets.mrt import Encoding, MrtConfig
from bodyloop.nets.multistage import MultistageConfig
from bodyloop.nets.two_branch import TwoBranchConfig
from bodyloop.train.config import (
    CandidateStart,
    Data,
    FitLoop,
    Optimiser,
    Phase,
    Recipe,
    Scale,
    Supervision,
    SyntheticData,
)


@dataclass(frozen=True)
class _Sizes:
    """What differs between the scales.

    Attributes:
        people: of each data set.
        picture: their pictures' side.
        batch: of the scales that are not the paper's.
        steps: of the scales that are not the paper's.
        validation: people.
    """

    people: int
    picture: int
    batch: int
    steps: int
    validation: int


SIZES: dict[Scale, _Sizes] = {
    "smoke": _Sizes(8, 96, 4, 4, 4),
    "cpu": _Sizes(10_000, 160, 64, 4000, 200),
    "gpu": _Sizes(50_000, 320, 64, 0, 1000),
}

CPU_RATE, SIGHTED_RATE = 5e-4, 1e-3
VERSIONS = 6
"""Of each crop, whose features small networks keep that see by landmarks."""


def _epochs(epochs: int, data: tuple[Data, ...], batch: int) -> int:
    """Steps in which as many people are drawn as so many epochs have."""
    people = sum(d.count for d in data if isinstance(d, SyntheticData))
    return max(1, epochs * people // batch)


def _finished(recipe: Recipe, scale: Scale) -> Recipe:
    """With the scale's crops, and its own numbers of steps where it is not the paper's."""
    if scale == "gpu":
        return recipe
    sizes, count = SIZES[scale], len(recipe.phases)
    optimiser = replace(recipe.optimiser, batch=sizes.batch, rate=CPU_RATE, schedule="cosine", clip=1.0)
    phases = tuple(replace(phase, steps=max(1, sizes.steps // count)) for phase in recipe.phases)
    if scale == "smoke":
        every = {"validate_every": 2, "save_every": 2, "log_every": 1, "mesh_points": 60, "part_map": 14}
        return replace(recipe, phases=phases, optimiser=optimiser, **every)  # type: ignore[arg-type]
    if isinstance(recipe.network, HmrConfig | MrtConfig | TwoBranchConfig):
        if not isinstance(recipe.network, MrtConfig):
            optimiser = replace(optimiser, rate=SIGHTED_RATE)
        return replace(recipe, phases=phases, optimiser=optimiser, start="shipped", versions=VERSIONS)
    return replace(recipe, phases=phases, optimiser=optimiser, start="shipped")


def _synthetic(domain: DomainName, scale: Scale, labels: Labels, weight: float = 1.0) -> SyntheticData:
    sizes = SIZES[scale]
    return SyntheticData(
        domain, sizes.people, size=sizes.picture, weight=weight, skeleton="coco17", labels=labels
    )


def _validation(scale: Scale) -> SyntheticData:
    sizes = SIZES[scale]
    return SyntheticData("bridge", sizes.validation, split="validation", size=sizes.picture)


_NO_3D = Labels(three_d=0.0)
_KEYPOINTS = Labels(dense=0.0, parts=0.0, iuv=0.0, three_d=0.0)


def _hmr(scale: Scale) -> HmrConfig:
    if scale == "smoke":
        return HmrConfig("resnet18", 8, 64, 64, dropout=0.1)
    return HmrConfig.sighted() if scale == "cpu" else HmrConfig()


def _two_branch(scale: Scale, inputs: tuple[InputKind, ...]) -> TwoBranchConfig:
    if scale == "smoke":
        return TwoBranchConfig(inputs, "resnet18", "resnet18", 8, 64, 64, "rot6d")
    if scale == "cpu":
        return TwoBranchConfig.sighted(inputs)
    return TwoBranchConfig(inputs, main="resnet101" if len(inputs) == 1 else "resnet50")


def rong(
    scale: Scale = "cpu",
    inputs: tuple[InputKind, ...] = ("image",),
    three_d: float = 1.0,
    dense: bool = True,
    sparse: bool = True,
    constrained: bool = True,
    three_d_of: Literal["pose and shape", "pose", "shape"] = "pose and shape",
    errors: DenseErrors = NO_ERRORS,
) -> Recipe:
    """Hybrid annotations (Rong et al. 2019), any cell of its table 3.

    First 3D labels of a constrained domain, then people in the wild; without any 3D labels there, those of the
    constrained domain stay half of the batches ("also used in training when there are no paired in-the-wild 3D
    annotations", section 4). Losses are the norms and sums of eq. 1 to 4; means over points would shift their balance
    towards the shape. Weights and optimiser are those of appendix C: 10, 1, 10 where 3D, dense and 2D losses are used
    together, whosever the 3D labels are, 10 for each of two, Adam with 1e-4 in batches of 128, 50 epochs. The paper
    does not say how long the first phase is: here as long as the second.

    Args:
        scale: see the module.
        inputs: image, IUV, parts, or image with one of these.
        three_d: share of the people in the wild with 3D labels.
        dense: dense keypoints supervise.
        sparse: 2D keypoints do.
        constrained: whether there are 3D labels of the constrained domain.
        three_d_of: what the 3D labels in the wild tell (table 4): of the pose alone rotations, of the shape betas; 3D
            joints tell of both.
        errors: of the dense keypoints in the wild (figures 5 and 6).
    """
    labelled, both = three_d > 0 or constrained, three_d_of == "pose and shape"
    losses = Supervision(
        joints=10.0 if labelled and both else 0.0,
        rotations=10.0 if labelled and three_d_of != "shape" else 0.0,
        betas=10.0 if labelled and three_d_of != "pose" else 0.0,
        keypoints=10.0 if sparse else 0.0,
        dense=(1.0 if labelled and sparse else 10.0) if dense else 0.0,
        scale=1.0,
        joint_distance="norm",
        parameter_distance="norm",
        keypoint_distance="sum",
        dense_distance="sum",
    )
    lab = _synthetic("studio", scale, Labels(dense=0.0))
    wild = replace(_synthetic("wild", scale, Labels(three_d=three_d)), errors=errors)
    first = replace(losses, joints=10.0, rotations=10.0, betas=10.0, keypoints=10.0, dense=0.0)
    phases = (Phase("constrained 3D", _epochs(50, (lab,), 128), (lab,), first),) if constrained else ()
    data = (wild,) if three_d or not constrained else (wild, lab)
    phases = (*phases, Phase("in the wild", _epochs(50, (wild,), 128), data, losses))
    recipe = Recipe(
        "rong",
        "Rong et al. 2019, section 3 and appendix C",
        _two_branch(scale, inputs),
        phases,
        _validation(scale),
        Optimiser(rate=1e-4, batch=128),
    )
    return _finished(recipe, scale)


def spin(
    scale: Scale = "cpu",
    mode: Literal["static", "in_loop", "unpaired"] = "in_loop",
    initial: Literal["lifter", "mean"] = "lifter",
    anchored: bool = False,
) -> Recipe:
    """SPIN (Kolotouros et al. 2019): 2D keypoints in the wild, fits in the loop; and 3D labels of a studio.

    The paper gives no weights. They, rate, batch and epochs are those of its released code (``utils/train_options.py``,
    ``train/trainer.py``): 2D and 3D keypoints 5, rotations 1, betas 0.001, mesh 0; its common factor of 60 does not
    matter to Adam.

    Args:
        scale: see the module.
        mode, initial: see `FitLoop`.
        anchored: fits in the loop stay near the network's pose, with our weights; the paper has SPIN's, and no anchor.
    """
    losses = Supervision(
        joints=5.0, rotations=1.0, betas=0.001, keypoints=5.0, keypoint_distance="squared", scale=1.0
    )
    lab = Labels(dense=0.0, parts=0.0, iuv=0.0, three_d=0.0 if mode == "unpaired" else 1.0)
    data = (_synthetic("studio", scale, lab, 0.3), _synthetic("wild", scale, _KEYPOINTS, 0.7))
    recipe = Recipe(
        "-".join(["spin", *([] if mode == "in_loop" else [mode]), *(["anchored"] if anchored else [])]),
        "Kolotouros et al. 2019, sections 3.2 to 3.5, and the released train_options.py",
        _hmr(scale),
        (Phase("loop", _epochs(50, data, 64), data, losses),),
        _validation(scale),
        Optimiser(rate=5e-5, batch=64),
        loop=FitLoop(mode, initial, weights=MATCHED if anchored else EnergyWeights()),
    )
    return _finished(recipe, scale)


def hmr(scale: Scale = "cpu", paired: bool = True) -> Recipe:
    """HMR (Kanazawa et al. 2018): 2D keypoints, discriminators against impossible poses, and 3D labels of a studio.

    Weights 60 for 2D and 3D, 1 for the discriminators, rates 1e-5 and 1e-4, batch 64, 75 epochs: its released
    ``do_train.sh``.

    Args:
        scale: see the module.
        paired: whether there are 3D labels at all.
    """
    losses = Supervision(
        joints=60.0,
        rotations=60.0,
        betas=60.0,
        keypoints=60.0,
        adversarial=1.0,
        scale=1.0,
    )
    lab = Labels(dense=0.0, parts=0.0, iuv=0.0, three_d=1.0 if paired else 0.0)
    data = (_synthetic("studio", scale, lab, 0.3), _synthetic("wild", scale, _KEYPOINTS, 0.7))
    recipe = Recipe(
        "hmr" if paired else "hmr-unpaired",
        "Kanazawa et al. 2018, sections 3.1 to 3.3, and the released do_train.sh",
        _hmr(scale),
        (Phase("adversarial", _epochs(75, data, 64), data, losses),),
        _validation(scale),
        Optimiser(rate=1e-5, batch=64, adversary_rate=1e-4),
    )
    return _finished(recipe, scale)


def zanfir(scale: Scale = "cpu", share: float = 1.0, parts: bool = True) -> Recipe:
    """Full, then weak supervision (Zanfir et al. 2020, section 2.3): L_fs + L_ws in a studio, then L_ws in the wild.

    30 epochs of the first are the paper's (section 3); of weights, rate, batch and the second's epochs it says nothing,
    and these are our choice.

    Args:
        scale: see the module.
        share: of the studio's people that have 3D labels (table 2).
        parts: KA + BA; otherwise KA alone (figure 4).
    """
    weak = Supervision(
        keypoints=5.0,
        keypoint_distance="squared",
        parts=0.5 if parts else 0.0,
        prior=1e-3,
        pose_prior="own",
        shape=1e-3,
        heatmaps=100.0,
        part_maps=0.1 if parts else 0.0,
        every_stage=True,
    )
    full = replace(weak, mesh=20.0, mesh_distance="squared", rotations=1.0, betas=0.01)
    lab = (_synthetic("studio", scale, Labels(dense=0.0, three_d=share)),)
    wild = (_synthetic("wild", scale, replace(_NO_3D, dense=0.0)),)
    network = (
        MultistageConfig("resnet18", 8, 64, "coco17", "densepose", 16, 3, 1, 1, 2)
        if scale == "smoke"
        else (MultistageConfig.small() if scale == "cpu" else MultistageConfig())
    )
    recipe = Recipe(
        "zanfir",
        "Zanfir et al. 2020, sections 2.2, 2.3 and 3",
        network,
        (
            Phase("full supervision", _epochs(30, lab, 64), lab, full),
            Phase("weak supervision", _epochs(10, wild, 64), wild, weak),
        ),
        _validation(scale),
        Optimiser(rate=1e-4, batch=64),
    )
    return _finished(recipe, scale)


def _mrt(scale: Scale, encoding: Encoding) -> MrtConfig:
    if scale == "smoke":
        return MrtConfig("resnet18", 8, 64, 24, 2, 1, 1, 32, encoding=encoding)
    return MrtConfig.small(encoding) if scale == "cpu" else MrtConfig(encoding=encoding)


def mrt(scale: Scale = "cpu", encoding: Encoding = "pncc") -> Recipe:
    """The mesh refinement transformer (Liu et al. 2021, sections 3.2 and 3.4): candidates, made better.

    Losses are the norms of eq. 6 to 9, with 1 for SMPL's parameters (of rotations and of betas, each its own norm) and
    5 for 3D and 2D joints; AdamW with 5e-5, a tenth of it after 20 of 60 epochs, batch 64, colour 0.6 to 1.4 and flips.
    Two of five pictures are turned, by a normal draw, cut off at 60 degrees. Data are mixed as SPIN's, whose sets the
    paper takes. Small networks correct the candidate's rotations (`MrtConfig.start`), the paper's put out their own.

    Args:
        scale: see the module.
        encoding: "pncc", or "place" (table 2).
    """
    losses = Supervision(
        joints=5.0,
        rotations=1.0,
        betas=1.0,
        keypoints=5.0,
        joint_distance="norm",
        parameter_distance="norm",
        keypoint_distance="norm",
        scale=1.0,
    )
    lab = Labels(dense=0.0, parts=0.0, iuv=0.0)
    data = (_synthetic("studio", scale, lab, 0.3), _synthetic("wild", scale, _KEYPOINTS, 0.7))
    recipe = Recipe(
        "mrt" if encoding == "pncc" else f"mrt-{encoding}",
        "Liu et al. 2021 (MION), sections 3.2 and 3.4",
        _mrt(scale, encoding),
        (Phase("candidates", _epochs(60, data, 64), data, losses),),
        _validation(scale),
        Optimiser(rate=5e-5, batch=64, decay=0.01, schedule="drop"),
        candidates=CandidateStart(2 if scale == "smoke" else 10),
    )
    return _finished(recipe, scale)


def everything(scale: Scale = "cpu") -> Recipe:
    """Our own: every label of every domain at once, for the best network that the synthetic people can make."""
    losses = Supervision(
        joints=10.0,
        rotations=5.0,
        betas=0.1,
        mesh=5.0,
        keypoints=5.0,
        dense=2.0,
        scale=1.0,
        every_stage=True,
    )
    domains: tuple[DomainName, ...] = ("studio", "wild", "bridge")
    shares = (0.15, 0.7, 0.15)
    data = tuple(
        replace(_synthetic(d, scale, Labels(), share), skeleton=None)
        for d, share in zip(domains, shares, strict=True)
    )
    recipe = Recipe(
        "everything",
        "our own",
        _hmr(scale),
        (Phase("every label", _epochs(60, data, 64), data, losses),),
        _validation(scale),
        Optimiser(rate=2e-4, batch=64, schedule="cosine", clip=1.0),
        augment=AugmentConfig(shift=0.05, occlusion_chance=0.3),
    )
    return _finished(recipe, scale)


def _moon(name: str) -> Callable[[Scale], Recipe]:
    """A recipe of Moon et al. 2023; they stand in a file of their own, which builds on this one."""

    def make(scale: Scale) -> Recipe:
        from bodyloop.train.moon import MOON

        return MOON[name](scale)

    return make


RECIPES: dict[str, Callable[[Scale], Recipe]] = {
    "rong": rong,
    "rong-iuv": lambda scale: rong(scale, ("iuv",)),
    "rong-parts": lambda scale: rong(scale, ("parts",)),
    "rong-image-iuv": lambda scale: rong(scale, ("image", "iuv")),
    "rong-image-parts": lambda scale: rong(scale, ("image", "parts")),
    "spin": spin,
    "spin-static": lambda scale: spin(scale, "static"),
    "spin-unpaired": lambda scale: spin(scale, "unpaired"),
    "spin-anchored": lambda scale: spin(scale, anchored=True),
    "hmr": hmr,
    "hmr-unpaired": lambda scale: hmr(scale, paired=False),
    "zanfir": zanfir,
    "mrt": mrt,
    "mrt-place": lambda scale: mrt(scale, "place"),
    "everything": everything,
    **{name: _moon(name) for name in ("moon-f", "moon-g", "moon-g-hmr", "moon-g-two-branch")},
}
"""Every recipe, by the name that the command line takes."""


def get_recipe(name: str, scale: str = "cpu") -> Recipe:
    """A recipe by name.

    Raises:
        InputError: for an unknown name or scale.
    """
    if name not in RECIPES:
        raise InputError(f"no recipe is called {name!r}; expected one of {', '.join(RECIPES)}")
    for known in SIZES:
        if known == scale:
            return replace(RECIPES[name](known), name=name)
    raise InputError(f"no scale is called {scale!r}; expected one of {', '.join(SIZES)}")
