"""A scene in the browser, served by viser from this machine: what is drawn follows what is asked for in the panel."""

import io
import math
import socket
import threading
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from bodyloop.body import BodyModel, face_parts
from bodyloop.body.parts import partition
from bodyloop.errors import InputError
from bodyloop.view.page import FRAME_SIDE, PARTS, PHOTO_SIDE
from bodyloop.view.scene import Scene, field_of_view, part_colors

if TYPE_CHECKING:
    from viser import ClientHandle

SHORTEST = 1 / 30
"""Seconds that a moment is shown at least while playing."""
RENDER_SECONDS = 30.0
"""How long a screenshot may take."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Faces of a body that are drawn in one colour.

    Attributes:
        vertices: (M,) int64, which of the body's vertices.
        faces: (F, 3) indices into these.
        color: RGB in [0, 1]; None for the person's own.
    """

    vertices: np.ndarray
    faces: np.ndarray
    color: tuple[float, float, float] | None


def pieces(body: BodyModel, parts: bool) -> list[Piece]:
    """The whole body, or its parts (`bodyloop.view.page.PARTS`), each face in one of them."""
    faces = body.faces.cpu().numpy()
    if not parts:
        return [Piece(np.arange(len(body.v_template)), faces, None)]
    labels = face_parts(body, PARTS).cpu().numpy()
    found = []
    for label, color in enumerate(part_colors(partition(PARTS).parts)):
        mine = faces[labels == label]
        if len(mine):
            vertices, local = np.unique(mine, return_inverse=True)
            found.append(Piece(vertices, local.reshape(-1, 3), color))
    return found


def require_viser() -> None:
    """Make sure that there is a server.

    Raises:
        InputError: without viser, with the remedy.
    """
    try:
        import viser  # noqa: F401
    except ImportError:
        raise InputError(
            "the live viewer needs viser: pip install 'bodyloop[view]'; or write a page with --html FILE"
        ) from None


class LiveView:
    """A running viewer; as a context it stops at the end.

    Attributes:
        scene: what is shown.
        moment: which of its moments.
        url: where.
    """

    def __init__(self, scene: Scene, host: str = "127.0.0.1", port: int = 8080) -> None:
        """Start to serve.

        Args:
            scene: at least one moment.
            host: the address to be reached at; of this machine alone by default.
            port: the first to try; the next ones are tried if it is taken.

        Raises:
            InputError: without viser, or if the address is not one of this machine's.
        """
        require_viser()
        _check_address(host, port)
        import viser

        self.scene, self.moment = scene, 0
        self._lock, self._over = threading.RLock(), threading.Event()
        self._bodies: dict[tuple[int, int], Any] = {}
        self._extras: list[Any] = []
        self._pictures = lru_cache(maxsize=32)(self._picture)
        with redirect_stdout(io.StringIO()):  # viser greets the terminal
            self._server = viser.ViserServer(host, port, label=scene.title, verbose=False)
        self._server.gui.configure_theme(show_share_button=False)
        self._server.scene.set_up_direction("+y" if scene.axes == "world" else "-y")
        self.url = f"http://{host}:{self._server.get_port()}"
        self._build_panel()
        self._server.on_client_connect(self._look)
        self.go(0)
        self._player = threading.Thread(target=self._play, daemon=True)
        self._player.start()

    def __enter__(self) -> "LiveView":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server."""
        self._over.set()
        self._player.join()
        self._server.stop()

    def wait(self) -> None:
        """Return when the viewer was stopped, or the user interrupts."""
        while not self._over.wait(1.0):
            pass

    # The panel

    def _build_panel(self) -> None:
        gui, scene = self._server.gui, self.scene
        many = len(scene.moments) > 1
        self._where = gui.add_markdown("")
        self._seek: Any = gui.add_slider("moment", 0, max(1, len(scene.moments) - 1), 1, 0, visible=many)
        self._playing = gui.add_checkbox("play", False, visible=many)
        people = list(dict.fromkeys(figure.person for figure in scene.figures))
        with gui.add_folder("people", visible=bool(people)):
            self._people = {name: gui.add_checkbox(name, True) for name in people}
        with gui.add_folder("shown"):
            pictures = any(moment.picture is not None for moment in scene.moments)
            self._show_picture = gui.add_checkbox("picture", True, visible=pictures)
            dots = any(moment.evidence is not None for moment in scene.moments)
            self._show_dots = gui.add_checkbox("keypoints", True, visible=dots)
            self._show_parts = gui.add_checkbox("colours of parts", False)
            several = any(not figure.chosen for figure in scene.figures)
            self._show_others = gui.add_checkbox("hypotheses side by side", False, visible=several)
            self._opacity = gui.add_slider("opacity", 0.2, 1.0, 0.05, 1.0)
        reset, shot = gui.add_button("camera's view"), gui.add_button("screenshot")
        if scene.notes:
            gui.add_markdown("\n".join(f"- {note}" for note in scene.notes))
        self._seek.on_update(lambda _: self.go(int(self._seek.value)))
        toggles: tuple[Any, ...] = (
            self._show_picture,
            self._show_dots,
            self._show_others,
            self._opacity,
            *self._people.values(),
        )
        for handle in toggles:
            handle.on_update(lambda _: self._refresh())
        self._show_others.on_update(lambda _: self._look_all())
        self._show_parts.on_update(lambda _: self._refresh(anew=True))
        reset.on_click(lambda event: self._look(event.client))
        shot.on_click(lambda event: self._send_screenshot(event.client))

    def go(self, moment: int) -> None:
        """Show another moment."""
        with self._lock:
            changed = moment != self.moment
            self.moment = moment
            if int(self._seek.value) != moment:
                self._seek.value = moment
            there = {self.scene.figures[index].person for index, _ in self.scene.cast[moment]}
            for person, box in self._people.items():
                box.visible = person in there
            self._where.content = self._text()
            self._refresh()
            if changed and not self.scene.video:  # another photo, another camera
                self._look_all()

    def _text(self) -> str:
        """Name of the moment and a line for everybody there, as markdown that shows text as it is."""
        scene = self.scene
        lines = [f"**{_plain(scene.moments[self.moment].name)}**"]
        for index, row in scene.cast[self.moment]:
            lines.append(f"- {_plain(scene.figures[index].captions[row])}")
        return "\n".join(lines)

    def _play(self) -> None:
        """Go on to the next moment whenever its time has come."""
        since = time.monotonic()
        while not self._over.is_set():
            if not self._playing.value:
                since = time.monotonic()
                self._over.wait(0.1)
                continue
            rest = since + self._duration(self.moment) - time.monotonic()
            if rest > 0:
                self._over.wait(min(rest, 0.1))
                continue
            since = time.monotonic()
            self.go((self.moment + 1) % len(self.scene.moments))

    def _duration(self, moment: int) -> float:
        """Seconds until the next moment; the last one stays as long as the one before."""
        seconds = [one.seconds for one in self.scene.moments]
        first = min(moment, len(seconds) - 2)
        return max(seconds[first + 1] - seconds[first], SHORTEST)

    # The scene

    def _refresh(self, anew: bool = False) -> None:
        """Draw what is asked for; all bodies again if their pieces have changed."""
        with self._lock, self._server.atomic():
            for handle in self._extras:
                handle.remove()
            self._extras = []
            if anew:
                for handle in self._bodies.values():
                    handle.remove()
                self._bodies = {}
            self._draw_bodies()
            self._draw_picture()
            if self._show_dots.value:
                self._draw_dots()

    @torch.no_grad()
    def _draw_bodies(self) -> None:
        scene, body, others = self.scene, self.scene.body, bool(self._show_others.value)
        shifts = scene.shifts(self.moment)
        opacity = float(self._opacity.value)
        drawn = set()
        for place, (index, row) in enumerate(scene.cast[self.moment]):
            figure = scene.figures[index]
            if not self._people[figure.person].value or not (figure.chosen or others):
                continue
            vertices = body.vertices(figure.bodies[row : row + 1].to(body.v_template))[0].cpu().numpy()
            for number, piece in enumerate(_pieces(body, bool(self._show_parts.value))):
                red, green, blue = (round(255 * c) for c in piece.color or figure.color)
                key = (index, number)
                drawn.add(key)
                if key not in self._bodies:
                    self._bodies[key] = self._server.scene.add_mesh_simple(
                        f"/bodies/{index}/{number}",
                        vertices[piece.vertices],
                        piece.faces,
                        color=(red, green, blue),
                        cast_shadow=False,
                        receive_shadow=False,
                    )
                handle = self._bodies[key]
                handle.vertices = vertices[piece.vertices]
                handle.opacity = None if opacity >= 1 else opacity
                handle.position = shifts[place]
                handle.visible = True
            if others:
                self._extras.append(self._label(index, row, shifts[place], vertices))
        for key, handle in self._bodies.items():
            if key not in drawn:
                handle.visible = False

    def _label(self, index: int, row: int, shift: np.ndarray, vertices: np.ndarray) -> Any:
        above = np.array([0.0, 0.1 if self.scene.axes == "world" else -0.1, 0.0])
        top = vertices[:, 1].argmax() if above[1] > 0 else vertices[:, 1].argmin()
        return self._server.scene.add_label(
            f"/labels/{index}",
            self.scene.figures[index].captions[row],
            position=vertices[top] + shift + above,
            anchor="bottom-center",
        )

    def _draw_picture(self) -> None:
        corners = self.scene.backdrop(self.moment)
        if corners is None or not self._show_picture.value:
            return
        pixels = self._pictures(self.moment)
        if pixels is None:
            return
        wide, high = corners[1] - corners[0], corners[3] - corners[0]
        handle = self._server.scene.add_image(
            "/picture",
            pixels,
            float(np.linalg.norm(wide)),
            float(np.linalg.norm(high)),
            position=corners.mean(0),
            cast_shadow=False,
            receive_shadow=False,
        )
        self._extras.append(handle)

    def _picture(self, moment: int) -> np.ndarray | None:
        """Pixels of a moment, not larger than it needs."""
        read = self.scene.moments[moment].picture
        if read is None:
            return None
        image = Image.fromarray(read())
        side = FRAME_SIDE if self.scene.video else PHOTO_SIDE
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        return np.asarray(image)

    def _draw_dots(self) -> None:
        for number, dots in enumerate(self.scene.dots(self.moment)):
            if not self._people[dots.person].value:
                continue
            size = 0.007 * float(np.linalg.norm(dots.places.mean(0)))
            self._extras.append(
                self._server.scene.add_point_cloud(
                    f"/keypoints/{number}",
                    dots.places.astype(np.float32),
                    dots.colors,
                    point_size=size,
                    point_shape="circle",
                    precision="float32",
                )
            )
            if len(dots.limbs):
                self._extras.append(
                    self._server.scene.add_line_segments(
                        f"/limbs/{number}",
                        dots.places[dots.limbs].astype(np.float32),
                        (245, 245, 245),
                        thickness=2.0,
                        thickness_units="screen",
                    )
                )

    # Those who look

    def _look_all(self) -> None:
        for client in self._server.get_clients().values():
            self._look(client)

    def _look(self, client: "ClientHandle | None") -> None:
        """Put a viewer where the camera was, with the whole picture in sight."""
        if client is None:  # gone meanwhile
            return
        view = self.scene.viewpoint(self.moment, others=bool(self._show_others.value))
        lens = client.camera
        with client.atomic():
            lens.up_direction = view.up
            lens.position = view.eye
            lens.look_at = view.target
            lens.fov = min(field_of_view(view, max(lens.aspect, 0.1)), math.radians(150))

    def _send_screenshot(self, client: "ClientHandle | None") -> None:
        if client is None:
            return
        lens = client.camera
        pixels = client.get_render(lens.image_height, lens.image_width, timeout=RENDER_SECONDS)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="PNG")
        client.send_file_download("bodyloop.png", file.getvalue(), save_immediately=True)


@lru_cache(maxsize=4)
def _pieces(body: BodyModel, parts: bool) -> list[Piece]:
    return pieces(body, parts)


def _check_address(host: str, port: int) -> None:
    """Refuse what nobody can listen at."""
    if not 0 < port < 65536:
        raise InputError(f"--port: expected a number from 1 to 65535, got {port}; leave it out for 8080")
    try:
        with socket.create_server((host, 0)):
            pass
    except OSError as error:
        raise InputError(
            f"--host {host}: cannot be listened at ({error.strerror or error}); leave it out for this machine alone"
        ) from None


def _plain(text: str) -> str:
    """Text that markdown shows as it is."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()<>#+-.!|~&$" else c for c in text if c.isprintable())
