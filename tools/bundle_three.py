"""Make `src/bodyloop/view/web/three.min.js`: those parts of three.js that the viewer's page uses, in one script.

    python tools/bundle_three.py

Needs npm, which fetches three.js and esbuild into a temporary folder. The versions below are the ones that ship.
"""

import subprocess
import tempfile
from pathlib import Path

THREE, ESBUILD = "0.187.0", "0.28.2"
TARGET = Path(__file__).parents[1] / "src" / "bodyloop" / "view" / "web" / "three.min.js"
NAMES = (
    "Bone", "BufferAttribute", "BufferGeometry", "Color", "DirectionalLight", "DoubleSide", "Group", "HemisphereLight",
    "LineBasicMaterial", "LineSegments", "Mesh", "MeshBasicMaterial", "MeshStandardMaterial", "PerspectiveCamera",
    "Points", "PointsMaterial", "SRGBColorSpace", "Scene", "Skeleton", "SkinnedMesh", "Texture", "Vector3",
    "WebGLRenderer",
)  # fmt: skip
"""What the page asks `THREE` for, besides OrbitControls."""


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        subprocess.run(
            ["npm", "install", "--prefix", place, f"three@{THREE}", f"esbuild@{ESBUILD}"], check=True
        )
        licence = (folder / "node_modules" / "three" / "LICENSE").read_text("utf-8").strip()
        exports = f'export {{ {", ".join(NAMES)} }} from "three";\n'
        exports += 'export { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";\n'
        (folder / "entry.js").write_text(exports)
        subprocess.run(
            [
                str(folder / "node_modules" / ".bin" / "esbuild"),
                str(folder / "entry.js"),
                "--bundle",
                "--minify",
                "--format=iife",
                "--global-name=THREE",
                "--target=es2021",
                f"--banner:js=/*! three.js {THREE}\n\n{licence}\n*/",
                f"--outfile={TARGET}",
                "--allow-overwrite",
            ],
            check=True,
        )
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
