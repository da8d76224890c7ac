"""People over time as Wavefront OBJ: a mesh a frame, for programs that know no skins."""

from collections.abc import Callable
from pathlib import Path

import torch

from bodyloop.body import BodyModel
from bodyloop.raster import vertex_normals
from bodyloop.track import Track
from bodyloop.view.actors import CHUNK, upright
from bodyloop.view.export import obj_object
from bodyloop.writing import make_folder, write_atomic


def save_obj_sequence(
    folder: str | Path,
    body: BodyModel,
    track: Track,
    fps: float | None = None,
    begin: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """One ``.obj`` a frame, named by the frame's number from 000000 on; y up, metres, the same faces in all.

    Meshes are the body model's own: each frame's shape and SMPL's pose correctives are in them. Frames are even, as
    those of `save_bvh`.

    Args:
        folder: made if it is not there.
        body: the person's model.
        track: the person.
        fps: frames a second; the track's own mean rate if None.
        begin: seconds at which frame 0 is, so that people who come later have later numbers; the first frame if None.
        progress: called with (frames done, frames in all).

    Returns:
        the files.

    Raises:
        InputError: if a file cannot be written, or the track is for another body model.
    """
    rate = track.fps if fps is None else fps
    [even] = upright([track.even(rate)], body)
    first = 0 if begin is None else round((float(even.times[0]) - begin) * rate)
    folder = Path(folder)
    make_folder(folder)
    faces = body.faces.cpu().numpy()
    files: list[Path] = []
    for start in range(0, len(even), CHUNK):
        with torch.no_grad():
            vertices = body.vertices(even.bodies[start : start + CHUNK].to(body.v_template))
            normals = vertex_normals(vertices, body.faces)
        for places, directions in zip(vertices.cpu().numpy(), normals.cpu().numpy(), strict=True):
            text = "# bodyloop; metres, y up\n" + obj_object(track.name, places, directions, faces)
            path = folder / f"{first + len(files):06d}.obj"
            write_atomic(path, text.encode(errors="replace"))
            files.append(path)
            if progress is not None:
                progress(len(files), len(even))
    return files
