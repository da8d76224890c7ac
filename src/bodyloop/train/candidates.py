"""Candidates of people of a data set, found once before the training (MION, Liu et al. 2021, section 3.1)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.data.batch import Batch
from bodyloop.data.synthetic.streams import stream
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.fit import FitProblem
from bodyloop.fit.pool import CandidatePool
from bodyloop.geometry import Camera, axis_angle_to_rotmat, rotmat_to_axis_angle
from bodyloop.train.crop_axes import chosen, turns
from bodyloop.train.recipes import CandidateStart
from bodyloop.writing import make_folder, write_atomic

PER_FILE = 256
"""People whose candidates are found together."""
_NOISE = 41  # which random stream


@dataclass(frozen=True, eq=False)
class CandidateStock:
    """K candidates of each of N people, upright and not mirrored, of mean shape; the best first.

    Attributes:
        pose: (N, K, 24, 3) axis-angle.
        translation: (N, K, 3) metres, in the axes of the image's camera.
    """

    pose: Tensor
    translation: Tensor

    @property
    def count(self) -> int:
        """K."""
        return self.pose.shape[1]

    def get(self, body: BodyModel, rows: Tensor, which: Tensor, angle: Tensor, flipped: Tensor) -> Bodies:
        """One candidate (B,) of each of some people, as their crops show them, on the crops' device.

        Args:
            body: their model.
            rows: (B,) int64 numbers of the people.
            which: (B,) int64 in 0 ... K - 1.
            angle, flipped: (B,) of the crops, as in `Batch`.
        """
        rows, which = rows.cpu(), which.cpu()
        pose, place = self.pose[rows, which].to(angle.device), self.translation[rows, which].to(angle.device)
        stored = Bodies(axis_angle_to_rotmat(pose), pose.new_zeros(len(rows), 10), place)
        pelvis = body.rest_pelvis(stored.betas.to(body.v_template)).to(pose)
        turned = stored.turned(turns(angle), pelvis)
        return chosen(flipped, turned.mirrored(), turned)


def observed(evidence: Evidence, noise: float, seed: int, first: int = 0) -> Evidence:
    """People as a detector would see them: each keypoint off by a normal error.

    Args:
        evidence: N people.
        noise: standard deviation as a share of the box's longer side.
        seed: of the errors.
        first: number of the first person; a person's errors depend on seed and number alone.
    """
    if not noise:
        return evidence
    errors = torch.stack(
        [
            torch.from_numpy(
                stream(_NOISE, seed, first + i).standard_normal((evidence.keypoints.shape[1], 2))
            ).float()
            for i in range(len(evidence))
        ]
    )
    side = (evidence.boxes[:, 2:] - evidence.boxes[:, :2]).amax(1)
    return replace(
        evidence, keypoints=evidence.keypoints + noise * side[:, None, None] * errors.to(evidence.keypoints)
    )


def find_candidates(
    pool: CandidatePool, body: BodyModel, evidence: Evidence, camera: Camera, count: int
) -> CandidateStock:
    """The candidates of N people."""
    found = pool.search(body, FitProblem.build(body, evidence, camera), count)
    return CandidateStock(
        rotmat_to_axis_angle(found.bodies.rotations).float().cpu(), found.bodies.translation.float().cpu()
    )


def stock_candidates(
    count: int,
    batch_of: Callable[[range], Batch],
    body: BodyModel,
    pool: CandidatePool,
    start: CandidateStart,
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, wanted: None,
) -> CandidateStock:
    """Candidates of a whole data set, kept in a folder: a killed run goes on.

    Args:
        count: of the people.
        batch_of: people by number, not augmented.
        body, pool: where candidates come from.
        start: how many, and how exact the keypoints are.
        folder: of all stocks of these people.
        progress: called with the numbers of people who are done and wanted.

    Raises:
        InputError: if the folder cannot be written to, or a file in it is damaged.
    """
    kind = blake2b(pool.pose.numpy().tobytes() + pool.turns.numpy().tobytes(), digest_size=4).hexdigest()
    folder = folder / f"candidates-{start.count}-{start.noise:g}-{kind}"
    make_folder(folder)
    parts = []
    for first in range(0, count, PER_FILE):
        span = range(first, min(first + PER_FILE, count))
        file = folder / f"candidates-{first:08d}-{len(span)}.safetensors"
        if not file.exists():
            batch = batch_of(span)
            evidence = observed(batch.evidence(), start.noise, 0, first)
            found = find_candidates(pool, body, evidence, batch.camera, start.count)
            write_atomic(
                file, save({"pose": found.pose.contiguous(), "translation": found.translation.contiguous()})
            )
        try:
            state = load_file(str(file))
            parts.append((state["pose"], state["translation"]))
        except (OSError, SafetensorError, KeyError) as error:
            raise InputError(
                f"{file}: not a file of candidates ({error}); delete it to have it made anew"
            ) from None
        progress(span.stop, count)
    return CandidateStock(torch.cat([p for p, _ in parts]), torch.cat([t for _, t in parts]))


def candidates_in(
    batch: Batch, stocks: Mapping[int, CandidateStock], body: BodyModel, share: Tensor
) -> Bodies:
    """One candidate (B,) a person, as the crops show them; ``share`` (B,) in [0, 1) says which."""
    bodies = Bodies.rest(len(batch)).to(batch.camera.focal)
    for number, stock in stocks.items():
        here = batch.source == number
        rows = torch.where(here, batch.row, 0)
        own = stock.get(body, rows, (share * stock.count).long(), batch.crop_angle, batch.flipped)
        bodies = chosen(here, own, bodies)
    return bodies
