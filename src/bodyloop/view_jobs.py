"""What ``bodyloop view`` does: results to a scene, the scene to a page or into the browser."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bodyloop.body import load_body
from bodyloop.view.scene_files import read_scene


@dataclass(frozen=True)
class ViewJob:
    """Look at results.

    Attributes:
        results: body.npz, tracks, or a folder of them.
        html: page to write; without it the results are served until the user stops.
        pictures: the photo, or a folder of photos or of a video's frames.
        body: SMPL .npz or .pkl of the results instead of the built-in body.
        host: address to serve at.
        port: the first to try.
    """

    results: Path
    html: Path | None = None
    pictures: Path | None = None
    body: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8080


def view_results(job: ViewJob, tell: Callable[[str], None]) -> None:
    """Write the page, or serve the viewer until it is interrupted.

    Args:
        job: what to show.
        tell: gets a line for each note, and for where there is something to see.

    Raises:
        InputError: if there is nothing to show, or it cannot be written or served.
    """
    if job.html is None:
        from bodyloop.view.live import require_viser

        require_viser()
    scene = read_scene(job.results, load_body(job.body), job.pictures)
    for note in scene.notes:
        tell(f"note: {note}")
    if job.html is not None:
        from bodyloop.view.page import save_page

        save_page(job.html, scene)
        tell(f"  {job.html}")
        return
    from bodyloop.view.live import LiveView

    with LiveView(scene, job.host, job.port) as view:
        tell(f"{view.url} (Ctrl+C ends it)")
        view.wait()
