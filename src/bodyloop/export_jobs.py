"""Recovered bodies to the files of animation programs: what ``bodyloop export`` does."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from bodyloop.body import BodyModel, load_body
from bodyloop.errors import InputError
from bodyloop.geometry import Camera
from bodyloop.track import FORMAT as TRACKS
from bodyloop.track import Track, load_tracks
from bodyloop.view.actors import upright
from bodyloop.view.export import load_npz
from bodyloop.writing import make_folder

Format = Literal["glb", "bvh", "amass", "obj", "npz", "usd"]
Progress = Callable[[int, int, str], None]

SUFFIXES: dict[Format, tuple[str, ...]] = {
    "glb": (".glb",),
    "bvh": (".bvh",),
    "amass": (".npz",),
    "obj": (),
    "npz": (".npz",),
    "usd": (".usd", ".usdc", ".usda"),
}
"""How files of each format may end; OBJ makes folders of files."""
OF_ALL = ("glb", "usd")
"""Formats of which a file holds everybody."""


@dataclass(frozen=True)
class BodiesExportJob:
    """Write bodies in another format.

    Attributes:
        source: tracks, or results of `bodyloop fit` or `infer`: a file, or a folder that is searched for them.
        out: a file if only one comes of it and its name ends as the format's files do, else a folder.
        format: of the files; told by the name of `out`, else glb, if None.
        body: SMPL's own body, if the bodies are for it; the built-in one if None.
        ground: put the lowest vertex of all frames at height 0, where axes are turned at all: not for npz.
        fps: frames a second of bvh, amass and obj, which know no times; each person's mean rate if None.
    """

    source: Path
    out: Path
    format: Format | None = None
    body: Path | None = None
    ground: bool = False
    fps: float | None = None

    def chosen(self) -> Format:
        """The format.

        Raises:
            InputError: if there is none of that name, or the name of `out` ends as another format's files do.
        """
        if self.format is not None and self.format not in SUFFIXES:
            raise InputError(f"--format: expected one of {', '.join(SUFFIXES)}, got {self.format!r}")
        suffix = self.out.suffix.lower()
        if suffix == ".fbx":
            raise InputError(
                f"-o {self.out}: FBX is written by Blender, from a .glb: docs/export.md has the command line"
            )
        meant = [name for name in get_args(Format) if suffix in SUFFIXES[name]]
        if self.out.is_dir() or not meant:
            return self.format or "glb"
        if self.format is None:
            return "npz" if suffix == ".npz" else meant[0]
        if self.format not in meant:
            raise InputError(
                f"-o {self.out}: expected a folder or a name that ends in "
                f"{', '.join(SUFFIXES[self.format]) or 'nothing'}, for --format {self.format}"
            )
        return self.format


@dataclass
class Exported:
    """What became of a job.

    Attributes:
        files: that were written; of OBJ, the folders.
        people: that are in them, and their frames.
        frames: of all people.
        failures: (input, reason).
        notes: what the user should know although nothing failed.
    """

    files: list[Path] = field(default_factory=list)
    people: int = 0
    frames: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def export_bodies(job: BodiesExportJob, progress: Progress | None = None) -> Exported:
    """Write all scenes of a job, each file as soon as it is made, so that a failure costs only itself.

    A scene is a file of tracks, or the people of a photo as tracks of one frame. A glb or usd file holds a scene,
    ``OUT/SCENE.glb``. Of the other formats each person has a file, of obj a folder: ``OUT/PERSON.bvh``, or, if there
    are several scenes, ``OUT/SCENE/PERSON.bvh``.

    Args:
        job: what to do.
        progress: called with (scenes done, scenes in all, what is being done now).

    Raises:
        InputError: if nothing can be done at all, or what is asked for makes no sense.
    """
    tell = progress or (lambda done, total, text: None)
    kind = job.chosen()
    if job.fps is not None and not (math.isfinite(job.fps) and 0 < job.fps <= 1000):
        raise InputError(f"--fps: expected a number of frames a second up to 1000, got {job.fps:g}")
    if job.ground and kind == "npz":
        raise InputError(
            "--ground: npz keeps bodies where they are; leave it out, or choose another --format"
        )
    body = load_body(job.body)
    done = Exported()
    scenes = _scenes(job.source, done)
    names = file_names([_scene_name(path) for path in scenes])
    for number, (path, name) in enumerate(zip(scenes, names, strict=True)):
        tell(number, len(scenes), f"{path}: reading")
        try:
            tracks = read_scene(path)
            _check(tracks, path, body)
            if job.ground:
                tracks = upright(tracks, body, ground=True)
            targets = _targets(job, kind, tracks, name, len(scenes))

            def tell_file(text: str, number: int = number) -> None:
                tell(number, len(scenes), text)

            for target, people in targets:
                _write(kind, target, people, tracks, body, job.fps, tell_file)
                done.files.append(target)
                done.people += len(people)
                done.frames += sum(len(track) for track in people)
        except InputError as error:
            if len(scenes) == 1:
                raise
            done.failures.append((str(path), str(error).removeprefix(f"{path}: ")))
    if not done.files:
        raise InputError("nothing was written: " + "; ".join(f"{who}: {why}" for who, why in done.failures))
    tell(len(scenes), len(scenes), "done")
    return done


def read_scene(path: Path) -> list[Track]:
    """The people of a file of tracks, or those of a photo's result as tracks of one frame each.

    Raises:
        InputError: if the file is neither.
    """
    if (_keys(path) or {}).get("format") == TRACKS:
        return load_tracks(path)
    saved = load_npz(path)
    count = len(saved.bodies)
    labels = saved.scores.get("label")
    known = labels is not None and labels.shape == (count,)
    names = [
        f"person_{label}" for label in (labels.tolist() if known and labels is not None else range(count))
    ]
    camera = saved.camera.expand(count)
    tracks = []
    for i, name in enumerate(_different(names)):
        lens = Camera(camera.focal[i], camera.center[i], camera.size)
        once = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.bool)
        try:
            tracks.append(Track(saved.bodies[i : i + 1], *once, lens, name, "camera", saved.body_name))
        except ValueError as error:
            raise InputError(f"{path}: damaged: {error}") from None
    return tracks


def file_names(names: list[str]) -> list[str]:
    """Names of files and folders, on any system, for names of people and photos: each different, also without case."""
    plain = [re.sub(r"[^\w.-]+", "_", name).strip("._")[:100] or "unnamed" for name in names]
    return _different(plain)


def _different(names: list[str]) -> list[str]:
    """The names, later ones of several that are equal without case with a number."""
    taken: set[str] = set()
    found = []
    for name in names:
        tried, n = name, 1
        while tried.lower() in taken:
            n += 1
            tried = f"{name}_{n}"
        taken.add(tried.lower())
        found.append(tried)
    return found


def _scenes(source: Path, done: Exported) -> list[Path]:
    """Files with people in them.

    Raises:
        InputError: if there is none.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise InputError(f"{source}: expected tracks or results of bodyloop fit or infer, got nothing there")
    found, others = [], 0
    for path in sorted(source.rglob("*.npz")):
        keys = _keys(path)
        if keys is None or keys.get("format") == TRACKS or {"pose", "trans", "focal", "body"} <= set(keys):
            found.append(path)  # what cannot be read becomes a failure, since it may have been a result
        else:
            others += 1
    if not found:
        raise InputError(
            f"{source}: expected .npz files of bodyloop fit or infer in it, got none; check the path, and whether "
            "--formats named npz"
        )
    if others:
        done.notes.append(f"{source}: left out {others} .npz with no results in them")
    return found


def _keys(path: Path) -> dict[str, str] | None:
    """Names of the arrays of an ``.npz``, and the format if it says one; None if the file cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = dict.fromkeys(archive.files, "")
            if "format" in found:
                found["format"] = str(archive["format"])
            return found
    except Exception:  # whatever a damaged archive raises: who reads the file in earnest says why
        return None


def _scene_name(path: Path) -> str:
    """ "photo" for photo/body.npz, "tracks" for tracks.npz."""
    return path.resolve().parent.name if path.stem == "body" else path.stem


def _check(tracks: list[Track], path: Path, body: BodyModel) -> None:
    """Refuse what no format can hold.

    Raises:
        InputError: nobody, or bodies of another model.
    """
    if not tracks:
        raise InputError(f"{path}: there is nobody in it")
    other = {track.body_name for track in tracks} - {body.name}
    if other:
        raise InputError(
            f"{path}: expected bodies of the model {body.name!r}, got those of {', '.join(map(repr, sorted(other)))}; "
            "give the model with --body"
        )


def _targets(
    job: BodiesExportJob, kind: Format, tracks: list[Track], name: str, scenes: int
) -> Iterator[tuple[Path, list[Track]]]:
    """Files and who is in each.

    Raises:
        InputError: if a folder is needed and a file is named, or a folder cannot be made.
    """
    suffix = SUFFIXES[kind][0] if SUFFIXES[kind] else ""
    count = scenes if kind in OF_ALL else scenes * len(tracks)
    if job.out.suffix.lower() in SUFFIXES[kind] and not job.out.is_dir():
        if count > 1:
            raise InputError(f"-o {job.out}: expected a folder for {count} files, got a file's name")
        make_folder(job.out.parent)
        yield job.out, tracks
        return
    folder = job.out if kind in OF_ALL or scenes == 1 else job.out / name
    make_folder(folder)
    if kind in OF_ALL:
        yield folder / f"{name}{suffix}", tracks
        return
    for track, person in zip(tracks, file_names([track.name for track in tracks]), strict=True):
        yield folder / f"{person}{suffix}", [track]


def _write(
    kind: Format,
    path: Path,
    people: list[Track],
    scene: list[Track],
    body: BodyModel,
    fps: float | None,
    tell: Callable[[str], None],
) -> None:
    """Write one file, or of OBJ a folder.

    Raises:
        InputError: if it cannot be written.
    """
    tell(f"{path}: {sum(len(track) for track in people)} frames")
    if kind == "glb":
        from bodyloop.view.glb import save_animated_glb

        save_animated_glb(path, body, people)
    elif kind == "usd":
        from bodyloop.view.usd import save_usd

        save_usd(path, body, people)
    elif kind == "bvh":
        from bodyloop.view.bvh import save_bvh

        save_bvh(path, body, people[0], fps)
    elif kind == "amass":
        from bodyloop.view.amass import save_amass

        save_amass(path, body, people[0], fps)
    elif kind == "npz":
        from bodyloop.view.person_npz import save_person

        save_person(path, body, people[0])
    else:
        from bodyloop.view.obj_sequence import save_obj_sequence

        begin = min(float(track.times[0]) for track in scene)
        save_obj_sequence(
            path,
            body,
            people[0],
            fps,
            begin,
            lambda made, frames: tell(f"{path}: frame {made} of {frames}"),
        )
