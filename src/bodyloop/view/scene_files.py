"""Scenes from files: results of photos (`save_npz`), and people over time (`save_tracks`)."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel, get_skeleton
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.evidence.photos import SUFFIXES, photo_sizes, read_photo
from bodyloop.fit import Hypotheses
from bodyloop.geometry import Camera
from bodyloop.track import FORMAT, Track, load_tracks
from bodyloop.view.export import SavedBodies, load_npz
from bodyloop.view.overlay import single_camera
from bodyloop.view.scene import Figure, Moment, Scene
from bodyloop.view.video_frames import VideoFrames

Pixels = Callable[[], np.ndarray]


def read_scene(path: Path, body: BodyModel, pictures: Path | None = None) -> Scene:
    """What a file, or a folder with all folders in it, holds for a viewer.

    Tracks go before photos. Of several files with tracks the first in camera axes is taken, and a note names the
    others. Photos that are not where they were, or have another size, are left out with a note.

    Args:
        path: body.npz, tracks, or a folder of them.
        body: whose bodies they should be.
        pictures: the photo, or a folder to look for photos in by name; of tracks, the video, or a folder with an image
            a frame.

    Raises:
        InputError: nothing there that can be shown, a damaged file named outright, bodies of another model, or frames
            that are not as many as the tracks'.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*.npz")) if path.is_dir() else []
    if not files:
        raise InputError(
            f"{path}: expected results of bodyloop fit or infer, got "
            f"{'a folder without .npz files' if path.is_dir() else 'no such file or folder'}; check the path"
        )
    if pictures is not None and not pictures.exists():
        raise InputError(f"{pictures}: expected a photo or a folder of them, got none; check the path")
    tracks: dict[Path, list[Track]] = {}
    results: dict[Path, SavedBodies] = {}
    notes: list[str] = []
    for file in files:
        try:
            if _is_tracks(file):
                tracks[file] = load_tracks(file)
            elif file == path or _is_results(file):
                results[file] = load_npz(file)
        except InputError as error:
            if file == path:
                raise
            notes.append(f"left out: {error}")
    if any(tracks.values()):
        return _tracks_scene(tracks, body, pictures, notes)
    if not any(len(saved.bodies) for saved in results.values()):
        reasons = "; ".join(notes) or "none"
        raise InputError(
            f"{path}: expected results of bodyloop fit or infer with people in them, got {reasons}"
        )
    return _photos_scene(path, results, body, pictures, notes)


def _keys(file: Path) -> dict[str, str]:
    """Names of an archive's arrays, with the text of its format; nothing of what is no archive."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            names = dict.fromkeys(archive.files, "")
            if "format" in names:
                names["format"] = str(archive["format"])
            return names
    except Exception:  # whatever a damaged archive raises: it is none of ours
        return {}


def _is_tracks(file: Path) -> bool:
    return _keys(file).get("format") == FORMAT


def _is_results(file: Path) -> bool:
    return {"pose", "betas", "trans", "focal", "body"} <= set(_keys(file))


def _check_body(file: Path, name: str, body: BodyModel) -> None:
    if name != body.name:
        raise InputError(
            f"{file}: expected bodies of the model {body.name!r}, got those of {name!r}; give the model with --body"
        )


def _finite(bodies: Bodies) -> Tensor:
    """(N,) bool, who can be shown."""
    return torch.stack(
        [x.isfinite().flatten(1).all(1) for x in (bodies.rotations, bodies.betas, bodies.translation)]
    ).all(0)


def _photos_scene(
    path: Path, results: dict[Path, SavedBodies], body: BodyModel, pictures: Path | None, notes: list[str]
) -> Scene:
    moments: list[Moment] = []
    figures: list[Figure] = []
    for file, saved in results.items():
        _check_body(file, saved.body_name, body)
        try:
            camera = single_camera(saved.camera)
        except ValueError as error:
            raise InputError(f"{file}: {error}") from None
        photo = saved.scores.get("photo")
        name = file.parent.name if photo is None else Path(str(photo)).name
        seen = _evidence(file, saved, notes)
        picture = _photo(file, photo, camera, pictures, notes)
        figures += _people(file, len(moments), saved, notes)
        moments.append(Moment(name, float(len(moments)), camera, picture, seen))
    title = moments[0].name if len(moments) == 1 else path.resolve().name
    return Scene(title, body, tuple(moments), tuple(figures), notes=tuple(notes))


def _labels(saved: SavedBodies) -> tuple[str, ...]:
    label = saved.scores.get("label")
    if label is None or label.shape != (len(saved.bodies),):
        return tuple(map(str, range(len(saved.bodies))))
    return tuple(map(str, label.tolist()))


def _people(file: Path, moment: int, saved: SavedBodies, notes: list[str]) -> list[Figure]:
    """The people of a photo, and what else was tried for them."""
    try:
        tried = Hypotheses.from_arrays(saved.scores, len(saved.bodies))
    except ValueError as error:
        notes.append(f"{file}: {error}")
        tried = None
    good, figures = _finite(saved.bodies), []
    for number, label in enumerate(_labels(saved)):
        if not good[number]:
            notes.append(f"{file}: person {label} left out: not all of their numbers are finite")
            continue
        caption = _caption(label, saved, number)
        figures.append(Figure(label, number, (moment,), saved.bodies[number : number + 1], (caption,)))
        if tried is not None:
            figures += _others(label, number, moment, _score(saved, "start", number), tried)
    return figures


def _others(label: str, number: int, moment: int, start: str, tried: Hypotheses) -> list[Figure]:
    """What other starts than the winner led to, with how much more energy they have than the winner had."""
    mine = (tried.person == number).nonzero()[:, 0].tolist()
    won = [float(tried.energy[row]) for row in mine if tried.start[row] == start]
    good = _finite(tried.bodies)
    figures = []
    for row in mine:
        if tried.start[row] == start or not good[row]:
            continue
        energy = float(tried.energy[row])
        text = f"energy {energy - won[0]:+.1f}" if won else f"energy {energy:.1f}"
        text = text if math.isfinite(energy) else "failed"  # behind the camera, for instance
        caption = f"{label}: {tried.start[row]}, {text}"
        figures.append(
            Figure(label, number, (moment,), tried.bodies[row : row + 1], (caption,), chosen=False)
        )
    return figures


def _score(saved: SavedBodies, name: str, number: int) -> str:
    """Text of a score of a person; empty if there is none."""
    values = saved.scores.get(name)
    return "" if values is None or values.shape != (len(saved.bodies),) else str(values[number])


def _caption(label: str, saved: SavedBodies, number: int) -> str:
    words = [start] if (start := _score(saved, "start", number)) else []
    if energy := _score(saved, "energy", number):
        words.append(f"energy {float(energy):.1f}")
    if doubts := _score(saved, "doubts", number):
        words.append(f"not to be trusted: {doubts}")
    return f"{label}: {', '.join(words)}" if words else label


def _evidence(file: Path, saved: SavedBodies, notes: list[str]) -> Evidence | None:
    try:
        skeleton = get_skeleton(str(saved.scores["skeleton"]))
        keypoints, confidence = saved.scores["keypoints"], saved.scores["confidence"]
        if len(keypoints) != len(saved.bodies):
            raise ValueError(f"{len(keypoints)} people with keypoints and {len(saved.bodies)} with bodies")
        return Evidence.from_keypoints(skeleton, keypoints, confidence, labels=_labels(saved))
    except KeyError as error:
        if "skeleton" in saved.scores:
            notes.append(f"{file}: keypoints are not drawn ({error.args[0]})")
        return None
    except (ValueError, TypeError) as error:
        notes.append(f"{file}: keypoints are not drawn ({error})")
        return None


def _photo(
    file: Path, photo: np.ndarray | None, camera: Camera, pictures: Path | None, notes: list[str]
) -> Pixels | None:
    """What reads the photo of a result: from where it was, from the folder of pictures, or from beside the result."""
    recorded = None if photo is None else Path(str(photo))
    places = [pictures] if pictures is not None and pictures.is_file() else []
    if recorded is not None:
        if pictures is not None and pictures.is_dir():
            places += sorted(found for found in pictures.rglob("*") if found.name == recorded.name)
        places += [recorded, file.parent / recorded.name]
    sizes = photo_sizes(place for place in places if place.is_file())
    for place in places:
        if sizes.get(str(place)) == camera.size:
            return partial(_read_pixels, place)
    if sizes:
        size, other = "{} x {}".format(*camera.size), "{} x {}".format(*next(iter(sizes.values())))
        notes.append(f"{next(iter(sizes))}: not shown: expected a photo of {size} pixels, got {other}")
    else:
        where = "the file does not tell its photo" if recorded is None else f"{recorded} is not there"
        notes.append(f"{file}: no photo: {where}; name its folder with --pictures")
    return None


def _read_pixels(path: Path) -> np.ndarray:
    return read_photo(path).pixels


def _tracks_scene(
    files: dict[Path, list[Track]], body: BodyModel, pictures: Path | None, notes: list[str]
) -> Scene:
    ordered = sorted((f for f in files if files[f]), key=lambda f: files[f][0].frame != "camera")
    file, tracks = ordered[0], files[ordered[0]]
    if len(ordered) > 1:
        others = ", ".join(map(str, ordered[1:]))
        notes.append(f"shown is {file}; there are tracks in {others} too")
    for track in tracks:
        _check_body(file, track.body_name, body)
        if track.frame != tracks[0].frame:
            raise InputError(
                f"{file}: expected tracks in the axes of the camera or of a world, got both; keep them in two files"
            )
    times = torch.cat([track.times for track in tracks]).unique()
    cameras: list[Camera | None] = [None] * len(times)
    figures = []
    for number, track in enumerate(tracks):
        places = torch.searchsorted(times, track.times).tolist()
        if track.camera is not None and track.frame == "camera":
            lens = track.camera.expand(len(track))
            for row, place in enumerate(places):
                cameras[place] = Camera(lens.focal[row], lens.center[row], lens.size)
        captions = [track.name if seen else f"{track.name} (not seen)" for seen in track.observed.tolist()]
        figures.append(Figure(track.name, number, tuple(places), track.bodies, tuple(captions)))
    images = _frames(pictures or _video_of(file, notes), cameras, times.tolist(), notes)
    moments = [
        Moment(f"{seconds:.2f} s", seconds - float(times[0]), cameras[i], images[i])
        for i, seconds in enumerate(times.tolist())
    ]
    title = file.stem if file.parent.name == "" else f"{file.parent.resolve().name}/{file.stem}"
    return Scene(title, body, tuple(moments), tuple(figures), True, tracks[0].frame, tuple(notes))


def _video_of(file: Path, notes: list[str]) -> Path | None:
    """The video that a file of tracks tells, if it is still there."""
    with np.load(file, allow_pickle=False) as archive:
        video = Path(str(archive["video"])) if "video" in archive.files else None
    if video is not None and not video.is_file():
        notes.append(f"{file}: no pictures: {video} is not there; name it with --pictures")
        return None
    return video


def _frames(
    pictures: Path | None, cameras: Sequence[Camera | None], times: Sequence[float], notes: list[str]
) -> Sequence[Pixels | None]:
    """The frames of a video at their times, or an image for each frame, in the order of their names."""
    nothing: list[Pixels | None] = [None] * len(cameras)
    if pictures is None or cameras[0] is None:
        return nothing
    found: list[Pixels | None]
    if pictures.is_dir():
        images = sorted(p for p in pictures.iterdir() if p.suffix.lower() in SUFFIXES)
        if len(images) != len(cameras):
            raise InputError(
                f"{pictures}: expected an image for each of the {len(cameras)} frames of the tracks, got {len(images)}"
            )
        size = photo_sizes(images[:1]).get(str(images[0]))
        found = [partial(_read_pixels, image) for image in images]
    else:
        video = VideoFrames(pictures)
        height, width = video.at(times[0]).shape[:2]
        size = width, height
        found = [partial(video.at, seconds) for seconds in times]
    if size is None or size[0] * cameras[0].size[1] != size[1] * cameras[0].size[0]:
        notes.append(
            f"{pictures}: not shown: expected pictures of the camera's {cameras[0].size} pixels, got {size}"
        )
        return nothing
    return found
