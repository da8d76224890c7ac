"""The page's server: this machine alone, and only who knows the token in the address."""

import io
import json
import secrets
import sys
import time
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from bodyloop.annotate.decisions import Decision, DecisionFile
from bodyloop.body import BodyModel
from bodyloop.errors import InputError
from bodyloop.review.queue import ReviewQueue
from bodyloop.view.label_picture import label_picture

HOST = "127.0.0.1"
LARGEST = 1 << 16
"""Bytes of a decision that is sent."""
SIDE = 384
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; script-src "
    "'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}


class ReviewServer(ThreadingHTTPServer):
    """Serves the page, the pictures and what is decided.

    - ``GET /TOKEN/``: the page;
    - ``GET /TOKEN/people/N``: JSON about the N-th person of the queue, with the decision on them if there is one, and
      how many people there are and are decided;
    - ``GET /TOKEN/undecided/N``: ``{"number"}`` of the first from N on who is not decided, or of the first at all; null
      if all are;
    - ``GET /TOKEN/pictures/N``: JPEG;
    - ``POST /TOKEN/decisions``: ``{"number", "id", "choice", "note"}``, the note if there is one; on disk before it is
      answered.
    """

    daemon_threads = True

    def __init__(self, queue: ReviewQueue, body: BodyModel, images: Path | None, port: int = 0) -> None:
        """Begin to listen, on any free port if it is 0.

        Raises:
            InputError: if the port is taken.
        """
        self.queue, self.body, self.images = queue, body, images
        self.decisions = DecisionFile(queue.labels.out)
        self.token = secrets.token_urlsafe(24)
        self.drawing = Lock()
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise InputError(
                f"--port {port}: cannot be listened on ({error.strerror}); give another"
            ) from None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that has gone on to somebody else wants no answer; all else is a fault, and is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://{HOST}:{self.server_address[1]}/{self.token}/"

    def about(self, number: int) -> dict[str, Any]:
        """What the page is told of somebody."""
        known = self.queue.about(number)
        decision = self.decisions.latest.get(known["id"])
        decided = None if decision is None else asdict(decision)
        return known | {"of": len(self.queue), "decided": self.decided, "decision": decided}

    @property
    def decided(self) -> int:
        """How many of the queue are decided."""
        return self.queue.decided(list(self.decisions.latest))

    def picture(self, number: int) -> bytes:
        """A JPEG of somebody."""
        part, row = self.queue.person(number)
        with self.drawing:  # the rasteriser uses all cores
            pixels = label_picture(part, row, self.body, self.images, SIDE)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="JPEG", quality=88)
        return buffer.getvalue()


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "bodyloop", ""
    timeout = 60

    def do_GET(self) -> None:
        """Answer with the page, a person or a picture."""
        path = self._path()
        if path is None:
            return
        try:
            match path:
                case [""]:
                    page = resources.files("bodyloop.review").joinpath("page.html").read_bytes()
                    self._send(HTTPStatus.OK, page, "text/html; charset=utf-8")
                case ["people", number]:
                    self._json(HTTPStatus.OK, self.server.about(_number(number)))
                case ["undecided", number]:
                    decided = set(self.server.decisions.latest)
                    first = self.server.queue.undecided(_number(number), decided)
                    self._json(HTTPStatus.OK, {"number": first})
                case ["pictures", number]:
                    self._send(HTTPStatus.OK, self.server.picture(_number(number)), "image/jpeg")
                case _:
                    self._json(HTTPStatus.NOT_FOUND, {"error": "nothing is here"})
        except IndexError:
            self._json(HTTPStatus.NOT_FOUND, {"error": "nobody has this number"})
        except InputError as error:
            self._json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": str(error)})

    def do_POST(self) -> None:
        """Take a decision."""
        path = self._path()
        if path is None:
            return
        if path != ["decisions"]:
            return self._json(HTTPStatus.NOT_FOUND, {"error": "nothing is here"})
        try:
            decision = self._decision()
        except (InputError, ValueError, TypeError, LookupError) as error:
            self.close_connection = True  # what was sent may not have been read
            return self._json(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        try:
            self.server.decisions.add(decision)
        except InputError as error:
            return self._json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": str(error)})
        self._json(HTTPStatus.OK, {"saved": asdict(decision), "decided": self.server.decided})

    def _decision(self) -> Decision:
        size = int(self.headers.get("Content-Length", ""))
        if not 0 < size <= LARGEST or self.headers.get_content_type() != "application/json":
            raise InputError(f"expected JSON of at most {LARGEST:,} bytes")
        data = json.loads(self.rfile.read(size))
        number = int(data["number"])
        person, note = str(self.server.queue.about(number)["id"]), data.get("note", "")
        if data["id"] != person or not isinstance(note, str):
            raise InputError(f"expected the id {person!r} and a note in words")
        return Decision(person, str(data["choice"]), note, time.time())

    def _path(self) -> list[str] | None:
        """Parts of the path behind the token; None, with an answer sent, for those who do not know it.

        The name in the request must be this machine's, too, or a page elsewhere could have its own name lead here.
        """
        parts = urlsplit(self.path).path.split("/")[1:]
        port = self.server.server_address[1]
        known = self.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}")
        if (
            not known
            or not parts
            or not secrets.compare_digest(parts[0].encode(), self.server.token.encode())
        ):
            self.close_connection = True
            self._json(HTTPStatus.FORBIDDEN, {"error": "open the address that the terminal shows"})
            return None
        return parts[1:]

    def _json(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        self._send(status, json.dumps(value).encode(), "application/json")

    def _send(self, status: HTTPStatus, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal is for the user."""


def _number(text: str) -> int:
    """A number of the queue; IndexError for what is none."""
    if not text.isascii() or not text.isdecimal() or len(text) > 12:
        raise IndexError(text)
    return int(text)
