"""Khronos' validator finds nothing in our glTF, and three.js moves the bones to where the body has its joints.

Both come from npm into a temporary folder.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bodyloop.body import SMPL_JOINTS, BodyModel
from bodyloop.view import save_glb
from bodyloop.view.glb import save_animated_glb
from made_up_tracks import in_viewer, small_body, track

pytestmark = pytest.mark.slow

VALIDATE = """
const fs = require('fs')
require('gltf-validator').validateBytes(new Uint8Array(fs.readFileSync(process.argv[2])))
  .then(report => console.log(JSON.stringify(report)))
"""
PLAY = """
import fs from 'fs'
import * as three from 'three'
import { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js'
const content = fs.readFileSync(process.argv[2])
const bytes = content.buffer.slice(content.byteOffset, content.byteOffset + content.length)
const gltf = await new GLTFLoader().parseAsync(bytes, '')
const mixer = new three.AnimationMixer(gltf.scene)
for (const clip of gltf.animations) mixer.clipAction(clip).setLoop(three.LoopOnce).play().clampWhenFinished = true
const people = {}
const vector = new three.Vector3()
gltf.scene.traverse(node => { if (node.isSkinnedMesh) people[node.name] = { mesh: node, frames: [] } })
for (const moment of JSON.parse(process.argv[3])) {
  mixer.setTime(moment)
  gltf.scene.updateMatrixWorld(true)
  for (const { mesh, frames } of Object.values(people)) {
    mesh.skeleton.update()
    const bones = mesh.skeleton.bones.map(bone => bone.getWorldPosition(vector).toArray())
    const count = mesh.geometry.attributes.position.count
    const vertices = [...Array(count).keys()].map(i => mesh.getVertexPosition(i, vector).toArray())
    frames.push({ bones, vertices })
  }
}
const found = Object.entries(people).map(([name, { mesh, frames }]) =>
  [name, { names: mesh.skeleton.bones.map(bone => bone.name), frames }])
console.log(JSON.stringify(Object.fromEntries(found)))
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both scripts and what they need."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("packages")
    (folder / "package.json").write_text("{}")
    command = ["npm", "install", "--no-fund", "--no-audit", "gltf-validator@2.0.0-dev.3.10", "three@0.187.0"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"npm could not install gltf-validator and three: {done.stderr.strip()[-300:]}")
    (folder / "validate.cjs").write_text(VALIDATE)
    (folder / "play.mjs").write_text(PLAY)
    return folder


def run(packages: Path, script: str, *arguments: object) -> Any:
    command = ["node", str(packages / script), *map(str, arguments)]
    done = subprocess.run(command, cwd=packages, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_validator_finds_nothing(packages: Path, body: BodyModel, tmp_path: Path):
    people = [track(body="builtin"), track("ben", 3, seed=1, start=0.1, body="builtin")]
    save_animated_glb(tmp_path / "walk.glb", body, people)
    save_animated_glb(tmp_path / "pose.glb", body, [track(frames=1, body="builtin")])
    save_glb(tmp_path / "photo.glb", body, people[0].bodies[:2], ["a", "b"])
    for name in ("walk", "pose", "photo"):
        issues = run(packages, "validate.cjs", tmp_path / f"{name}.glb")["issues"]
        assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]
    (tmp_path / "broken.glb").write_bytes((tmp_path / "walk.glb").read_bytes().replace(b"VEC4", b"VEC2"))
    assert run(packages, "validate.cjs", tmp_path / "broken.glb")["issues"]["numErrors"] > 0


def test_three_js_shows_the_bodies(packages: Path, tmp_path: Path):
    small = small_body(4)
    people = {"anna": track(), "ben": track("ben", 5, seed=1, start=0.1)}
    save_animated_glb(tmp_path / "walk.glb", small, list(people.values()))
    moments = [0.0, 0.1, 0.15, 0.2]
    found = run(packages, "play.mjs", tmp_path / "walk.glb", json.dumps(moments))
    for name, one in people.items():
        shown = found[f"{name}_mesh"]
        assert [bone.rstrip("_0123456789") or bone for bone in shown["names"]] == [
            joint.rstrip("_0123456789") for joint in SMPL_JOINTS
        ]
        for moment, frame in zip(moments, shown["frames"], strict=True):
            truth = one.at(torch.tensor([moment], dtype=torch.float64)).bodies
            np.testing.assert_allclose(frame["bones"], in_viewer(small.joints(truth))[0], atol=2e-4)
            np.testing.assert_allclose(frame["vertices"], in_viewer(small.vertices(truth))[0], atol=2e-4)
