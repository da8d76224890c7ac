"""Candidates: a pool of poses under many orientations, searched for those that fit a person's 2D keypoints.

Liu et al., "Multi-Initialization Optimization Network for Accurate 3D Human Pose and Shape Estimation" (MION), 2021,
section 3.1. With the focal length and the orientation fixed, the place of a candidate that meets the keypoints is
linear in its numbers (eq. 1 and 2): f (X + Tx) = u (Z + Tz). Written with the keypoints' rays from their mean, its
normal matrix is diagonal and the same for all candidates.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.errors import InputError
from bodyloop.fit.problem import FitProblem
from bodyloop.geometry import axis_angle_to_rotmat

THRESHOLD = 2000.0
"""Sum of squares, in pixels of a 224-pixel crop, under which a candidate is possible (section 3.4)."""
LANES = 8
"""Orientations are padded to a multiple of these, which a processor takes together."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """C candidates of each of B people, the best first.

    Attributes:
        bodies: B x C people, of mean shape, placed.
        error: (B, C) sum of squares in pixels of a 224-pixel crop.
        pose, turn: (B, C) which of the pool.
    """

    bodies: Bodies
    error: Tensor
    pose: Tensor
    turn: Tensor


@dataclass(frozen=True, eq=False)
class CandidatePool:
    """N poses times R orientations.

    Attributes:
        pose: (N, 72) float32 axis-angle; the global orientation keeps how the body leans, without its heading.
        turns: (R, 3, 3) float32 from the world (y up) to a camera (y down).
    """

    pose: Tensor
    turns: Tensor
    _kept: dict[tuple[str, tuple[str, ...]], np.ndarray] = field(default_factory=dict, init=False, repr=False)
    _kept_turned: dict[tuple[str, tuple[str, ...], str], Tensor] = field(
        default_factory=dict, init=False, repr=False
    )

    def __post_init__(self) -> None:
        shapes = tuple(self.pose.shape), tuple(self.turns.shape)
        if (
            self.pose.shape[1:] != (72,)
            or self.turns.shape[1:] != (3, 3)
            or not len(self.pose) * len(self.turns)
        ):
            raise ValueError(
                f"a pool needs poses (N, 72) and orientations (R, 3, 3), got {shapes[0]} and {shapes[1]}"
            )

    def __len__(self) -> int:
        return len(self.pose) * len(self.turns)

    @classmethod
    def load(cls, path: str | Path) -> "CandidatePool":
        """Read what `save` wrote.

        Raises:
            InputError: if the file is missing or no pool.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(*(torch.from_numpy(stored[name].astype(np.float32)) for name in ("pose", "turns")))
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; expected a pool made by 'bodyloop pool build'") from None
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{path}: expected a pool made by 'bodyloop pool build', got something else ({error})"
            ) from None

    def search(
        self, body: BodyModel, problem: FitProblem, count: int, threshold: float = THRESHOLD
    ) -> Candidates:
        """The candidates of all people.

        Of those under the threshold the best is taken, then, one after the other, the one whose pose is farthest from
        all taken (section 3.4); the best of the others where too few are under it.

        Args:
            body: of the people, with its mean shape; on a GPU that searches, by plain tensors.
            problem: B people; points of the surface count like keypoints.
            count: C.
            threshold: see `THRESHOLD`.

        Raises:
            ValueError: with a count that the pool does not have.
        """
        if not 1 <= count <= len(self):
            raise ValueError(f"count should be 1 to {len(self)}, got {count}")
        joints = self._joints(body, problem)
        people = [_Person.of(problem, i) for i in range(len(problem))]
        if body.v_template.device.type != "cpu":
            turned = self._turned(body, problem)
            elsewhere = [self._chosen_on(turned, p, count, threshold) for p in people]
            return self._placed(body, joints, people, elsewhere)
        threads = max(1, min(torch.get_num_threads(), len(os.sched_getaffinity(0))))
        with ThreadPoolExecutor(threads) as workers:
            if len(people) >= threads:
                chosen = list(
                    workers.map(
                        lambda p: self._chosen(self._errors(joints, p, count, threshold), count, threshold),
                        people,
                    )
                )
            else:  # few people: their candidates are shared out
                pieces = np.array_split(joints, threads)
                chosen = []
                for person in people:
                    search = partial(self._errors, person=person, count=count, threshold=threshold)
                    found = workers.map(search, pieces)
                    chosen.append(self._chosen(np.concatenate(list(found)), count, threshold))
        return self._placed(body, joints, people, chosen)

    def _joints(self, body: BodyModel, problem: FitProblem) -> np.ndarray:
        """(N, K, 3) the poses' points, kept for the next call."""
        key = (body.name, tuple(problem.points.names))
        if key not in self._kept:
            poses = Bodies.from_smpl(self.pose, None, torch.zeros(len(self.pose), 3)).to(body.v_template)
            points = body.points(poses, problem.points.to(body.v_template))
            self._kept[key] = np.ascontiguousarray(points.float().cpu().numpy())
        return self._kept[key]

    def _turned(self, body: BodyModel, problem: FitProblem) -> Tensor:
        """(N * R, K, 3) the points of all candidates, on the body's device, kept for the next call."""
        from bodyloop.fit.pool_tensors import turned_points

        where = body.v_template.device
        key = (body.name, tuple(problem.points.names), str(where))
        if key not in self._kept_turned:
            joints = torch.from_numpy(self._joints(body, problem)).to(where)
            self._kept_turned[key] = turned_points(joints, self.turns.to(where))
        return self._kept_turned[key]

    @property
    def _rows(self) -> np.ndarray:
        """(9, R') the orientations, padded."""
        rows = self.turns.reshape(-1, 9).T.numpy()
        return np.ascontiguousarray(np.pad(rows, ((0, 0), (0, -rows.shape[1] % LANES)), mode="edge"))

    def _errors(
        self, joints: np.ndarray, person: "_Person", count: int = 1, threshold: float = np.inf
    ) -> np.ndarray:
        """(N, R) of the poses given; those that are neither under the threshold nor among the lowest may be FAR."""
        from bodyloop.fit.pool_kernels import search

        errors = np.zeros((len(joints), len(self.turns)), np.float32)
        if person.seen.any():
            which, *arrays = person.arrays()
            least = min(count, errors.size)
            search(joints, which, self._rows, *arrays, np.float32(threshold), least, errors)
        return errors

    def _chosen(self, errors: np.ndarray, count: int, threshold: float) -> np.ndarray:
        """(C, 3) numbers of pose and orientation, and the error, by the errors (N, R) of all."""
        flat = errors.reshape(-1)
        possible = np.flatnonzero(flat < threshold)
        if len(possible) < count:
            possible = np.argpartition(flat, count - 1)[:count]
        return self._far_apart(possible, flat[possible], count)

    def _chosen_on(self, turned: Tensor, person: "_Person", count: int, threshold: float) -> np.ndarray:
        """The same on another device, where the points of all candidates are."""
        from bodyloop.fit.pool_tensors import candidate_errors

        errors = turned.new_zeros(len(turned))
        if person.seen.any():
            numbers = (person.rays, person.spread, person.weight, person.focal)
            errors = candidate_errors(turned, *(torch.from_numpy(n).to(turned) for n in numbers))
        possible = (errors < threshold).nonzero()[:, 0]
        if len(possible) < count:
            possible = errors.topk(count, largest=False).indices
        return self._far_apart(possible.cpu().numpy(), errors[possible].cpu().numpy(), count)

    def _far_apart(self, possible: np.ndarray, errors: np.ndarray, count: int) -> np.ndarray:
        """Of possible candidates (M,) with their errors the best, then, each time, the farthest from all taken."""
        taken = [int(errors.argmin())]
        distance = np.full(len(possible), np.inf, np.float32)
        for _ in range(count - 1):
            distance = np.minimum(distance, self._distances(possible, int(possible[taken[-1]])))
            taken.append(int(distance.argmax()))
        pose, turn = np.divmod(possible[taken], len(self.turns))
        return np.stack([pose, turn, errors[taken]], 1)

    def _distances(self, numbers: np.ndarray, one: int) -> np.ndarray:
        """Squared distances of candidates (M,) to one, over the entries of all 24 rotations."""
        local, root = self._rotations
        pose, turn = np.divmod(numbers, len(self.turns))
        here, facing = divmod(one, len(self.turns))
        few = len(numbers) < len(local)
        apart = np.square((local[pose] if few else local) - local[here]).sum(1)
        facing_apart = np.square(root[pose, turn] - root[here, facing]).sum(1)
        return np.asarray((apart if few else apart[pose]) + facing_apart)

    @property
    def _rotations(self) -> tuple[np.ndarray, np.ndarray]:
        """Entries of the body's rotations (N, 207) and of the global one (N, R, 9)."""
        return _rotations(self)

    def _placed(
        self, body: BodyModel, joints: np.ndarray, people: Sequence["_Person"], chosen: Sequence[np.ndarray]
    ) -> Candidates:
        numbers = torch.from_numpy(np.stack(chosen)) if chosen else torch.zeros(0, 1, 3, dtype=torch.float64)
        pose, turn = numbers[..., 0].long(), numbers[..., 1].long()
        turns = self.turns[turn]
        points = torch.from_numpy(joints)[pose] @ turns.mT
        place = (
            torch.stack([p.place(points[i].double()) for i, p in enumerate(people)])
            if people
            else turns[..., 0]
        )
        local, root = self._rotations
        entries = np.concatenate([root[pose, turn], local[pose]], -1)
        rotations = torch.from_numpy(entries).unflatten(-1, (24, 3, 3))
        pelvis = body.rest_pelvis(torch.zeros(10).to(body.v_template)).float().cpu()
        # The body turns about its pelvis, the pool about the origin.
        translation = place.float() + turns @ pelvis - pelvis
        bodies = Bodies(rotations, torch.zeros(*pose.shape, 10), translation).to(body.v_template)
        return Candidates(bodies, numbers[..., 2].float(), pose, turn)


@lru_cache(maxsize=4)
def _rotations(pool: CandidatePool) -> tuple[np.ndarray, np.ndarray]:
    rotations = axis_angle_to_rotmat(pool.pose.unflatten(-1, (24, 3)))
    root = pool.turns[None] @ rotations[:, :1]
    return rotations[:, 1:].flatten(1).numpy(), root.flatten(2).numpy()


@dataclass(frozen=True, eq=False)
class _Person:
    """One person's keypoints as the search wants them.

    Attributes:
        rays: (K, 2) at z = 1.
        weight: (K,).
        focal: (2,) crop pixels.
        seen: (K,) bool.
    """

    rays: np.ndarray
    weight: np.ndarray
    focal: np.ndarray
    seen: np.ndarray

    @classmethod
    def of(cls, problem: FitProblem, i: int) -> "_Person":
        focal = problem.focal[i].double().cpu().numpy()
        weight = problem.weight[i].double().cpu().numpy()
        seen = weight > 0
        rays = np.where(seen[:, None], problem.target[i].double().cpu().numpy(), 0.0) / focal
        return cls(rays, weight, focal, seen)

    @property
    def spread(self) -> np.ndarray:
        """(K, 2) the rays from their weighted mean."""
        share = self.weight / max(self.weight.sum(), 1e-12)
        return np.asarray(self.rays - (share[:, None] * self.rays).sum(0))

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Numbers of what is seen, the farthest from the middle first, and its rays ... in single precision."""
        telling = self.weight * np.square(self.spread).sum(1)
        which = np.argsort(-telling, kind="stable")
        which = which[self.seen[which]]
        found = self.rays[which], self.spread[which], self.weight[which], self.focal
        return which, *(np.ascontiguousarray(a, np.float32) for a in found)

    def place(self, points: Tensor) -> Tensor:
        """Translations (C, 3) that bring turned points (C, K, 3) nearest to the rays."""
        rays, spread, weight = (torch.from_numpy(a) for a in (self.rays, self.spread, self.weight))
        total = weight.sum().clamp_min(1e-12)
        inertia = (weight[:, None] * spread.square()).sum().clamp_min(1e-12)
        off = points[..., :2] - rays * points[..., 2:]
        depth = (weight[:, None] * spread * off).sum((-1, -2)) / inertia
        mean = (weight[:, None] * rays).sum(0) / total
        aside = mean * depth[:, None] - (weight[:, None] * off).sum(-2) / total
        return torch.cat([aside, depth[:, None]], -1)


def save_pool(path: str | Path, pool: CandidatePool) -> None:
    """Write a pool in half precision (npz)."""
    with Path(path).open("wb") as file:
        np.savez_compressed(file, pose=pool.pose.half().numpy(), turns=pool.turns.numpy())


@lru_cache(maxsize=1)
def default_pool() -> CandidatePool:
    """The pool that ships (see ``weights/pool.md``)."""
    with resources.as_file(resources.files("bodyloop.fit").joinpath("weights/pool.npz")) as path:
        return CandidatePool.load(path)
