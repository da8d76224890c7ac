"""UP-3D: a folder with an image, 14 keypoints and an SMPL fit for each person.

Lassner, Romero, Kiefel, Bogo, Black, Gehler, "Unite the People", 2017.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bodyloop.body import get_skeleton
from bodyloop.data.formats.columns import BodyColumn, KeypointColumn, boxes_around, good_boxes
from bodyloop.data.formats.format import Content, DatasetSpec, Format, Tally, load_pickle
from bodyloop.data.part_maps import PartMap
from bodyloop.data.record import Record, RecordSet
from bodyloop.errors import InputError

WHAT = "a UP-3D folder with NUMBER_image.png, NUMBER_joints.npy and NUMBER_body.pkl"
WHITE = 255
"""Grey level of the background of ``_render_light.png``."""


@dataclass(frozen=True)
class RenderedSilhouette:
    """The silhouette of the fitted body, from its picture before white."""

    path: Path
    partition: str = "person"

    def read(self) -> PartMap:
        """See `bodyloop.data.part_maps.PartSource`."""
        from PIL import Image

        try:
            with Image.open(self.path) as image:
                pixels = np.array(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            raise InputError(
                f"{self.path}: expected a rendered fit, got no image ({error}); copy it again"
            ) from None
        return PartMap((pixels.min(-1) < WHITE).astype(np.uint8), "person")


@dataclass(frozen=True, eq=False)
class _Rows:
    name: str
    folder: Path
    images: Path
    bases: list[str]
    keypoints: KeypointColumn
    bodies: BodyColumn
    boxes: np.ndarray

    def __call__(self, row: int) -> Record:
        base = self.bases[row]
        x0, y0, x1, y1 = self.boxes[row].tolist()
        render = self.folder / f"{base}_render_light.png"
        return Record(
            self.name,
            base,
            self.images / f"{base}_image.png",
            box=(x0, y0, x1, y1),
            keypoints=self.keypoints.at(row),
            body=self.bodies.at(row),
            parts=RenderedSilhouette(render) if render.exists() else None,
        )


def read_up3d(content: Content, spec: DatasetSpec) -> RecordSet:
    """Records of a UP-3D folder, of a split's ``train.txt`` ..., or of everything there.

    Pose and shape are read; the fits' translation and camera are not, since their meaning could not be checked.
    Boxes are around the keypoints.

    Raises:
        InputError: no such split, or nothing can be used.
    """
    folder, tally = spec.path, Tally()
    bases = _bases(folder, spec.split)
    joints, poses, betas, good = [], [], [], np.zeros(len(bases), bool)
    for number, base in enumerate(bases):
        try:
            points = _joints(folder / f"{base}_joints.npy")
            pose, shape = _fit(folder / f"{base}_body.pkl")
        except InputError as error:
            tally.drop(str(error).partition(": ")[2] or str(error), base)
            points, pose, shape = np.zeros((14, 3)), np.zeros(72), np.zeros(10)
        else:
            good[number] = True
        joints.append(points)
        poses.append(pose)
        betas.append(shape)
    if not bases:
        tally.settle(spec, WHAT, 0)
    keypoints = KeypointColumn.clean(get_skeleton("lsp14"), np.stack(joints), tally)
    boxes = boxes_around(keypoints.values)
    tally.drop_rows(good & ~good_boxes(boxes), "keypoints that span no box")
    rows = _Rows(
        spec.label,
        folder,
        spec.image_folder(folder),
        bases,
        keypoints,
        BodyColumn.clean(np.stack(poses), np.stack(betas), None, good, tally),
        boxes,
    )
    kept = np.flatnonzero(good & good_boxes(boxes))
    return RecordSet(spec.label, folder, rows, kept, tally.settle(spec, WHAT, len(kept)))


def _bases(folder: Path, split: str | None) -> list[str]:
    """Names of the split's people. Lines of the lists are like ``/00001_image.png``."""
    if split is None:
        return sorted(p.name.removesuffix("_body.pkl") for p in folder.glob("*_body.pkl"))
    try:
        lines = (folder / f"{split}.txt").read_text().split()
    except (OSError, UnicodeDecodeError):
        there = ", ".join(sorted(p.stem for p in folder.glob("*.txt"))) or "none"
        raise InputError(f"{folder}: expected a list {split}.txt, got none; there are: {there}") from None
    return [line.removeprefix("/").removesuffix("_image.png") for line in lines]


def _joints(path: Path) -> np.ndarray:
    """(14, 3) x, y, confidence of a file (3, 14)."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: no readable joints ({reason})") from None
    if not isinstance(array, np.ndarray) or array.shape != (3, 14) or array.dtype.kind not in "fiu":
        raise InputError(f"{path}: joints that are not (3, 14) numbers")
    return array.T.astype(np.float64)


def _fit(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pose (72,) and betas (10,)."""
    content = load_pickle(path, "an SMPL fit")
    found = []
    for key, size in (("pose", 72), ("betas", 10)):
        value = content.get(key) if isinstance(content, dict) else None
        array = np.asarray(value).ravel() if isinstance(value, np.ndarray) else np.zeros(0)
        if array.size < size or array.dtype.kind not in "fiu" or (key == "pose" and array.size != size):
            raise InputError(f"{path}: no {key!r} of {size} numbers in the fit")
        found.append(array[:size].astype(np.float64))
    return found[0], found[1]


def _tells(content: Content) -> bool:
    return content.is_folder and next(content.path.glob("*_body.pkl"), None) is not None


UP3D = Format("up3d", WHAT, _tells, read_up3d)
