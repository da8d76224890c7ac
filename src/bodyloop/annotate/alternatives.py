"""Several bodies of each person: candidates of the pool, each fitted (MION, Liu et al. 2021, stage 1).

One 2D pose has many 3D poses. The candidates are far apart and all meet the keypoints; a fit from each keeps what its
start knows of the depth. Which of them is right, energy or the picture must say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bodyloop.annotate.people import StartKind, alike, fit_people, one_by_one
from bodyloop.body import Bodies, BodyModel, builtin_body
from bodyloop.evidence import Evidence
from bodyloop.fit import FitConfig, FitProblem, Fits, Fitter, Hypotheses, Start, Surface
from bodyloop.fit.pool import CandidatePool, default_pool
from bodyloop.geometry import Camera
from bodyloop.priors.gmm import default_mixture


@dataclass(frozen=True, eq=False)
class Alternatives:
    """K bodies of each of N people, those of lower energy first.

    Attributes:
        ranks: K fits of the same N people; energies of a person are comparable, since all are scored with the same
            noise of the keypoints. `Fits.start` tells candidates apart: "candidate 1" met the keypoints best.
    """

    ranks: tuple[Fits, ...]

    def __post_init__(self) -> None:
        if not self.ranks or len({len(fits) for fits in self.ranks}) != 1:
            raise ValueError("alternatives need at least one fit, all of the same people")

    def __len__(self) -> int:
        return len(self.ranks)

    def chosen(self, rank: Tensor) -> Fits:
        """Of each person the body of one rank (N,) int64, 0 for the lowest energy; `Fits.tried` are all of them."""
        people = len(self.ranks[0])
        every = Fits.cat(list(self.ranks))
        found = every[rank.cpu() * people + torch.arange(people)]
        return replace(found, camera=self.ranks[0].camera, tried=self.hypotheses)

    @property
    def hypotheses(self) -> Hypotheses:
        """All bodies of all people."""
        every, people = Fits.cat(list(self.ranks)), len(self.ranks[0])
        person = torch.arange(people, device=every.energy.device).repeat(len(self.ranks))
        return Hypotheses(every.bodies, person, every.energy, every.start)

    @property
    def best(self) -> Fits:
        """Of each person the body of the lowest energy."""
        return self.ranks[0]


@torch.no_grad()
def fit_alternatives(
    evidence: Evidence,
    camera: Camera,
    body: BodyModel | None = None,
    config: FitConfig | None = None,
    candidates: int = 5,
    starts: tuple[StartKind, ...] = (),
    surfaces: Sequence[Surface] | None = None,
    pool: CandidatePool | None = None,
) -> Alternatives:
    """Fit each person from several candidates, and keep them all.

    Args:
        evidence, camera, body, config, surfaces: as of `fit_people`.
        candidates: of each person.
        starts: of one more fit, which is then an alternative too (`fit_people`).
        pool: the one that ships if None.

    Raises:
        ValueError: as of `fit_people`, or with a count of candidates that the pool does not have.
    """
    body = builtin_body() if body is None else body
    if surfaces and len(surfaces) == len(evidence) and not alike(surfaces):
        people = [
            fit_alternatives(evidence[one], lens, body, config, candidates, starts, surface, pool)
            for one, lens, surface in one_by_one(camera, surfaces)
        ]
        return Alternatives(
            tuple(
                replace(Fits.cat(list(same)), camera=camera)
                for same in zip(*(p.ranks for p in people), strict=True)
            )
        )
    config = config or FitConfig()
    pool = pool or default_pool()
    fitter = Fitter(body, default_mixture(), config)
    found = pool.search(body, FitProblem.build(body, evidence, camera), candidates)
    fits = [
        fitter(
            evidence,
            camera,
            [Start(f"candidate {c + 1}", _candidate(found.bodies, c), oriented=True)],
            surfaces=surfaces,
        )
        for c in range(candidates)
    ]
    if starts:
        fits.append(fit_people(evidence, camera, body, config, starts, surfaces=surfaces))
    return _ranked(fitter, fits, surfaces)


def _ranked(fitter: Fitter, fits: list[Fits], surfaces: Sequence[Surface] | None) -> Alternatives:
    """Scored alike, by energy."""
    first = fits[0]
    noise = torch.stack([f.noise for f in fits]).nan_to_num(torch.inf).amin(0)
    known = None if bool(noise.isinf().any()) else noise  # nobody estimates noise in some configurations
    scored = [
        replace(
            fitter.scored("", f.bodies, f.evidence, f.camera, noise=known, surfaces=surfaces), start=f.start
        )
        for f in fits
    ]
    every, people = Fits.cat(scored), len(first)
    order = every.energy.nan_to_num(torch.inf).reshape(len(fits), people).argsort(dim=0, stable=True)
    index = order * people + torch.arange(people, device=order.device)
    return Alternatives(tuple(replace(every[rank], camera=first.camera) for rank in index))


def _candidate(bodies: Bodies, number: int) -> Bodies:
    """One candidate of each person, of (N, C) people."""
    return Bodies(bodies.rotations[:, number], bodies.betas[:, number], bodies.translation[:, number])
