import warnings

import numpy as np
import pytest
from PIL import Image

from bodyloop.errors import InputError
from bodyloop.evidence import choose_camera, find_photos, focal_warning, read_photo


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)


def test_png_comes_back_exactly(tmp_path, rgb):
    Image.fromarray(rgb).save(tmp_path / "a.png")
    photo = read_photo(str(tmp_path / "a.png"))
    assert np.array_equal(photo.pixels, rgb)
    assert photo.size == (60, 40)
    assert photo.focal_px is None
    assert photo.note == ""


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "LAB", "HSV"])
def test_every_mode_gives_rgb(tmp_path, rgb, mode):
    suffix = {"CMYK": "tif", "YCbCr": "tif", "LAB": "tif", "HSV": "png"}.get(mode, "png")
    image = Image.fromarray(rgb).convert(mode if mode != "LAB" else "RGB")
    if mode in ("HSV", "LAB"):
        image = image.convert("RGB")
    image.save(tmp_path / f"a.{suffix}")
    pixels = read_photo(tmp_path / f"a.{suffix}").pixels
    assert pixels.shape == (40, 60, 3)
    assert pixels.dtype == np.uint8


def test_cmyk_jpeg_keeps_its_colours(tmp_path):
    Image.new("RGB", (32, 32), (200, 40, 30)).convert("CMYK").save(tmp_path / "a.jpg")
    assert np.abs(read_photo(tmp_path / "a.jpg").pixels.astype(int) - [200, 40, 30]).max() < 12


def test_sixteen_bits_keep_their_shades(tmp_path):
    grey = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    assert np.abs(photo.pixels[..., 0] - grey / 257.0).max() <= 1
    assert "8 bits" in photo.note


def test_float_tiff(tmp_path):
    Image.fromarray(np.linspace(0, 1, 1024, dtype=np.float32).reshape(32, 32)).save(tmp_path / "a.tif")
    assert read_photo(tmp_path / "a.tif").pixels.max() == 255


def test_transparent_parts_become_white(tmp_path):
    Image.new("RGBA", (32, 32), (0, 0, 0, 0)).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    assert (photo.pixels == 255).all()
    assert "white" in photo.note


def test_exif_orientation_is_applied(tmp_path, rgb):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rgb).save(tmp_path / "a.png", exif=exif)
    photo = read_photo(tmp_path / "a.png")
    assert photo.size == (40, 60)
    assert np.array_equal(photo.pixels, np.rot90(rgb, -1))


def save_with_exif(path, tags, size=(360, 240)):
    exif = Image.Exif()
    exif.get_ifd(0x8769).update(tags)
    Image.new("RGB", size).save(path, exif=exif)
    return path


def test_focal_from_35_mm_equivalent(tmp_path):
    photo = read_photo(save_with_exif(tmp_path / "a.jpg", {0xA405: 28}))
    assert photo.focal_px == pytest.approx(280)  # 3:2 as film: 10 pixels for each millimetre
    camera, how = choose_camera(photo.size, photo.focal_px)
    assert camera.focal.tolist() == pytest.approx([280, 280])
    assert how == "EXIF (35 mm equivalent 28)"


def test_focal_from_the_sensor_of_a_resized_image(tmp_path):
    tags = {0x920A: 50.0, 0xA20E: 1000.0, 0xA210: 3, 0xA002: 3600}  # 100 px/mm on 3600 px, now 360 px
    assert read_photo(save_with_exif(tmp_path / "a.jpg", tags)).focal_px == pytest.approx(500)


@pytest.mark.parametrize("tags", [{0xA405: 0}, {0x920A: 50.0}, {0xA405: 65000}, {0xA20E: 100.0}])
def test_unbelievable_exif_is_none(tmp_path, tags):
    assert read_photo(save_with_exif(tmp_path / "a.jpg", tags)).focal_px is None


def test_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (32, 32), c) for c in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    photo = read_photo(tmp_path / "a.gif")
    assert photo.pixels[0, 0].tolist() == [255, 0, 0]
    assert "first of 2" in photo.note


def test_bad_files(tmp_path, rgb, monkeypatch):
    good = tmp_path / "good.jpg"
    Image.fromarray(rgb).resize((300, 300)).save(good)
    cases = {"truncated.jpg": good.read_bytes()[:1500], "text.jpg": b"hello, I am text", "empty.png": b""}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}.*expected.*got"):
            read_photo(tmp_path / name)
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    for path in (tmp_path / "dot.png", tmp_path, tmp_path / "missing.jpg", "a\0b.jpg"):
        with pytest.raises(InputError, match="expected"):
            read_photo(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match="smaller copy"):
        read_photo(good)


def test_every_truncation_is_an_input_error_or_an_image(tmp_path, rgb):
    Image.fromarray(rgb).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    for cut in range(1, len(content), len(content) // 25):
        (tmp_path / "b.png").write_bytes(content[:cut])
        try:
            photo = read_photo(tmp_path / "b.png")
        except InputError:
            continue
        assert np.array_equal(photo.pixels, rgb)  # only the end mark was lost


def test_find_photos(tmp_path):
    for name in ("f10.jpg", "f2.JPG", "notes.txt", ".hidden.jpg", "weird[1].png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "inner.jpg").mkdir()
    (tmp_path / "void").mkdir()
    names = [p.name for p in find_photos([tmp_path]).paths]
    assert names == ["f2.JPG", "f10.jpg", "weird[1].png"]
    found = find_photos(
        [tmp_path / "f10.jpg", tmp_path / "f*", tmp_path / "weird[1].png", tmp_path / "notes.txt"]
    )
    assert [p.name for p in found.paths] == ["f10.jpg", "f2.JPG", "weird[1].png", "notes.txt"]
    assert found.errors == []
    bad = find_photos(
        [tmp_path / "void", tmp_path / "q*.jpg", tmp_path / "none.jpg", "~nobodyhere/x.jpg", "a\0"]
    )
    assert bad.paths == []
    assert len(bad.errors) == 5


def test_focal_choices():
    size = (4000, 3000)
    assert choose_camera(size)[0].focal.tolist() == [5000, 5000]
    assert choose_camera(size)[1] == "assumed: image diagonal"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        camera, how = choose_camera(size, 3000.0, 4000)
    assert (camera.focal[0].item(), how) == (4000, "--focal")
    with pytest.warns(UserWarning, match="--focal 4045"):
        choose_camera(size, None, 35)
    assert focal_warning(900, size) is None


@pytest.mark.parametrize("focal", [0, -1, float("nan"), float("inf"), 1e30, True, "35"])
def test_bad_focal(focal):
    with pytest.raises(InputError, match="--focal"):
        choose_camera((640, 480), None, focal)
