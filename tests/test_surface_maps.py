"""Which map belongs to which photo, and the way from the command line to the fit."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bodyloop.body import BodyModel, load_body
from bodyloop.body.atlas import builtin_atlas
from bodyloop.body.parts import face_parts
from bodyloop.cli import main
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence, IuvMap, write_iuv, write_keypoints
from bodyloop.evidence.photos import Photo, read_photo
from bodyloop.raster import rasterize
from bodyloop.raster.labels import iuv_map, part_map
from bodyloop.surface_maps import SurfaceMaps
from bodyloop.view import load_npz
from drawn_iuv import SIZE, drawn, standing
from fit.people import CAMERA, observed
from made_up import smpl_file_arrays


@pytest.fixture
def photo(tmp_path: Path) -> Photo:
    Image.new("RGB", SIZE).save(tmp_path / "anna.jpg")
    return read_photo(tmp_path / "anna.jpg")


def opened(
    body: BodyModel, iuv: Path | None, parts: Path | None, photos: int = 1, atlas: Path | None = None
) -> SurfaceMaps:
    return SurfaceMaps.open(iuv, parts, "densepose", atlas, body, [Path("anna.jpg")] * photos)


def test_nothing_asked_nothing_told(body: BodyModel, photo: Photo):
    assert opened(body, None, None).of(photo, standing()) == (None, [])


@pytest.mark.parametrize("name", ["anna_IUV.png", "anna_iuv.npz", "anna.npz"])
def test_maps_are_found_by_the_photos_name(body: BodyModel, photo: Photo, tmp_path: Path, name: str):
    folder = tmp_path / "maps"
    folder.mkdir()
    write_iuv(folder / name, drawn())
    surfaces, _ = opened(body, folder, folder).of(photo, standing())
    assert surfaces is not None
    assert len(surfaces[0]) >= 100
    assert surfaces[0].targets is not None
    (folder / name).unlink()
    with pytest.raises(InputError, match=r"no map of it there; expected one of anna_IUV\.png"):
        opened(body, folder, None).of(photo, standing())


def test_numbers_beside_the_map_are_used(body: BodyModel, photo: Photo, tmp_path: Path):
    iuv = IuvMap(drawn().part, drawn().uv, instance=np.where(drawn().part > 0, 0, -1))
    write_iuv(tmp_path / "anna_IUV.png", iuv, tmp_path / "anna_INDS.png")
    far = standing()
    far = Evidence.from_keypoints(far.skeleton, far.keypoints + 1000, far.confidence)
    surfaces, notes = opened(body, tmp_path, None).of(photo, far)
    assert surfaces is not None
    assert not surfaces[0]
    assert notes == ["person 0: the map shows nothing of them"]


def test_what_cannot_be_is_refused_at_once(body: BodyModel, tmp_path: Path):
    with pytest.raises(InputError, match=r"--iuv .*expected a map or a folder of maps, got nothing"):
        opened(body, tmp_path / "none.png", None)
    write_iuv(tmp_path / "anna_IUV.png", drawn())
    with pytest.raises(InputError, match="a map for each of the 2 photos"):
        opened(body, None, tmp_path / "anna_IUV.png", photos=2)
    np.savez(tmp_path / "small.npz", **smpl_file_arrays())
    small = load_body(tmp_path / "small.npz")
    with pytest.raises(InputError, match="atlas of the body's 96 vertices, got one of 13718; give --atlas"):
        opened(small, tmp_path, None)


def test_from_the_command_line(body: BodyModel, tmp_path: Path, capsys):
    truth, evidence = observed(body, 1, seed=3)
    seen = rasterize(body.vertices(truth)[0], body.faces, CAMERA)
    values = iuv_map(seen, builtin_atlas()).numpy()
    write_iuv(tmp_path / "anna_IUV.png", IuvMap(values[..., 0].astype(np.uint8), values[..., 1:].clip(0, 1)))
    labels = (part_map(seen, face_parts(body, "lsp")) + 1).numpy().astype(np.uint8)
    labels = np.array([0, 1, 2, 4, 3, 6, 5], np.uint8)[labels]  # the files have the right side first
    labels[0, 0] = 255
    Image.fromarray(labels).save(tmp_path / "anna_parts.png")
    Image.new("RGB", CAMERA.size, "gray").save(tmp_path / "anna.png")
    write_keypoints(tmp_path / "k.json", {"anna.png": evidence}, {"anna.png": CAMERA.size})
    errors = {}
    for name, more in {
        "alone": [],
        "maps": ["--iuv", tmp_path, "--parts", tmp_path / "anna_parts.png", "--part-labels", "lsp"],
    }.items():
        options = [
            "--keypoints",
            tmp_path / "k.json",
            "--focal",
            1200,
            "--no-pictures",
            "--formats",
            "npz",
            *more,
        ]
        call = ["fit", tmp_path / "anna.png", "-o", tmp_path / name, *options]
        assert main(list(map(str, call))) == 0, capsys.readouterr()
        bodies = load_npz(tmp_path / name / "anna" / "body.npz").bodies
        off = body.vertices(bodies) - body.vertices(truth)
        errors[name] = float((off - off.mean(1, keepdim=True)).norm(dim=-1).mean())
    assert errors["maps"] < 0.5 * errors["alone"]
    assert main(["fit", str(tmp_path / "anna.png"), "-o", str(tmp_path / "x"), "--parts", "nowhere.png"]) == 2
    assert "--parts nowhere.png: expected a map" in capsys.readouterr().err
