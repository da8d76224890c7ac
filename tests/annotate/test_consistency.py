"""MION on photos: answers stand in the photo's camera, all paths are kept, and the nearest to the picture is chosen."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from bodyloop.annotate.consistency import infer_paths, picture_distances, refine_people
from bodyloop.body import Bodies, BodyModel
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.fit import FitConfig
from bodyloop.fit.pool import CandidatePool, default_pool
from bodyloop.geometry import WeakPerspective
from bodyloop.nets.cen import Cen, CenConfig
from bodyloop.nets.estimator import Crops, Estimate
from bodyloop.nets.mrt import Mrt, MrtConfig
from fit.people import CAMERA, observed
from pretend_gpu import DEVICE, PretendedGpu

PIXELS = np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8).repeat(50, 0).repeat(50, 1)
QUICK = FitConfig(rounds=1, steps=4)


class Keeper(Mrt):
    """Keeps the candidate's rotations, and notes what it was shown."""

    def __init__(self) -> None:
        super().__init__(MrtConfig("resnet18", 8, 64, 24, 2, 1, 1, 32))
        self.shown: list[Tensor] = []

    def forward(self, crops: Crops) -> Estimate:
        answer = super().forward(crops)
        assert crops.candidate is not None
        self.shown.append(crops.candidate.pncc)
        return replace(answer, rotations=crops.candidate.rotations)


class Ruler(Cen):
    """Finds a body as far off as its drawing is bright."""

    def __init__(self) -> None:
        super().__init__(CenConfig("resnet18", 8, 64, 20))

    def forward(self, image: Tensor, pncc: Tensor) -> Tensor:
        assert image.shape == pncc.shape
        return pncc.mean((1, 2, 3))[:, None].expand(-1, 20)


@pytest.fixture(scope="module")
def pool() -> CandidatePool:
    whole = default_pool()
    return CandidatePool(whole.pose[::50], whole.turns)


@pytest.fixture(scope="module")
def people(body: BodyModel) -> tuple[Bodies, Evidence]:
    return observed(body, 3)


def test_candidates_are_drawn_where_the_photo_shows_them(body: BodyModel, people):
    truth, evidence = people
    network = Keeper().eval()
    (found,) = refine_people(network, PIXELS, evidence, CAMERA, body, [truth])
    torch.testing.assert_close(found.rotations, truth.rotations)
    assert found.translation.shape == (3, 3)
    (shown,) = network.shown
    drawn = shown.sum(1) > 0
    share = drawn.float().mean((1, 2))
    assert ((share > 0.03) & (share < 0.7)).all(), "the true body fills some of its crop"
    rows, columns = torch.arange(16.0)[:, None], torch.arange(16.0)[None]
    for one in drawn.float():
        middle = (one * rows).sum() / one.sum(), (one * columns).sum() / one.sum()
        assert all(4 < m < 11 for m in middle), "in its middle"


def test_distances_are_of_each_body_in_its_own_crop(body: BodyModel, people):
    truth, evidence = people
    far = Bodies(truth.rotations, truth.betas, truth.translation * torch.tensor([1.0, 1.0, 3.0]))
    found = picture_distances(Ruler().eval(), PIXELS, evidence, CAMERA, body, [truth, far])
    assert found.shape == (2, 3)
    assert (found[1] < found[0]).all(), "farther bodies are smaller, and the drawing is darker"
    alone = picture_distances(Ruler().eval(), PIXELS, evidence[1:2], CAMERA, body, [truth[1:2]])
    torch.testing.assert_close(alone[0, 0], found[0, 1])


@pytest.mark.parametrize("refine", [False, True])
def test_all_paths_are_kept_and_the_judge_chooses(body: BodyModel, people, pool: CandidatePool, refine: bool):
    _, evidence = people
    network, options = Keeper().eval(), {"paths": 3, "refine": refine, "config": QUICK, "pool": pool}
    judge = Ruler().eval()
    by_energy = infer_paths(network, PIXELS, evidence, CAMERA, body, **options)  # type: ignore[arg-type]
    by_judge = infer_paths(network, PIXELS, evidence, CAMERA, body, judge=judge, **options)  # type: ignore[arg-type]
    tried = by_judge.tried
    assert tried is not None
    assert len(tried.bodies) == 9
    for i in range(3):
        mine = (tried.person == i).nonzero()[:, 0]
        assert float(by_energy.energy[i]) == pytest.approx(float(tried.energy[mine].min()), rel=1e-4)
        distance = torch.stack(
            [
                picture_distances(judge, PIXELS, evidence[i : i + 1], CAMERA, body, [tried.bodies[m : m + 1]])
                for m in mine.tolist()
            ]
        ).flatten()
        best = int(mine[distance.argmin()])
        torch.testing.assert_close(by_judge.bodies.translation[i], tried.bodies.translation[best])
        assert by_judge.start[i].startswith("path ")
        assert by_judge.start[i].endswith("refined") == refine


def test_people_without_keypoints_have_no_candidates(body: BodyModel, people, pool: CandidatePool):
    _, evidence = people
    confidence = evidence.confidence.clone()
    confidence[1, 3:] = 0
    few = replace(evidence, confidence=confidence)
    with pytest.raises(InputError, match="1 of 3 people have fewer than 4 keypoints"):
        infer_paths(Keeper().eval(), PIXELS, few, CAMERA, body, pool=pool)


class There:
    """Says that a network's weights are where `weight` is; a module's own cannot be moved to a pretended device."""

    weight = torch.zeros(1)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        yield self.weight  # type: ignore[misc]


class KeeperThere(There, Keeper):
    """Keeps the candidate, and puts it in the middle of the crop."""

    def forward(self, crops: Crops) -> Estimate:
        assert crops.candidate is not None
        rotations = crops.candidate.rotations.to(self.weight)
        count = len(rotations)
        self.shown.append(crops.candidate.pncc + self.weight)
        camera = WeakPerspective(self.weight.expand(count) + 0.9, self.weight.expand(count, 2) + 0)
        return Estimate(rotations, self.weight.expand(count, 10) + 0, camera)


class RulerThere(There, Ruler):
    pass


def test_candidates_are_made_better_and_judged_on_another_device(
    body: BodyModel, people, pool: CandidatePool
):
    _, evidence = people
    options = {"paths": 2, "pool": pool, "config": QUICK}
    network, judge = KeeperThere().eval(), RulerThere().eval()
    expected = infer_paths(network, PIXELS, evidence, CAMERA, body, judge=judge, **options)
    with PretendedGpu():
        network.weight = judge.weight = torch.zeros(1).to(DEVICE)
        found = infer_paths(network, PIXELS, evidence, CAMERA, body.to(DEVICE), judge=judge, **options)
        assert found.energy.device.type == DEVICE
        there = found.to("cpu")
    assert there.start == expected.start
    torch.testing.assert_close(there.bodies.rotations, expected.bodies.rotations, atol=1e-4, rtol=0)
