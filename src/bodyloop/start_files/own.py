"""bodyloop's own results as starts: one ``body.npz``, or a folder of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bodyloop.errors import InputError
from bodyloop.saved_results import Result, read_result
from bodyloop.start_files.file import StartFile
from bodyloop.start_files.people import Key, Pinhole, StartPerson

WHAT = "results of bodyloop"
KEYS = {"pose", "betas", "trans", "focal", "center", "size", "body"}


@dataclass(frozen=True, eq=False)
class _People:
    """People of several results; called with a number, one of them."""

    places: Sequence[tuple[Result, int]]

    def __call__(self, place: int) -> StartPerson:
        result, number = self.places[place]
        bodies, camera = result.person(number)
        projection = Pinhole(camera, bodies.translation[0])
        return StartPerson(bodies.rotations[0], bodies.betas[0], projection, size=camera.size)


def read_own(path: Path) -> StartFile:
    """People of a ``.npz`` file of `bodyloop fit`, `infer` or `save_npz`, or of a folder of such.

    Labels that are mere numbers mean nothing. A single file need not name its photo.

    Raises:
        InputError: no such files, a damaged one, bodies of several models, or a folder's file that names no photo.
    """
    results = [read_result(file) for file in (sorted(path.rglob("*.npz")) if path.is_dir() else [path])]
    for result in results:
        _check(result)
    results = [result for result in results if len(result.saved.bodies)]
    if not results:
        raise InputError(
            f"{path}: expected .npz files of 'bodyloop fit' or 'bodyloop infer' with people in them, got none; check "
            "the path"
        )
    models = sorted({result.saved.body_name for result in results})
    if len(models) > 1:
        raise InputError(
            f"{path}: expected bodies of one model, got {' and '.join(models)}; give a folder of each"
        )
    nameless = [result.path for result in results if not result.photo]
    if nameless and len(results) > 1:
        raise InputError(
            f"{nameless[0]}: expected the name of its photo, got none; give the file itself for one photo"
        )
    places = [(result, number) for result in results for number in range(len(result.saved.bodies))]
    keys = [
        Key("/".join(r.photo) or None, None if r.numbered or not r.labels else r.labels[n]) for r, n in places
    ]
    return StartFile(path, WHAT, keys, _People(places), models[0], one_photo=bool(nameless))


def _check(result: Result) -> None:
    saved = result.saved
    try:
        saved.camera.expand(len(saved.bodies))
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{result.path}: damaged: {error}; make it again") from None
    if min(saved.camera.size) < 1:
        raise InputError(f"{result.path}: damaged: an image of {saved.camera.size} pixels; make it again")
