"""Recipes of Moon et al., "Three Recipes for Better 3D Pseudo-GTs of 3D Human Mesh Estimation in the Wild", 2023.

An annotation network f learns from a studio's 3D labels and from 2D keypoints in the wild, half of each batch each
(section 1, "mixed-batch training"); what it says of the people in the wild then fully supervises an estimation network
g. The studio plays Human3.6M and MPI-INF-3DHP, the wild COCO, the bridge 3DPW.

The text at hand gives neither weights of the losses nor rates (they are in its supplement): those are ours. Losses are
L1, as in Pose2Pose's released code, in the balance of SPIN's.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from bodyloop.data.labels import Labels
from bodyloop.nets.build import Config
from bodyloop.nets.hmr import HmrConfig
from bodyloop.nets.pose2d import Pose2dConfig
from bodyloop.nets.pose2pose import Pose2PoseConfig
from bodyloop.nets.two_branch import TwoBranchConfig
from bodyloop.train.recipes import (
    CPU_RATE,
    SIZES,
    NetworkLabels,
    Optimiser,
    Phase,
    Pose2dRecipe,
    Recipe,
    Scale,
    Supervision,
    SyntheticData,
    Teacher,
    spin,
)

Bridge = Literal["none", "2d", "3d"]
Beginning = Literal["random", "classifier", "2d pose", "3d pose"]
PoseOutput = Literal["rotations", "vposer", "vposer + L2", "flow + L2"]
Estimating = Literal["pose2pose", "hmr", "two_branch"]

L2 = 1e-3
"""Weight of |code|^2 / 2."""
MORE = 95
"""People more in the wild, with 2D labels alone, for each of the bridge: as many as InstaVariety has for each of 3DPW's
(section 2.2, table 8)."""

_FLAT = Labels(dense=0.0, parts=0.0, iuv=0.0, three_d=0.0)
_WHOLE = replace(_FLAT, three_d=1.0)


@dataclass(frozen=True)
class Recipes:
    """Which of the paper's three recipes a network is trained by; as they stand, all of them.

    Attributes:
        bridge: the first: the bridge without labels, with 2D ones alone (table 9), or with its 3D labels.
        begin: the second: where the backbone begins: random weights, a classifier's (to be given), those of a 2D pose
            network, or those of a network that was trained for 3D poses (SPIN's, as EFT's; table 10).
        pose: the third: rotations, VPoser's code, the same with L2 on it; or a code of the flow with L2, which is its
            Gaussian: ours.
    """

    bridge: Bridge = "3d"
    begin: Beginning = "2d pose"
    pose: PoseOutput = "vposer + L2"


NO_RECIPES = Recipes("none", "random", "rotations")


def bridge_people(scale: Scale) -> int:
    """People of the bridge: few, as 3DPW's are beside COCO's and the studios'."""
    return max(4, SIZES[scale].people // 50)


def _people(domain: Literal["studio", "wild", "bridge"], scale: Scale, labels: Labels) -> SyntheticData:
    sizes = SIZES[scale]
    count = bridge_people(scale) if domain == "bridge" else sizes.people
    return SyntheticData(domain, count, size=sizes.picture, skeleton="coco17", labels=labels)


def _validation(scale: Scale) -> SyntheticData:
    return SyntheticData("bridge", SIZES[scale].validation, split="validation", size=SIZES[scale].picture)


def wild_people(scale: Scale) -> SyntheticData:
    """The people in the wild, with 2D labels alone: they get pseudo-labels."""
    return _people("wild", scale, _FLAT)


def more_people(scale: Scale) -> SyntheticData:
    """Other people in the wild, `MORE` for each of the bridge, with 2D labels alone (table 8)."""
    times = 2 if scale == "smoke" else MORE
    return replace(wild_people(scale), seed=2, count=times * bridge_people(scale))


def _mixture(wild: SyntheticData, scale: Scale, bridge: Bridge, more: bool) -> tuple[SyntheticData, ...]:
    """Half of the batches from the studio and half from the wild; what is added takes its share of the half with labels
    like its own: the bridge as much as the studio, whether its 3D labels count or not, more people as their number."""
    studio = _people("studio", scale, _WHOLE)
    added = more_people(scale)
    share = added.count / (added.count + wild.count) if more else 0.0
    data = [
        replace(studio, weight=0.5 if bridge == "none" else 0.25),
        replace(wild, weight=0.5 * (1 - share)),
    ]
    if bridge != "none":
        labels = _WHOLE if bridge == "3d" else _FLAT
        data.append(replace(_people("bridge", scale, labels), weight=0.25))
    if more:
        data.append(replace(added, weight=0.5 * share))
    return tuple(data)


def _network(kind: Estimating, scale: Scale, pose: PoseOutput) -> Config:
    if kind == "hmr":
        small = HmrConfig("resnet18", 8, 64, 64, dropout=0.1)
        return {"smoke": small, "cpu": HmrConfig.small(), "gpu": HmrConfig()}[scale]
    if kind == "two_branch":
        tiny = TwoBranchConfig(("image",), "resnet18", "resnet18", 8, 64, 64, "rot6d")
        return {"smoke": tiny, "cpu": TwoBranchConfig.small(), "gpu": TwoBranchConfig(main="resnet50")}[scale]
    space = replace(
        Pose2PoseConfig(),
        pose="direct" if pose == "rotations" else "latent",
        prior="flow" if pose == "flow + L2" else "vae",
    )
    if scale == "gpu":
        return space
    width, channels, depth = (8, 16, 4) if scale == "smoke" else (16, 64, 8)
    return replace(
        space, backbone="resnet18", width=width, resolution=64, channels=channels, depth=depth, levels=3
    )


def _losses(kind: Estimating, pose: PoseOutput) -> Supervision:
    return Supervision(
        joints=5.0,
        rotations=1.0,
        betas=0.1,
        keypoints=5.0,
        heatmaps=5.0 if kind == "pose2pose" else 0.0,
        prior=L2 if pose.endswith("L2") else 0.0,
        pose_prior="own",
        scale=1.0,
        joint_distance="absolute",
        parameter_distance="absolute",
    )


def _finished(recipe: Recipe, scale: Scale) -> Recipe:
    """With the scale's own batch, rate and steps where it is not the paper's."""
    if scale == "gpu":
        return recipe
    sizes = SIZES[scale]
    optimiser = Optimiser(CPU_RATE, "cosine", sizes.batch, clip=1.0)
    phases = tuple(replace(phase, steps=sizes.steps) for phase in recipe.phases)
    recipe = replace(recipe, phases=phases, optimiser=optimiser)
    if scale == "cpu":
        return recipe
    return replace(recipe, validate_every=2, save_every=2, log_every=1, mesh_points=60, part_map=14)


def pose2d(scale: Scale = "cpu") -> Pose2dRecipe:
    """A 2D pose network (Xiao et al. 2018) of the same people in the wild, with whose backbone others begin.

    Adam with 1e-3 in batches of 128, 140 epochs and a spread of 2 cells are the paper's (sections 2 and 3.1); its rate
    falls in two steps, ours as a cosine.
    """
    sizes, wild = SIZES[scale], wild_people(scale)
    people = replace(_validation(scale), domain="wild", skeleton="coco17")
    source = "Xiao et al. 2018, sections 2 and 3.1"
    if scale == "gpu":
        optimiser = Optimiser(1e-3, "cosine", 128)
        return Pose2dRecipe(
            "pose2d", source, Pose2dConfig(), (wild,), people, 140 * wild.count // 128, optimiser
        )
    network = Pose2dConfig.small()
    if scale == "smoke":
        network = replace(network, width=8, channels=16)
    return Pose2dRecipe(
        "pose2d",
        source,
        network,
        (wild,),
        people,
        sizes.steps,
        Optimiser(1e-3, "cosine", sizes.batch, clip=1.0),
        spread=1.0,
        report_every=2 if scale == "smoke" else 500,
    )


def pose3d(scale: Scale = "cpu") -> Recipe:
    """The 3D pose network that others begin with: SPIN, from random weights."""
    return replace(spin(scale), name="spin-random", start="random")


def _begun(recipe: Recipe, begin: Beginning, scale: Scale) -> Recipe:
    if begin in ("random", "classifier"):
        return replace(recipe, start=begin)
    return replace(recipe, begin=pose2d(scale) if begin == "2d pose" else pose3d(scale))


def moon_f(scale: Scale = "cpu", recipes: Recipes | None = None, more: bool = False) -> Recipe:
    """An annotation network f (section 2): 3D labels of a studio, 2D labels in the wild.

    Args:
        scale: see `bodyloop.train.recipes`.
        recipes: the paper's, all if None.
        more: with `MORE` people in the wild for each of the bridge (table 8).
    """
    chosen = recipes or Recipes()
    data = _mixture(wild_people(scale), scale, chosen.bridge, more)
    losses = replace(_losses("pose2pose", chosen.pose), shape=1e-3)
    recipe = Recipe(
        "moon-f",
        "Moon et al. 2023, section 2; weights and rates are ours",
        _network("pose2pose", scale, chosen.pose),
        (Phase("weak supervision", _epochs(data), data, losses),),
        _validation(scale),
        Optimiser(1e-4, batch=64),
    )
    return _begun(_finished(recipe, scale), chosen.begin, scale)


def moon_g(
    scale: Scale = "cpu",
    teacher: Teacher | None = None,
    kind: Estimating = "pose2pose",
    recipes: Recipes = NO_RECIPES,
) -> Recipe:
    """An estimation network g (section 2.1), fully supervised with what a teacher says of the people in the wild.

    Args:
        scale: see `bodyloop.train.recipes`.
        teacher: whose labels; those of f with all recipes if None.
        kind: of network.
        recipes: those that g is trained by as well (table 7); codes are Pose2Pose's alone.
    """
    teacher = NetworkLabels(moon_f(scale)) if teacher is None else teacher
    wild = replace(wild_people(scale), teacher=teacher)
    data = _mixture(wild, scale, recipes.bridge, False)
    pose: PoseOutput = recipes.pose if kind == "pose2pose" else "rotations"
    recipe = Recipe(
        "moon-g" if kind == "pose2pose" else f"moon-g-{kind.replace('_', '-')}",
        "Moon et al. 2023, section 2.1; weights and rates are ours",
        _network(kind, scale, pose),
        (Phase("full supervision", _epochs(data), data, _losses(kind, pose)),),
        _validation(scale),
        Optimiser(1e-4, batch=64),
    )
    return _begun(_finished(recipe, scale), recipes.begin, scale)


def tuned(f: Recipe, teacher: Teacher) -> Recipe:
    """The annotation network trained on with its own labels, instead of another network (table 6)."""
    first = f.phases[0]
    data = tuple(
        replace(d, teacher=teacher) if isinstance(d, SyntheticData) and d.domain == "wild" else d
        for d in first.data
    )
    phase = Phase("full supervision", first.steps, data, replace(first.losses, shape=0.0))
    return replace(f, phases=(*f.phases, phase))


def _epochs(data: tuple[SyntheticData, ...]) -> int:
    """Steps of 20 epochs of the people in the wild, in batches of 64."""
    return max(1, 20 * sum(d.count for d in data if d.domain == "wild") // 32)


MOON: dict[str, Callable[[Scale], Recipe]] = {
    "moon-f": moon_f,
    "moon-g": moon_g,
    "moon-g-hmr": lambda scale: moon_g(scale, kind="hmr"),
    "moon-g-two-branch": lambda scale: moon_g(scale, kind="two_branch"),
}
"""By name, for `bodyloop.train.recipes.RECIPES`."""
