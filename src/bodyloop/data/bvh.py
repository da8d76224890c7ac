"""Reading BVH (Biovision hierarchy) files into `SkeletonClip`.

Any channel order per joint, position channels at any joint (they replace the offset, as Blender reads them),
end sites, tabs, CRLF, numbers wrapped over lines. The hierarchy is parsed token by token with line numbers,
the frames by numpy in one go.
"""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np

from bodyloop.data.skeleton_clip import LARGEST_NUMBER, MotionFileError, SkeletonClip, subject_of, tidy_fps

Unit = Literal["auto", "m", "cm", "inch"]
METRES = {"m": 1.0, "cm": 0.01, "inch": 0.0254}
"""Metres per unit."""

USUAL_HEIGHT = 1.7  # metres; what the automatic choice of unit brings the skeleton nearest to
_AXES = {"x": 0, "y": 1, "z": 2}
_MOTION = re.compile(r"^\s*MOTION\s*$", re.MULTILINE | re.IGNORECASE)
_FRAME_TIME = re.compile(r"frame\s+time\s*:[^\n]*", re.IGNORECASE)


@dataclass
class _Hierarchy:
    """What the HIERARCHY block says; channels are (joint, "position" | "rotation", axis) in file order."""

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    ends: dict[str, tuple[int, np.ndarray]] = field(default_factory=dict)
    channels: list[tuple[int, str, int]] = field(default_factory=list)


class _Tokens:
    """Tokens of the lines before the numbers, with the line for messages."""

    def __init__(self, path: Path, lines: list[str]) -> None:
        self.path, self.line = path, 0
        self._tokens = self._split(lines)

    def _split(self, lines: list[str]) -> Iterator[str]:
        for number, line in enumerate(lines, 1):
            self.line = number
            yield from line.replace("{", " { ").replace("}", " } ").split()

    def fail(self, message: str) -> NoReturn:
        raise MotionFileError(f"{self.path}, line {self.line}: {message}")

    def next(self, expected: str) -> str:
        token = next(self._tokens, None)
        if token is None:
            self.fail(f"the file ends where {expected} should stand")
        return token

    def expect(self, word: str) -> None:
        token = self.next(repr(word))
        if token.upper() != word.upper():
            self.fail(f"expected {word!r}, got {token[:40]!r}")

    def number(self, expected: str) -> float:
        token = self.next(expected)
        try:
            value = float(token)
        except ValueError:
            self.fail(f"expected {expected}, got {token[:40]!r}")
        if not (isfinite(value) and abs(value) < LARGEST_NUMBER):
            self.fail(f"expected {expected}, got {token[:40]!r}")
        return value

    def whole(self, expected: str) -> int:
        value = self.number(expected)
        if value != int(value) or value < 0:
            self.fail(f"expected {expected}, got {value:g}")
        return int(value)


def read_bvh(path: str | Path, unit: Unit = "auto") -> SkeletonClip:
    """Read a BVH file.

    Args:
        path: the file.
        unit: unit of its lengths. "auto" takes the one that brings the rest skeleton nearest to 1.7 m.

    Returns:
        The clip, in metres and radians, in the file's own axes.

    Raises:
        MotionFileError: not BVH, truncated, wrong counts, NaN; with file and line.
    """
    path = Path(path)
    if unit not in ("auto", *METRES):
        raise ValueError(f"unit should be 'auto', 'm', 'cm' or 'inch', got {unit!r}")
    try:
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise MotionFileError(f"{path}: cannot be read ({error})") from error
    head, frames, frame_time, body, first_line = _split_file(path, text)
    count = len(head.channels)
    values = _numbers(path, body, first_line, frames, count)
    return _to_clip(path, head, values, frame_time, unit)


def _split_file(path: Path, text: str) -> tuple[_Hierarchy, int, float, str, int]:
    """Hierarchy, frame count, frame time, the text of the numbers, and the line it starts on."""
    if "HIERARCHY" not in text[:4096].upper():
        raise MotionFileError(f"{path}, line 1: not a BVH file: it should begin with 'HIERARCHY'")
    marker = _MOTION.search(text)
    if marker is None:
        raise MotionFileError(f"{path}: no 'MOTION' block; the file is truncated or not BVH")
    last = _FRAME_TIME.search(text, marker.start())
    end = last.end() if last else len(text)
    header = text[: marker.start()] + text[marker.start() : end].replace(":", ": ")
    tokens = _Tokens(path, header.splitlines())
    hierarchy = _hierarchy(tokens)
    tokens.expect("MOTION")
    tokens.expect("Frames:")
    frames = tokens.whole("the number of frames")
    tokens.expect("Frame")
    tokens.expect("Time:")
    frame_time = tokens.number("the frame time in seconds")
    if frames < 1:
        tokens.fail("the file holds no frames")
    if not 1e-5 < frame_time < 1e3:
        tokens.fail(f"frame time should be a positive number of seconds, got {frame_time:g}")
    return hierarchy, frames, frame_time, text[end:], header.count("\n") + 1


def _hierarchy(tokens: _Tokens) -> _Hierarchy:
    """Parse the HIERARCHY block."""
    tokens.expect("HIERARCHY")
    tokens.expect("ROOT")
    tree = _Hierarchy()
    _open_joint(tokens, tree, -1)
    stack = [0]
    while stack:
        word = tokens.next("'JOINT', 'End Site' or '}'")
        if word == "}":
            stack.pop()
        elif word.upper() == "JOINT":
            _open_joint(tokens, tree, stack[-1])
            stack.append(len(tree.names) - 1)
        elif word.upper() == "END":
            _end_site(tokens, tree, stack[-1])
        elif word.upper() == "OFFSET":
            tree.offsets[stack[-1]] = [tokens.number("an offset") for _ in range(3)]
        elif word.upper() == "CHANNELS":
            _channels(tokens, tree, stack[-1])
        else:
            tokens.fail(f"expected 'JOINT', 'End Site', 'OFFSET', 'CHANNELS' or '}}', got {word[:40]!r}")
    return tree


def _open_joint(tokens: _Tokens, tree: _Hierarchy, parent: int) -> None:
    """The name and the brace of a joint; names may contain spaces."""
    words = []
    while (word := tokens.next("a joint name and '{'")) != "{":
        words.append(word)
    if not words:
        tokens.fail("a joint without a name")
    tree.names.append(" ".join(words))
    tree.parents.append(parent)
    tree.offsets.append([0.0, 0.0, 0.0])


def _end_site(tokens: _Tokens, tree: _Hierarchy, joint: int) -> None:
    """``End Site { OFFSET x y z }``."""
    tokens.expect("Site")
    tokens.expect("{")
    tokens.expect("OFFSET")
    offset = np.array([tokens.number("an offset") for _ in range(3)])
    tokens.expect("}")
    tree.ends[f"{tree.names[joint]}_end"] = (joint, offset)


def _channels(tokens: _Tokens, tree: _Hierarchy, joint: int) -> None:
    """``CHANNELS n`` and n names such as ``Xposition`` or ``Zrotation``."""
    seen: set[tuple[str, int]] = set()
    for _ in range(tokens.whole("the number of channels")):
        word = tokens.next("a channel name").lower()
        axis, kind = _AXES.get(word[:1]), word[1:]
        if axis is None or kind not in ("position", "rotation"):
            tokens.fail(f"expected a channel such as 'Xposition' or 'Zrotation', got {word[:40]!r}")
        if (kind, axis) in seen:
            tokens.fail(f"joint {tree.names[joint]!r} has channel {word!r} twice")
        seen.add((kind, axis))
        tree.channels.append((joint, kind, axis))


def _numbers(path: Path, body: str, first_line: int, frames: int, count: int) -> np.ndarray:
    """The frames (T, channels); the whole block at once, line by line only to explain what is wrong."""
    if count == 0:
        raise MotionFileError(f"{path}: no joint has channels, so nothing moves")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            values = np.fromstring(body, sep=" ")
    except (ValueError, DeprecationWarning):
        values = np.empty(0)
    if len(values) != frames * count or not (np.abs(values) < LARGEST_NUMBER).all():
        _explain(path, body, first_line, frames, count)
    return values.reshape(frames, count)


def _explain(path: Path, body: str, first_line: int, frames: int, count: int) -> NoReturn:
    """Find the first line that is wrong and say so."""
    found = 0
    for number, line in enumerate(body.split("\n"), first_line):
        words = line.split()
        for word in words:
            try:
                good = abs(float(word)) < LARGEST_NUMBER
            except ValueError:
                good = False
            if not good:
                raise MotionFileError(f"{path}, line {number}: expected a number, got {word[:40]!r}")
        if words and len(words) != count and frames * count != found + len(words):
            raise MotionFileError(
                f"{path}, line {number}: expected {count} numbers, one for each channel, got {len(words)}"
            )
        found += len(words)
    raise MotionFileError(
        f"{path}: the header promises {frames} frames of {count} numbers, the file holds {found / count:g} "
        "frames; it is truncated or the header is wrong"
    )


def _to_clip(path: Path, tree: _Hierarchy, values: np.ndarray, frame_time: float, unit: Unit) -> SkeletonClip:
    """Channels to rotations and places."""
    frames, joints = len(values), len(tree.names)
    offsets = np.array(tree.offsets)
    translations = np.broadcast_to(offsets, (frames, joints, 3)).copy()
    turns: dict[int, list[tuple[int, int]]] = {}
    for column, (joint, kind, axis) in enumerate(tree.channels):
        if kind == "position":
            translations[:, joint, axis] = values[:, column]
        else:
            turns.setdefault(joint, []).append((axis, column))
    rotations = np.broadcast_to(np.eye(3), (frames, joints, 3, 3)).copy()
    orders: dict[tuple[int, ...], list[int]] = {}
    for joint, channels in turns.items():
        orders.setdefault(tuple(axis for axis, _ in channels), []).append(joint)
    for order, members in orders.items():
        columns = np.array([[column for _, column in turns[joint]] for joint in members])
        rotations[:, members] = euler_to_rotmat(np.deg2rad(values[:, columns]), order)
    clip = SkeletonClip(
        tuple(tree.names),
        tuple(tree.parents),
        offsets,
        rotations,
        translations,
        tidy_fps(1 / frame_time),
        tree.ends,
        name=path.stem,
        subject=subject_of(path),
    )
    return _in_metres(clip, unit)


def euler_to_rotmat(angles: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """Angles (..., n) in radians about the axes of ``order`` (0 x, 1 y, 2 z), n <= 3, to (..., 3, 3).

    The first axis is the outermost: R = R_order[0] @ R_order[1] @ ..., as BVH defines it.
    """
    result = np.broadcast_to(np.eye(3), (*angles.shape[:-1], 3, 3)).copy()
    cosines, sines = np.cos(angles), np.sin(angles)
    for k, axis in enumerate(order):
        # Right multiplication by a rotation about `axis` mixes the two other columns.
        i, j = (axis + 1) % 3, (axis + 2) % 3
        c, s = cosines[..., k, None], sines[..., k, None]
        first = result[..., i] * c + result[..., j] * s
        result[..., j] = result[..., j] * c - result[..., i] * s
        result[..., i] = first
    return result


def _in_metres(clip: SkeletonClip, unit: Unit) -> SkeletonClip:
    """Scale all lengths to metres."""
    if unit == "auto":
        places = clip.rest_positions
        tips = np.array([places[joint] + offset for joint, offset in clip.ends.values()]).reshape(-1, 3)
        size = float(np.ptp(np.concatenate([places, tips]), axis=0).max())
        if size <= 0:
            raise MotionFileError(f"{clip.name}: all offsets are zero, so the skeleton has no size")
        scale = min(METRES.values(), key=lambda s: abs(np.log(size * s / USUAL_HEIGHT)))
    else:
        scale = METRES[unit]
    return SkeletonClip(
        clip.names,
        clip.parents,
        clip.offsets * scale,
        clip.rotations,
        clip.translations * scale,
        clip.fps,
        {name: (joint, offset * scale) for name, (joint, offset) in clip.ends.items()},
        name=clip.name,
        subject=clip.subject,
    )
