"""Labels looked at by people: what ``bodyloop review`` does."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bodyloop.annotate.campaign import LabelFolder
from bodyloop.body import load_body
from bodyloop.errors import InputError
from bodyloop.review.queue import ReviewQueue
from bodyloop.review.server import ReviewServer


@dataclass(frozen=True)
class ReviewJob:
    """Review labels.

    Attributes:
        labels: folder of ``bodyloop annotate``.
        images: folder of the images; that of the annotation if None, or none.
        verdicts: whose labels are shown, the lowest score first.
        port: of the page; any free one if 0.
    """

    labels: Path
    images: Path | None = None
    verdicts: tuple[Literal["accept", "doubtful", "reject"], ...] = ("doubtful",)
    port: int = 0


def open_review(job: ReviewJob) -> ReviewServer:
    """The server, listening; ``serve_forever`` answers.

    Raises:
        InputError: no labels, nobody to review, or a port that is taken.
    """
    if not 0 <= job.port < 65536:
        raise InputError(f"--port: expected 0 to 65535, got {job.port}")
    labels = LabelFolder.open(job.labels)
    settings = labels.recipe.get("settings", {})
    known = settings.get("images")
    images = job.images or (Path(known) if known else None)
    body = settings.get("body")
    queue = ReviewQueue.build(labels, job.verdicts)
    return ReviewServer(queue, load_body(Path(body) if body else None), images, job.port)


def review(job: ReviewJob, tell: Callable[[str], None]) -> None:
    """Serve the page until somebody interrupts."""
    with open_review(job) as server:
        tell(f"{len(server.queue):,} people to review, {server.decided:,} decided")
        tell(f"open {server.address}")
        tell("a accept, r reject, b send back, u undo, arrows to move; Ctrl-C ends it, everything is saved")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            tell(f"decisions: {server.decisions.path}")
