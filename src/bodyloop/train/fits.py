"""SPIN's loop: fits that start from the network's answers and supervise it, and the best of each person so far.

Kolotouros et al. 2019, sections 3.4 and 3.5. The fits are the package's own second-order ones, so that what the paper
does in 50 steps through the mesh takes a few iterations on the keypoints alone.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.data.batch import Batch
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.fit import FitProblem, Stage, solve
from bodyloop.geometry import Camera, axis_angle_to_rotmat
from bodyloop.priors.gmm import default_mixture
from bodyloop.train.crop_axes import chosen, turns
from bodyloop.train.recipes import FitLoop
from bodyloop.train.regressor import Targets
from bodyloop.writing import make_folder, write_atomic

FEWEST = 5
"""Keypoints without which nobody is fitted."""
PER_FILE = 256
"""People fitted together before the training."""

FitPeople = Callable[[Evidence, Camera], Bodies]
"""Fits N people from scratch."""


def extents(keypoints: Tensor, seen: Tensor) -> Tensor:
    """Largest distance (B,) between two seen keypoints of (B, K, 2): the same however a crop is turned or mirrored."""
    apart = torch.cdist(keypoints, keypoints)
    both = seen[:, :, None] & seen[:, None, :]
    return torch.where(both, apart, 0.0).amax((1, 2)).clamp_min(1e-6)


def reprojection_error(body: BodyModel, bodies: Bodies, batch: Batch) -> Tensor:
    """Mean distance (B,) of the projected from the seen keypoints by confidence, as a share of the person's extent.

    By this fits are compared (SPIN, section 3.5). Infinite where fewer than `FEWEST` keypoints are seen, or one of them
    is behind the camera.
    """
    points, known = body.keypoints(batch.skeleton)
    weight = batch.confidence * known
    seen = weight > 0
    places = body.points(bodies, points)
    off = (batch.camera.project(places) - batch.keypoints).norm(dim=-1)
    mean = torch.where(seen, off * weight, 0.0).sum(1) / weight.sum(1).clamp_min(1e-6)
    behind = (seen & (places[..., 2] <= 0)).any(1)
    error = mean / extents(batch.keypoints, seen)
    return torch.where(behind | (seen.sum(1) < FEWEST), torch.inf, error).nan_to_num(
        torch.inf, posinf=torch.inf
    )


class FitsDictionary:
    """The best fit so far of each of N people, upright and not mirrored, whatever the crops it was found in.

    Bodies are kept in the axes of their image's camera: a crop is that image turned about the optical axis, mirrored,
    scaled and shifted, of which only the first two change the body.

    Attributes:
        rotations: (N, 24, 3) axis-angle.
        betas: (N, 10).
        translation: (N, 3) metres.
        error: (N,) `reprojection_error`; infinite where there is no fit yet.
    """

    def __init__(self, count: int, body: BodyModel) -> None:
        """Without any fit; on the CPU."""
        self.body = body
        self.rotations, self.betas = torch.zeros(count, 24, 3), torch.zeros(count, 10)
        self.translation, self.error = torch.zeros(count, 3), torch.full((count,), torch.inf)

    def __len__(self) -> int:
        return len(self.error)

    def get(self, rows: Tensor, angle: Tensor, flipped: Tensor) -> tuple[Bodies, Tensor]:
        """Fits (B,) as crops show them, and their errors (B,), on the crops' device.

        Args:
            rows: (B,) int64 numbers of the people.
            angle, flipped: (B,) of the crops, as in `Batch`.
        """
        where = rows.cpu()
        rotations = axis_angle_to_rotmat(self.rotations[where])
        stored = Bodies(rotations, self.betas[where], self.translation[where]).to(angle.device)
        turned = stored.turned(turns(angle), self._pelvis(stored.betas))
        return chosen(flipped, turned.mirrored(), turned), self.error[where].to(angle.device)

    def offer(self, rows: Tensor, bodies: Bodies, error: Tensor, angle: Tensor, flipped: Tensor) -> Tensor:
        """Keep those fits (B,) that are better than what there is; returns which (B,) bool.

        Of a person who is offered twice at once the better fit counts. Arguments as of `get`.
        """
        where, error = rows.cpu(), error.detach().cpu()
        finite = torch.isfinite(bodies.rotations).flatten(1).all(1) & torch.isfinite(bodies.translation).all(
            1
        )
        finite = (finite & torch.isfinite(bodies.betas).all(1)).cpu()
        upright = chosen(flipped, bodies.mirrored(), bodies)
        upright = upright.turned(turns(-angle), self._pelvis(upright.betas))
        pose = upright.pose.detach().unflatten(1, (24, 3)).cpu()
        betas, translation = upright.betas.detach().cpu(), upright.translation.detach().cpu()
        taken = torch.zeros(len(where), dtype=torch.bool)
        for i in torch.argsort(error, descending=True, stable=True).tolist():
            row = int(where[i])
            if finite[i] and error[i] < self.error[row]:
                self.rotations[row], self.betas[row] = pose[i], betas[i]
                self.translation[row], self.error[row] = translation[i], error[i]
                taken[i] = True
        return taken.to(angle.device)

    def merge(self, other: dict[str, Tensor]) -> None:
        """Take whatever is better in another dictionary's `state_dict` of the same people."""
        better = other["error"] < self.error
        for name, value in other.items():
            own: Tensor = getattr(self, name)
            own[better] = value[better]

    def _pelvis(self, betas: Tensor) -> Tensor:
        return self.body.rest_pelvis(betas.to(self.body.v_template)).to(betas)

    def state_dict(self) -> dict[str, Tensor]:
        """All there is."""
        return {name: getattr(self, name) for name in ("rotations", "betas", "translation", "error")}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take all of another dictionary of the same people.

        Raises:
            InputError: if it is of another number of people.
        """
        for name, own in self.state_dict().items():
            if name not in state or state[name].shape != own.shape:
                raise InputError(
                    f"these fits are not of {len(self)} people; start anew, or give the data that they are of"
                )
            setattr(self, name, state[name].clone())

    def save(self, path: Path) -> None:
        """Write a file that is complete or the old one (safetensors).

        Raises:
            InputError: if it cannot be written.
        """
        write_atomic(path, save({k: v.contiguous() for k, v in self.state_dict().items()}))

    @classmethod
    def load(cls, path: Path, body: BodyModel) -> "FitsDictionary":
        """Read what `save` wrote.

        Raises:
            InputError: if it is no such file.
        """
        try:
            state = load_file(str(path))
            found = cls(len(state["error"]), body)
        except (OSError, SafetensorError, KeyError) as error:
            raise InputError(
                f"{path}: not a file of fits ({error}); delete it to have it made anew"
            ) from None
        found.load_state_dict(state)
        return found


@torch.no_grad()
def initial_fits(
    count: int,
    batch_of: Callable[[range], Batch],
    body: BodyModel,
    fit: FitPeople,
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, wanted: None,
) -> FitsDictionary:
    """The dictionary at the beginning: everybody fitted once, before the training (SPIN, section 3.5).

    Args:
        count: of the people.
        batch_of: people by number, with the keypoints that they are fitted to.
        body: the model.
        fit: fits people from scratch.
        folder: a file for every `PER_FILE` people, complete or not there: a killed run goes on.
        progress: called with the numbers of people who are done and wanted.

    Raises:
        InputError: if the folder cannot be written to, or a file in it is damaged.
    """
    make_folder(folder)
    whole = FitsDictionary(count, body)
    for first in range(0, count, PER_FILE):
        span = range(first, min(first + PER_FILE, count))
        file = folder / f"fits-{first:08d}-{len(span)}.safetensors"
        if not file.exists():
            _fitted(batch_of(span), body, fit).save(file)
        part = FitsDictionary.load(file, body)
        for name, values in part.state_dict().items():
            getattr(whole, name)[span.start : span.stop] = values
        progress(span.stop, count)
    return whole


def _fitted(batch: Batch, body: BodyModel, fit: FitPeople) -> FitsDictionary:
    """Fits of a batch, none for those of whom too little is seen."""
    found = FitsDictionary(len(batch), body)
    rows = ((batch.confidence > 0).sum(1) >= FEWEST).nonzero()[:, 0]
    if len(rows):
        some = batch[rows]
        bodies = fit(some.evidence(), some.camera).to(some.bodies.betas)
        error = reprojection_error(body, bodies, some)
        found.offer(rows, bodies, error, some.crop_angle, some.flipped)
    return found


class Loop:
    """Fits within the step, and the targets that come of them."""

    def __init__(self, config: FitLoop, body: BodyModel, dictionaries: dict[int, FitsDictionary]) -> None:
        """Prepare.

        Args:
            config: of the loop.
            body: on the network's device.
            dictionaries: of the sources of a batch, by number (`Batch.source`).
        """
        self.config, self.body, self.dictionaries = config, body, dictionaries
        self.prior = default_mixture().to(body.v_template)
        self.stages = (Stage(True, config.weights, config.steps),)

    @torch.no_grad()
    def targets(self, batch: Batch, answers: Bodies) -> tuple[Targets, dict[str, float]]:
        """What supervises a batch, and figures for the log.

        Labelled people are supervised by their labels. The others are by the better of their dictionary's fit and, but
        for static fits, the one that starts from the network's answer, if it is good enough.

        Args:
            batch: of one mixture.
            answers: the network's, B people in the axes of the crops' cameras; gradients do not flow.
        """
        labelled = Targets.labelled(batch)
        need = ~(batch.has_pose & batch.has_orientation)
        rows = need.nonzero()[:, 0]
        if not len(rows):
            return labelled, {}
        some = batch[rows]
        best, error = self._stored(some)
        figures = {}
        if self.config.mode != "static":
            fits = self.fit(some, answers[rows])
            new = reprojection_error(self.body, fits, some)
            taken = self._offer(some, fits, new)
            best, error = chosen(new < error, fits, best), torch.minimum(new, error)
            figures["fits_better"] = float(taken.float().mean())
        good = error < self.config.threshold
        calm = good & (best.betas.abs().amax(1) > self.config.most_beta)
        figures |= {"fits_good": float(good.float().mean()), "fits_error": _median(error)}
        return self._joined(labelled, rows, best, good, calm), figures

    def fit(self, batch: Batch, answers: Bodies) -> Bodies:
        """Fits (B,) that start from the network's answers, which know orientation and place: one stage alone."""
        problem = FitProblem.build(self.body, batch.evidence(), batch.camera)
        start = answers.to(self.body.v_template)
        if self.config.weights.anchor:
            scale = start.betas.new_full((69,), self.config.spread)
            problem = replace(problem, anchor=start.pose[:, 3:], anchor_scale=scale)
        return solve(self.body, problem, self.prior, start, self.stages).bodies.to(answers.betas)

    def _stored(self, batch: Batch) -> tuple[Bodies, Tensor]:
        bodies, error = (
            Bodies.rest(len(batch)).to(batch.camera.focal),
            torch.full_like(batch.crop_size, torch.inf),
        )
        for number, dictionary in self.dictionaries.items():
            here = batch.source == number
            own, off = dictionary.get(torch.where(here, batch.row, 0), batch.crop_angle, batch.flipped)
            bodies, error = chosen(here, own, bodies), torch.where(here, off, error)
        return bodies, error

    def _offer(self, batch: Batch, fits: Bodies, error: Tensor) -> Tensor:
        taken = torch.zeros_like(batch.flipped)
        for number, dictionary in self.dictionaries.items():
            here = (batch.source == number).nonzero()[:, 0]
            if len(here):
                some = batch.row[here], fits[here], error[here], batch.crop_angle[here], batch.flipped[here]
                taken[here] = dictionary.offer(*some)
        return taken

    @staticmethod
    def _joined(labelled: Targets, rows: Tensor, best: Bodies, good: Tensor, calm: Tensor) -> Targets:
        """Labels where there are any, good fits in the rows that have none."""
        bodies = Bodies(*(getattr(labelled.bodies, n).clone() for n in ("rotations", "betas", "translation")))
        for name in ("rotations", "betas", "translation"):
            getattr(bodies, name)[rows] = getattr(best, name).to(bodies.betas)
        rotations, betas = labelled.has_rotations.clone(), labelled.has_betas.clone()
        mesh, pulled = labelled.has_mesh.clone(), labelled.calm.clone()
        rotations[rows] = good[:, None]
        betas[rows], mesh[rows], pulled[rows] = good & ~calm, good & ~calm, calm
        return Targets(bodies, rotations, betas, mesh, pulled)


def _median(error: Tensor) -> float:
    return float(error.median()) if len(error) else 0.0
