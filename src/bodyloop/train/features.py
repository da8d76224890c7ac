"""What backbones make of several versions of each crop, kept on disk: for networks whose backbones stay as they are.

A small network's step is mostly its backbone's. Where that does not learn, a crop need not be looked at each time it is
drawn: a few versions of it, changed as training changes crops, are looked at once for all runs with this backbone.
"""

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from bodyloop.data.crop_batches import CropBatches, Kept
from bodyloop.errors import InputError
from bodyloop.nets.backbones import weights_sum
from bodyloop.nets.estimator import Estimator, InputKind
from bodyloop.nets.two_branch import TwoBranch
from bodyloop.train.regressor import Regressor, crops_of
from bodyloop.writing import make_folder, write_atomic

BATCH = 64
"""Crops that are looked at together."""


def keep_features(
    batches: CropBatches,
    source: int,
    versions: int,
    regressor: Regressor,
    progress: Callable[[int, int], None] = lambda done, wanted: None,
) -> Kept:
    """Features of versions of all crops of a source; those that are on disk already are not made again.

    They are kept beside the crops, a file a version, in half precision: a killed run goes on with the version that it
    was at.

    Args:
        batches: makes the versions.
        source: number of the source among the batches'.
        versions: how many.
        regressor: whose network looks.
        progress: called with the numbers of versions that are done and wanted.

    Raises:
        InputError: of networks whose features cannot be kept, and folders that cannot be written.
    """
    network = regressor.network
    found: dict[str, list[np.ndarray]] = {}
    for number, kind in enumerate(network.inputs):
        one = _Looking(batches, source, kind, regressor)
        make_folder(one.folder)
        found[kind] = []
        for version in range(versions):
            file = one.folder / f"{version:02d}.npy"
            if not file.exists():
                buffer = io.BytesIO()
                np.save(buffer, one.features(version))
                write_atomic(file, buffer.getvalue())
                progress(number * versions + version + 1, len(network.inputs) * versions)
            found[kind].append(_read(file, one.count))
    return Kept(found)


@dataclass(frozen=True, eq=False)
class _Looking:
    """A network's look at one input of all crops of a source; attributes as the arguments of `keep_features`."""

    batches: CropBatches
    source: int
    kind: InputKind
    regressor: Regressor

    @property
    def count(self) -> int:
        """Crops."""
        return len(self.batches.sources[self.source].crops)

    @property
    def folder(self) -> Path:
        """Named by all that features depend on, but for the crops."""
        made_of = {
            "backbone": _fingerprint(self.regressor.network, self.kind),
            "augment": asdict(self.batches.augment),
            "crops": self.count,
        }
        name = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:12]
        return (
            self.batches.sources[self.source].crops.folder
            / f"{self.regressor.network.looks_for}-{self.kind}-{name}"
        )

    @torch.no_grad()
    def features(self, version: int) -> np.ndarray:
        """(N, C) of a version."""
        network = self.regressor.network
        learning = network.training
        network.eval()
        parts = []
        for first in range(0, self.count, BATCH):
            rows = range(first, min(first + BATCH, self.count))
            crops = crops_of(self.batches.version(self.source, version, rows).batch, [self.kind])
            parts.append(network.look(crops, self.kind).to(torch.float16).numpy())
        network.train(learning)
        return np.concatenate(parts)


def _read(path: Path, count: int) -> np.ndarray:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: damaged features ({error}); delete the file to make them again") from None
    if values.ndim != 2 or len(values) != count:
        raise InputError(
            f"{path}: expected features of {count:,} crops, got an array of shape {values.shape}; delete the file to "
            "make them again"
        )
    return values


def _fingerprint(network: Estimator, kind: InputKind) -> str:
    """Of all weights that features depend on: the backbone's, and the colours in which parts are shown to it.

    Networks of different kinds share features of the same backbones.
    """
    state = network.backbones()[kind][1].state_dict()
    if isinstance(network, TwoBranch) and kind == "parts":
        state |= {f"colors.{name}": value for name, value in network.part_colors.state_dict().items()}
    return weights_sum(state)
