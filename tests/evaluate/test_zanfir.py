"""Table 1 of Zanfir et al. 2020: claims judged by made-up figures, rows, and fits of a few made-up people."""

import math
from dataclasses import replace
from importlib import resources

import pytest
import torch

from bodyloop.body import BodyModel, get_skeleton
from bodyloop.body.parts import vertex_parts
from bodyloop.data.motion import Motion
from bodyloop.evaluate.claims import Claim
from bodyloop.evaluate.heldout import HeldOut, draw_people
from bodyloop.evaluate.tables import Figures, Row
from bodyloop.evaluate.zanfir import PARTS as PARTS_NAME
from bodyloop.evaluate.zanfir import Task, _best, _rows, fitted, measured, true_parts
from bodyloop.evaluate.zanfir_claims import METHODS, WITH_PARTS, Method, claims
from bodyloop.fit import EnergyWeights
from bodyloop.priors import load_prior
from bodyloop.priors.gmm import GaussianMixture
from bodyloop.terms import part_alignment

PAPERS = {m.name: Figures(*m.paper) for m in METHODS if m.paper is not None}
"""The paper's own figures, by which its own claims must hold."""
FIGURES = {m.name: PAPERS.get(m.name, Figures(70.0, 90.0)) for m in METHODS}
FIGURES |= {"VPoser z, 6D": Figures(47.0, 67.0), "PReLU flow z, 6D": Figures(52.0, 69.0)}
PARTS = {m.name + WITH_PARTS: Figures(*m.paper_parts) for m in METHODS if m.paper_parts is not None}
FIGURES |= PARTS
"""Made up, all claims hold: the paper's where it has some, a little worse for VPoser."""
AREAS = dict.fromkeys({m.prior for m in METHODS} | {"limits"}, 0.9)


def judged(**changes: tuple[float, float]) -> dict[str, Claim]:
    """Claims by the end of their id, on the paper's figures with some changed."""
    figures = FIGURES | {name: Figures(*pair) for name, pair in changes.items()}
    return {c.id.removeprefix("zanfir-t1-"): c for c in claims(figures, "made up", 3)}


def test_claims_that_hold():
    found = judged()
    assert len(found) == 8
    assert all(claim.holds for claim in found.values())
    assert {claim.seeds for claim in found.values()} == {(3,)}
    assert {claim.scale for claim in found.values()} == {"made up"}


def test_the_papers_claims_on_its_own_figures():
    """Each is compared with the same rows of the paper, and holds there but for rounding: 43 of 46 is 0.935."""
    found = judged(**{"VPoser z, 6D": (46.0, 67.0)})
    for claim in found.values():
        assert claim.our_values == claim.paper_values
    assert {name for name, claim in found.items() if not claim.holds} <= {"flow-beats-vposer"}


@pytest.mark.parametrize(
    ("broken", "changes"),
    [
        ({"latent-beats-ambient", "parts-help"}, {"flow ambient, 6D": (51.0, 90.0)}),
        ({"latent-beats-ambient", "parts-help"}, {"flow ambient, AA": (49.0, 84.0)}),
        ({"light-flow-43-mm"}, {"light flow z, 6D": (43.1, 60.0)}),
        ({"flow-beats-vposer"}, {"VPoser z, 6D": (46.0, 60.0)}),
        ({"flow-beats-mixture"}, {"mixture, AA": (78.0, 100.0)}),
        ({"6d-beats-axis-angle"}, {"flow z, AA": (50.0, 68.0)}),
        ({"hmr-is-worst"}, {"HMR, RM": (78.9, 200.0)}),
        ({"parts-help"}, {"flow z, AA, KA + BA": (50.1, 69.0)}),
        ({"zanfir-s21-nvp-is-marginal"}, {"PReLU flow z, 6D": (52.1, 69.0)}),
        (
            {"hmr-is-worst", "flow-beats-vposer", "light-flow-43-mm"},
            {"VPoser z, 6D": (130.0, 60.0), "light flow z, 6D": (125.0, 1.0)},
        ),
    ],
)
def test_claims_that_do_not_hold(broken: set[str], changes: dict[str, tuple[float, float]]):
    found = judged(**changes)
    assert {name for name, claim in found.items() if not claim.holds} == broken


def test_only_6d_is_judged_by_vertices():
    units = {name: claim.unit for name, claim in judged().items()}
    assert {name for name, unit in units.items() if unit == "mm MPVPE"} == {"6d-beats-axis-angle"}
    assert judged(**{"flow z, 6D": (51.0, 69.5)})["6d-beats-axis-angle"].our_values["6D"] == 69.5


def rows() -> dict[str, Row]:
    extra = {"flow z, 6D, 30% missing": Figures(60.0)}
    areas = {name: 0.5 + i / 100 for i, name in enumerate(sorted(AREAS))}
    return {row.name: row for row in _rows(FIGURES | extra, areas)}


def test_rows_with_body_parts_stand_beside_the_papers():
    found = rows()
    parts = {name: row for name, row in found.items() if name.endswith(WITH_PARTS)}
    assert parts.keys() == PARTS.keys()
    assert len(parts) == 5
    assert all(row.ours == row.paper == PARTS[name] for name, row in parts.items())


def test_every_method_has_a_row_and_every_prior_one_area():
    found = rows()
    for m in METHODS:
        row = found[f"{m.name}, KA"]
        assert row.paper == (None if m.paper is None else PAPERS[m.name])
        assert row.ours is not None
        assert replace(row.ours, auc=None) == FIGURES[m.name]
    areas = [row.ours.auc for row in found.values() if row.ours is not None and row.ours.auc is not None]
    assert sorted(areas) == pytest.approx([0.5 + i / 100 for i in range(len(AREAS))])
    assert found["flow z, 6D, 30% missing"].paper is None
    last = list(found)[-1]
    assert found[last].ours == Figures(auc=0.5 + sorted(AREAS).index("limits") / 100)


def test_rows_whose_weights_are_not_tuned_have_a_method_to_take_them_of():
    tuned = {(m.prior, m.space) for m in METHODS if m.backend == "auto" and not m.rounds}
    assert {(m.prior, m.space) for m in METHODS} == tuned


def test_the_search_takes_the_least_error():
    tried = [
        (EnergyWeights(pose=p), error) for p, error in ((0.5, 60.0), (1.0, 40.0), (2.0, 41.0), (4.0, 90.0))
    ]
    assert _best(tried).pose == 1.0
    assert _best(reversed(tried)).pose == 1.0
    assert _best(tried[3:]).pose == 4.0
    assert _best([*tried, (EnergyWeights(pose=9.0), 40.0)]).pose == 1.0, "of equals the first"


@pytest.fixture(scope="module")
def people(body: BodyModel) -> HeldOut:
    mixture = load_prior("gmm")
    assert isinstance(mixture, GaussianMixture)
    drawn = mixture.sample_coordinates(12, torch.Generator().manual_seed(0), 0.5)
    motion = Motion.from_smpl(torch.nn.functional.pad(drawn, (3, 0)), torch.zeros(12, 3), 1.0, "made up")
    return draw_people([motion], body, get_skeleton("smpl24"), 3, 1)


def method_of(name: str) -> Method:
    (method,) = [m for m in METHODS if m.name == name]
    file = f"weights/{method.prior.replace('-', '_')}.safetensors"
    if not resources.files("bodyloop.priors").joinpath(file).is_file():
        pytest.skip(f"the weights of {method.prior} do not ship")
    return method


@pytest.mark.parametrize("name", ["light flow z, 6D", "mixture, AA", "mixture, AA, from its mean"])
def test_a_few_people_are_fitted(people: HeldOut, body: BodyModel, name: str):
    weights = EnergyWeights(pose=2.0, bend=0.0, shape=2.0)
    found = measured(Task(method_of(name), weights, people))
    for value in (found.mpjpe_mm, found.mpvpe_mm, found.pa_mpjpe_mm, found.ms_per_frame):
        assert value is not None
        assert math.isfinite(value)
        assert value > 0
    assert found.failures is not None
    assert min(abs(found.failures - share / 3) for share in range(4)) < 1e-6
    assert found.auc is None
    assert found.pa_mpjpe_mm < 150


def test_a_task_has_one_result(people: HeldOut, body: BodyModel):
    task = Task(method_of("mixture, AA, from its mean"), EnergyWeights(pose=2.0, bend=0.0, shape=2.0), people)
    first, second = fitted(task, body), fitted(task, body)
    assert first.batch_shape == (3,)
    assert torch.equal(first.rotations, second.rotations)
    assert torch.equal(first.translation, second.translation)


def test_body_parts_are_seen_where_the_person_is(people: HeldOut, body: BodyModel):
    surfaces = true_parts(people, body)
    labels = vertex_parts(body, PARTS_NAME)
    at = people.camera.project(body.vertices(people.truth))
    for i, surface in enumerate(surfaces):
        assert surface.targets is not None
        own = (at[i] - torch.tensor(surface.origin)) / surface.scale
        forward, backward = part_alignment(own, labels, surface.targets)
        assert forward / len(surface.targets.pixels) < 1.0, (
            "every pixel of a part has a vertex of it within a pixel"
        )
        assert backward / len(own) < 12, "also vertices that are hidden are charged, on the map's 224 pixels"


def test_body_parts_help_a_fit(people: HeldOut, body: BodyModel):
    weights = EnergyWeights(pose=2.0, bend=0.0, shape=2.0)
    method = method_of("mixture, AA, from its mean")
    alone, parts = (measured(Task(method, weights, people, p)) for p in (None, 0.3))
    assert alone.mpvpe_mm is not None
    assert parts.mpvpe_mm is not None
    assert parts.mpvpe_mm < alone.mpvpe_mm
