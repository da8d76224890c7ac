"""A scene as one HTML page that needs nothing else: no server, no network, no plug-in.

three.js (`web/three.min.js`) and the numbers are compressed inside the page and unpacked by the browser. A body at one
moment is its posed mesh; a body at several is one mesh with a skeleton that moves it.
"""

import base64
import gzip
import io
import json
from functools import lru_cache
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bodyloop import __version__
from bodyloop.body import Bodies, BodyModel, vertex_parts
from bodyloop.body.parts import partition
from bodyloop.view.actors import of_one_shape
from bodyloop.view.packing import Pack
from bodyloop.view.scene import Figure, Scene, Viewpoint, part_colors
from bodyloop.writing import write_atomic

PARTS = "densepose"
"""The partition whose parts are told apart by colours."""
QUALITY = 82
"""JPEG's, of the pictures inside the page."""
PHOTO_SIDE, FRAME_SIDE = 1280, 640
"""Most pixels of a picture's longer side: of a photo, and of a video's frames, of which there are many."""


def scene_page(scene: Scene, plain: bool = False) -> str:
    """The page.

    A body at several moments has one shape, the mean over the moments, no pose correctives, and vertices that at most
    four joints move (`bodyloop.view.glb.save_animated_glb` says what that costs). A body at one moment is exact up to
    the quantisation (`bodyloop.view.packing.STEPS`).

    Args:
        scene: what to show. All its text is escaped, and the page may load nothing from elsewhere.
        plain: bodies alone, without anything to click on, for small windows.
    """
    pack = Pack()
    header = _header(scene, pack)
    text = json.dumps(header, separators=(",", ":")).replace("<", "\\u003c")  # nothing in it ends the element
    return _page(
        title=escape(scene.title),
        notes="".join(f"<li>{escape(note)}</li>" for note in scene.notes),
        scene=text,
        data=_compressed(bytes(pack.data)),
        plain=plain,
    )


def save_page(path: str | Path, scene: Scene) -> None:
    """Write the page.

    Raises:
        InputError: if the file cannot be written, or a picture cannot be read.
    """
    write_atomic(path, scene_page(scene).encode())


def _page(title: str, notes: str, scene: str, data: str, plain: bool) -> str:
    boxes = "".join(
        f'<label id="{name}-row"><input type="checkbox" id="show-{name}"{checked}> {text}</label>'
        for name, text, checked in (
            ("picture", "picture", " checked"),
            ("keypoints", "keypoints", " checked"),
            ("parts", "colours of parts", ""),
            ("others", "hypotheses side by side", ""),
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; "
        "style-src 'unsafe-inline'; img-src data: blob:\">"
        f'<meta name="viewport" content="width=device-width"><meta name="generator" content="bodyloop {__version__}">'
        f"<title>{title}</title><style>{_asset('viewer.css')}</style></head>"
        f'<body class="{"plain" if plain else ""}"><div id="stage"></div><div id="labels"></div>'
        f'<details id="panel" open><summary>{title}</summary><div id="people"></div><hr>{boxes}'
        '<label>opacity <input type="range" id="opacity" min="0.2" max="1" step="0.05" value="1"></label>'
        '<div class="buttons"><button id="reset" title="r">Camera\'s view</button>'
        f'<button id="shot">Screenshot</button></div>{f"<ul class=notes>{notes}</ul>" if notes else ""}</details>'
        '<div id="bar"><button id="play" title="space">Play</button>'
        '<input type="range" id="seek" min="0" step="1" value="0" aria-label="moment">'
        '<output id="where"></output></div><div id="trouble"></div>'
        f'<script type="application/json" id="scene">{scene}</script>'
        f'<script type="text/plain" id="data">{data}</script>'
        f'<script type="text/plain" id="three">{_three()}</script>'
        f"<script>{_asset('viewer.js')}</script></body></html>\n"
    )


def _asset(name: str) -> str:
    return resources.files("bodyloop.view").joinpath(f"web/{name}").read_text("utf-8")


@lru_cache(maxsize=1)
def _three() -> str:
    return _compressed(_asset("three.min.js").encode())


def _compressed(data: bytes) -> str:
    """Base64 of gzip, the same for the same bytes."""
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()


def _header(scene: Scene, pack: Pack) -> dict[str, Any]:
    """All but the large arrays, which go into the pack."""
    body = scene.body.to("cpu")
    names = partition(PARTS).parts
    moving = any(len(figure.moments) > 1 for figure in scene.figures)
    return {
        "axes": scene.axes,
        "video": scene.video,
        "parents": body.parents,
        "partColors": [_rounded(color, 3) for color in part_colors(names)],
        "faces": pack.add_faces(body.faces),
        "parts": pack.add(vertex_parts(body, PARTS).numpy().astype(np.uint8)),
        "skin": _skin(body, pack) if moving else None,
        "moments": [_moment(scene, index, pack) for index in range(len(scene.moments))],
        "figures": [_figure(scene, index, body, pack) for index in range(len(scene.figures))],
    }


def _skin(body: BodyModel, pack: Pack) -> dict[str, Any]:
    from bodyloop.view.glb import INFLUENCES, strongest

    index, weight = strongest(body.weights.numpy(), INFLUENCES)
    return {
        "index": pack.add(index.astype(np.uint8)),
        "weight": pack.add((weight * 65535).round().astype(np.uint16)),
    }


def _moment(scene: Scene, index: int, pack: Pack) -> dict[str, Any]:
    moment, corners = scene.moments[index], scene.backdrop(index)
    several = any(not scene.figures[number].chosen for number, _ in scene.cast[index])
    side = FRAME_SIDE if scene.video else PHOTO_SIDE
    picture = None if moment.picture is None or corners is None else _data_url(moment.picture(), side)
    return {
        "name": moment.name,
        "seconds": round(moment.seconds, 4),
        "picture": picture,
        "corners": None if corners is None else _rounded(corners, 5),
        "view": _view(scene.viewpoint(index)),
        "wideView": _view(scene.viewpoint(index, others=True)) if several else None,
        "dots": [
            {
                "person": dots.person,
                "places": pack.add(dots.places.astype(np.float32)),
                "colors": pack.add(dots.colors),
                "limbs": pack.add(dots.limbs.astype(np.uint16)) if len(dots.limbs) else None,
            }
            for dots in scene.dots(index)
        ],
    }


def _view(view: Viewpoint) -> dict[str, Any]:
    return {name: _rounded(getattr(view, name), 5) for name in ("eye", "target", "corners")}


def _figure(scene: Scene, index: int, body: BodyModel, pack: Pack) -> dict[str, Any]:
    figure = scene.figures[index]
    shifts = []
    for row, moment in enumerate(figure.moments):
        shifts.append(float(scene.shifts(moment)[scene.cast[moment].index((index, row)), 0]))
    # Above the head is less of y where y points down.
    above = 0.3 if scene.axes == "world" else -0.3
    tops = scene.joints[index][:, :, 1].max(1) if above > 0 else scene.joints[index][:, :, 1].min(1)
    heads = np.stack([scene.joints[index][:, 0, 0], tops + above, scene.joints[index][:, 0, 2]], -1)
    return {
        "person": figure.person,
        "color": _rounded(figure.color, 4),
        "chosen": figure.chosen,
        "captions": figure.captions,
        "moments": figure.moments,
        "shifts": _rounded(shifts, 4),
        "heads": _rounded(heads, 4),
        **_mesh(figure, body, pack),
    }


@torch.no_grad()
def _mesh(figure: Figure, body: BodyModel, pack: Pack) -> dict[str, Any]:
    """Places of the posed mesh; of several moments those at rest, with the joints' places and how they move."""
    import roma

    bodies = figure.bodies.to(body.v_template)
    if len(bodies) == 1:
        return {"places": pack.add_places(body.vertices(bodies)[0]), "motion": None}
    bodies = of_one_shape(bodies, body)
    rest = Bodies(torch.eye(3).expand(24, 3, 3), bodies.betas[0], torch.zeros(3))
    turns = roma.rotmat_to_unitquat(bodies.rotations.double()).flatten(0, 1)  # xyzw, as three.js has it
    return {
        "places": pack.add_places(body.rest_vertices(rest.betas)),
        "motion": {
            "joints": _rounded(body.joints(rest), 6),
            "turns": pack.add((turns * 32767).round().numpy().astype(np.int16)),
            "moves": pack.add(bodies.translation.numpy().astype(np.float32)),
        },
    }


def _rounded(values: Any, digits: int) -> Any:
    """Plain numbers of an array or a sequence."""
    return np.asarray(values, np.float64).round(digits).tolist()


def _data_url(pixels: np.ndarray, side: int) -> str:
    """JPEG of a picture, shrunk to `side` pixels on its longer side."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
