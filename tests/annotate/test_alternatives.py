"""Several bodies of each person, from candidates of the pool."""

from dataclasses import replace

import pytest
import torch

from bodyloop.annotate.alternatives import Alternatives, fit_alternatives
from bodyloop.body import Bodies, BodyModel
from bodyloop.body.parts import face_parts
from bodyloop.body.skeletons import COCO17
from bodyloop.evidence import Evidence
from bodyloop.fit import FitConfig, Surface
from bodyloop.fit.pool import CandidatePool, default_pool
from bodyloop.geometry import Camera
from bodyloop.raster import part_map, rasterize
from made_up import random_bodies

CAMERA = Camera.from_focal(1200, 1000, 1000)


@pytest.fixture(scope="module")
def pool() -> CandidatePool:
    """A twentieth of the one that ships."""
    whole = default_pool()
    return CandidatePool(whole.pose[::20], whole.turns)


def observed(body: BodyModel, count: int) -> tuple[Bodies, Evidence]:
    bodies = random_bodies(count, 0, 0.15, torch.float32)
    keypoints = CAMERA.project(body.points(bodies, body.keypoints(COCO17)[0]))
    return bodies, Evidence.from_keypoints(COCO17, keypoints, torch.ones(keypoints.shape[:2]))


def test_all_are_kept_and_the_lowest_energy_comes_first(body: BodyModel, pool: CandidatePool):
    _, evidence = observed(body, 3)
    found = fit_alternatives(evidence, CAMERA, body, candidates=4, pool=pool)
    assert len(found) == 4
    energy = torch.stack([fits.energy for fits in found.ranks])
    assert (energy[1:] >= energy[:-1]).all()
    for i in range(3):
        names = {fits.start[i] for fits in found.ranks}
        assert names == {f"candidate {c}" for c in (1, 2, 3, 4)}
    assert (found.best.error_box < 0.03).all()
    noise = torch.stack([fits.noise for fits in found.ranks])
    assert torch.equal(noise, noise[:1].expand_as(noise))


def test_other_starts_are_one_more_alternative(body: BodyModel, pool: CandidatePool):
    _, evidence = observed(body, 2)
    found = fit_alternatives(evidence, CAMERA, body, candidates=2, starts=("lifter",), pool=pool)
    assert len(found) == 3
    assert all("lifter" in {fits.start[i] for fits in found.ranks} for i in range(2))


def test_one_of_each_person_can_be_chosen(body: BodyModel, pool: CandidatePool):
    _, evidence = observed(body, 3)
    found = fit_alternatives(evidence, CAMERA, body, candidates=3, pool=pool)
    ranks = torch.tensor([2, 0, 1])
    chosen = found.chosen(ranks)
    for i, rank in enumerate(ranks.tolist()):
        assert torch.equal(chosen.bodies.rotations[i], found.ranks[rank].bodies.rotations[i])
        assert chosen.start[i] == found.ranks[rank].start[i]
    assert chosen.evidence.labels == evidence.labels


def test_without_estimated_noise_energies_are_those_of_the_fits(body: BodyModel, pool: CandidatePool):
    _, evidence = observed(body, 2)
    found = fit_alternatives(evidence, CAMERA, body, FitConfig(rounds=0), 2, pool=pool)
    assert found.best.noise.isnan().all()


def test_people_with_different_surfaces_are_fitted_one_by_one(body: BodyModel, pool: CandidatePool):
    truth, evidence = observed(body, 2)
    seen = rasterize(body.vertices(truth[0]), body.faces, CAMERA)
    labels = part_map(seen, face_parts(body, "densepose")) + 1
    surfaces = [Surface.none().with_parts(labels, "densepose", (0.0, 0.0), 1.0), Surface.none()]
    both = fit_alternatives(evidence, CAMERA, body, candidates=2, surfaces=surfaces, pool=pool)
    alone = fit_alternatives(evidence[1:], CAMERA, body, candidates=2, pool=pool)
    assert torch.allclose(both.best.bodies.rotations[1:], alone.best.bodies.rotations, atol=1e-3)
    assert "candidate" in both.best.start[0]


def test_alternatives_are_of_the_same_people(body: BodyModel, pool: CandidatePool):
    _, evidence = observed(body, 2)
    fits = fit_alternatives(evidence, CAMERA, body, candidates=1, pool=pool).best
    with pytest.raises(ValueError, match="same people"):
        Alternatives((fits, replace(fits, energy=fits.energy[:1])))
    with pytest.raises(ValueError, match="same people"):
        Alternatives(())
