"""People over time as USD: skeleton, skinned mesh, animation (UsdSkel, openusd.org). Needs the extra ``usd``."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bodyloop.body import SMPL_JOINTS, BodyModel
from bodyloop.errors import InputError
from bodyloop.raster import vertex_normals
from bodyloop.track import Track
from bodyloop.view.actors import Actor, actors
from bodyloop.view.glb import steady_quaternions, strongest
from bodyloop.writing import write_atomic

if TYPE_CHECKING:
    from pxr import Usd

SUFFIXES = (".usd", ".usdc", ".usda")
"""Of files: binary, binary, text."""


def save_usd(path: str | Path, body: BodyModel, tracks: Sequence[Track]) -> None:
    """USD with a SkelRoot for each person: a skeleton of SMPL's 24 joints, its animation, and the mesh with its skin.

    y up, metres; the person's shape is baked in. A time code is a frame of the fastest track, as programs that count
    frames expect; uneven frames have time codes in between. They count from the first frame of all people. All of the
    body's skinning weights are kept, SMPL's pose correctives are left out.

    Args:
        path: file to write, ``.usda`` for text, ``.usd`` or ``.usdc`` for binary.
        body: the people's model.
        tracks: one or more people, each with a name of its own.

    Raises:
        InputError: if the file cannot be written, usd-core is not there, or a track is for another body model.
        ValueError: if there is nobody, or if two people have one name.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: expected a file name that ends in {', '.join(SUFFIXES)}")
    try:
        from pxr import Usd, UsdGeom
    except ImportError:
        raise InputError("USD needs the package usd-core: pip install 'bodyloop[usd]'") from None
    people = actors(tracks, body)
    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    rate = round(max(track.fps for track in tracks), 6)
    stage.SetTimeCodesPerSecond(rate)
    stage.SetFramesPerSecond(rate)
    stage.SetStartTimeCode(0.0)
    stage.SetEndTimeCode(max(time_codes(person, rate)[-1] for person in people))
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/bodies").GetPrim())
    joints, weights = strongest(body.weights.cpu().numpy(), int((body.weights > 0).sum(1).max()))
    for person, name in zip(people, _identifiers(people), strict=True):
        _add(stage, f"/bodies/{name}", person, time_codes(person, rate), body, joints, weights)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / f"made{path.suffix}"
        stage.GetRootLayer().Export(str(made))
        content = made.read_bytes()
    write_atomic(path, content)


def time_codes(person: Actor, rate: float) -> list[float]:
    """The frames' times (T,) counted in frames at a rate a second, whole where they are nearly so."""
    codes = person.times * rate
    whole = codes.round()
    found: list[float] = np.where(abs(codes - whole) < 1e-3, whole, codes).tolist()
    return found


def _identifiers(people: list[Actor]) -> list[str]:
    """Names that USD takes, each once."""
    from pxr import Tf

    names: list[str] = []
    for person in people:
        plain = name = Tf.MakeValidIdentifier(person.name)
        while name in names:
            name = f"{plain}_{len(names)}"
        names.append(name)
    return names


def _add(
    stage: "Usd.Stage",
    place: str,
    person: Actor,
    codes: list[float],
    body: BodyModel,
    joints: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Write a person below a prim's path."""
    from pxr import UsdSkel, Vt

    root = UsdSkel.Root.Define(stage, place)
    root.GetPrim().SetDisplayName(person.name)
    paths = _paths(body.parents)
    skeleton = UsdSkel.Skeleton.Define(stage, f"{place}/skeleton")
    skeleton.CreateJointsAttr(paths)
    skeleton.CreateJointNamesAttr(list(SMPL_JOINTS))
    bones = person.bones(body.parents)
    bones[0] = person.rest[0]
    skeleton.CreateBindTransformsAttr(_translations(person.rest))
    skeleton.CreateRestTransformsAttr(_translations(bones))

    animation = UsdSkel.Animation.Define(stage, f"{place}/animation")
    animation.CreateJointsAttr(paths)
    animation.CreateScalesAttr(Vt.Vec3hArray.FromNumpy(np.ones((len(paths), 3), np.float16)))
    quat_xyzw = steady_quaternions(person.rotations).astype(np.float32)
    turned, moved = animation.CreateRotationsAttr(), animation.CreateTranslationsAttr()
    for code, turn, pelvis in zip(codes, quat_xyzw, person.places, strict=True):
        bones[0] = pelvis
        turned.Set(Vt.QuatfArray.FromNumpy(turn), code)
        moved.Set(Vt.Vec3fArray.FromNumpy(bones.astype(np.float32)), code)
    binding = UsdSkel.BindingAPI.Apply(skeleton.GetPrim())
    binding.CreateAnimationSourceRel().SetTargets([animation.GetPath()])
    _add_mesh(stage, place, person, body, joints, weights)


def _add_mesh(
    stage: "Usd.Stage", place: str, person: Actor, body: BodyModel, joints: np.ndarray, weights: np.ndarray
) -> None:
    """The mesh at rest, bound to the skeleton beside it."""
    from pxr import Gf, UsdGeom, UsdSkel, Vt

    vertices = body.rest_vertices(person.betas)
    normals = vertex_normals(vertices[None], body.faces)[0].cpu().numpy()
    places = np.ascontiguousarray(vertices.cpu().numpy(), np.float32)
    faces = body.faces.cpu().numpy().astype(np.int32)
    mesh = UsdGeom.Mesh.Define(stage, f"{place}/mesh")
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(places))
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(faces), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(faces.ravel()))
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(normals, np.float32)))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    mesh.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(np.stack([places.min(0), places.max(0)])))
    mesh.CreateDisplayColorAttr([Gf.Vec3f(*person.color.tolist())])
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateSkeletonRel().SetTargets([f"{place}/skeleton"])
    binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1.0))
    count = joints.shape[1]
    indices = binding.CreateJointIndicesPrimvar(False, count)
    indices.Set(Vt.IntArray.FromNumpy(joints.astype(np.int32).ravel()))
    shares = binding.CreateJointWeightsPrimvar(False, count)
    shares.Set(Vt.FloatArray.FromNumpy(weights.astype(np.float32).ravel()))


def _paths(parents: tuple[int, ...]) -> list[str]:
    """Joints as UsdSkel names them, e.g. "pelvis/left_hip"."""
    paths: list[str] = []
    for name, parent in zip(SMPL_JOINTS, parents, strict=True):
        paths.append(name if parent < 0 else f"{paths[parent]}/{name}")
    return paths


def _translations(places: np.ndarray) -> Any:
    """Places (J, 3) as USD's matrices, which multiply rows from the right."""
    from pxr import Vt

    matrices = np.tile(np.eye(4), (len(places), 1, 1))
    matrices[:, 3, :3] = places
    return Vt.Matrix4dArray.FromNumpy(matrices)
