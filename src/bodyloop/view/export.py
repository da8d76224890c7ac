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
    first = 1
    for person in _people(body, bodies, names):
        text.append(f"o {' '.join(person.name.split())}\n")  # a name is a line at most
        text.append(_lines("v %.6f %.6f %.6f\n", person.vertices))
        text.append(_lines("vn %.4f %.4f %.4f\n", person.normals))
        text.append(_lines("f %d//%d %d//%d %d//%d\n", np.repeat(person.faces + first, 2, axis=1)))
        first += len(person.vertices)
    write_atomic(path, "".join(text).encode(errors="replace"))


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
    import pygltflib as gltf

    document = gltf.GLTF2(
        asset=gltf.Asset(generator=f"bodyloop {__version__}"), scene=0, scenes=[gltf.Scene(nodes=[])]
    )
    blob = bytearray()

    def accessor(array: np.ndarray, kind: str, component: int, target: int, bounds: bool = False) -> int:
        document.bufferViews.append(
            gltf.BufferView(buffer=0, byteOffset=len(blob), byteLength=array.nbytes, target=target)
        )
        blob.extend(array.tobytes())
        limits = {"min": array.min(0).tolist(), "max": array.max(0).tolist()} if bounds else {}
        view, count = len(document.bufferViews) - 1, array.size if kind == gltf.SCALAR else len(array)
        document.accessors.append(
            gltf.Accessor(bufferView=view, componentType=component, count=count, type=kind, **limits)
        )
        return len(document.accessors) - 1

    for i, person in enumerate(_people(body, bodies, names)):
        vertices, normals = (x.astype(np.float32) for x in (person.vertices, person.normals))
        places = accessor(vertices, gltf.VEC3, gltf.FLOAT, gltf.ARRAY_BUFFER, bounds=True)
        directions = accessor(normals, gltf.VEC3, gltf.FLOAT, gltf.ARRAY_BUFFER)
        corners = accessor(
            person.faces.astype(np.uint32).ravel(), gltf.SCALAR, gltf.UNSIGNED_INT, gltf.ELEMENT_ARRAY_BUFFER
        )
        skin = gltf.PbrMetallicRoughness(
            baseColorFactor=[*person.color.tolist(), 1.0], metallicFactor=0.0, roughnessFactor=0.8
        )
        document.materials.append(gltf.Material(name=person.name, pbrMetallicRoughness=skin))
        attributes = gltf.Attributes(POSITION=places, NORMAL=directions)
        primitive = gltf.Primitive(attributes=attributes, indices=corners, material=i)
        document.meshes.append(gltf.Mesh(name=person.name, primitives=[primitive]))
        document.nodes.append(gltf.Node(name=person.name, mesh=i))
        document.scenes[0].nodes.append(i)
    document.buffers.append(gltf.Buffer(byteLength=len(blob)))
    document.set_binary_blob(bytes(blob))
    write_atomic(path, b"".join(document.save_to_bytes()))


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
