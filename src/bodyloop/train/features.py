"""What backbones make of several versions of each crop, kept on disk: for networks whose backbones stay as they are.

A small network's step is mostly its backbone's. Where that does not learn, a crop need not be looked at each time it is
drawn: a few versions of it, changed as training changes crops, are looked at once for all runs with this backbone.
"""

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bodyloop.data.crop_batches import CropBatches, Kept
from bodyloop.errors import InputError
from bodyloop.train.regressor import Regressor
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
        progress: called with the numbers of crops that are done and wanted.

    Raises:
        InputError: of networks whose features cannot be kept, and folders that cannot be written.
    """
    crops, network = batches.sources[source].crops, regressor.network
    made_of = {
        "backbones": _fingerprint(network),
        "augment": asdict(batches.augment),
        "crops": len(crops),
        "inputs": network.inputs,
    }
    name = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:12]
    folder = crops.folder / f"features-{name}"
    make_folder(folder)
    found: dict[str, list[np.ndarray]] = {role: [] for role in network.inputs}
    for version in range(versions):
        files: dict[str, Path] = {role: folder / f"{role}-{version:02d}.npy" for role in network.inputs}
        if not all(file.exists() for file in files.values()):
            for role, values in _looked_at(batches, source, version, regressor, progress, versions).items():
                buffer = io.BytesIO()
                np.save(buffer, values)
                write_atomic(files[role], buffer.getvalue())
        for role, file in files.items():
            found[role].append(_read(file, len(crops)))
    return Kept(found)


def _looked_at(
    batches: CropBatches,
    source: int,
    version: int,
    regressor: Regressor,
    progress: Callable[[int, int], None],
    versions: int,
) -> dict[str, np.ndarray]:
    """Features (N, C) of one version, by role."""
    count, network = len(batches.sources[source].crops), regressor.network
    learning = network.training
    network.eval()
    parts: dict[str, list[np.ndarray]] = {role: [] for role in network.inputs}
    with torch.no_grad():
        for first in range(0, count, BATCH):
            rows = range(first, min(first + BATCH, count))
            batch = batches.version(source, version, rows).batch
            for role, values in network.look(regressor.crops(batch)).items():
                parts[role].append(values.to(torch.float16).numpy())
            progress(version * count + rows.stop, versions * count)
    network.train(learning)
    return {role: np.concatenate(values) for role, values in parts.items()}


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


def _fingerprint(network: nn.Module) -> str:
    """Of all weights that features depend on: the backbones', and the colours in which parts are shown to them."""
    sum_ = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        if "backbone." in name or name.startswith("part_colors."):
            sum_.update(name.encode())
            sum_.update(np.ascontiguousarray(value.cpu().numpy()).tobytes())
    return sum_.hexdigest()
