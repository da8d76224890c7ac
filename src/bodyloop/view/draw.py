"""Keypoints and limbs on a picture, and pictures side by side."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bodyloop.evidence import Evidence

LEFT, RIGHT, MIDDLE = (235, 94, 85), (66, 165, 190), (250, 250, 250)
"""Dots on the person's left are red, on their right blue, in the middle white."""


def draw_keypoints(pixels: np.ndarray, evidence: Evidence, radius: int | None = None) -> np.ndarray:
    """The picture with every observed keypoint as a dot, and a line where both ends of a limb are observed.

    Args:
        pixels: (H, W, 3) uint8 RGB; not changed.
        evidence: keypoints in this picture's pixels; those of confidence 0 are left out.
        radius: of the dots in pixels; 1/250 of the picture's longer side, at least 3, if None.
    """
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    size = max(3, round(max(image.size) / 250)) if radius is None else radius
    reach = 4 * max(image.size)
    for points, confidence in zip(evidence.keypoints.tolist(), evidence.confidence.tolist(), strict=True):
        seen = [c > 0 and max(abs(x), abs(y)) < reach for (x, y), c in zip(points, confidence, strict=True)]
        for i, j in evidence.skeleton.edge_indices():
            if seen[i] and seen[j]:
                draw.line([*points[i], *points[j]], fill=(245, 245, 245), width=max(1, round(size / 2)))
        for (x, y), name, visible in zip(points, evidence.skeleton.keypoints, seen, strict=True):
            if visible:
                column, row = round(x), round(y)  # whole numbers, or pillow draws half a pixel aside
                box = [column - size, row - size, column + size, row + size]
                draw.ellipse(box, fill=side_color(name), outline=(30, 30, 30))
    return np.asarray(image)


def side_color(name: str) -> tuple[int, int, int]:
    """Colour of the side that a keypoint is on, by its name."""
    if name.startswith("left_") or name.endswith("_left"):
        return LEFT
    return RIGHT if name.startswith("right_") or name.endswith("_right") else MIDDLE


def contact_sheet(
    images: Sequence[np.ndarray], columns: int, captions: Sequence[str] | None = None, cell: int = 320
) -> np.ndarray:
    """Pictures in rows on white, each shrunk (never enlarged) to the width of its column.

    Args:
        images: (H, W, 3) uint8 RGB each, of any sizes.
        columns: pictures a row, at least 1.
        captions: one line under each picture, or None.
        cell: width of a column in pixels, and the most that a picture may be high.

    Returns:
        (rows * row height, columns * cell, 3) uint8; rows are as high as the highest picture.

    Raises:
        ValueError: without pictures, without columns, or with another number of captions.
    """
    if not images or columns < 1 or (captions is not None and len(captions) != len(images)):
        raise ValueError(
            f"need pictures, at least one column and as many captions as pictures, got {len(images)} "
            f"pictures, {columns} columns, {None if captions is None else len(captions)} captions"
        )
    columns = min(columns, len(images))
    pictures = [Image.fromarray(pixels) for pixels in images]
    for picture in pictures:
        picture.thumbnail((cell - 4, cell - 4), Image.Resampling.LANCZOS)
    height = max(picture.height for picture in pictures) + 4
    row_height = height + (14 if captions else 0)
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * cell, rows * row_height), "white")
    draw = ImageDraw.Draw(sheet)
    for i, picture in enumerate(pictures):
        left, top = i % columns * cell, i // columns * row_height
        sheet.paste(picture, (left + (cell - picture.width) // 2, top + (height - picture.height) // 2))
        if captions:
            draw.text((left + 4, top + height), captions[i], fill="black", font=ImageFont.load_default())
    return np.asarray(sheet)
