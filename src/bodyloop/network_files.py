"""Networks on disk: safetensors, with what it takes to build them again in the metadata.

Parts that several networks have in common, such as a backbone that none of them changes, are stored once: files name
those beside them that hold such a part, and its checksum.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bodyloop.writing import write_atomic

BESIDE = "beside"
"""Key of the metadata: JSON of the names' beginnings, each with the file beside this one that holds the rest of the
arrays, and its SHA-256."""


def save_network(
    network: nn.Module,
    path: str | Path,
    sizes: dict[str, str],
    precision: torch.dtype = torch.half,
    beside: Mapping[str, Path] | None = None,
) -> None:
    """Write a network's state; what is no floating point number stays as it is.

    Args:
        network: on any device.
        path: the file; it is complete or not there.
        sizes: the metadata.
        precision: of the floating point numbers.
        beside: files in the same folder that hold the arrays whose names begin so: these are left out.

    Raises:
        InputError: if the file cannot be written.
        ValueError: if the network's arrays are not those of the files beside.
    """
    state = {
        name: (value.to(precision) if value.is_floating_point() else value).cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    for prefix, file in (beside or {}).items():
        for name, value in read_network(file)[1].items():
            own = state.pop(prefix + name, None)
            if own is None or not torch.equal(own.to(value.dtype), value):
                raise ValueError(f"{prefix}{name} is not what {file} has")
    if beside:
        files = {prefix: [file.name, _checksum(file)] for prefix, file in beside.items()}
        sizes = {**sizes, BESIDE: json.dumps(files)}
    write_atomic(path, save(state, sizes))


def read_network(path: str | Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Sizes and state, in single precision, of what `save_network` wrote, with what it left out.

    Raises:
        SafetensorError, OSError: not such a file, or a file beside it is missing.
        TypeError, ValueError: the metadata name no files, or a file beside it is another one.
    """
    with safe_open(str(path), "pt") as stored:
        sizes = dict(stored.metadata() or {})
        state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    state = {k: v.to(torch.float32) if v.is_floating_point() else v for k, v in state.items()}
    for prefix, (name, checksum) in dict(json.loads(sizes.pop(BESIDE, "{}"))).items():
        file = Path(path).parent / Path(name).name
        if not file.is_file():
            raise OSError(f"it needs {file.name} beside it, which is missing")
        if _checksum(file) != checksum:
            raise ValueError(f"{file.name} beside it is not the one that it was written with")
        state |= {prefix + key: value for key, value in read_network(file)[1].items()}
    return sizes, state


def _checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
