"""Scores and verdicts of labels."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bodyloop.annotate.people import fit_people
from bodyloop.annotate.quality import (
    HALF_MM,
    QualityModel,
    Verdicts,
    design,
    joint_errors,
    judge,
    load_quality,
    signs_of,
)
from bodyloop.body import BodyModel
from bodyloop.data.crowd import VERDICTS
from bodyloop.errors import InputError
from bodyloop.fit import Fits
from coco_made_up import CAMERA
from fit.people import observed

FIXED = QualityModel(("error",), (0.0,), (1.0,), (1.0, 0.0), float(np.log(100)))


@pytest.fixture(scope="module")
def fits(body: BodyModel) -> Fits:
    return fit_people(observed(body, 6)[1], CAMERA, body, starts=("lifter",))


def test_signs(fits: Fits, body: BodyModel):
    signs = signs_of(fits, body)
    assert all(values.shape == (6,) and values.isfinite().all() for values in signs.values())
    assert set(load_quality().names) == set(signs)
    assert (signs["facing"] > 0.5).all(), "made-up people face the camera"
    assert not signs["unseen_wrists"].any()
    assert torch.allclose(signs["seen"].exp(), torch.full((6,), 17.0))


def test_what_is_not_known_says_nothing(fits: Fits, body: BodyModel):
    """Fits that nothing held have no such term, or, joined with others, one of 0."""
    without = replace(fits, terms={k: v for k, v in fits.terms.items() if k != "anchor"})
    zero = replace(fits, terms=fits.terms | {"anchor": torch.zeros(6)})
    model = load_quality()
    place = model.names.index("anchor")
    for some in (without, zero):
        signs = signs_of(some, body)
        assert signs["anchor"].isnan().all()
        expected = model.expected_mm(signs)
        assert expected.isfinite().all()
        weights = list(model.weights)
        weights[place] = weights[place + len(model.names)] = 0.0
        assert torch.allclose(expected, replace(model, weights=tuple(weights)).expected_mm(signs))


def test_signs_do_not_depend_on_the_image_s_scale(body: BodyModel):
    """The same people in a picture of twice the size."""
    from bodyloop.evidence import Evidence
    from bodyloop.geometry import Camera

    _, evidence = observed(body, 3)
    double = Evidence.from_keypoints(evidence.skeleton, evidence.keypoints * 2 + 0.5, evidence.confidence)
    small = signs_of(fit_people(evidence, CAMERA, body, starts=("lifter",)), body)
    large = signs_of(fit_people(double, Camera.from_focal(2400, 2000, 2000), body, starts=("lifter",)), body)
    for name, values in small.items():
        assert torch.allclose(values, large[name], atol=0.05), name


def test_the_worse_the_label_the_lower_the_score(fits: Fits, body: BodyModel):
    errors = torch.tensor([0.001, 0.005, 0.01, 0.02, 0.05, 0.1])
    judged = judge(replace(fits, error_box=errors), body, Verdicts(), FIXED)
    assert (np.diff(judged.score) <= 0).all()
    assert (np.diff(judged.expected_mm) >= 0).all()
    assert np.allclose(judged.score, 1 / (1 + (judged.expected_mm / HALF_MM) ** 2))
    assert ((judged.score > 0) & (judged.score < 1)).all()


def test_verdicts_and_reasons(fits: Fits, body: BodyModel):
    never = Verdicts(1e9, 1e9, 1e9, 1e9, 1e9, 0)
    clean = replace(fits, doubts=((),) * 6)
    assert set(judge(clean, body, never).verdict) == {"accept"}
    assert not any(judge(clean, body, never).reasons)
    doubted = judge(
        replace(clean, doubts=(("it is odd",), *[()] * 5)), body, never, hints=(*[()] * 5, ("swapped",))
    )
    assert doubted.verdict.tolist() == ["doubtful", *["accept"] * 4, "doubtful"]
    assert (doubted.reasons[0], doubted.reasons[5]) == ("it is odd", "swapped")
    for changes, words in (
        ({"least_seen": 18}, "only 17 keypoints"),
        ({"reject_error": 0.0}, "reprojection error"),
        ({"reject_pose": -1e9}, "pose energy"),
        ({"reject_beta": -1.0}, "shape coefficient"),
        ({"reject_mm": 1.0}, "expected error"),
    ):
        judged = judge(clean, body, replace(never, **changes))
        assert set(judged.verdict) == {"reject"}
        assert all(reason.startswith("rejected: ") and words in reason for reason in judged.reasons)
    judged = judge(clean, body, replace(never, doubtful_mm=1.0))
    assert set(judged.verdict) == {"doubtful"}
    assert set(VERDICTS) == {"accept", "doubtful", "reject"}


def test_what_is_not_a_number_is_rejected(fits: Fits, body: BodyModel):
    broken = replace(fits, error_box=torch.full((6,), torch.nan))
    assert set(judge(broken, body, Verdicts()).verdict) == {"reject"}


def test_joint_errors_are_those_of_the_fit(fits: Fits, body: BodyModel):
    off = joint_errors(fits, fits.bodies, body)
    assert off.shape == (6, 17)
    assert torch.allclose(off.mean(1), fits.error_box, rtol=1e-3)


def test_design():
    z = torch.tensor([[0.0, 1.0], [-9.0, 2.0]])
    assert design(z).tolist() == [[0, 1, -1, 0], [-3, 2, 8, 3]]


def test_models_in_files(tmp_path: Path):
    path = tmp_path / "q.json"
    path.write_text(
        json.dumps({"names": ["error"], "mean": [0], "scale": [1], "weights": [1, 0], "bias": 4.6})
    )
    assert load_quality(path).names == ("error",)
    for text in ("{}", "[]", "no"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"tune_quality\.py"):
            load_quality(path)
