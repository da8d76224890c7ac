import dataclasses

import numpy as np
import pytest
import torch
from people import CAMERA, nudged, observed

from bodyloop.body import BodyModel
from bodyloop.fit import FitConfig, Fits, Fitter, Hypotheses, Start
from bodyloop.priors.gmm import default_mixture
from made_up import random_bodies


def hypotheses(count: int = 5) -> Hypotheses:
    generator = torch.Generator().manual_seed(0)
    return Hypotheses(
        random_bodies(count, dtype=torch.float32),
        torch.arange(count) % 2,
        torch.rand(count, generator=generator),
        tuple(f"start {i}" for i in range(count)),
    )


def test_they_come_back_from_a_file():
    some = hypotheses()
    back = Hypotheses.from_arrays(some.arrays(), 2)
    torch.testing.assert_close(back.bodies.rotations, some.bodies.rotations, atol=1e-5, rtol=0)
    assert torch.equal(back.person, some.person)
    assert torch.equal(back.energy, some.energy)
    assert back.start == some.start
    assert all(array.dtype.kind != "O" for array in some.arrays().values())
    assert Hypotheses.from_arrays({"pose": np.zeros(3)}, 2) is None


@pytest.mark.parametrize(
    "change",
    [
        {"tried_person": np.array([0, 1, 2, 0, 1])},
        {"tried_person": np.array([0, 1])},
        {"tried_pose": np.zeros((5, 70))},
        {"tried_start": np.array("one")},
        {"tried_energy": np.array(["a"] * 5)},
    ],
)
def test_damaged_ones_are_refused(change):
    with pytest.raises(ValueError, match=r"tried|Hypotheses|SMPL"):
        Hypotheses.from_arrays(hypotheses().arrays() | change, 2)
    missing = hypotheses().arrays()
    del missing["tried_trans"]
    with pytest.raises(ValueError, match="tried_trans"):
        Hypotheses.from_arrays(missing, 2)


def test_those_of_later_people_are_joined():
    first, second = hypotheses(2), hypotheses(3)
    both = Hypotheses.cat([first, second.of_later(2)])
    assert both.person.tolist() == [0, 1, 2, 3, 2]
    assert both.start == first.start + second.start
    with pytest.raises(ValueError, match="at least one"):
        Hypotheses.cat([])


@pytest.fixture(scope="module")
def fits(body: BodyModel) -> dict[bool, Fits]:
    truth, evidence = observed(body, 2)
    starts = [Start("near", nudged(truth, 0.1), True), Start("far", nudged(truth, 0.9), True)]
    return {
        keep: Fitter(body, default_mixture(), FitConfig(keep_tried=keep))(evidence, CAMERA, starts)
        for keep in (False, True)
    }


def test_a_fit_tells_what_every_start_led_to_if_asked(fits: dict[bool, Fits]):
    assert fits[False].tried is None
    tried = fits[True].tried
    assert sorted(zip(tried.start, tried.person.tolist(), strict=True)) == [
        ("far", 0), ("far", 1), ("near", 0), ("near", 1),
    ]  # fmt: skip
    for person, start in enumerate(fits[True].start):
        mine = {tried.start[i]: float(tried.energy[i]) for i in range(4) if tried.person[i] == person}
        assert start == min(mine, key=mine.get)


def test_asking_changes_nothing_else(fits: dict[bool, Fits]):
    assert torch.equal(fits[False].bodies.rotations, fits[True].bodies.rotations)
    assert fits[False].start == fits[True].start


def test_joined_fits_keep_them(fits: dict[bool, Fits]):
    both = Fits.cat([fits[False], fits[True]])
    assert set(both.tried.person.tolist()) == {2, 3}
    assert Fits.cat([fits[False], fits[False]]).tried is None
    assert len(dataclasses.replace(both).to("cpu").tried) == 4
