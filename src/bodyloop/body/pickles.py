"""Pickles of strangers, rebuilt without running anything they ask for.

SMPL's body files, 3DPW's sequences, UP-3D's fits, PHALP's tracks and the object arrays in some ``.npz`` files are
pickles. Here they become arrays, numbers, text, lists and dicts, and nothing else: every class in the stream must be
on a short list, and the wrapper classes of that list are replaced by inert stand-ins. No chumpy and no joblib package
is needed.
"""

import io
import math
import pickle
import zlib
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any

import numpy as np


class PickleRefusedError(Exception):
    """A pickle that is damaged or asks for more than arrays; the message says what it asked for."""


LARGEST = 2**31
"""Bytes that a compressed file may unpack to."""

_BUSY = object()


class _Wrapper:
    """Inert stand-in for an array-like class in a pickle; keeps the state, runs nothing."""

    state: dict[str, Any]

    def __init__(self, *_: object) -> None:
        self.state = {}

    def __setstate__(self, state: object) -> None:
        self.state = state if isinstance(state, dict) else {}


class _Ch(_Wrapper):
    """chumpy.Ch: its value is the array ``x``."""


class _Select(_Wrapper):
    """chumpy's Select: ``a.ravel()[idxs]`` in ``preferred_shape``."""


class _Sparse(_Wrapper):
    """scipy's csc/csr/coo matrix."""

    kind = ""


class _Csc(_Sparse):
    kind = "csc"


class _Csr(_Sparse):
    kind = "csr"


class _Dropped(_Wrapper):
    """chumpy expressions that appear only in derived values (posed vertices), which are recomputed."""


class _FollowedByBytes(_Wrapper):
    """joblib's NumpyArrayWrapper: the array's bytes follow in the stream as soon as its state is set."""


def _new_array(kind: object, shape: tuple[int, ...], typecode: object) -> np.ndarray:
    """numpy's ``_reconstruct``, which a real file calls only for an empty array that is then filled."""
    if kind is not np.ndarray or tuple(shape) != (0,):
        raise pickle.UnpicklingError("an array is built in an unusual way")
    return np.ndarray.__new__(np.ndarray, (0,), "b")


def _new_object(kind: Any, base: object, state: object) -> _Wrapper:
    """copyreg's ``_reconstructor`` for the stand-ins only."""
    if not (isinstance(kind, type) and issubclass(kind, _Wrapper)):
        raise pickle.UnpicklingError(f"an object of {kind!r} is built in an unusual way")
    return kind()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """``_codecs.encode`` as Python 3 writes bytes: latin1 only."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes are encoded as {encoding!r}")
    return text.encode("latin1")


_SCALAR = np.dtype(np.float64).type(0).__reduce__()[0]  # numpy's own `multiarray.scalar`, wherever it lives
_ALLOWED: dict[tuple[str, str], Any] = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _new_array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _SCALAR for core in ("core", "_core")},
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{(f"scipy.sparse.{u}csc", "csc_matrix"): _Csc for u in ("", "_")},
    **{(f"scipy.sparse.{u}csr", "csr_matrix"): _Csr for u in ("", "_")},
    ("chumpy.ch", "Ch"): _Ch,
    ("chumpy", "Ch"): _Ch,
    ("chumpy.reordering", "Select"): _Select,
    ("chumpy.reordering", "transpose"): _Dropped,
    ("chumpy.ch_ops", "add"): _Dropped,
    ("chumpy.ch", "MatVecMult"): _Dropped,
    ("copy_reg", "_reconstructor"): _new_object,
    ("copyreg", "_reconstructor"): _new_object,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _FollowedByBytes,
}


def _allowed(module: str, name: str) -> Any:
    """What a class or function of a stream stands for; all but the few on the list are refused by name."""
    try:
        return _ALLOWED[module, name]
    except KeyError:
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is not an array") from None


class _ArrayUnpickler(pickle.Unpickler):
    """Rebuilds numpy arrays and stand-ins; refuses every other class or function by name."""

    def find_class(self, module: str, name: str) -> Any:
        return _allowed(module, name)


class _JoblibUnpickler(pickle._Unpickler):
    """The same for joblib's streams, in which bytes of arrays lie between the pickle's own.

    Python's own unpickler, unlike the compiled one, reads no further than it has to.
    """

    dispatch = pickle._Unpickler.dispatch.copy()

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, encoding="latin1")
        self._source = file

    def find_class(self, module: str, name: str) -> Any:
        return _allowed(module, name)

    def load_build(self) -> None:
        """Set an object's state; where it stands for an array, read that at once."""
        super().load_build()  # type: ignore[misc]
        if isinstance(self.stack[-1], _FollowedByBytes):  # type: ignore[attr-defined]
            array = _following_array(self._source, self.stack[-1].state)  # type: ignore[attr-defined]
            self.stack[-1] = array  # type: ignore[attr-defined]

    dispatch[pickle.BUILD[0]] = load_build  # type: ignore[assignment]


def _following_array(file: io.BytesIO, state: dict[str, Any]) -> np.ndarray:
    shape, dtype, order = (state.get(key) for key in ("shape", "dtype", "order"))
    if (
        not isinstance(dtype, np.dtype)
        or dtype.hasobject
        or order not in ("C", "F")
        or not isinstance(shape, tuple)
    ):
        raise pickle.UnpicklingError("an array in it is of objects, or does not say how it is stored")
    if state.get("numpy_array_alignment_bytes") is not None:
        file.read(file.read(1)[0])
    data = file.read(math.prod(shape) * dtype.itemsize)
    return np.ndarray(shape, dtype, data, order=order).copy()


def load_plain(file: IO[bytes]) -> Any:
    """What a pickle holds, if that is arrays, numbers, text, lists and dicts alone.

    Text of Python 2 is read as Latin-1. Sparse matrices become dense arrays, chumpy's wrappers the arrays they hold,
    and chumpy's expressions, which stand for derived values, None.

    Raises:
        PickleRefusedError: if the stream is damaged, or holds a class that is neither an array nor one of the
            array-like wrappers of SMPL's files; the message names it.
    """
    return _plain(_ArrayUnpickler(file, encoding="latin1").load)


def load_joblib(data: bytes) -> Any:
    """What a file of joblib holds, compressed by zlib or gzip or not at all; under the rules of `load_plain`.

    Raises:
        PickleRefusedError: as `load_plain`, and if it would unpack to more than `LARGEST` bytes.
    """
    try:
        return _plain(_JoblibUnpickler(io.BytesIO(_unpacked(data))).load)
    except zlib.error as error:
        raise PickleRefusedError(str(error)) from None


def _unpacked(data: bytes) -> bytes:
    if not data.startswith((b"\x78", b"\x1f\x8b")):
        return data
    unpacker = zlib.decompressobj(wbits=47)  # zlib or gzip, whichever it is
    unpacked = unpacker.decompress(data, LARGEST)
    if unpacker.unconsumed_tail:
        raise PickleRefusedError(f"it unpacks to more than {LARGEST} bytes")
    if not unpacker.eof:
        raise PickleRefusedError("it ends too early")
    return unpacked


def _plain(load: Callable[[], Any]) -> Any:
    """What is loaded, without stand-ins."""
    try:
        content = load()
    except Exception as error:  # a damaged stream can raise nearly anything, from EOFError to KeyError
        raise PickleRefusedError(str(error) or type(error).__name__) from None
    try:
        return _Unwrapper()(content)
    except RecursionError:
        raise PickleRefusedError("containers nested too deeply") from None


class _Unwrapper:
    """Stand-ins to arrays, at any depth of dicts and lists; derived expressions to None.

    Every container is walked through once, so that a few bytes that refer to each other cannot grow without end.
    """

    def __init__(self) -> None:
        self._done: dict[int, Any] = {}

    def __call__(self, value: Any) -> Any:
        if not isinstance(value, dict | list | tuple | _Wrapper):
            return value
        if id(value) not in self._done:
            self._done[id(value)] = _BUSY
            self._done[id(value)] = self._open(value)
        if self._done[id(value)] is _BUSY:
            raise PickleRefusedError("a container that holds itself")
        return self._done[id(value)]

    def _open(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): self(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return type(value)([self(entry) for entry in value])
        if isinstance(value, _Dropped):
            return None
        if isinstance(value, _FollowedByBytes):
            raise PickleRefusedError("an array without its bytes")
        if isinstance(value, _Ch):
            return self(value.state.get("x"))
        try:
            if isinstance(value, _Select):
                source = np.asarray(self(value.state["a"])).ravel()[np.asarray(value.state["idxs"])]
                return source.reshape(value.state["preferred_shape"])
            if isinstance(value, _Sparse):
                return _dense(value)
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise PickleRefusedError(f"a wrapped array is damaged ({error!r})") from None
        return value


def _dense(value: _Sparse) -> np.ndarray:
    from scipy import sparse

    state = value.state
    shape = tuple(int(n) for n in state.get("_shape", state.get("shape", ())))
    if len(shape) != 2 or shape[0] * shape[1] > 10**8:
        raise ValueError(f"sparse matrix of shape {shape}")
    build = sparse.csc_matrix if value.kind == "csc" else sparse.csr_matrix
    matrix = build((state["data"], state["indices"], state["indptr"]), shape=shape)
    matrix.check_format(full_check=True)
    return matrix.toarray()
