"""What augmentation does to a whole batch of stored crops."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bodyloop.data.augment import AugmentConfig


@dataclass(frozen=True, eq=False)
class Changes:
    """What is done to B crops of S pixels, each as `Change` says.

    Attributes:
        center: (B, 2) of the new crop, in the stored one's pixels.
        side: (B,) of the new crop, in the same pixels.
        angle: (B,) radians.
        flip: (B,) bool.
        gains: (B, 3).
        hidden: (B,) bool, whether something covers a part.
        box: (B, 4) what covers it: x0, y0, x1, y1 in the new crop's pixels.
        ellipse: (B,) bool.
        color: (B, 3) in [0, 1].
        resolution: of the new crops.
    """

    center: np.ndarray
    side: np.ndarray
    angle: np.ndarray
    flip: np.ndarray
    gains: np.ndarray
    hidden: np.ndarray
    box: np.ndarray
    ellipse: np.ndarray
    color: np.ndarray
    resolution: int

    @classmethod
    def draw(
        cls, config: AugmentConfig, stored: int, margin: float, count: int, rng: np.random.Generator
    ) -> "Changes":
        """Random changes for `count` crops of `stored` pixels with a margin (see `CropSpec`).

        As for `Change.draw`, the same numbers are drawn whatever the options.
        """
        normal, even = rng.standard_normal((count, 2)), rng.random((count, 16))
        limit = config.scale_limit
        factor = np.clip(1 + config.scale_sd * normal[:, 0], 1 - limit, 1 + limit)
        side = stored * (config.margin / margin) * factor
        center = (stored - 1) / 2 + (2 * even[:, :2] - 1) * config.shift * side[:, None]
        turned = even[:, 2] < config.rotation_chance
        angle = np.clip(config.rotation_sd * normal[:, 1], -config.rotation_limit, config.rotation_limit)
        low, high = config.occlusion_size
        last = config.resolution - 1
        half = (low + (high - low) * even[:, 8:10]) * last / 2
        middle = even[:, 10:12] * last
        return cls(
            center,
            side,
            np.where(turned, angle, 0.0),
            even[:, 3] < config.flip_chance,
            (1 + config.channel_gain * (2 * even[:, 4:7] - 1)).astype(np.float32),
            even[:, 7] < config.occlusion_chance,
            np.concatenate([middle - half, middle + half], 1),
            even[:, 12] < 0.5,
            np.floor(even[:, 13:16] * 256).astype(np.float32) / 255,
            config.resolution,
        )

    @classmethod
    def joined(cls, parts: Sequence["Changes"]) -> "Changes":
        """Those of several crops' in a row."""
        first = vars(parts[0])
        values = {k: np.concatenate([vars(p)[k] for p in parts]) for k in first if k != "resolution"}
        return cls(**values, resolution=parts[0].resolution)

    def of(self, who: np.ndarray) -> "Changes":
        """Those of some crops."""
        values = {k: v[who] if isinstance(v, np.ndarray) else v for k, v in vars(self).items()}
        return Changes(**values)

    @property
    def linear(self) -> np.ndarray:
        """(B, 2, 2) from offsets in the stored crop to offsets in the new one."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        turn = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
        turn[self.flip, 0] = -turn[self.flip, 0]
        return turn * (self.resolution / self.side)[:, None, None]

    def forth(self, points: np.ndarray) -> np.ndarray:
        """Pixels (B, N, 2) of the stored crops to pixels of the new ones."""
        return (points - self.center[:, None]) @ self.linear.transpose(0, 2, 1) + (self.resolution - 1) / 2

    def back(self, size: int, cells: int, stored: int) -> np.ndarray:
        """(B, 2, 3) float32 from pixels of maps of the new crops to pixels of maps of the stored ones.

        Args:
            size: side of the maps of the new crops.
            cells: side of the maps of the stored crops.
            stored: resolution of those.
        """
        inverse = np.linalg.inv(self.linear)
        fine = self.resolution / size  # crop pixels a pixel of its map; a pixel's middle is at + 0.5
        matrix = inverse * fine * (cells / stored)
        corner = np.full(2, (fine - 1) / 2 - (self.resolution - 1) / 2)
        origin = self.center + inverse @ corner
        shift = (origin + 0.5) * (cells / stored) - 0.5
        return np.concatenate([matrix, shift[:, :, None]], 2).astype(np.float32)

    def covered(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Whether pixels (B, ...) of the new crops are behind what covers them."""
        x0, y0, x1, y1 = (v.reshape(-1, *[1] * (x.ndim - 1)) for v in self.box.T)
        across, down = (2 * x - x0 - x1) / (x1 - x0), (2 * y - y0 - y1) / (y1 - y0)
        round_, hidden = (v.reshape(x0.shape) for v in (self.ellipse, self.hidden))
        inside = np.where(round_, across**2 + down**2 <= 1, np.maximum(abs(across), abs(down)) <= 1)
        return hidden & inside

    def cover(self, maps: np.ndarray, value: np.ndarray | int) -> None:
        """Paint (B, C, T, T) maps of the new crops where something covers them."""
        who = np.flatnonzero(self.hidden)
        if not len(who):
            return
        size = maps.shape[-1]
        middle = (np.arange(size) + 0.5) * (self.resolution / size) - 0.5
        some = self.of(who)
        mask = some.covered(
            np.broadcast_to(middle[None, None, :], (len(who), size, size)),
            np.broadcast_to(middle[None, :, None], (len(who), size, size)),
        )
        painted = value[who][:, :, None, None] if isinstance(value, np.ndarray) else value
        maps[who] = np.where(mask[:, None], painted, maps[who])
