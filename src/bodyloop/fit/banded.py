"""Linear systems of chains: neighbouring frames touch each other, and all touch a few shared unknowns.

A track's Hessian has a block for every frame, blocks between frames that are at most `reach` apart (two for
accelerations), and a border for the shape that all frames share. Taken `reach` frames at a time this is a
block-tridiagonal matrix with a border. The frames are eliminated in order: each needs a Cholesky factor of its own
block and a rank-U update of the few blocks that it touches, and what is left at the end is the Schur complement of the
shared unknowns. So time and memory grow linearly with the frames.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bodyloop.threads import one_thread

BLOCKS_AT_ONCE = 64
"""How many blocks are put together in one go."""


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


@one_thread()
def solve_banded(system: BandedSystem, damping: Tensor | None = None) -> BandedStep:
    """Solve all chains at once, `reach` frames after `reach` frames.

    So many frames touch only as many after them, so that what is carried on are products of one matrix with itself:
    what the eliminated frames leave behind for the next ones, for the shared unknowns, and for the right side, which is
    one more row.

    Args:
        system: of B chains.
        damping: (B,) Marquardt's: the diagonal times 1 + damping, plus next to nothing for unknowns that no term speaks
            of. None: as it is.
    """
    count, frames, _, size, _ = system.band.shape
    column = max(system.reach, 1) * size
    shared = system.corner.shape[-1]
    tail = system.corner.new_zeros(count, shared + 1, shared + 1)
    tail[:, :shared, :shared] = _damped(system.corner, damping)
    tail[:, shared, :shared] = -system.shared_gradient
    left = tail.new_zeros(count, column + shared + 1, column + shared + 1)
    factors: list[Tensor] = []
    below: list[Tensor] = []
    good = torch.ones(count, dtype=torch.bool, device=tail.device)
    for block, touched in _blocks(system, damping):
        factor, info = torch.linalg.cholesky_ex(block - left[:, :column, :column])
        good &= info == 0
        touched[:, column:] -= left[:, column:, :column]
        reduced = torch.linalg.solve_triangular(factor.mT, touched, upper=True, left=False)
        left = reduced @ reduced.mT
        tail -= left[:, column:, column:]
        factors.append(factor)
        below.append(reduced)
    information = tail[:, :shared, :shared].clone()
    factor, info = torch.linalg.cholesky_ex(information)
    good &= info == 0
    solved = torch.cholesky_solve(tail[:, -1, :shared, None], factor)
    # What is known of the later unknowns, and -1 for the right side: substituting back is then one product a block
    end = torch.cat([solved, tail.new_full((count, 1, 1), -1)], 1)
    own = tail.new_zeros(count, column, 1)
    found: list[Tensor] = []
    for factor, reduced in zip(reversed(factors), reversed(below), strict=True):
        right = reduced.mT @ torch.cat([own, end], 1)
        own = torch.linalg.solve_triangular(factor.mT, -right, upper=True)
        found.append(own[..., 0])
    steps = torch.cat(found[::-1], 1).unflatten(1, (-1, size))[:, :frames]
    return BandedStep(steps, solved[..., 0], information, good)


def _blocks(system: BandedSystem, damping: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Of `reach` frames after another: their own block (B, V, V), and what they touch, (B, V + S + 1, V).

    That is the next frames, the shared unknowns and the right side. The end is filled up with frames that touch
    nothing and stay where they are. Blocks are put together many at a time, which is quicker, but not all, for memory.
    """
    count, frames, _, size, _ = system.band.shape
    ahead = max(system.reach, 1)
    column = ahead * size
    missing = -frames % ahead
    some = max(BLOCKS_AT_ONCE // count, 1) * ahead
    for start in range(0, frames, some):
        stop = min(start + some, frames)
        band, border, gradient = (x[:, start:stop] for x in (system.band, system.border, system.gradient))
        if stop == frames:
            band = torch.nn.functional.pad(band, (0, 0, 0, 0, 0, 0, 0, missing))
            border = torch.nn.functional.pad(border, (0, 0, 0, 0, 0, missing))
            gradient = torch.nn.functional.pad(gradient, (0, 0, 0, missing))
            band[:, stop - start :, 0] = torch.eye(size, dtype=band.dtype, device=band.device)
            for k in range(1, system.reach + 1):
                band[:, max(stop - start - k, 0) :, k] = 0
        band, border = band.unflatten(1, (-1, ahead)), border.unflatten(1, (-1, ahead))
        many = band.shape[1]
        block = band.new_zeros(count, many, ahead, size, ahead, size)
        touched = band.new_zeros(count, many, column + border.shape[-2] + 1, column)
        follow = touched[:, :, :column].view(count, many, ahead, size, ahead, size)
        for i in range(ahead):
            for k in range(system.reach + 1):
                into = block if i + k < ahead else follow
                into[:, :, (i + k) % ahead, :, i] = band[:, :, i, k]
        touched[:, :, column:-1] = border.transpose(2, 3).flatten(-2)
        touched[:, :, -1] = -gradient.unflatten(1, (-1, ahead)).flatten(-2)
        block = _damped(block.view(count, many, column, column), damping)
        yield from zip(block.unbind(1), touched.unbind(1), strict=True)


def _damped(block: Tensor, damping: Tensor | None) -> Tensor:
    """Blocks (B, ..., U, U) of the diagonal with their damping."""
    if damping is None:
        return block
    diagonal = block.diagonal(dim1=-2, dim2=-1)
    extra = damping.view(-1, *[1] * (diagonal.ndim - 1)) * diagonal + 1e-9
    return block + extra.diag_embed()
