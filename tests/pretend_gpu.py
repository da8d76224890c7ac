"""A pretended GPU, for machines without one: tensors of a device of their own that are computed on the CPU.

Operations that mix them with CPU tensors fail, as they do on a real one; what a GPU allows is allowed here:
CPU numbers without dimensions, CPU indices, copies between the devices. The device is called "meta", since
torch without CUDA refuses that name.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = "meta"
COPIES = ("_to_copy", "copy_", "lift_fresh")
INDEXED = ("index", "index_put", "index_put_", "_unsafe_index", "_index_put_impl_")


class _Pretended(Tensor):
    """Wraps the CPU tensor `inner`."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "_Pretended":
        return Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), dtype=inner.dtype, device=DEVICE
        )

    def __init__(self, inner: Tensor) -> None:
        self.inner = inner

    def tolist(self) -> Any:
        return self.inner.tolist()

    def __getitem__(self, index: Any) -> Tensor:
        return super().__getitem__(_with_tensors(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(_with_tensors(index), value)

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(function, args, kwargs or {})


def _compute(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = function.overloadpacket.__name__
    flat = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
    ours = any(isinstance(x, _Pretended) for x in flat)
    checked = flat if name not in INDEXED else [args[0], *args[2:3]]
    if ours and name not in COPIES:
        strangers = [
            x for x in checked if isinstance(x, Tensor) and not isinstance(x, _Pretended) and x.dim()
        ]
        if strangers:
            raise RuntimeError(f"{name}: expected all tensors to be on the same device, got two")
        if name in INDEXED and not isinstance(args[0], _Pretended):
            raise RuntimeError(f"{name}: a CPU tensor is indexed by one on the GPU")
    device = kwargs.get("device")
    if device is not None:
        ours = torch.device(device).type == DEVICE
        kwargs = {**kwargs, "device": "cpu", **({"pin_memory": False} if "pin_memory" in kwargs else {})}
    if name == "copy_":
        _inner(args[0]).copy_(_inner(args[1]))
        return args[0]
    out = function(*tree_map(_inner, args), **tree_map(_inner, kwargs))
    if name.endswith("_") and not name.endswith("__") and flat and isinstance(args[0], Tensor):
        return args[0]
    return tree_map(lambda x: _Pretended(x) if isinstance(x, Tensor) else x, out) if ours else out


def _with_tensors(index: Any) -> Any:
    """An index with tensors in place of lists, of which torch would make memory of the device itself."""
    if not isinstance(index, tuple):
        index = (index,)
    return tuple(torch.tensor(i, dtype=torch.long) if isinstance(i, list | tuple) else i for i in index)


def _inner(x: Any) -> Any:
    return x.inner if isinstance(x, _Pretended) else x


class PretendedGpu(TorchDispatchMode):
    """While entered, `DEVICE` can be named as a device."""

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _compute(function, args, kwargs or {})

    def __enter__(self) -> "PretendedGpu":
        # These two fill memory of the device themselves, without asking.
        self.originals = torch.tensor, Tensor.new_tensor
        make = self.originals[0]
        torch.tensor = lambda data, dtype=None, device=None: make(data, dtype=dtype).to(device or "cpu")
        Tensor.new_tensor = lambda like, data: make(data).to(like)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        torch.tensor, Tensor.new_tensor = self.originals
        super().__exit__(*error)
