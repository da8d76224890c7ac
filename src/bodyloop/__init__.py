"""bodyloop: 3D human pose and shape from photos, 2D keypoints and weak labels.

In five lines::

    import bodyloop as bl
    photo = bl.read_photo("photo.jpg")
    people = bl.detect_people(photo)
    camera, focal_source = bl.choose_camera(photo.size, photo.focal_px)
    fits = bl.fit_people(people, camera)
    bl.save_glb("body.glb", bl.load_body(), fits.bodies)

Names are imported when first used, so that ``import bodyloop`` itself is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bodyloop.annotate.people import fit_people as fit_people
    from bodyloop.body import Bodies as Bodies
    from bodyloop.body import BodyModel as BodyModel
    from bodyloop.body import get_skeleton as get_skeleton
    from bodyloop.body import load_body as load_body
    from bodyloop.detect import detect_people as detect_people
    from bodyloop.errors import InputError as InputError
    from bodyloop.evidence import Evidence as Evidence
    from bodyloop.evidence.focal import choose_camera as choose_camera
    from bodyloop.evidence.keypoint_files import read_keypoints as read_keypoints
    from bodyloop.evidence.photos import read_photo as read_photo
    from bodyloop.fit import FitConfig as FitConfig
    from bodyloop.fit import Fits as Fits
    from bodyloop.geometry import Camera as Camera
    from bodyloop.track import Track as Track
    from bodyloop.track import load_tracks as load_tracks
    from bodyloop.track import save_tracks as save_tracks
    from bodyloop.view import save_glb as save_glb
    from bodyloop.view import save_npz as save_npz
    from bodyloop.view import save_obj as save_obj
    from bodyloop.view import save_ply as save_ply
    from bodyloop.view.actors import upright as upright
    from bodyloop.view.amass import save_amass as save_amass
    from bodyloop.view.bvh import save_bvh as save_bvh
    from bodyloop.view.glb import save_animated_glb as save_animated_glb
    from bodyloop.view.obj_sequence import save_obj_sequence as save_obj_sequence
    from bodyloop.view.overlay import overlay as overlay
    from bodyloop.view.overlay import side_view as side_view
    from bodyloop.view.person_npz import save_person as save_person
    from bodyloop.view.usd import save_usd as save_usd

__version__ = "0.1.0"

_HOME = {
    "Bodies": "body",
    "BodyModel": "body",
    "Camera": "geometry",
    "Evidence": "evidence",
    "FitConfig": "fit",
    "Fits": "fit",
    "InputError": "errors",
    "Track": "track",
    "choose_camera": "evidence.focal",
    "detect_people": "detect",
    "fit_people": "annotate",
    "get_skeleton": "body",
    "load_body": "body",
    "load_tracks": "track",
    "overlay": "view",
    "read_keypoints": "evidence.keypoint_files",
    "read_photo": "evidence.photos",
    "save_amass": "view.amass",
    "save_animated_glb": "view.glb",
    "save_bvh": "view.bvh",
    "save_glb": "view",
    "save_npz": "view",
    "save_obj": "view",
    "save_obj_sequence": "view.obj_sequence",
    "save_person": "view.person_npz",
    "save_ply": "view",
    "save_tracks": "track",
    "save_usd": "view.usd",
    "side_view": "view",
    "upright": "view.actors",
}

_SHOWN_BY = {"Bodies": "view.notebook:bodies_html"}
"""What makes the HTML of a thing in a notebook, by the name of its class (`bodyloop.showing`)."""

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'bodyloop' has no attribute {name!r}")
    return getattr(import_module(f"bodyloop.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
