"""Networks on disk: safetensors, with what it takes to build them again in the metadata."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bodyloop.writing import write_atomic


def save_network(
    network: nn.Module, path: str | Path, sizes: dict[str, str], precision: torch.dtype = torch.half
) -> None:
    """Write a network's state; what is no floating point number stays as it is.

    Args:
        network: on any device.
        path: the file; it is complete or not there.
        sizes: the metadata.
        precision: of the floating point numbers.

    Raises:
        InputError: if the file cannot be written.
    """
    state = {
        name: (value.to(precision) if value.is_floating_point() else value).cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    write_atomic(path, save(state, sizes))


def read_network(path: str | Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Sizes and state, in single precision, of what `save_network` wrote.

    Raises:
        SafetensorError, OSError: not such a file.
    """
    with safe_open(str(path), "pt") as stored:
        sizes = dict(stored.metadata() or {})
        state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    return sizes, {k: v.to(torch.float32) if v.is_floating_point() else v for k, v in state.items()}
