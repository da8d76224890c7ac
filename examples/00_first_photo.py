"""Lesson 0: a photo in, bodies out.

    python examples/00_first_photo.py [PHOTO] [FOLDER]

Without a photo it takes scikit-image's astronaut (NASA, public domain).
"""

import sys
from pathlib import Path

import bodyloop as bl
from bodyloop.view import save_picture


def astronaut(folder: Path) -> Path:
    from skimage import data

    save_picture(folder / "astronaut.png", data.astronaut())
    return folder / "astronaut.png"


folder = Path(sys.argv[2] if len(sys.argv) > 2 else "runs/00_first_photo")
folder.mkdir(parents=True, exist_ok=True)

# 1. Pixels, turned the right way up, and the focal length if the camera wrote it down.
photo = bl.read_photo(sys.argv[1] if len(sys.argv) > 1 else astronaut(folder))

# 2. 2D keypoints of everybody in it, with confidences: what is seen, and nothing else.
people = bl.detect_people(photo)
clear = (people.confidence > 0.5).sum(1).tolist()
print(f"found: {len(people)}; clear keypoints of each: {clear} of {len(people.skeleton)}")

# 3. A camera. Without EXIF the focal length is assumed, and that moves people nearer or farther.
camera, source = bl.choose_camera(photo.size, photo.focal_px)
print(f"focal length {camera.focal[0]:.0f} px ({source})")

# 4. Bodies that explain the keypoints and are plausible where nothing was seen.
fits = bl.fit_people(people, camera)
for i in range(len(fits)):
    doubts = "; ".join(fits.doubts[i]) or "none"
    print(f"person {i}: {fits.error_px[i]:.1f} px off, from start '{fits.start[i]}', doubts: {doubts}")

# 5. Look at them.
body = bl.load_body()
save_picture(folder / "overlay.png", bl.overlay(photo.pixels, body, fits.bodies, camera, people))
save_picture(folder / "side.png", bl.side_view(body, fits.bodies))
bl.save_glb(folder / "body.glb", body, fits.bodies)
print(f"written to {folder}")
