"""Normalizing-flow pose prior (Zanfir et al. 2020, section 2.1).

A stack of steps f_k takes a pose's numbers h_0 = theta to a latent z = h_K that is unit Gaussian, with

    log p(theta) = log N(z; 0, I) + sum_k log |det dh_k / dh_{k-1}|        (eq. 3)

Each step is a trainable full linear layer followed by a Real-NVP coupling (eq. 4) or, in the paper's variant of
lower capacity, by a parametric ReLU. There is no batch normalisation. The linear layer is kept as the packed
factors of W = L U with a unit lower L and a positive diagonal of U, so that its log-determinant is a sum and it
starts as the identity (a random orthogonal start trains far worse). It has no permutation: couplings take turns
in which half they change.

Coordinates are axis-angle (69) or 6D (138). 6D poses lie on a surface of 69 dimensions in 138, on which no
density over 138 dimensions exists: the likelihood could grow without bound. Training therefore adds Gaussian noise
(`train.flow`), which gives the surface a thickness; decoded points are projected back by Gram-Schmidt. Joints
that the motion capture never moves make axis-angle poses degenerate too, with the same cure.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bodyloop.network_files import read_network, save_network
from bodyloop.priors.prior import LatentPrior, NetworkPrior, latent_energy
from bodyloop.priors.representation import SIZES, Representation

StepKind = Literal["nvp", "prelu"]
_SCALE_LIMIT = 2.0  # |s| of a coupling, smoothly: one step scales by at most e^2, and inverting stays tame


class Mixing(nn.Module):
    """y = W (x - b), W = L U trainable and full, its factors packed in one matrix."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.packed = nn.Parameter(torch.zeros(size, size))
        self.center = nn.Parameter(torch.zeros(size))
        self._kept: dict[str, tuple[tuple[Any, ...], Tensor]] = {}

    def _factors(self) -> tuple[Tensor, Tensor]:
        lower = self.packed.tril(-1) + torch.eye(
            len(self.packed), dtype=self.packed.dtype, device=self.packed.device
        )
        return lower, self.packed.triu(1) + self.packed.diagonal().exp().diag()

    def _keep(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """What `make` gives, kept while the weights stay as they are and need no gradient."""
        p = self.packed
        if p.requires_grad:
            return make()
        try:
            key = (p.data_ptr(), p._version, p.dtype, p.device)
        except (
            RuntimeError
        ):  # a stand-in without data: a graph is exported, in which what is kept is a constant
            return self._kept[name][1] if name in self._kept else make()
        if name not in self._kept or self._kept[name][0] != key:
            self._kept[name] = (key, make())
        return self._kept[name][1]

    def _product(self) -> Tensor:
        lower, upper = self._factors()
        return lower @ upper

    def _inverted(self) -> Tensor:
        lower, upper = self._factors()
        eye = torch.eye(len(lower), dtype=lower.dtype, device=lower.device)
        half = torch.linalg.solve_triangular(lower, eye, upper=False, unitriangular=True)
        return torch.linalg.solve_triangular(upper, half, upper=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y (..., D) and log |det W| ()."""
        matrix = self._keep("product", self._product)
        return x @ matrix.T - matrix @ self.center, self.packed.diagonal().sum()

    def inverse(self, y: Tensor) -> Tensor:
        """x (..., D) of y."""
        return y @ self._keep("inverse", self._inverted).T + self.center

    def pull(self, rows: Tensor) -> Tensor:
        """Derivatives (..., D) by y to derivatives by x."""
        return rows @ self._keep("product", self._product)

    def pull_inverse(self, rows: Tensor) -> Tensor:
        """Derivatives (..., D) by x to derivatives by y."""
        return rows @ self._keep("inverse", self._inverted)

    @torch.no_grad()
    def whiten(self, x: Tensor) -> None:
        """Start as the transform that makes samples x (N, D) uncorrelated with unit variance."""
        x = x.double()
        factor = torch.linalg.cholesky(torch.cov(x.T))
        inverse = torch.linalg.solve_triangular(factor, torch.eye(len(factor), dtype=x.dtype), upper=False)
        scale = inverse.diagonal()
        packed = inverse / scale  # inverse = L U with U diagonal
        packed.diagonal().copy_(scale.log())
        self.packed.copy_(packed)
        self.center.copy_(x.mean(0))


class Coupling(nn.Module):
    """Real-NVP step (eq. 4): one half stays and says how the other is scaled and shifted."""

    def __init__(self, size: int, hidden: tuple[int, ...], second: bool) -> None:
        super().__init__()
        self.kept = size // 2 if second else size - size // 2
        self.second = second
        widths = (self.kept, *hidden)
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Linear(a, b), nn.SiLU()]
        last = nn.Linear(widths[-1], 2 * (size - self.kept))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.net = nn.Sequential(*layers, last)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What stays and what changes."""
        if self.second:
            return x[..., x.shape[-1] - self.kept :], x[..., : x.shape[-1] - self.kept]
        return x[..., : self.kept], x[..., self.kept :]

    def _join(self, kept: Tensor, changed: Tensor) -> Tensor:
        return torch.cat([changed, kept] if self.second else [kept, changed], -1)

    def _scale_shift(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self.net(kept).chunk(2, -1)
        return _SCALE_LIMIT * torch.tanh(s / _SCALE_LIMIT), t

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y (..., D) and the log-determinant (...)."""
        kept, changed = self._split(x)
        s, t = self._scale_shift(kept)
        return self._join(kept, changed * s.exp() + t), s.sum(-1)

    def inverse(self, y: Tensor) -> Tensor:
        """x (..., D) of y."""
        kept, changed = self._split(y)
        s, t = self._scale_shift(kept)
        return self._join(kept, (changed - t) * (-s).exp())

    def pull(self, x: Tensor, rows: Tensor) -> Tensor:
        """Derivatives (..., M, D) by y = f(x) to derivatives by x (..., D)."""
        kept, changed = self._split(x)
        s, _ = self._scale_shift(kept)
        by_kept, by_changed = self._split(rows)
        grown = by_changed * s.exp()[..., None, :]
        return self._pulled(kept, s, grown, grown * changed[..., None, :], by_changed, by_kept)

    def pull_inverse(self, y: Tensor, rows: Tensor) -> Tensor:
        """Derivatives (..., M, D) by x to derivatives by y = f(x) (..., D)."""
        kept, changed = self._split(y)
        s, t = self._scale_shift(kept)
        by_kept, by_changed = self._split(rows)
        shrunk = by_changed * (-s).exp()[..., None, :]
        return self._pulled(kept, s, shrunk, -shrunk * (changed - t)[..., None, :], -shrunk, by_kept)

    def _pulled(
        self, kept: Tensor, s: Tensor, by_changed: Tensor, by_s: Tensor, by_t: Tensor, by_kept: Tensor
    ) -> Tensor:
        """Through the network to what stays, joined with what changes."""
        inside, before = kept, []
        for layer in self.net:
            before.append(inside)
            inside = layer(inside)
        rows = torch.cat([by_s * (1 - (s / _SCALE_LIMIT).square())[..., None, :], by_t], -1)
        for layer, value in zip(reversed(self.net), reversed(before), strict=True):
            if isinstance(layer, nn.Linear):
                rows = rows @ layer.weight
            else:
                gate = value.sigmoid()
                rows = rows * (gate * (1 + value * (1 - gate)))[..., None, :]
        return self._join(by_kept + rows, by_changed)


class ParametricReLU(nn.Module):
    """y = x where x > 0, a x elsewhere, a > 0 trainable for each number: the variant of lower capacity."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.log_slope = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y (..., D) and the log-determinant (...)."""
        negative = x < 0
        return (
            torch.where(negative, x * self.log_slope.exp(), x),
            torch.where(negative, self.log_slope, 0.0).sum(-1),
        )

    def inverse(self, y: Tensor) -> Tensor:
        """x (..., D) of y."""
        return torch.where(y < 0, y * (-self.log_slope).exp(), y)

    def pull(self, x: Tensor, rows: Tensor) -> Tensor:
        """Derivatives (..., M, D) by y = f(x) to derivatives by x (..., D)."""
        return rows * torch.where(x < 0, self.log_slope.exp(), 1.0)[..., None, :]

    def pull_inverse(self, y: Tensor, rows: Tensor) -> Tensor:
        """Derivatives (..., M, D) by x to derivatives by y = f(x) (..., D)."""
        return rows * torch.where(y < 0, (-self.log_slope).exp(), 1.0)[..., None, :]


class Flow(NetworkPrior, LatentPrior):
    """An invertible map between body poses and a unit Gaussian.

    Args:
        representation: axis-angle or 6D.
        steps: K, linear layers each followed by a coupling.
        hidden: widths of a coupling's network. The light variant has 4 steps of one layer of 20: 93,920 numbers in
            6D (the paper's has about 93,000).
        kind: Real-NVP couplings, or parametric ReLUs.
        size: D, for flows over other things than body poses; that of the representation if None.
    """

    def __init__(
        self,
        representation: Representation = "rot6d",
        steps: int = 4,
        hidden: tuple[int, ...] = (20,),
        kind: StepKind = "nvp",
        size: int | None = None,
    ) -> None:
        super().__init__()
        self.representation = representation
        self.latent_size = size or SIZES[representation]
        self.kind, self.hidden = kind, tuple(hidden)
        # The Hessian over 138 numbers takes two thirds of an iteration; one that is an iteration old serves as well.
        self.refresh = 2 if representation == "rot6d" else 1
        self.mixings = nn.ModuleList(Mixing(self.latent_size) for _ in range(steps))
        self.bends = nn.ModuleList(
            Coupling(self.latent_size, self.hidden, bool(k % 2))
            if kind == "nvp"
            else ParametricReLU(self.latent_size)
            for k in range(steps)
        )

    def forward(self, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        """z = f(theta) (..., D), and log |det dz / dtheta| (...)."""
        h, total = coordinates, coordinates.new_zeros(coordinates.shape[:-1])
        for mixing, bend in zip(self.mixings, self.bends, strict=True):
            h, linear = mixing(h)
            h, bent = bend(h)
            total = total + linear + bent
        return h, total

    def encode_coordinates(self, coordinates: Tensor) -> Tensor:
        """z = f(theta): (..., D) to (..., D)."""
        return self(coordinates)[0]

    def decode_coordinates(self, z: Tensor) -> Tensor:
        """theta = f^-1(z): (..., D) to (..., D)."""
        for mixing, bend in zip(reversed(self.mixings), reversed(self.bends), strict=True):
            z = mixing.inverse(bend.inverse(z))  # type: ignore[operator]
        return z

    def log_prob_at(self, coordinates: Tensor) -> Tensor:
        """log p(theta) (...) in nats (eq. 3), a density over the D numbers (..., D)."""
        z, log_det = self(coordinates)
        return log_det - latent_energy(z) - 0.5 * self.latent_size * math.log(2 * math.pi)

    def energy_at(self, coordinates: Tensor) -> Tensor:
        """-log p(theta) (...), the ambient prior (eq. 5)."""
        return -self.log_prob_at(coordinates)

    def residual_at(self, coordinates: Tensor) -> Tensor:
        """z; the log-determinant enters the gradient alone."""
        return self.encode_coordinates(coordinates)

    def quadratic_at(self, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        """As `PosePrior.quadratic_at`, layer by layer: products of matrices, without automatic derivatives."""
        h, before = coordinates, []
        for mixing, bend in zip(self.mixings, self.bends, strict=True):
            mixed = mixing(h)[0]
            before.append(mixed)
            h = bend(mixed)[0]
        rows = torch.eye(self.latent_size, dtype=h.dtype, device=h.device).expand(*h.shape, -1)
        for mixing, bend, mixed in zip(
            reversed(self.mixings), reversed(self.bends), reversed(before), strict=True
        ):
            rows = mixing.pull(bend.pull(mixed, rows))  # type: ignore[operator]
        return rows.mT @ rows, self.gradient_at(coordinates)

    def pull_decoded(self, z: Tensor, rows: Tensor) -> Tensor:
        """As `LatentPrior.pull_decoded`, layer by layer."""
        before = []
        for mixing, bend in zip(reversed(self.mixings), reversed(self.bends), strict=True):
            before.append(z)
            z = mixing.inverse(bend.inverse(z))  # type: ignore[operator]
        for mixing, bend, value in zip(self.mixings, self.bends, reversed(before), strict=True):
            rows = bend.pull_inverse(value, mixing.pull_inverse(rows))  # type: ignore[operator]
        return rows

    def save(self, path: str | Path) -> None:
        """Write safetensors in half precision, with the sizes in the metadata."""
        sizes = {
            "representation": self.representation,
            "steps": str(len(self.mixings)),
            "hidden": ",".join(map(str, self.hidden)),
            "kind": self.kind,
            "size": str(self.latent_size),
        }
        save_network(self, path, sizes)

    @classmethod
    def load(cls, path: str | Path) -> "Flow":
        """Read what `save` wrote; weights are frozen, in single precision."""
        sizes, state = read_network(path)
        hidden = tuple(int(h) for h in sizes["hidden"].split(",") if h)
        representation: Representation = sizes["representation"]  # type: ignore[assignment]
        kind: StepKind = sizes["kind"]  # type: ignore[assignment]
        flow = cls(representation, int(sizes["steps"]), hidden, kind, int(sizes["size"]))
        flow.load_state_dict(state)
        return flow.eval().requires_grad_(False)
