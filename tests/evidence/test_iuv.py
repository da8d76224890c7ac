import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from bodyloop.errors import InputError
from bodyloop.evidence import IuvMap, read_iuv, write_iuv
from bodyloop.evidence.iuv import SEGMENTS, mirrored_parts
from drawn_iuv import SIZE, drawn


def official(iuv):
    """R, G, B of the PNG that OpenCV writes from I, U * 255, V * 255 cut to whole numbers."""
    i, u, v = iuv.part, *(np.moveaxis(iuv.uv, -1, 0) * np.float32(255)).astype(np.uint8)
    return np.stack([v, u, i], -1)


def two_people():
    iuv = drawn()
    numbers = np.where(np.arange(SIZE[0]) < 120, 0, 3)[None].repeat(SIZE[1], 0)
    return replace(iuv, instance=np.where(iuv.foreground, numbers, -1))


def same(a, b, tolerance=0.0):
    assert np.array_equal(a.part, b.part)
    assert np.abs(a.uv - b.uv).max() <= tolerance
    assert a.box == b.box
    assert (a.instance is None) == (b.instance is None)
    assert a.instance is None or np.array_equal(a.instance, b.instance)


def test_png_in_denseposes_convention(tmp_path):
    iuv = drawn()
    Image.fromarray(official(iuv)).save(tmp_path / "a_IUV.png")
    back = read_iuv(tmp_path / "a_IUV.png", size=SIZE)
    same(back, iuv, 1 / 255)
    spot = np.argwhere(iuv.part == 23)[0]
    pixel = np.array(Image.open(tmp_path / "a_IUV.png"))[tuple(spot)]
    assert back.part[tuple(spot)] == pixel[2] == 23
    assert back.uv[tuple(spot)] * 255 == pytest.approx([pixel[1], pixel[0]])


def test_png_round_trip(tmp_path):
    iuv = drawn()
    write_iuv(tmp_path / "a.png", iuv)
    once = read_iuv(tmp_path / "a.png")
    same(once, iuv, 0.5 / 255 + 1e-6)
    write_iuv(tmp_path / "b.png", once)
    same(read_iuv(tmp_path / "b.png"), once)


def test_png_and_indices(tmp_path):
    iuv = two_people()
    write_iuv(tmp_path / "a_IUV.png", iuv, tmp_path / "a_INDS.png")
    assert Image.open(tmp_path / "a_INDS.png").mode == "L"
    back = read_iuv(tmp_path / "a_IUV.png", tmp_path / "a_INDS.png")
    same(back, iuv, 0.5 / 255 + 1e-6)
    assert back.instances == (0, 3)
    right = back.of_instance(0)
    assert not right.part[:, 120:].any()
    assert np.array_equal(right.part[:, :120], iuv.part[:, :120])
    assert right.instances == (0,)
    with pytest.raises(ValueError, match="no person 1"):
        back.of_instance(1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_npz_is_exact(tmp_path, dtype):
    iuv = replace(two_people(), box=(10.5, -3.0, 90.5, 77.0))
    iuv = replace(iuv, uv=iuv.uv.astype(dtype))
    write_iuv(tmp_path / "a.npz", iuv)
    back = read_iuv(tmp_path / "a.npz", size=(1000, 1000))
    same(back, iuv)
    assert back.uv.dtype == dtype


def test_npz_with_whole_numbers(tmp_path):
    rgb = official(drawn())
    np.savez(tmp_path / "a.npz", I=rgb[..., 2].astype(float), U=rgb[..., 1], V=rgb[..., 0])
    Image.fromarray(rgb).save(tmp_path / "a.png")
    same(read_iuv(tmp_path / "a.npz"), read_iuv(tmp_path / "a.png"), 1e-7)


def test_the_background_of_npz_may_be_anything(tmp_path):
    iuv = drawn()
    u, v = (np.where(iuv.foreground, iuv.uv[..., k], np.nan) for k in (0, 1))
    np.savez(tmp_path / "a.npz", I=iuv.part, U=u, V=v)
    same(read_iuv(tmp_path / "a.npz"), iuv)


def test_box_and_image_pixels():
    iuv = IuvMap(np.ones((20, 10), np.uint8), np.zeros((20, 10, 2)), (99.5, 49.5, 109.5, 69.5))
    points = np.array([[0.0, 0.0], [9.0, 19.0], [4.5, 3.0]])
    assert iuv.map_to_image(points) == pytest.approx(
        points + np.array([100, 50])
    )  # of the same scale: moved alone
    half = replace(iuv, box=(99.5, 49.5, 119.5, 89.5))
    assert half.map_to_image(np.array([-0.5, -0.5])) == pytest.approx([99.5, 49.5])
    assert half.map_to_image(np.array([9.5, 19.5])) == pytest.approx([119.5, 89.5])
    assert half.image_to_map(half.map_to_image(points)) == pytest.approx(points)
    assert replace(iuv, box=None).image_to_map(points) == pytest.approx(points)


def test_segments_have_every_chart_once():
    assert sorted(i for charts in SEGMENTS.values() for i in charts) == list(range(1, 25))
    mirror = mirrored_parts()
    assert mirror[mirror].tolist() == list(range(25))
    flip = [1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 18, 17, 20, 19, 22, 21, 24, 23]
    assert mirror.tolist() == [0, *flip]  # DensePose's own table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"part": np.zeros((4, 4))}, "uint8"),
        ({"part": np.full((4, 4), 25, np.uint8)}, "25"),
        ({"uv": np.zeros((4, 5, 2))}, "uv"),
        ({"uv": np.full((4, 4, 2), 1.5)}, "1.5"),
        ({"uv": np.full((4, 4, 2), np.nan)}, "nan"),
        ({"uv": np.zeros((4, 4, 2), int)}, "int"),
        ({"box": (0.0, 0.0, 0.0, 4.0)}, "box"),
        ({"instance": np.zeros((3, 4), int)}, "instance"),
    ],
)
def test_wrong_maps_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        IuvMap(**({"part": np.zeros((4, 4), np.uint8), "uv": np.zeros((4, 4, 2))} | change))


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def test_bad_pngs(tmp_path):
    good, a = official(drawn()), tmp_path / "a.png"
    beyond = good.copy()
    beyond[..., 2] += 30
    cases = [
        (good[..., ::-1].copy(), "swap red and blue"),
        (beyond, "labels 0 to 24"),
        (good[..., 2].copy(), "mode L"),
        (np.zeros_like(good), "all background"),
        (np.dstack([good, good[..., 2]]), "mode RGBA"),
    ]
    for pixels, message in cases:
        with pytest.raises(InputError, match=rf"a\.png: expected.*got.*{message}|{message}.*got"):
            read_iuv(save(a, pixels))
    same(read_iuv(save(a, np.dstack([good, np.full_like(good[..., 0], 255)]))), read_iuv(save(a, good)))
    with pytest.raises(InputError, match=r"expected the photo's size, 320 x 240, got 240 x 320"):
        read_iuv(a, size=(320, 240))
    with pytest.raises(InputError, match="JPEG, whose compression"):
        read_iuv(save(tmp_path / "a.jpg", good))
    inds = save(tmp_path / "i.png", np.zeros((10, 10), np.uint8))
    with pytest.raises(InputError, match=r"i\.png: expected the size of a\.png"):
        read_iuv(a, inds)
    with pytest.raises(InputError, match="INDS"):
        read_iuv(a, a)


def test_files_that_are_no_images(tmp_path):
    for content in (b"", b"hello", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04 no zip"):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.png: expected"):
            read_iuv(tmp_path / "a.png")
    for path in (tmp_path, tmp_path / "missing.png", "a\0b.png"):
        with pytest.raises(InputError, match="expected"):
            read_iuv(path)


def test_every_truncation_is_an_input_error_or_the_map(tmp_path):
    for name in ("a.png", "a.npz"):
        write_iuv(tmp_path / name, drawn())
        content, whole = (tmp_path / name).read_bytes(), read_iuv(tmp_path / name)
        for cut in range(0, len(content), len(content) // 25):
            (tmp_path / "b").write_bytes(content[:cut])
            try:
                same(read_iuv(tmp_path / "b"), whole)
            except InputError:
                continue


@pytest.mark.parametrize(
    "change",
    [
        {"U": None},
        {"I": np.full((4, 4), 25)},
        {"I": np.full((4, 4), -1)},
        {"I": np.full((4, 4), 1.5)},
        {"I": np.full((4, 4), np.nan)},
        {"I": np.zeros((4, 4))},
        {"I": np.ones((4, 5))},
        {"I": np.full((4, 4), "a")},
        {"I": np.full((4, 4), {})},
        {"U": np.full((4, 4), 1.01)},
        {"U": np.full((4, 4), 256)},
        {"V": np.full((4, 4), np.nan)},
        {"V": np.zeros((4, 4), complex)},
        {"box": np.zeros(4)},
        {"box": np.array([0, 0, 1])},
        {"box": np.array(["a"] * 4)},
        {"box": np.array([0, 0, np.inf, 1])},
        {"instance": np.zeros(3)},
    ],
)
def test_bad_npz(tmp_path, change):
    arrays = {"I": np.ones((4, 4), int), "U": np.zeros((4, 4)), "V": np.ones((4, 4))} | change
    np.savez(tmp_path / "a.npz", **{k: a for k, a in arrays.items() if a is not None})
    with pytest.raises(InputError, match=r"a\.npz: expected .*got.*;"):
        read_iuv(tmp_path / "a.npz")


def test_a_zip_without_arrays(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("a.txt", "hello")
    (tmp_path / "a.npz").write_bytes(content.getvalue())
    with pytest.raises(InputError, match="expected npz with I, U, V"):
        read_iuv(tmp_path / "a.npz")


def test_what_cannot_be_written(tmp_path):
    iuv = drawn()
    for name, other, message in (
        ("a.jpg", iuv, "png or .npz"),
        ("a.png", replace(iuv, box=(0.0, 0.0, 9.0, 9.0)), "box"),
    ):
        with pytest.raises(ValueError, match=message):
            write_iuv(tmp_path / name, other)
    for other in (iuv, replace(iuv, instance=np.full(iuv.part.shape, 256))):
        with pytest.raises(ValueError, match="0 to 255"):
            write_iuv(tmp_path / "a.png", other, tmp_path / "i.png")
    with pytest.raises(InputError, match="cannot be written"):
        write_iuv(tmp_path / "no" / "a.png", iuv)
