"""Network priors on disk: safetensors in half precision, sizes in the metadata."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


def save_network(network: nn.Module, path: str | Path, sizes: dict[str, str]) -> None:
    """Write a network's state; what is no floating point number stays as it is."""
    state = {
        k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in network.state_dict().items()
    }
    save_file(state, str(path), sizes)


def read_network(path: str | Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Sizes and state, in single precision, of what `save_network` wrote.

    Raises:
        SafetensorError, OSError: not such a file.
    """
    with safe_open(str(path), "pt") as stored:
        sizes = dict(stored.metadata() or {})
        state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    return sizes, {k: v.to(torch.float32) if v.is_floating_point() else v for k, v in state.items()}
