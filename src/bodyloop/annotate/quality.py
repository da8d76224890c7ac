"""How good a label probably is, and what follows: accept, doubtful or reject, with reasons.

The score predicts the error of a fitted body from what can be told without truth: what was seen, what the fit left, how
usual pose and shape are, and how much of the pose lies in depth, of which 2D keypoints say nothing. The prediction is
linear in such signs and was fitted on synthetic people of known truth (`tools/tune_quality.py`).
"""

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import SMPL_JOINTS, Bodies, BodyModel
from bodyloop.errors import InputError
from bodyloop.fit import Fits
from bodyloop.priors.gmm import default_mixture

SHIPPED = "quality.json"
HALF_MM = 100.0
"""Expected error at which the score is 1/2."""

_PLACES = {
    "face": ("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
    "shoulders": ("left_shoulder", "right_shoulder"),
    "elbows": ("left_elbow", "right_elbow"),
    "wrists": ("left_wrist", "right_wrist"),
    "hips": ("left_hip_extra", "right_hip_extra", "left_hip", "right_hip"),
    "knees": ("left_knee", "right_knee"),
    "ankles": ("left_ankle", "right_ankle"),
}
"""Landmarks that say that a part of the body was seen, whichever the skeleton calls it."""

_LIMBS = {
    "upper_arms": (("left_shoulder", "left_elbow"), ("right_shoulder", "right_elbow")),
    "forearms": (("left_elbow", "left_wrist"), ("right_elbow", "right_wrist")),
    "thighs": (("left_hip", "left_knee"), ("right_hip", "right_knee")),
    "shins": (("left_knee", "left_ankle"), ("right_knee", "right_ankle")),
    "torso": (("pelvis", "neck"),),
    "shoulder_line": (("left_shoulder", "right_shoulder"),),
}

_BENT = {
    **{f"{joint}s": (f"left_{joint}", f"right_{joint}") for joint in ("hip", "knee", "shoulder", "elbow")},
    **{joint: (joint,) for joint in ("spine1", "spine2", "spine3", "neck", "head")},
}
"""Joints whose turns tell how far the pose is from rest, where depth is ambiguous."""
LEAST_ERROR = 0.002
"""Share of the box under which a residual says nothing more."""


@dataclass(frozen=True)
class Verdicts:
    """What is accepted, doubted and rejected.

    A person for whom one of the thresholds of rejection is passed is rejected; one for whom one of doubt is passed,
    or whom the fit itself does not trust (`bodyloop.fit.FitConfig`), or whose left and right may be swapped, is
    doubtful.

    Attributes:
        doubtful_mm, reject_mm: expected error of the vertices.
        reject_error: mean reprojection error as a share of the box.
        reject_pose: energy of the pose under the mixture, nats.
        reject_beta: a shape coefficient, standard deviations.
        least_seen: fewer keypoints are rejected.
    """

    doubtful_mm: float = 150.0
    reject_mm: float = 250.0
    reject_error: float = 0.12
    reject_pose: float = 200.0
    reject_beta: float = 5.0
    least_seen: int = 4


@dataclass(frozen=True)
class QualityModel:
    """Predicts the error of a label.

    Attributes:
        names: of the signs (`signs_of`), in order.
        mean, scale: of the signs, by which they are made comparable.
        weights: of the signs and, behind them, of their squares.
        bias: log of the error in mm where all signs are as usual.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def expected_mm(self, signs: dict[str, Tensor]) -> Tensor:
        """Expected error (N,) of the vertices, pelvis on pelvis, mm; it is held within what the model was fitted on.

        A sign that is NaN says nothing.
        """
        values = torch.stack([signs[name].double() for name in self.names], -1)
        z = design((values - torch.tensor(self.mean)) / torch.tensor(self.scale)).nan_to_num(0.0)
        log = self.bias + z @ torch.tensor(self.weights, dtype=torch.float64)
        return log.clamp(math.log(10.0), math.log(1000.0)).exp().float()


def design(z: Tensor) -> Tensor:
    """What the prediction is linear in: signs (..., S) within 3 standard deviations, and their squares, (..., 2 S)."""
    z = z.clamp(-3.0, 3.0)
    return torch.cat([z, z.square() - 1], -1)


def load_quality(path: Path | None = None) -> QualityModel:
    """The model that ships, or one of a file of `tools/tune_quality.py`.

    Raises:
        InputError: if it is none.
    """
    if path is None:
        return _shipped()
    try:
        return _from_json(path.read_text())
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: expected a file of tools/tune_quality.py, got none ({error})") from None


@lru_cache(maxsize=1)
def _shipped() -> QualityModel:
    return _from_json(resources.files("bodyloop.annotate").joinpath(SHIPPED).read_text())


def _from_json(text: str) -> QualityModel:
    data = json.loads(text)
    names, mean, scale, weights = (tuple(data[name]) for name in ("names", "mean", "scale", "weights"))
    return QualityModel(names, mean, scale, weights, float(data["bias"]))


@torch.no_grad()
def signs_of(fits: Fits, body: BodyModel) -> dict[str, Tensor]:
    """What hints at the error of N fitted people, each (N,), float32 on the CPU; NaN where something is not known.

    - ``error``: log of the mean reprojection error as a share of the box; ``seen``: log of the number of keypoints;
    - ``unseen_*``: share of a part's landmarks that were not seen; ``error_*``: log of the largest reprojection error
      of the others, share of the box;
    - ``bent_*``: mean angle of joints, radians;
    - ``pose``, ``shape``: energies under the mixture and the shape's normal distribution, per dimension;
    - ``anchor``: squared distance from where the fit was held (the lifter's pose);
    - ``depth_*``: share of a limb's length that points towards or away from the camera;
    - ``facing``, ``lean``: cosine between the chest's direction and that to the camera, and the part of the spine that
      points along the view;
    - ``near``: log of the box's side over the focal length: how strong perspective is.
    """
    fits = fits.to("cpu")
    bodies, evidence = fits.bodies.to(torch.float32), fits.evidence
    seen = (evidence.confidence > 0).float()
    names = evidence.skeleton.keypoints
    signs = {
        "error": fits.error_box.float().clamp(1e-3, 1.0).nan_to_num(1.0).log(),
        "seen": fits.seen.float().clamp_min(1).log(),
    }
    model = body.to(bodies.betas)
    off = joint_errors(fits, bodies, model).nan_to_num(0.0)
    for part, landmarks in _PLACES.items():
        columns = [i for i, name in enumerate(names) if name in landmarks]
        signs[f"unseen_{part}"] = 1 - seen[:, columns].mean(1) if columns else torch.ones(len(seen))
        worst = off[:, columns].amax(1) if columns else torch.zeros(len(seen))
        signs[f"error_{part}"] = (worst.clamp_max(1.0) + LEAST_ERROR).log()
    angles = bodies.pose.unflatten(1, (24, 3)).norm(dim=-1)
    for part, names_of_it in _BENT.items():
        signs[f"bent_{part}"] = angles[:, [SMPL_JOINTS.index(name) for name in names_of_it]].mean(1)
    local = bodies.rotations[:, 1:]
    signs["pose"] = default_mixture().to(local).energy(local).clamp(-500, 500) / 69
    signs["shape"] = bodies.betas.square().mean(1)
    joints = model.joints(bodies)
    at = {name: joints[:, i] for i, name in enumerate(SMPL_JOINTS)}
    for limb, ends in _LIMBS.items():
        deep = [((at[b] - at[a])[:, 2] / (at[b] - at[a]).norm(dim=-1).clamp_min(1e-6)).abs() for a, b in ends]
        signs[f"depth_{limb}"] = torch.stack(deep).mean(0)
    spine = at["neck"] - at["pelvis"]
    across = at["left_shoulder"] - at["right_shoulder"]
    chest = torch.nn.functional.normalize(torch.linalg.cross(across, spine), dim=-1)
    view = torch.nn.functional.normalize(at["neck"], dim=-1)
    signs["facing"] = -(chest * view).sum(-1)
    signs["lean"] = (torch.nn.functional.normalize(spine, dim=-1) * view).sum(-1)
    side = (evidence.boxes[:, 2:] - evidence.boxes[:, :2]).amax(1).float().clamp_min(1)
    signs["near"] = (side / fits.camera.expand(len(side)).focal[:, 0].float()).log()
    return {name: value.float().nan_to_num(0.0) for name, value in signs.items()} | {"anchor": _anchor(fits)}


def _anchor(fits: Fits) -> Tensor:
    """Log of the term's share of the energy, what it was weighted with cancels; NaN where nothing held the fit."""
    if "anchor" not in fits.terms:
        return torch.full((len(fits),), torch.nan)
    share = fits.terms["anchor"] / fits.energy.clamp_min(1e-9)
    return torch.where(share > 0, share.clamp(1e-4, 1.0).log(), torch.nan).float()


@dataclass(frozen=True)
class Judgement:
    """What is thought of N labels.

    Attributes:
        expected_mm: (N,) float32, expected error of the vertices.
        score: (N,) float32 in (0, 1); 1 is perfect, 1/2 an expected error of `HALF_MM`.
        prior: (N,) float32, energy of the pose under the mixture, nats.
        verdict: (N,) text of `bodyloop.data.crowd.VERDICTS`.
        reasons: (N,) text, empty where accepted.
    """

    expected_mm: np.ndarray
    score: np.ndarray
    prior: np.ndarray
    verdict: np.ndarray
    reasons: np.ndarray


def judge(
    fits: Fits,
    body: BodyModel,
    verdicts: Verdicts,
    model: QualityModel | None = None,
    hints: "tuple[tuple[str, ...], ...] | None" = None,
) -> Judgement:
    """Score and verdict of N fitted people.

    Args:
        fits: the people.
        body: their model.
        verdicts: the thresholds.
        model: of the error; the one that ships if None.
        hints: for each person, further reasons for doubt.
    """
    model = load_quality() if model is None else model
    signs = signs_of(fits, body)
    expected = model.expected_mm(signs)
    prior = signs["pose"] * 69
    betas = fits.bodies.betas.abs().amax(1).cpu()
    words, reasons = [], []
    rows = zip(
        expected.tolist(),
        fits.error_box.tolist(),
        prior.tolist(),
        betas.tolist(),
        fits.seen.tolist(),
        strict=True,
    )
    for row, (mm, error, pose, beta, seen) in enumerate(rows):
        bad = _rejected(verdicts, mm, error, pose, beta, seen)
        doubts = [*fits.doubts[row], *(hints[row] if hints else ())]
        if verdicts.doubtful_mm < mm <= verdicts.reject_mm:
            doubts.append(f"expected error {mm:.0f} mm, over {verdicts.doubtful_mm:.0f}")
        words.append("reject" if bad else "doubtful" if doubts else "accept")
        reasons.append("; ".join(reason.replace("; ", ", ") for reason in (*bad, *doubts)))
    return Judgement(
        expected.numpy(),
        (1 / (1 + (expected / HALF_MM).square())).numpy(),
        prior.numpy(),
        np.array(words, dtype="<U8"),
        np.array(reasons, dtype=str),
    )


def _rejected(verdicts: Verdicts, mm: float, error: float, pose: float, beta: float, seen: int) -> list[str]:
    """Reasons for rejection."""
    found = []
    if seen < verdicts.least_seen:
        found.append(f"rejected: only {seen} keypoints")
    if not error <= verdicts.reject_error:
        found.append(f"rejected: reprojection error {error:.0%} of the box, over {verdicts.reject_error:.0%}")
    if not pose <= verdicts.reject_pose:
        found.append(f"rejected: pose energy {pose:.0f}, over {verdicts.reject_pose:.0f}")
    if not beta <= verdicts.reject_beta:
        found.append(f"rejected: a shape coefficient of {beta:.1f}, over {verdicts.reject_beta:g}")
    if not mm <= verdicts.reject_mm:
        found.append(f"rejected: expected error {mm:.0f} mm, over {verdicts.reject_mm:.0f}")
    return found


def joint_errors(fits: Fits, bodies: Bodies, body: BodyModel) -> Tensor:
    """Reprojection error (N, K) of each keypoint as a share of the box; NaN where unseen or unknown to the body."""
    points, known = body.keypoints(fits.evidence.skeleton)
    like = body.v_template
    places = body.points(bodies.to(like), points)
    evidence = fits.evidence.to(like)
    pixels = fits.camera.expand(len(places)).to(like).project(places)
    side = (evidence.boxes[:, 2:] - evidence.boxes[:, :2]).amax(1).clamp_min(1)
    off = (pixels - evidence.keypoints).norm(dim=-1) / side[:, None]
    return torch.where((evidence.confidence > 0) & known, off, torch.nan)
