"""Linear systems of chains: neighbouring frames touch each other, and all touch a few shared unknowns.

A track's Hessian has a block for every frame, blocks between frames that are at most `reach` apart (two for
accelerations), and a border for the shape that all frames share. Taken `reach` frames at a time this is a
block-tridiagonal matrix with a border. The frames are eliminated in order: each needs a Cholesky factor of its own
block and a rank-U update of the few blocks that it touches, and what is left at the end is the Schur complement of the
shared unknowns. So time and memory grow linearly with the frames.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BandedSystem:
    """H x = -g for B chains of T frames with U unknowns each, and S shared ones.

    Attributes:
        band: (B, T, reach + 1, U, U); [:, t, k] is the block in the rows of frame t + k and the columns of frame t.
            Blocks that reach beyond the end are ignored.
        border: (B, T, S, U), the blocks in the rows of the shared unknowns.
        corner: (B, S, S), the block of the shared unknowns.
        gradient: (B, T, U).
        shared_gradient: (B, S).
    """

    band: Tensor
    border: Tensor
    corner: Tensor
    gradient: Tensor
    shared_gradient: Tensor

    @property
    def reach(self) -> int:
        """How many frames ahead a frame touches."""
        return self.band.shape[2] - 1


@dataclass(frozen=True)
class BandedStep:
    """The solution of a `BandedSystem`.

    Attributes:
        frames: (B, T, U).
        shared: (B, S).
        information: (B, S, S), the Schur complement of the shared unknowns: the inverse of their covariance.
        good: (B,) bool; where False the chain's matrix was not positive definite, and its numbers mean nothing.
    """

    frames: Tensor
    shared: Tensor
    information: Tensor
    good: Tensor


def solve_banded(system: BandedSystem, damping: Tensor | None = None) -> BandedStep:
    """Solve all chains at once, frame after frame.

    Carried from frame to frame is what the eliminated ones leave behind: their part of the blocks of the next `reach`
    frames, of the shared unknowns, and of the right side, which is one more row.

    Args:
        system: of B chains.
        damping: (B,) Marquardt's: the diagonal times 1 + damping, plus next to nothing for unknowns that no term speaks
            of. None: as it is.
    """
    count, frames, _, size, _ = system.band.shape
    ahead = max(system.reach, 1)
    shared, inner = system.corner.shape[-1], ahead * size
    rows = inner + shared + 1
    carried = system.band.new_zeros(count, rows, rows)
    carried[:, inner:-1, inner:-1] = _damped(system.corner, damping)
    carried[:, -1, inner:-1] = -system.shared_gradient
    factors: list[Tensor] = []
    below: list[Tensor] = []
    good = torch.ones(count, dtype=torch.bool, device=carried.device)
    for t in range(frames):
        factor, info = torch.linalg.cholesky_ex(
            carried[:, :size, :size] + _damped(system.band[:, t, 0], damping)
        )
        good &= info == 0
        column = carried.new_zeros(count, rows, size)
        column[:, : inner - size] = carried[:, size:inner, :size]
        column[:, inner:] = carried[:, inner:, :size]
        for k in range(1, min(system.reach, frames - 1 - t) + 1):
            column[:, (k - 1) * size : k * size] += system.band[:, t, k]
        column[:, inner:-1] += system.border[:, t]
        column[:, -1] -= system.gradient[:, t]
        reduced = torch.linalg.solve_triangular(factor.mT, column, upper=True, left=False)
        shifted = torch.zeros_like(carried)
        shifted[:, : inner - size, : inner - size] = carried[:, size:inner, size:inner]
        shifted[:, inner:, : inner - size] = carried[:, inner:, size:inner]
        shifted[:, inner:, inner:] = carried[:, inner:, inner:]
        carried = shifted.baddbmm_(reduced, reduced.mT, alpha=-1)
        factors.append(factor)
        below.append(reduced)
    information = carried[:, inner:-1, inner:-1].clone()
    factor, info = torch.linalg.cholesky_ex(information)
    good &= info == 0
    solved = torch.cholesky_solve(carried[:, -1, inner:-1, None], factor)
    # What is known of the later unknowns, and -1 for the right side: substituting back is then one product a frame
    known = torch.cat([carried.new_zeros(count, inner, 1), solved, carried.new_full((count, 1, 1), -1)], 1)
    found = system.gradient.new_empty(count, frames, size)
    for t in reversed(range(frames)):
        own = torch.linalg.solve_triangular(factors[t].mT, -(below[t].mT @ known), upper=True)
        known = torch.cat([own, known[:, : inner - size], known[:, inner:]], 1)
        found[:, t] = own[..., 0]
    return BandedStep(found, solved[..., 0], information, good)


def _damped(block: Tensor, damping: Tensor | None) -> Tensor:
    """A block (B, U, U) of the diagonal with its damping."""
    if damping is None:
        return block
    extra = damping[:, None] * block.diagonal(dim1=-2, dim2=-1) + 1e-9
    return block + extra.diag_embed()
