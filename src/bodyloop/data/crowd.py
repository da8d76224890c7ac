"""Many people in columns: `Crowd`, with 2D keypoints, and `Labelled`, the same with the bodies found for them.

A data set's pseudo-labels are millions of rows, so they are kept as arrays, some hundred people a file.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bodyloop.body import SKELETONS, Bodies, Skeleton
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.geometry import Camera

VERDICTS = ("accept", "doubtful", "reject")
"""What is said of a label, the best first."""


@dataclass(frozen=True, eq=False)
class Crowd:
    """N people of a data set with their 2D keypoints: what is to be annotated.

    Attributes:
        skeleton: which K keypoints.
        ids: (N,) text, the data set's own, each once.
        images: (N,) text, names of their images' files, as the data set has them.
        sizes: (N, 2) int32, width and height of the images.
        boxes: (N, 4) float32 x0, y0, x1, y1, image pixels.
        keypoints: (N, K, 3) float32 x, y in image pixels and confidence in [0, 1], 0 = unseen.
    """

    skeleton: Skeleton
    ids: np.ndarray
    images: np.ndarray
    sizes: np.ndarray
    boxes: np.ndarray
    keypoints: np.ndarray

    def __post_init__(self) -> None:
        n, k = len(self.ids), len(self.skeleton)
        got = [a.shape for a in (self.ids, self.images, self.sizes, self.boxes, self.keypoints)]
        if got != [(n,), (n,), (n, 2), (n, 4), (n, k, 3)]:
            raise ValueError(f"a crowd of {n} with {k} keypoints has columns of other shapes: {got}")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice | np.ndarray) -> "Crowd":
        columns = (self.ids, self.images, self.sizes, self.boxes, self.keypoints)
        return Crowd(self.skeleton, *(column[rows] for column in columns))

    @property
    def seen(self) -> np.ndarray:
        """(N, K) bool."""
        return np.asarray(self.keypoints[..., 2] > 0)

    def evidence(self) -> Evidence:
        """The people as evidence of a fit."""
        values = torch.from_numpy(np.ascontiguousarray(self.keypoints))
        boxes = torch.from_numpy(np.ascontiguousarray(self.boxes))
        return Evidence.from_keypoints(
            self.skeleton, values[..., :2], values[..., 2], boxes, tuple(map(str, self.ids))
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """As a file has them."""
        return {
            "skeleton": np.array(self.skeleton.name),
            "id": self.ids,
            "image": self.images,
            "size": self.sizes,
            "box": self.boxes,
            "keypoints": self.keypoints,
        }

    @staticmethod
    def from_arrays(arrays: dict[str, np.ndarray]) -> "Crowd":
        """Inverse of `arrays`; KeyError or ValueError if they are none."""
        names = ("id", "image", "size", "box", "keypoints")
        return Crowd(SKELETONS[str(arrays["skeleton"])], *(arrays[name] for name in names))


@dataclass(frozen=True, eq=False)
class Labelled:
    """N people with the bodies that were found for them, in camera axes of the whole image.

    Attributes:
        crowd: the people.
        pose: (N, 72) float32, SMPL's axis-angle, radians, the global orientation first.
        betas: (N, 10) float32.
        trans: (N, 3) float32, SMPL's translation, metres.
        focal: (N, 2) float32 pixels.
        center: (N, 2) float32, principal point, pixels.
        body: name of the body model.
        figures: name to (N,) float32 or (N, K) float32: energies, errors, score.
        words: name to (N,) text: verdict, reasons, start.
    """

    crowd: Crowd
    pose: np.ndarray
    betas: np.ndarray
    trans: np.ndarray
    focal: np.ndarray
    center: np.ndarray
    body: str
    figures: dict[str, np.ndarray] = field(default_factory=dict)
    words: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.crowd)
        got = [a.shape for a in (self.pose, self.betas, self.trans, self.focal, self.center)]
        rows = {len(values) for values in (*self.figures.values(), *self.words.values())}
        if got != [(n, 72), (n, 10), (n, 3), (n, 2), (n, 2)] or rows > {n}:
            raise ValueError(f"labels of {n} people have columns of other shapes: {got}, {rows}")

    def __len__(self) -> int:
        return len(self.crowd)

    def __getitem__(self, rows: slice | np.ndarray) -> "Labelled":
        return replace(
            self,
            crowd=self.crowd[rows],
            pose=self.pose[rows],
            betas=self.betas[rows],
            trans=self.trans[rows],
            focal=self.focal[rows],
            center=self.center[rows],
            figures={name: values[rows] for name, values in self.figures.items()},
            words={name: values[rows] for name, values in self.words.items()},
        )

    def bodies(self) -> Bodies:
        """N people."""
        pose, betas, trans = (
            torch.from_numpy(np.ascontiguousarray(x)) for x in (self.pose, self.betas, self.trans)
        )
        return Bodies.from_smpl(pose, betas, trans)

    def camera(self, row: int) -> Camera:
        """The camera of a person's image."""
        width, height = self.crowd.sizes[row].tolist()
        focal, center = (torch.from_numpy(np.array(x[row])) for x in (self.focal, self.center))
        return Camera(focal, center, (width, height))

    def to_bytes(self, **extra: np.ndarray) -> bytes:
        """As a ``.npz`` file, with further arrays; the same people give the same bytes."""
        arrays = self.crowd.arrays() | {
            "pose": self.pose,
            "betas": self.betas,
            "trans": self.trans,
            "focal": self.focal,
            "center": self.center,
            "body": np.array(self.body),
        }
        arrays |= {f"figure_{name}": values for name, values in self.figures.items()}
        arrays |= {f"word_{name}": values for name, values in self.words.items()}
        return npz_bytes(arrays | extra)

    @staticmethod
    def load(path: Path) -> "Labelled":
        """The people of a file of `to_bytes`.

        Raises:
            InputError: no such file, or a damaged one.
        """
        return Labelled.from_arrays(load_arrays(path), path)

    @staticmethod
    def from_arrays(arrays: dict[str, np.ndarray], path: Path) -> "Labelled":
        """The people of a file's arrays; `path` and errors as of `load`."""
        try:
            return Labelled(
                Crowd.from_arrays(arrays),
                arrays["pose"],
                arrays["betas"],
                arrays["trans"],
                arrays["focal"],
                arrays["center"],
                str(arrays["body"]),
                {k.removeprefix("figure_"): v for k, v in arrays.items() if k.startswith("figure_")},
                {k.removeprefix("word_"): v for k, v in arrays.items() if k.startswith("word_")},
            )
        except (KeyError, ValueError) as error:
            raise InputError(
                f"{path}: expected labels of 'bodyloop annotate', got a file without them ({error}); remove it and "
                "run the annotation again"
            ) from None


def npz_bytes(arrays: dict[str, Any]) -> bytes:
    """A ``.npz`` file's bytes; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a ``.npz`` file of plain numbers and text.

    Raises:
        InputError: no such file, or a damaged one.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
    except Exception as error:  # damaged archives fail in zipfile, zlib, numpy ...
        raise InputError(
            f"{path}: expected a .npz file, got a damaged one ({error}); remove it and run again"
        ) from None


def joined(parts: Sequence[Labelled]) -> Labelled:
    """The people of several files in one, with the figures and words that all of them have.

    Raises:
        ValueError: for none at all, or people of different skeletons or body models.
    """
    if not parts or len({(p.crowd.skeleton.name, p.body) for p in parts}) != 1:
        raise ValueError("only labels with one skeleton and one body model can be joined")
    crowds = [p.crowd for p in parts]
    names = ("ids", "images", "sizes", "boxes", "keypoints")
    crowd = Crowd(crowds[0].skeleton, *(np.concatenate([getattr(c, n) for c in crowds]) for n in names))
    shared = [n for n in parts[0].figures if all(n in p.figures for p in parts)]
    said = [n for n in parts[0].words if all(n in p.words for p in parts)]
    return Labelled(
        crowd,
        np.concatenate([p.pose for p in parts]),
        np.concatenate([p.betas for p in parts]),
        np.concatenate([p.trans for p in parts]),
        np.concatenate([p.focal for p in parts]),
        np.concatenate([p.center for p in parts]),
        parts[0].body,
        {n: np.concatenate([p.figures[n] for p in parts]) for n in shared},
        {n: np.concatenate([p.words[n] for p in parts]) for n in said},
    )


def chosen(parts: Iterator[Labelled], verdicts: Sequence[str]) -> Iterator[Labelled]:
    """The people of whom one of these things is said; all, if nothing is said of anybody."""
    for part in parts:
        said = part.words.get("verdict")
        yield part if said is None else part[np.isin(said, list(verdicts))]
