"""Exchanged sides are found, and those who are as they should be are left in peace."""

from dataclasses import replace

import pytest
import torch

from annotate.test_people import standing_people
from bodyloop.annotate.people import fit_people
from bodyloop.annotate.swaps import LIMBS, SwapConfig, exchanged, swap_suspects
from bodyloop.body import SKELETONS, BodyModel
from bodyloop.body.skeletons import COCO17
from bodyloop.evidence import Evidence
from bodyloop.fit import Fits
from bodyloop.priors.gmm import default_mixture
from coco_made_up import CAMERA


@pytest.mark.parametrize("name", ["coco17", "coco23", "mediapipe33", "spin49", "h36m17"])
@pytest.mark.parametrize("limbs", LIMBS)
def test_exchanged_twice_is_as_before(name: str, limbs: str):
    skeleton = SKELETONS[name]
    order = exchanged(skeleton, LIMBS[limbs])
    assert sorted(order) == list(range(len(skeleton)))
    assert [order[i] for i in order] == list(range(len(skeleton)))


def test_what_is_exchanged():
    order = exchanged(COCO17, LIMBS["legs"])
    moved = {COCO17.keypoints[i] for i in range(17) if order[i] != i}
    assert moved == {f"{s}_{p}" for s in ("left", "right") for p in ("hip_extra", "knee", "ankle")}


def fitted(body: BodyModel, limbs: str) -> tuple[Fits, torch.Tensor]:
    evidence = standing_people(body, COCO17)[1]
    order = list(exchanged(COCO17, LIMBS[limbs])) if limbs else list(range(17))
    swapped = Evidence.from_keypoints(COCO17, evidence.keypoints[:, order], evidence.confidence[:, order])
    fits = fit_people(swapped, CAMERA, body, starts=("lifter",))
    return fits, default_mixture().energy(fits.bodies.rotations[:, 1:])


def test_suspects(body: BodyModel):
    always = SwapConfig(error=0.0)
    fits, prior = fitted(body, "")
    assert swap_suspects(fits, body, prior, always) == [""] * 8
    for limbs in LIMBS:
        fits, prior = fitted(body, limbs)
        suspects = swap_suspects(fits, body, prior, always)
        assert suspects.count(limbs) >= 4, (limbs, suspects)


def test_bodies_of_other_sources_are_not_beaten_by_any_fit(body: BodyModel):
    """The people as they are, but with bodies that somebody else found, far from the keypoints."""
    fits, prior = fitted(body, "")
    far = replace(fits, error_box=torch.full_like(fits.error_box, 0.2))
    assert "" not in swap_suspects(far, body, prior, SwapConfig())
    assert swap_suspects(far, body, prior, SwapConfig(), fitted=False) == [""] * 8


def test_good_fits_are_not_looked_at(body: BodyModel, monkeypatch):
    fits, prior = fitted(body, "")
    monkeypatch.setattr("bodyloop.annotate.swaps.fit_people", lambda *_: pytest.fail("fitted again"))
    assert swap_suspects(fits, body, prior, SwapConfig(error=1.0, pose=1e9)) == [""] * 8
