"""From photos to bodies by networks: what the network sees, where the people are put, and what a fit makes of it."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from bodyloop.annotate import estimates
from bodyloop.annotate.estimates import (
    crop_people,
    estimate_people,
    find_device,
    find_weights,
    infer_people,
    part_indices,
)
from bodyloop.body import Bodies, BodyModel
from bodyloop.body.skeletons import COCO17
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence, IuvMap, PartMap
from bodyloop.fit import FitConfig
from bodyloop.geometry import Camera, WeakPerspective
from bodyloop.nets.build import build
from bodyloop.nets.estimator import Crops, Estimate, Estimator
from fit.people import CAMERA, nudged, observed
from made_up_crops import SIDE, TINY
from pretend_gpu import DEVICE, PretendedGpu

RNG = np.random.default_rng(0)
QUICK = FitConfig(rounds=1, steps=6)
PIXELS = RNG.integers(0, 255, (20, 20, 3), np.uint8).repeat(50, 0).repeat(50, 1)


@pytest.fixture(scope="module", params=["hmr", "latent stages"])
def network(request: pytest.FixtureRequest) -> Estimator:
    return build(TINY[request.param]).eval()


@pytest.fixture(scope="module")
def people(body: BodyModel) -> tuple[Bodies, Evidence]:
    return observed(body, 3)


class Oracle(Estimator):
    """Says what it was told, in terms of the crops."""

    @dataclass(frozen=True)
    class Config:
        resolution: int = 32

    def __init__(self, bodies: Bodies, evidence: Evidence) -> None:
        super().__init__(self.Config())
        self.bodies = bodies
        self.weight = torch.nn.Parameter(torch.zeros(1))
        low, high = evidence.boxes[:, :2], evidence.boxes[:, 2:]
        side = (high - low).amax(1) * estimates.MARGIN
        lens = CAMERA.expand(len(bodies))
        self.camera = WeakPerspective.from_translation(bodies.translation, lens, (low + high) / 2, side)

    def forward(self, crops: Crops) -> Estimate:
        crops.get("image", self.resolution)
        return Estimate(self.bodies.rotations, self.bodies.betas, self.camera)

    def backbones(self):
        return {}


def close(a: Bodies, b: Bodies, limit: float = 1e-4) -> bool:
    pairs = ((a.rotations, b.rotations), (a.betas, b.betas), (a.translation, b.translation))
    return all(torch.allclose(x, y, atol=limit) for x, y in pairs)


def test_a_network_that_knows_is_believed(body: BodyModel, people):
    truth, evidence = people
    found = infer_people(Oracle(truth, evidence), PIXELS, evidence, CAMERA, body)
    assert close(found.people.bodies, truth)
    assert (found.people.error_px < 0.01).all()
    assert found.people.start == ("network",) * 3
    assert not any("reprojection" in doubt for doubts in found.people.doubts for doubt in doubts)
    assert "anchor" not in found.people.terms


def test_only_the_box_matters(network: Estimator, body: BodyModel, people):
    """A larger photo around the same crop, seen by the same camera, changes nothing."""
    _, evidence = people
    wide = np.zeros((1300, 1200, 3), np.uint8)
    wide[200:1200, 100:1100] = PIXELS
    moved = torch.tensor([100.0, 200.0])
    there = Evidence(
        evidence.skeleton,
        evidence.keypoints + moved,
        evidence.confidence,
        evidence.boxes + moved.repeat(2),
        evidence.labels,
    )
    lens = Camera(CAMERA.focal, CAMERA.center + moved, (1200, 1300))
    inside = evidence.boxes.clamp(300, 700)  # so that no crop reaches beyond the photo
    first = estimate_people(network, PIXELS, replace(evidence, boxes=inside), CAMERA, body)
    second = estimate_people(network, wide, replace(there, boxes=inside + moved.repeat(2)), lens, body)
    assert close(first, second, 1e-3)


def test_batches_do_not_matter(network: Estimator, body: BodyModel, people, monkeypatch):
    _, evidence = people
    together = estimate_people(network, PIXELS, evidence, CAMERA, body)
    monkeypatch.setattr(estimates, "BATCH", 2)
    assert close(together, estimate_people(network, PIXELS, evidence, CAMERA, body), 1e-3)
    one = estimate_people(network, PIXELS, evidence[1:2], CAMERA, body)
    assert close(together[1:2], one, 1e-3)


def test_fits_go_on_from_the_network(body: BodyModel, people):
    truth, evidence = people
    off = nudged(truth, 0.1)
    found = infer_people(Oracle(off, evidence), PIXELS, evidence, CAMERA, body, refine=True)
    assert close(found.network.bodies, off)
    assert found.people.start == ("refined",) * 3
    assert (found.people.energy < found.network.energy).all()
    assert (found.people.error_px < 0.3 * found.network.error_px).all()
    assert found.people.terms.keys() == found.network.terms.keys() >= {"anchor"}
    assert (found.network.terms["anchor"] == 0).all(), "the network's pose is what the fit stays near"

    def error(bodies: Bodies) -> float:
        joints, true = body.joints(bodies), body.joints(truth)
        return float((joints - joints[:, :1] - true + true[:, :1]).norm(dim=-1).mean())

    assert error(found.people.bodies) < error(off)


def test_of_network_and_fit_the_lower_energy_is_kept(body: BodyModel, people, monkeypatch):
    truth, evidence = people
    real = estimates.fit_people

    def worse(*arguments, **named):
        fits = real(*arguments, **named)
        return replace(fits, energy=fits.energy + torch.tensor([0.0, 1e9, torch.nan]))

    monkeypatch.setattr(estimates, "fit_people", worse)
    found = infer_people(Oracle(truth, evidence), PIXELS, evidence, CAMERA, body, refine=True)
    assert found.people.start == ("refined", "network", "network")
    assert torch.equal(found.people.bodies.rotations[1:], found.network.bodies.rotations[1:])


def test_networks_and_fits_on_another_device(body: BodyModel, people):
    truth, evidence = people
    expected = infer_people(Oracle(truth, evidence), PIXELS, evidence, CAMERA, body, refine=True).people
    oracle = Oracle(truth, evidence)
    with PretendedGpu():
        oracle.bodies = truth.to(DEVICE)
        oracle.camera = WeakPerspective(oracle.camera.scale.to(DEVICE), oracle.camera.shift.to(DEVICE))
        oracle.weight = torch.nn.Parameter(oracle.weight.detach().to(DEVICE), requires_grad=False)
        found = infer_people(
            oracle, PIXELS, evidence, CAMERA, body.to(DEVICE), refine=True, config=QUICK
        ).people
        assert found.energy.device.type == DEVICE
        there = found.to("cpu")
        assert torch.allclose(there.error_px, expected.error_px, atol=1)
    assert there.bodies.betas.device.type == "cpu"


def test_people_without_keypoints_are_the_networks(body: BodyModel, people):
    truth, evidence = people
    evidence = replace(evidence, confidence=evidence.confidence * torch.tensor([1.0, 0, 1])[:, None])
    for refine in (False, True):
        found = infer_people(Oracle(truth, evidence), PIXELS, evidence, CAMERA, body, refine=refine).people
        assert found.start[1] == "network"
        assert found.error_px.isnan().tolist() == [False, True, False]
        assert found.doubts[1][0] == "only 0 keypoints seen, fewer than 6"
        assert not any("reprojection" in doubt for doubt in found.doubts[1])


def two_people() -> Evidence:
    """In the left and the right half of a photo of 100 x 60, without keypoints."""
    boxes = torch.tensor([[5.0, 5, 35, 55], [60, 5, 95, 55]])
    return replace(observed_nobody(2), boxes=boxes)


def observed_nobody(count: int) -> Evidence:
    return Evidence.from_keypoints(COCO17, torch.zeros(count, 17, 2), torch.zeros(count, 17))


def test_a_network_sees_each_persons_own_pixels():
    part = np.zeros((60, 100), np.uint8)
    part[10:50, 10:30], part[10:50, 65:90] = 2, 24
    iuv = IuvMap(part, np.full((60, 100, 2), 0.5, np.float32))
    evidence, pixels = two_people(), np.zeros((60, 100, 3), np.uint8)
    network = build(TINY["image and iuv"]).eval()
    crops, place = crop_people(network, pixels, evidence, iuv, None, [])
    assert crops.iuv is not None
    assert crops.iuv.shape == (2, 3, SIDE, SIDE)
    assert crops.parts is None
    seen = [set((24 * crops.iuv[i, 0]).round().int().flatten().tolist()) for i in range(2)]
    assert seen == [{0, 2}, {0, 24}]
    assert place.size.tolist() == pytest.approx([60, 60])

    labels = PartMap(part.clip(0, 5), "densepose")
    network = build(TINY["parts alone"]).eval()
    wanted = network.config.partition
    assert wanted == "densepose"
    crops, _ = crop_people(network, pixels, evidence, None, labels, [])
    assert crops.image is None
    assert crops.parts is not None
    assert [sorted(set(crops.parts[i].flatten().tolist())) for i in range(2)] == [[-1, 1], [-1, 4]]
    with pytest.raises(InputError, match="looks at the parts of 'densepose', which do not follow from these"):
        crop_people(network, pixels, evidence, None, PartMap(part.clip(0, 5), "lsp"), [])
    with pytest.raises(InputError, match="looks at 'parts', which the crops do not have"):
        estimate_people(network, pixels, evidence, Camera.from_focal(100, 100, 60))


def test_labels_become_indices():
    assert part_indices(torch.tensor([0, 1, 14, 255], dtype=torch.uint8)).tolist() == [-1, 0, 13, -1]


def test_damaged_weights_are_noticed(body: BodyModel, people):
    network = build(TINY["hmr"]).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(torch.nan)
    with pytest.raises(InputError, match="NaN or infinity: its weights are damaged"):
        estimate_people(network, PIXELS, people[1], CAMERA, body)


def test_what_is_not_there(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="--device nonsense: cannot be used"):
        find_device("nonsense")
    assert find_device("cpu").type == "cpu"
    monkeypatch.setattr(estimates, "SHIPPED", tmp_path / "none")
    with pytest.raises(InputError, match="no trained network ships yet"):
        find_weights()
    assert find_weights(tmp_path / "mine") == tmp_path / "mine"
    (tmp_path / "none").write_text("")
    assert find_weights() == tmp_path / "none"
