"""Augmentation: change, then project, is project, then change; for every kind of label."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from bodyloop.body import BodyModel, ChartMirror, builtin_atlas
from bodyloop.body.parts import face_parts
from bodyloop.body.skeletons import UNION45
from bodyloop.data.augment import AugmentConfig, Change, Occluder, crop_box, crop_picture
from bodyloop.data.part_maps import PartMap
from bodyloop.data.record import Record
from bodyloop.data.synthetic.streams import stream
from bodyloop.errors import InputError
from bodyloop.evidence import IuvMap, write_iuv
from bodyloop.geometry import CropTransform
from bodyloop.raster import iuv_map, part_map, rasterize
from made_up_people import CAMERA, full_record

SIDE = 128
SPIN = AugmentConfig(resolution=SIDE, rotation_chance=1.0, shift=0.1)


def changes(record: Record, count: int = 6, config: AugmentConfig = SPIN) -> list[Change]:
    return [Change.draw(config, record, stream(9, i)) for i in range(count)]


@pytest.fixture(scope="module")
def record(body: BodyModel) -> Record:
    return full_record(body)


def applied(change: Change, record: Record, body: BodyModel) -> Record:
    assert isinstance(record.image, np.ndarray)
    return change.apply(record, record.image, body, ChartMirror())


def test_points_of_every_kind(record: Record, body: BodyModel):
    flips = set()
    points, _ = body.keypoints(UNION45)
    for change in changes(record):
        crop = applied(change, record, body)
        assert crop.camera is not None
        assert crop.keypoints is not None
        assert crop.joints is not None
        assert crop.body is not None
        assert crop.camera.size == crop.size == (SIDE, SIDE)
        # The body's own landmarks, from the changed parameters: the joints, and seen where the keypoints are.
        own = body.points(crop.body.bodies, points)
        # 2 mm: the built-in body's landmarks are symmetric to that
        assert (own - crop.joints.points).norm(dim=-1).max() < 2e-3
        seen = crop.camera.project(crop.joints.points)
        assert (seen - crop.keypoints.pixels).abs().max() < 1e-2
        flips.add(change.crop.flip)
    assert flips == {True, False}


def test_dense_points(record: Record, body: BodyModel):
    """The surface point of the changed body is seen where the changed dense point is."""
    atlas = builtin_atlas()
    for change in changes(record):
        crop = applied(change, record, body)
        assert crop.dense is not None
        assert crop.body is not None
        assert crop.camera is not None
        vertices, weights = atlas.locate(crop.dense.part, crop.dense.uv[:, 0], crop.dense.uv[:, 1])
        place = (body.vertices(crop.body.bodies)[vertices] * weights[..., None]).sum(1)
        gap = (crop.camera.project(place) - crop.dense.pixels).norm(dim=-1) * float(change.crop.size) / SIDE
        assert gap.median() < 0.05, "pixels of the image"
        assert gap.max() < 2.0, "the torso's charts are symmetric to less than 1 % of their width"


def test_maps_are_those_of_the_changed_body(record: Record, body: BodyModel):
    labels = face_parts(body, "smpl")
    for change in changes(record):
        crop = applied(change, record, body)
        assert crop.body is not None
        assert crop.camera is not None
        assert isinstance(crop.parts, PartMap)
        assert isinstance(crop.iuv, IuvMap)
        seen = rasterize(body.vertices(crop.body.bodies), body.faces, crop.camera)
        parts = (part_map(seen, labels) + 1).numpy()
        same = parts == crop.parts.labels
        assert same.mean() > 0.97, "but for the nearest pixel at edges"
        iuv = iuv_map(seen, builtin_atlas()).numpy()
        both = (iuv[..., 0] == crop.iuv.part) & (crop.iuv.part > 0)
        assert both.sum() > 0.8 * (crop.iuv.part > 0).sum()
        assert np.median(np.abs(iuv[both][:, 1:] - crop.iuv.uv[both])) < 0.02


def test_the_picture_goes_with_the_labels(body: BodyModel, record: Record):
    """Colours that tell a pixel's place end where the keypoint transform says that it goes."""
    assert isinstance(record.image, np.ndarray)
    # colours steady enough to be sampled: no steps
    x, y = np.meshgrid(np.linspace(0, 255, 320), np.linspace(0, 255, 240))
    image = np.stack([x, y, 0 * x], -1).astype(np.uint8)
    for change in changes(record):
        cut = crop_picture(image, change.crop)
        side = torch.arange(SIDE, dtype=torch.float64)
        v, u = torch.meshgrid(side, side, indexing="ij")
        places = (
            change.crop.crop_to_image(torch.stack([u, v], -1).reshape(-1, 2)).reshape(SIDE, SIDE, 2).numpy()
        )
        inside = (places > 2).all(-1) & (places < (317, 237)).all(-1)
        assert inside.mean() > 0.3
        expected = places * (255 / 319, 255 / 239)
        assert np.abs(cut[..., :2] - expected)[inside].max() < 2.5
        outside = (places < -1).any(-1) | (places > (320, 240)).any(-1)
        assert (cut[outside] == 0).all()


NOISE = np.random.default_rng(0).integers(0, 256, (200, 260, 3)).astype(np.uint8)


def turned_crop(size: float) -> tuple[np.ndarray, np.ndarray]:
    """A turned and mirrored crop of noise, and the image places (64, 64, 2) of its pixels."""
    crop = CropTransform(torch.tensor([140.0, 90.0]).double(), torch.tensor(size).double(), 64, 0.4, True)
    v, u = np.meshgrid(np.arange(64.0), np.arange(64.0), indexing="ij")
    places = crop.crop_to_image(torch.from_numpy(np.stack([u, v], -1).reshape(-1, 2))).reshape(64, 64, 2)
    return crop_picture(NOISE, crop).astype(float), places.numpy()


def test_pictures_against_a_slow_twin():
    """Bilinear samples in float64."""
    cut, places = turned_crop(60.0)
    for row, column in np.random.default_rng(0).integers(0, 64, (100, 2)):
        x, y = places[row, column]
        left, top = math.floor(x), math.floor(y)
        a, b = x - left, y - top
        block = NOISE[top : top + 2, left : left + 2].astype(float)
        value = (1 - b) * ((1 - a) * block[0, 0] + a * block[0, 1]) + b * (
            (1 - a) * block[1, 0] + a * block[1, 1]
        )
        assert np.abs(value - cut[row, column]).max() <= 1.0


@pytest.mark.parametrize("size", [300.0, 900.0])
def test_large_pictures_are_averaged(size: float):
    """Fine patterns do not alias: of noise hardly anything is left, and its mean is right."""
    cut, places = turned_crop(size)
    inside = ((places > size / 64) & (places < np.array([260, 200]) - size / 64)).all(-1)
    assert inside.sum() > 100
    assert cut[inside].std() < NOISE.std() / int(size / 64) * 1.2
    assert cut[inside].mean() == pytest.approx(NOISE.mean(), rel=0.03)


def test_flipped_twice_is_the_same(record: Record, body: BodyModel):
    center = torch.tensor([(SIDE - 1) / 2] * 2).double()
    flip = Change(CropTransform(center, torch.tensor(float(SIDE)).double(), SIDE, 0.0, True))
    plain = Change.draw(AugmentConfig.none(SIDE), record, stream(1))
    once = applied(plain, record, body)
    twice = applied(flip, applied(flip, once, body), body)
    for name, first, second in (
        ("keypoints", once.keypoints, twice.keypoints),
        ("joints", once.joints, twice.joints),
        ("dense", once.dense, twice.dense),
    ):
        for key, value in vars(first).items():
            other = getattr(second, key)
            same = (
                torch.allclose(value.float(), other.float(), atol=1e-4)
                if torch.is_tensor(value)
                else value == other
            )
            assert same, (name, key)
    assert once.body is not None
    assert twice.body is not None
    assert torch.allclose(once.body.bodies.rotations, twice.body.bodies.rotations, atol=1e-6)
    assert torch.allclose(once.body.bodies.translation, twice.body.bodies.translation, atol=1e-6)
    assert once.camera is not None
    assert twice.camera is not None
    assert torch.allclose(once.camera.center, twice.camera.center, atol=1e-3)
    assert once.box == pytest.approx(twice.box, abs=1e-3)
    assert isinstance(once.parts, PartMap)
    assert isinstance(twice.parts, PartMap)
    assert np.array_equal(once.parts.labels, twice.parts.labels)
    assert isinstance(once.iuv, IuvMap)
    assert isinstance(twice.iuv, IuvMap)
    assert np.array_equal(once.iuv.part, twice.iuv.part)
    assert np.allclose(once.iuv.uv, twice.iuv.uv, atol=1e-6)
    assert isinstance(once.image, np.ndarray)
    assert isinstance(twice.image, np.ndarray)
    assert np.array_equal(once.image, twice.image)


def test_turned_there_and_back(record: Record, body: BodyModel):
    center, size = torch.tensor([(SIDE - 1) / 2] * 2).double(), torch.tensor(float(SIDE)).double()
    there, back = (Change(CropTransform(center, size, SIDE, angle)) for angle in (0.6, -0.6))
    plain = applied(Change.draw(AugmentConfig.none(SIDE), record, stream(1)), record, body)
    again = applied(back, applied(there, plain, body), body)
    assert plain.body is not None
    assert again.body is not None
    assert torch.allclose(plain.body.bodies.rotations, again.body.bodies.rotations, atol=1e-5)
    assert torch.allclose(plain.body.bodies.translation, again.body.bodies.translation, atol=1e-5)
    assert plain.keypoints is not None
    assert again.keypoints is not None
    assert torch.allclose(plain.keypoints.pixels, again.keypoints.pixels, atol=1e-3)


def test_labels_in_a_world_of_their_own_are_not_turned(record: Record, body: BodyModel):
    assert record.body is not None
    world = replace(record, body=replace(record.body, frame="world"))
    change = Change(replace(changes(record)[0].crop, angle=0.7, flip=False))
    same = applied(change, world, body).body
    assert same is not None
    assert torch.equal(same.bodies.rotations, record.body.bodies.rotations)
    placeless = replace(record, body=replace(record.body, has_translation=False))
    moved = applied(change, placeless, body).body
    assert moved is not None
    assert torch.equal(moved.bodies.translation, record.body.bodies.translation)


def test_without_a_mirror_flipped_records_lose_iuv_labels(record: Record, body: BodyModel):
    change = Change(replace(changes(record)[0].crop, flip=True))
    assert isinstance(record.image, np.ndarray)
    crop = change.apply(record, record.image, body, None)
    assert crop.dense is None
    assert crop.iuv is None
    assert crop.parts is not None
    plain = Change(replace(change.crop, flip=False)).apply(record, record.image, body, None)
    assert plain.dense is not None
    assert plain.iuv is not None


def test_what_is_covered(record: Record, body: BodyModel):
    plain = Change.draw(AugmentConfig.none(SIDE), record, stream(1))
    for ellipse in (False, True):
        change = replace(plain, occluder=Occluder((30.0, 30.0, 90.0, 70.0), ellipse, (1, 2, 3)))
        crop, clear = applied(change, record, body), applied(plain, record, body)
        mask = np.zeros((SIDE, SIDE), bool)
        for y in range(SIDE):
            for x in range(SIDE):
                a, b = (x - 60) / 30, (y - 50) / 20
                mask[y, x] = a * a + b * b <= 1 if ellipse else max(abs(a), abs(b)) <= 1
        assert isinstance(crop.image, np.ndarray)
        assert isinstance(clear.image, np.ndarray)
        assert (crop.image[mask] == (1, 2, 3)).all()
        assert np.array_equal(crop.image[~mask], clear.image[~mask])
        assert isinstance(crop.parts, PartMap)
        assert isinstance(clear.parts, PartMap)
        assert (crop.parts.labels[mask] == 0).all()
        assert np.array_equal(crop.parts.labels[~mask], clear.parts.labels[~mask])
        assert isinstance(crop.iuv, IuvMap)
        assert (crop.iuv.part[mask] == 0).all()
        assert crop.dense is not None
        assert clear.dense is not None
        x, y = crop.dense.pixels.round().long().T
        assert len(crop.dense) < len(clear.dense)
        assert not mask[y.clamp(0, SIDE - 1), x.clamp(0, SIDE - 1)][((x > 31) & (x < 89)).numpy()].all()
        assert crop.keypoints is not None
        assert clear.keypoints is not None
        assert torch.equal(crop.keypoints.confidence, clear.keypoints.confidence)


def test_spins_numbers(record: Record):
    """What is drawn has SPIN's ranges and shares."""
    drawn = [Change.draw(AugmentConfig(), record, stream(4, i)) for i in range(2000)]
    angles = np.array([float(c.crop.angle) for c in drawn])
    assert np.mean(angles == 0) == pytest.approx(0.6, abs=0.04)
    assert np.abs(angles).max() == pytest.approx(math.radians(60))
    assert np.mean(np.abs(angles[angles != 0]) > math.radians(30)) == pytest.approx(0.317, abs=0.05)
    assert np.mean([c.crop.flip for c in drawn]) == pytest.approx(0.5, abs=0.04)
    x0, y0, x1, y1 = crop_box(record)
    scale = np.array([float(c.crop.size) for c in drawn]) / (1.2 * max(x1 - x0, y1 - y0))
    assert (scale.min(), scale.max()) == pytest.approx((0.75, 1.25), abs=1e-6)
    assert np.mean(np.abs(scale - 1) < 0.2499) == pytest.approx(0.683, abs=0.04)
    gains = np.array([c.gains for c in drawn])
    assert gains.min() >= 0.6
    assert gains.max() <= 1.4
    assert gains.std(0) == pytest.approx([0.8 / 12**0.5] * 3, abs=0.02)
    centers = torch.stack([c.crop.center for c in drawn])
    assert centers.std(0).max() < 1e-9
    assert all(c.occluder is None for c in drawn)


def test_one_option_does_not_change_the_others(record: Record):
    base, other = AugmentConfig(), AugmentConfig(occlusion_chance=1.0, rotation_chance=0.0)
    for i in range(20):
        a, b = (Change.draw(config, record, stream(4, i)) for config in (base, other))
        assert (a.crop.flip, a.gains, float(a.crop.size)) == (b.crop.flip, b.gains, float(b.crop.size))
        assert b.occluder is not None
        widths = np.subtract(b.occluder.box[2:], b.occluder.box[:2]) / 223
        assert (widths >= 0.1).all()
        assert (widths <= 0.4).all()


def test_gains(record: Record, body: BodyModel):
    plain = Change.draw(AugmentConfig.none(SIDE), record, stream(1))
    crop, clear = (applied(c, record, body).image for c in (replace(plain, gains=(0.5, 1.0, 1.4)), plain))
    assert isinstance(crop, np.ndarray)
    assert isinstance(clear, np.ndarray)
    assert np.array_equal(crop, np.rint(clear * np.array([0.5, 1, 1.4])).clip(0, 255).astype(np.uint8))


def test_what_is_cut_out(record: Record):
    assert crop_box(replace(record, box=None)) == pytest.approx(record.box, abs=1e-3)
    bare = replace(record, box=None, keypoints=None)
    assert crop_box(bare) == (-0.5, -0.5, 319.5, 239.5)
    with pytest.raises(InputError, match="record 0: expected a box, keypoints or an image"):
        crop_box(replace(bare, size=None))
    whole = Change.draw(AugmentConfig.none(320, 1.0), replace(bare, camera=None), stream(1))
    assert isinstance(record.image, np.ndarray)
    cut = whole.picture(record.image)
    assert np.array_equal(cut[40:280], record.image)


def test_an_iuv_file_is_read_when_needed(tmp_path, record: Record, body: BodyModel):
    assert isinstance(record.iuv, IuvMap)
    write_iuv(tmp_path / "a.npz", record.iuv)
    change = changes(record)[0]
    one, two = (applied(change, replace(record, iuv=x), body).iuv for x in (record.iuv, tmp_path / "a.npz"))
    assert isinstance(one, IuvMap)
    assert isinstance(two, IuvMap)
    assert np.array_equal(one.part, two.part)
    assert np.array_equal(one.uv, two.uv)


@pytest.mark.parametrize(
    "options",
    [
        {"flip_chance": 1.5},
        {"scale_limit": 1.0},
        {"margin": 0},
        {"occlusion_size": (0.5, 0.2)},
        {"shift": -1},
    ],
)
def test_senseless_options(options: dict):
    with pytest.raises(ValueError, match="AugmentConfig needs"):
        AugmentConfig(**options)


def test_the_camera_of_the_fixture_is_awkward():
    assert CAMERA.focal[0] != CAMERA.focal[1]
