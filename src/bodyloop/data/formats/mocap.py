"""Motion capture as records: AMASS and whatever else `bodyloop.data.mocap` reads. Poses without images."""

from dataclasses import dataclass

import numpy as np
import torch

from bodyloop.body import builtin_body
from bodyloop.data.amass import is_amass
from bodyloop.data.formats.format import Content, DatasetSpec, Format, Tally
from bodyloop.data.mocap import read_motion
from bodyloop.data.motion import Motion
from bodyloop.data.record import BodyLabel, Record, RecordSet
from bodyloop.data.skeleton_clip import MotionFileError

WHAT = "AMASS .npz files ('poses', 'trans'), or a folder of them"
SHAPE_FILE = "shape.npz"
"""AMASS keeps one of these beside the clips of a subject; it is no clip."""


@dataclass(frozen=True, eq=False)
class _Rows:
    name: str
    clips: list[Motion]
    clip: np.ndarray
    frame: np.ndarray

    def __call__(self, row: int) -> Record:
        motion, frame = self.clips[self.clip[row]], int(self.frame[row])
        bodies = motion[frame : frame + 1].bodies()[0]
        label = BodyLabel(bodies, "world", motion.betas is not None)
        gender = {"female": "female", "male": "male"}.get(motion.gender, "neutral")
        return Record(self.name, f"{motion.subject}/{motion.name}/{frame}", body=label, gender=gender)  # type: ignore[arg-type]


def read_mocap(content: Content, spec: DatasetSpec) -> RecordSet:
    """Records of motion capture: a pose for each good frame, in a world with y up.

    Frames are thinned by dropping, every n-th staying, to about ``spec.fps``. AMASS's shapes are those of the gendered
    SMPL-H body: approximate for SMPL.

    Raises:
        InputError: no clip can be read.
    """
    tally, clips = Tally(), []
    body = builtin_body() if spec.body is None else spec.body
    for path in content.files("*.npz"):
        if path.name == SHAPE_FILE and content.is_folder:
            continue
        try:
            clips.append(_thinned(read_motion(path, body), spec.fps))
        except MotionFileError as error:
            tally.drop(str(error).partition(": ")[2] or str(error), path.name)
    clip = np.repeat(np.arange(len(clips)), [len(c) for c in clips])
    frame = np.concatenate([np.arange(len(c)) for c in clips] or [np.zeros(0, int)])
    good = np.concatenate([c.good.numpy() for c in clips] or [np.zeros(0, bool)])
    if (~good).any():
        tally.add("glitch: an impossibly fast step", "frames", int((~good).sum()))
    rows = _Rows(spec.label, clips, clip, frame)
    kept = np.flatnonzero(good)
    return RecordSet(spec.label, spec.path, rows, kept, tally.settle(spec, WHAT, len(kept)))


def _thinned(motion: Motion, fps: float | None) -> Motion:
    step = 1 if fps is None else max(1, round(motion.fps / fps))
    return motion[torch.arange(0, len(motion), step)]


def _tells(content: Content) -> bool:
    if not content.is_folder:
        return is_amass(dict.fromkeys(content.arrays))  # type: ignore[arg-type]
    first = next((p for p in content.files("*.npz") if p.name != SHAPE_FILE), None)
    return first is not None and _tells(Content(first))


MOCAP = Format("amass", WHAT, _tells, read_mocap)
