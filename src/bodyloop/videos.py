"""A video in, people over time out: what ``bodyloop fit`` does for each video.

Detections are kept on disk in shards, so that a run that was stopped, or whose disk was full, goes on where it was.
What is written is complete or not there.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from bodyloop import __version__
from bodyloop.body import BodyModel, get_skeleton, load_body
from bodyloop.detect.tracks import Sightings, join_tracks
from bodyloop.detect.watch import SEARCH_EVERY, Watched, watch
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.evidence.focal import choose_camera
from bodyloop.evidence.videos import Video, VideoFrame, is_video
from bodyloop.geometry import Camera
from bodyloop.track import Track, save_tracks
from bodyloop.writing import make_folder, write_atomic

if TYPE_CHECKING:
    from bodyloop.annotate.ground import Ground
    from bodyloop.annotate.over_time import TrackFits
    from bodyloop.detect import Detector

SHARD = 8 * SEARCH_EVERY
"""Frames of a shard; a multiple of `SEARCH_EVERY`, so that shards do not depend on where a run began."""
HIGH_ERROR = 0.06
"""Share of the box: a person whose keypoints are off by more on the median is not to be trusted, as in photos."""
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class VideoJob:
    """Fit bodies to the people in videos.

    Attributes:
        inputs: video files.
        out: folder for the results: one folder a video with tracks.npz, world.npz, people.glb, overlay.mp4 and
            summary.json.
        focal: focal length in pixels; the image diagonal if not given.
        body: SMPL .npz or .pkl instead of the built-in body.
        detector: which keypoint detector to use.
        pictures: whether overlay.mp4 is made.
        glb: whether people.glb is written.
        moving_camera: leaves out ground and world.npz, which need a camera that stands.
    """

    inputs: tuple[str, ...]
    out: Path
    focal: float | None = None
    body: Path | None = None
    detector: Literal["mediapipe", "rtmlib"] = "mediapipe"
    pictures: bool = True
    glb: bool = True
    moving_camera: bool = False


@dataclass(frozen=True)
class PersonSummary:
    """One person of a video.

    Attributes:
        name: as in tracks.npz.
        begins, ends: seconds.
        frames: from the first to the last.
        observed: share of them in which the person is seen.
        error_px: median over frames of the mean distance between seen and reprojected keypoints.
        error_box: the same as a share of the longer side of the person's box.
        noise: of the keypoints as a share of the box, as the fit estimated it.
        foot_skate: metres a second; None without a ground, or if no foot touches it.
        doubts: reasons not to trust the person.
    """

    name: str
    begins: float
    ends: float
    frames: int
    observed: float
    error_px: float
    error_box: float
    noise: float
    foot_skate: float | None
    doubts: tuple[str, ...] = ()


@dataclass
class VideoResult:
    """What became of one video.

    Attributes:
        path: the video.
        folder: where its results are.
        frames: that were read.
        people: one a track.
        files: that were written.
        notes: what the user should know although it did not fail.
        failure: why it failed; empty if it did not.
        seconds: wall-clock time of detection, fits and drawing.
        frames_per_second: of detection; 0 if all was there already.
    """

    path: Path
    folder: Path
    frames: int = 0
    people: list[PersonSummary] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failure: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    frames_per_second: float = 0.0


def fit_videos(job: VideoJob, progress: Progress | None = None) -> list[VideoResult]:
    """Fit the people of videos, one after the other; a failure costs only its video.

    Args:
        job: what to do.
        progress: called with (frames done, frames in all, what is being done now).

    Raises:
        InputError: if nothing can be done at all: no readable body or output folder, inputs that are no videos.
    """
    others = [name for name in job.inputs if not is_video(name)]
    if others or not job.inputs:
        raise InputError(
            f"expected videos, got {', '.join(others) or 'none'}; photos are fitted in runs of their own"
        )
    if job.focal is not None and not (math.isfinite(job.focal) and job.focal > 0):
        raise InputError(f"--focal: expected a positive number of pixels, got {job.focal:g}; leave it out")
    body = load_body(job.body)
    make_folder(job.out)
    results = []
    for path, folder in zip(map(Path, job.inputs), _folders(job), strict=True):
        result = VideoResult(path, folder)
        try:
            _fit_video(job, result, body, progress or (lambda done, total, text: None))
        except InputError as error:
            result.failure = str(error).removeprefix(f"{path}: ")
        except MemoryError:
            result.failure = "out of memory; cut the video, or make its pictures smaller"
        results.append(result)
    return results


def _folders(job: VideoJob) -> list[Path]:
    """A folder a video, named after it; of videos with one name, the later ones get a number."""
    taken: list[str] = []
    for name in job.inputs:
        stem, number = Path(name).stem, 1
        while (chosen := stem if number == 1 else f"{stem}_{number}") in taken:
            number += 1
        taken.append(chosen)
    return [job.out / name for name in taken]


def _fit_video(job: VideoJob, result: VideoResult, body: BodyModel, tell: Progress) -> None:
    from bodyloop.annotate.ground import find_ground, foot_skate, to_world

    began = time.time()
    video = Video(result.path)
    camera, focal_from = choose_camera(video.size, None, job.focal)
    result.notes.append(f"focal length {float(camera.focal[0]):.0f} px ({focal_from})")
    make_folder(result.folder / "detections")
    watched = _watched(job, video, result, tell)
    result.frames = len(watched)
    result.notes += [video.note] if video.note else []
    result.seconds["detection"] = time.time() - began
    sightings = join_tracks(watched)
    if not sightings:
        seen = sum(len(frame.evidence) > 0 for frame in watched)
        raise InputError(
            f"nobody found who is seen for long enough (somebody in {seen} of {len(watched)} frames); is the person "
            "large enough in the picture?"
        )
    began = time.time()
    fitted = []
    for i, person in enumerate(sightings):
        tell(i, len(sightings), f"fitting person {i + 1} of {len(sightings)}")
        try:
            fitted.append(_fitted(str(i), person, watched, camera, body))
        except ValueError as error:  # too few keypoints at once
            result.notes.append(f"person {i} is left out: {error}")
    if not fitted:
        raise InputError(
            "nobody of whom enough is seen to be fitted; is the person large enough in the picture?"
        )
    tracks = [track for track, _, _ in fitted]
    ground = None if job.moving_camera else find_ground(tracks, body)
    result.seconds["fits"] = time.time() - began
    _save_people(result, fitted, tracks)
    if ground is not None:
        _write(result, "world.npz", lambda path: save_tracks(path, to_world(tracks, ground, body)))
        if ground.steps < 3:
            result.notes.append("few steps: the ground is as level as the people are upright")
    for track, fits, evidence in fitted:
        skate = None if ground is None else foot_skate(track, ground, body)
        result.people.append(_summary_of(track, fits, evidence, skate))
    if job.glb:
        from bodyloop.view.glb import save_animated_glb

        _write(result, "people.glb", lambda path: save_animated_glb(path, body, tracks))
    began = time.time()
    if job.pictures:
        try:
            _write(result, "overlay.mp4", lambda path: _draw(path, video, tracks, body, tell))
        except InputError as error:
            result.notes.append(f"no overlay: {error}")
    result.seconds["drawing"] = time.time() - began
    _write(result, "summary.json", lambda path: write_atomic(path, _json(result, video, camera, ground)))


def _write(result: VideoResult, name: str, save: Callable[[Path], None]) -> None:
    save(result.folder / name)
    result.files.append(result.folder / name)


def _watched(job: VideoJob, video: Video, result: VideoResult, tell: Progress) -> list[Watched]:
    """Detections of all frames, from shards that are there and from the video, which makes the missing ones."""
    mark = _mark(job, video)
    folder = result.folder / "detections"
    watched, ended = _stored(folder, mark)
    if ended is not None:
        video.note = ended
        return watched
    kept = watched[-1].number + 1 if watched else 0
    if watched:
        result.notes.append(f"{len(watched)} frames were looked at before")
    from bodyloop.detect import load_detector

    detector: Detector = load_detector(job.detector)
    began = time.time()

    def shown() -> Iterator[VideoFrame]:
        for frame in video.frames(kept):
            rate = (frame.number - kept) / max(time.time() - began, 1e-3)
            total = max(video.expected, frame.number + 1)
            tell(frame.number, total, f"{result.path.name}: looking for people, {rate:.1f} frames a second")
            yield frame

    colours = watched[-1].colours if watched else None
    shard: list[Watched] = []
    for one in watch(detector, shown(), colours):
        shard.append(one)
        if len(shard) == SHARD:
            _store(folder / f"{len(watched) // SHARD:05d}.npz", mark, shard, None)
            watched += shard
            shard = []
    _store(folder / f"{len(watched) // SHARD:05d}.npz", mark, shard, video.note)
    watched += shard
    result.frames_per_second = (watched[-1].number + 1 - kept if watched else 0) / max(
        time.time() - began, 1e-3
    )
    return watched


def _mark(job: VideoJob, video: Video) -> str:
    """What detections depend on: the file and the detector."""
    stat = video.path.stat()
    told = f"1 {stat.st_size} {stat.st_mtime_ns} {video.size} {job.detector} {SHARD} {SEARCH_EVERY}"
    return sha256(told.encode()).hexdigest()


def _store(path: Path, mark: str, shard: Sequence[Watched], ended: str | None) -> None:
    """Write a shard as plain arrays; the last one says how the video ended."""
    counts = [len(one.evidence) for one in shard]
    evidence = [one.evidence for one in shard if len(one.evidence)]
    skeleton = shard[0].evidence.skeleton if shard else get_skeleton("coco17")
    size = len(skeleton)
    buffer = BytesIO()
    np.savez_compressed(
        buffer,
        mark=np.array(mark),
        last=np.array(ended is not None),
        note=np.array(ended or ""),
        skeleton=np.array(skeleton.name),
        number=np.array([one.number for one in shard], np.int64),
        time=np.array([one.time for one in shard], np.float64),
        cut=np.array([one.cut for one in shard], np.bool_),
        count=np.array(counts, np.int64),
        colours=shard[-1].colours if shard else np.zeros(0),
        keypoints=np.concatenate(
            [np.zeros((0, size, 2), np.float32), *(e.keypoints.numpy() for e in evidence)]
        ),
        confidence=np.concatenate(
            [np.zeros((0, size), np.float32), *(e.confidence.numpy() for e in evidence)]
        ),
        boxes=np.concatenate([np.zeros((0, 4), np.float32), *(e.boxes.numpy() for e in evidence)]),
    )
    write_atomic(path, buffer.getvalue())


def _stored(folder: Path, mark: str) -> tuple[list[Watched], str | None]:
    """Frames of the shards that are there, without a gap, and how the video ended, if its end was reached."""
    watched: list[Watched] = []
    while True:
        try:
            with np.load(folder / f"{len(watched) // SHARD:05d}.npz", allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
            if str(arrays["mark"]) != mark:
                return watched, None
            watched += _frames_of(arrays)
            if bool(arrays["last"]):
                return watched, str(arrays["note"])
        except Exception:  # missing, or damaged in whatever way: looked at again
            return watched, None


def _frames_of(arrays: dict[str, np.ndarray]) -> list[Watched]:
    skeleton = get_skeleton(str(arrays["skeleton"]))
    ends = np.cumsum(arrays["count"])
    frames = []
    for i, end in enumerate(ends):
        own = slice(int(end - arrays["count"][i]), int(end))
        evidence = Evidence.from_keypoints(
            skeleton, arrays["keypoints"][own], arrays["confidence"][own], arrays["boxes"][own]
        )
        frames.append(
            Watched(
                int(arrays["number"][i]),
                float(arrays["time"][i]),
                bool(arrays["cut"][i]),
                evidence,
                arrays["colours"],
            )
        )
    return frames


def _fitted(
    name: str, person: Sightings, watched: Sequence[Watched], camera: Camera, body: BodyModel
) -> tuple[Track, "TrackFits", Evidence]:
    from bodyloop.annotate.over_time import fit_over_time

    evidence, times = person.evidence(watched)
    fits = fit_over_time(evidence, camera, times[None], body)
    track = Track(fits.bodies[0], times, fits.observed[0], camera, name, "camera", body.name)
    return track, fits, evidence


def _save_people(
    result: VideoResult, fitted: "Sequence[tuple[Track, TrackFits, Evidence]]", tracks: Sequence[Track]
) -> None:
    extra = {
        "video": np.array(str(result.path.resolve())),
        "skeleton": np.array(fitted[0][2].skeleton.name),
        "keypoints": torch.cat([evidence.keypoints for _, _, evidence in fitted]).numpy(),
        "confidence": torch.cat([evidence.confidence for _, _, evidence in fitted]).numpy(),
        "error_px": torch.cat([fits.error_px[0] for _, fits, _ in fitted]).numpy(),
    }
    _write(result, "tracks.npz", lambda path: save_tracks(path, tracks, extra))


def _summary_of(track: Track, fits: "TrackFits", evidence: Evidence, skate: float | None) -> PersonSummary:
    error = fits.error_px[0]
    side = (evidence.boxes[:, 2:] - evidence.boxes[:, :2]).amax(-1)
    share = float((error / side).nanmedian())
    doubts = []
    if not share <= HIGH_ERROR:
        doubts.append(f"reprojection error {share:.1%} of the box, over {HIGH_ERROR:.0%}")
    return PersonSummary(
        track.name,
        float(track.times[0]),
        float(track.times[-1]),
        len(track),
        float(track.observed.float().mean()),
        float(error.nanmedian()),
        share,
        float(fits.noise[0]),
        None if skate is None or math.isnan(skate) else skate,
        tuple(doubts),
    )


def _draw(path: Path, video: Video, tracks: Sequence[Track], body: BodyModel, tell: Progress) -> None:
    """The video with the people on it, at the video's own times."""
    from bodyloop.view.video_file import VideoFile
    from bodyloop.view.video_overlay import overlay_frame

    began = time.time()
    with VideoFile(path, video.size, video.fps) as file:
        for frame in video.frames():
            rate = frame.number / max(time.time() - began, 1e-3)
            total = max(video.expected, frame.number + 1)
            tell(frame.number, total, f"{path.name}: drawing, {rate:.1f} frames a second")
            file.add(overlay_frame(frame, tracks, body), frame.time)


def _json(result: VideoResult, video: Video, camera: Camera, ground: "Ground | None") -> bytes:
    people = [{**vars(person), "doubts": list(person.doubts)} for person in result.people]
    told = {
        "video": str(result.path),
        "version": __version__,
        "size": list(video.size),
        "turned_degrees": video.turned,
        "fps": video.fps,
        "frames": result.frames,
        "focal_px": float(camera.focal[0]),
        "ground": None
        if ground is None
        else {"up": ground.up.tolist(), "height": ground.height, "steps": ground.steps},
        "people": people,
        "notes": result.notes,
        "seconds": {name: round(value, 2) for name, value in result.seconds.items()},
        "detection_frames_per_second": round(result.frames_per_second, 2),
    }
    return (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode()
