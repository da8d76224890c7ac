"""Bodies to files: parameters (.npz) and meshes (.obj, .ply, .glb). Every file is complete or not there.

The .npz keeps the package's frame: OpenCV camera axes (x right, y down, z forward), metres. Mesh files are
for viewers and modelling programs, which have y up and look along -z (glTF prescribes it): they are turned by
180 degrees about x.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from bodyloop import __version__
from bodyloop.body import Bodies, BodyModel
from bodyloop.errors import InputError
from bodyloop.geometry import Camera
from bodyloop.raster import vertex_normals
from bodyloop.view.render import person_colors
from bodyloop.writing import write_atomic

CAMERA_TO_VIEWER = np.array([1.0, -1.0, -1.0], np.float32)
"""OpenCV's axes to y up, z towards the viewer: a half turn about x."""


@dataclass(frozen=True)
class SavedBodies:
    """What a parameter file holds.

    Attributes:
        bodies: N people, camera frame.
        camera: the photo's.
        body_name: which body model they are for.
        version: bodyloop's version that wrote the file.
        scores: further arrays by name, e.g. energies (N,).
    """

    bodies: Bodies
    camera: Camera
    body_name: str
    version: str = __version__
    scores: dict[str, np.ndarray] = field(default_factory=dict)


def save_npz(
    path: str | Path,
    bodies: Bodies,
    camera: Camera,
    body_name: str,
    scores: Mapping[str, np.ndarray | torch.Tensor] | None = None,
) -> None:
    """Write N people in SMPL's parameters.

    Keys: pose (N, 72) axis-angle, betas (N, 10), trans (N, 3) metres, focal and center in pixels with the
    camera's shapes, size (width, height), body and version (strings), and the scores.

    Raises:
        InputError: if the file cannot be written.
        ValueError: if a score has the name of another key, or holds objects.
    """
    arrays = {
        "pose": _array(bodies.pose).reshape(-1, 72),
        "betas": _array(bodies.betas).reshape(-1, 10),
        "trans": _array(bodies.translation).reshape(-1, 3),
        "focal": _array(camera.focal),
        "center": _array(camera.center),
        "size": np.array(camera.size, np.int64),
        "body": np.array(body_name),
        "version": np.array(__version__),
    }
    for name, values in (scores or {}).items():
        array = _array(values) if isinstance(values, torch.Tensor) else np.asarray(values)
        if name in arrays or array.dtype.kind == "O":
            raise ValueError(f"score {name!r} ({array.dtype}) needs another name, or plain numbers or text")
        arrays[name] = array
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())


def load_npz(path: str | Path) -> SavedBodies:
    """Read what `save_npz` wrote.

    Raises:
        InputError: if the file cannot be read or is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except Exception as error:  # a damaged archive fails in zipfile, zlib, numpy ...
        raise InputError(f"{path}: not a readable .npz of plain arrays ({error})") from None
    wanted = ("pose", "betas", "trans", "focal", "center", "size", "body", "version")
    missing = [key for key in wanted if key not in arrays]
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}; expected a file that bodyloop wrote")
    pose, betas, trans, focal, center, size = (arrays.pop(key) for key in wanted[:6])
    body, version = str(arrays.pop("body")), str(arrays.pop("version"))
    try:
        bodies = Bodies.from_smpl(*(torch.from_numpy(a) for a in (pose, betas, trans)))
        width, height = (int(n) for n in size)
        camera = Camera(torch.from_numpy(focal), torch.from_numpy(center), (width, height))
    except (ValueError, TypeError, IndexError) as error:
        raise InputError(f"{path}: damaged: {error}") from None
    return SavedBodies(bodies, camera, body, version, arrays)


@dataclass(frozen=True)
class _Person:
    """One person's mesh in viewer axes: name, (V, 3) places and normals, (F, 3) faces, colour (3,)."""

    name: str
    vertices: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    color: np.ndarray


def save_obj(path: str | Path, body: BodyModel, bodies: Bodies, names: Sequence[str] | None = None) -> None:
    """Wavefront OBJ with one object a person, with normals; viewer axes.

    Args:
        path: file to write.
        body: the bodies' model.
        bodies: N people, camera frame.
        names: N names; "person_0", "person_1", ... if None.

    Raises:
        InputError: if the file cannot be written.
    """
    text = ["# bodyloop; metres, y up\n"]
    first = 0
    for person in _people(body, bodies, names):
        text.append(obj_object(person.name, person.vertices, person.normals, person.faces, first))
        first += len(person.vertices)
    write_atomic(path, "".join(text).encode(errors="replace"))


def obj_object(
    name: str, vertices: np.ndarray, normals: np.ndarray, faces: np.ndarray, first: int = 0
) -> str:
    """Wavefront's lines of one object.

    Args:
        name: of the object.
        vertices: (V, 3).
        normals: (V, 3).
        faces: (F, 3) from 0 on.
        first: vertices of the objects before it in the file.
    """
    return "".join(
        [
            f"o {' '.join(name.split())}\n",  # a name is a line at most
            _lines("v %.6f %.6f %.6f\n", vertices),
            _lines("vn %.4f %.4f %.4f\n", normals),
            _lines("f %d//%d %d//%d %d//%d\n", np.repeat(faces + first + 1, 2, axis=1)),
        ]
    )


def save_ply(path: str | Path, body: BodyModel, bodies: Bodies) -> None:
    """Binary PLY, all people in one mesh, with normals and a colour a person; viewer axes.

    Raises:
        InputError: if the file cannot be written.
    """
    import trimesh

    people = _people(body, bodies, None)
    first = np.cumsum([0] + [len(p.vertices) for p in people])
    mesh = trimesh.Trimesh(
        np.concatenate([p.vertices for p in people]),
        np.concatenate([p.faces + n for p, n in zip(people, first, strict=False)]),
        vertex_normals=np.concatenate([p.normals for p in people]),
        vertex_colors=np.concatenate([np.tile(p.color * 255, (len(p.vertices), 1)) for p in people]).astype(
            np.uint8
        ),
        process=False,
    )
    write_atomic(path, trimesh.exchange.ply.export_ply(mesh, vertex_normal=True))


def save_glb(path: str | Path, body: BodyModel, bodies: Bodies, names: Sequence[str] | None = None) -> None:
    """glTF binary with one named node a person, normals, and a plain material each; viewer axes.

    Arguments and errors as for `save_obj`.
    """
    # pygltflib loads much faster than trimesh, which a single photo would notice
    from pygltflib import Node

    from bodyloop.view.gltf import Document

    document = Document()
    for person in _people(body, bodies, names):
        corners = document.corners(person.faces)
        mesh = document.mesh(person.name, person.vertices, person.normals, corners, person.color)
        document.node(Node(name=person.name, mesh=mesh), root=True)
    document.save(path)


def save_picture(path: str | Path, pixels: np.ndarray) -> None:
    """PNG of pixels (H, W, 3) uint8; JPEG if the file's name ends in .jpg, which is smaller for photos.

    Raises:
        InputError: if the file cannot be written.
    """
    from PIL import Image

    buffer = io.BytesIO()
    if Path(path).suffix.lower() in (".jpg", ".jpeg"):
        Image.fromarray(pixels).save(buffer, format="jpeg", quality=85)
    else:
        Image.fromarray(pixels).save(buffer, format="png", compress_level=3)
    write_atomic(path, buffer.getvalue())


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _lines(pattern: str, table: np.ndarray) -> str:
    """One formatted line a row."""
    return (pattern * len(table)) % tuple(table.ravel().tolist())


def _people(body: BodyModel, bodies: Bodies, names: Sequence[str] | None) -> list[_Person]:
    with torch.no_grad():
        vertices = body.vertices(bodies)
        vertices = vertices.reshape(-1, *vertices.shape[-2:])
        normals = vertex_normals(vertices, body.faces)
    labels = [f"person_{i}" for i in range(len(vertices))] if names is None else list(names)
    if not len(vertices) or len(set(labels)) != len(vertices):
        raise ValueError(f"need people and a different name for each, got {len(vertices)} people, {labels}")
    faces = _array(body.faces)
    places, directions = _array(vertices) * CAMERA_TO_VIEWER, _array(normals) * CAMERA_TO_VIEWER
    colors = person_colors(len(vertices)).numpy()
    return [_Person(n, places[i], directions[i], faces, colors[i]) for i, n in enumerate(labels)]
