"""Batches: every label at its place, a mask for what is missing."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from bodyloop.body import BodyModel, ChartMirror, get_skeleton
from bodyloop.body.skeletons import UNION45
from bodyloop.data.augment import AugmentConfig, Change
from bodyloop.data.batch import GENDERS, Batch, Layout, to_sample
from bodyloop.data.labels import Labels
from bodyloop.data.mixture import Draw, RecordDataset, load_image
from bodyloop.data.part_maps import PartMap
from bodyloop.data.record import Joints3D, Keypoints2D, Record, RecordSet
from bodyloop.errors import InputError
from bodyloop.geometry import default_focal
from made_up_people import full_record

SIDE = 64
LAYOUT = Layout(parts="lsp", iuv=True)
PLAIN = AugmentConfig.none(SIDE)


def equal(a: Batch, b: Batch) -> bool:
    for f in fields(Batch):
        one, two = getattr(a, f.name), getattr(b, f.name)
        if isinstance(one, Tensor) and not torch.equal(one, two):
            return False
    same_bodies = torch.equal(a.bodies.rotations, b.bodies.rotations)
    return same_bodies and torch.equal(a.camera.center, b.camera.center) and a.names == b.names


@pytest.fixture(scope="module")
def record(body: BodyModel) -> Record:
    return full_record(body)


@pytest.fixture(scope="module")
def batch(record: Record) -> Batch:
    bare = Record("bare", "7", image=record.image)
    dataset = RecordDataset([record, bare], PLAIN, LAYOUT, mirror=ChartMirror())
    return Batch.stack([dataset[0], dataset[1]])


def test_shapes_and_masks(batch: Batch):
    assert len(batch) == 2
    assert batch.image.shape == (2, 3, SIDE, SIDE)
    assert batch.image.min() >= 0
    assert batch.image.max() <= 1
    assert batch.keypoints.shape == (2, 45, 2)
    assert batch.dense_pixels.shape == (2, 150, 2)
    assert batch.parts is not None
    assert batch.parts.shape == (2, SIDE, SIDE)
    assert batch.iuv is not None
    assert batch.iuv.shape == (2, 3, SIDE, SIDE)
    flags = {f.name: getattr(batch, f.name).tolist() for f in fields(Batch) if f.name.startswith("has_")}
    assert all(value == [True, name == "has_image"] for name, value in flags.items())
    assert batch.joints_absolute.tolist() == [True, False]
    assert batch.joints_known.any(1).tolist() == [True, False]
    assert batch.confidence.amax(1).tolist() == [1, 0]
    assert batch.dense_weight.sum(1).tolist() == [150, 0]
    assert batch.dense_part[1].max() == 0
    assert batch.dense_part[0].min() >= 1
    assert batch.names == ("made/0", "bare/7")
    assert [GENDERS[i] for i in batch.gender] == ["neutral", "unknown"]


def test_labels_of_a_sample_fit_each_other(batch: Batch, body: BodyModel):
    points, _ = body.keypoints(UNION45)
    own = body.points(batch.bodies[0], points)
    seen = batch.camera.project(torch.stack([own, own]))[0]
    assert (seen - batch.keypoints[0]).abs().max() < 0.1
    assert (own - batch.joints[0]).abs().max() < 2e-3
    assert batch.iuv is not None
    assert batch.parts is not None
    assert torch.equal(batch.iuv[0, 0] > 0, batch.parts[0] > 0)
    assert batch.parts[0].max() <= 6


def test_unknown_cameras_are_assumed(batch: Batch, record: Record):
    """The diagonal of the whole image, as the crop sees it."""
    expected = default_focal(320, 240) * SIDE / float(batch.crop_size[1])
    assert batch.camera.focal[1].tolist() == pytest.approx([expected, expected], rel=1e-5)
    blind = RecordDataset(
        [Record("mocap", "1", body=record.body, size=None, box=(0.0, 0.0, 9.0, 9.0))], PLAIN
    )[0]
    assert not blind.has_image
    assert not blind.has_camera
    assert blind.camera.size == (SIDE, SIDE)


def test_the_crop_leads_back_to_the_image(record: Record):
    config = AugmentConfig(SIDE, rotation_chance=1.0, flip_chance=1.0)
    sample = RecordDataset([record], config)[0]
    change = Change.draw(config, record, np.random.default_rng(0))
    crop = replace(
        change.crop, center=sample.crop_center.double(), size=sample.crop_size.double(),
        angle=float(sample.crop_angle), flip=bool(sample.flipped),
    )  # fmt: skip
    back = crop.crop_to_image(sample.keypoints.double())[list(UNION45.flip)]
    assert record.keypoints is not None
    assert (back - record.keypoints.pixels).abs().max() < 0.01


def test_peoples_keypoints_go_before_a_detectors():
    """SPIN names landmarks twice; of a landmark that both have people's is taken, however sure the detector."""
    spin = get_skeleton("spin49")
    pixels = torch.arange(98.0).reshape(49, 2)
    confidence, detected = torch.ones(49), torch.arange(49) < 25
    nose, ankle = ([i for i, n in enumerate(spin.keypoints) if n == name] for name in ("nose", "right_ankle"))
    confidence[nose[1]] = 0
    confidence[ankle[1]] = 0.5
    record = Record("a", "1", size=(99, 99), keypoints=Keypoints2D(spin, pixels, confidence, detected))
    change = Change.draw(PLAIN, record, np.random.default_rng(0))
    sample = to_sample(record, change, Layout(), np.random.default_rng(0), None)
    for name, place in (("nose", nose[0]), ("right_ankle", ankle[1]), ("neck_op", spin.index("neck_op"))):
        at = UNION45.index(name)
        assert torch.equal(sample.keypoints[at], pixels[place])
        assert float(sample.confidence[at]) == float(confidence[place])
        assert bool(sample.detected[at]) == bool(detected[place])
    assert not sample.confidence[UNION45.index("spine1")]


def test_joints_of_other_skeletons_go_by_name():
    h36m = get_skeleton("h36m17_moon")
    joints = Joints3D(h36m, torch.arange(51.0).reshape(17, 3), torch.arange(17) != 3, "root")
    record = Record("a", "1", size=(99, 99), joints=joints)
    change = Change.draw(PLAIN, record, np.random.default_rng(0))
    sample = to_sample(record, change, Layout(), np.random.default_rng(0), None)
    assert torch.equal(sample.joints[UNION45.index("left_wrist")], joints.points[h36m.index("left_wrist")])
    assert not sample.joints_known[UNION45.index("right_ankle")]
    assert sample.joints_known.sum() == 16
    assert not sample.joints_absolute


def test_coarser_maps_count_as_missing(record: Record):
    assert isinstance(record.parts, PartMap)
    person = replace(record, parts=record.parts.merged("person"))
    for layout, own, has in (("lsp", person, False), ("person", person, True), ("densepose", record, True)):
        sample = RecordDataset([own], PLAIN, Layout(parts=layout))[0]
        assert bool(sample.has_parts) == has
    with pytest.raises(ValueError, match="do not each lie within"):
        record.parts.merged("lsp").merged("densepose")
    with pytest.raises(ValueError, match="labels of 'lsp' are 0 to 6"):
        PartMap(np.full((2, 2), 9, np.uint8), "lsp")


def test_other_devices_and_evidence(batch: Batch):
    assert equal(batch.to("cpu"), batch)
    evidence = batch.evidence()
    assert evidence.labels == batch.names
    assert torch.equal(evidence.keypoints, batch.keypoints)


def test_layouts_of_a_batch_have_to_agree(record: Record):
    one, other = (RecordDataset([record], PLAIN, layout)[0] for layout in (Layout(), LAYOUT))
    with pytest.raises(ValueError, match="same maps"):
        Batch.stack([one, other])
    with pytest.raises(ValueError, match="one skeleton"):
        Batch.stack([one, RecordDataset([record], PLAIN, Layout(get_skeleton("coco17")))[0]])


def test_samples_depend_on_the_draw_alone(record: Record):
    dataset = RecordDataset([record, record], AugmentConfig(SIDE), LAYOUT, mirror=ChartMirror(), seed=3)
    again = RecordDataset([record, record], AugmentConfig(SIDE), LAYOUT, mirror=ChartMirror(), seed=3)
    draws = [Draw(0, 0, 5), Draw(0, 1, 5), Draw(0, 0, 6), Draw(1, 0, 5)]
    samples = [dataset.draw(d) for d in draws]
    assert all(equal(s, again.draw(d)) for s, d in zip(samples[::-1], draws[::-1], strict=True))
    sums = {float(s.image.sum()) for s in samples}
    assert len(sums) == 4
    other = RecordDataset([record], AugmentConfig(SIDE), seed=4).draw(draws[0])
    assert float(other.image.sum()) not in sums
    assert equal(dataset[0], dataset[-2])
    with pytest.raises(IndexError, match="there are 2"):
        dataset[2]


def photo_record(path: Path, number: int, size: tuple[int, int] | None = (40, 30)) -> Record:
    return Record("photos", str(number), path, size, (5.0, 5.0, 30.0, 25.0))


def test_unreadable_images_are_replaced_and_told_once(tmp_path: Path):
    Image.new("RGB", (40, 30), (200, 100, 50)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    records = [photo_record(tmp_path / name, i) for i, name in enumerate(("bad.png", "gone.png", "good.png"))]
    dataset = RecordDataset(records, PLAIN)
    with pytest.warns(UserWarning, match=r"took another record.*bad\.png") as caught:
        samples = [dataset[i] for i in range(3)]
    assert len(caught) == 1
    assert {s.names for s in samples} == {("photos/2",)}
    assert [int(s.row) for s in samples] == [2, 2, 2]
    assert samples[0].image.amax((1, 2)).tolist() == pytest.approx([200 / 255, 100 / 255, 50 / 255])
    with pytest.raises(InputError, match=r"bad\.png"):
        RecordDataset(records, PLAIN, strict=True)[0]
    with pytest.warns(UserWarning, match="took another"), pytest.raises(InputError, match=r"gone\.png"):
        RecordDataset([records[1]] * 3, PLAIN)[0]
    with pytest.raises(InputError, match="no records"):
        RecordDataset([])


def test_images_of_another_size_are_refused(tmp_path: Path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="expected 80 x 60 pixels, as the labels say, got 40 x 30"):
        load_image(photo_record(tmp_path / "a.png", 0, (80, 60)))
    unknown = load_image(photo_record(tmp_path / "a.png", 0, None))
    assert unknown is not None
    assert unknown.shape == (30, 40, 3)


def test_withheld_labels(record: Record):
    records = [replace(record, id=str(i)) for i in range(400)]
    for share in (0.0, 0.2, 0.9, 1.0):
        kept = [Labels(three_d=share)(r) for r in records]
        with_3d = [r.body is not None for r in kept]
        assert with_3d == [r.joints is not None for r in kept], "joints and parameters go together"
        assert np.mean(with_3d) == pytest.approx(share, abs=0.06)
        assert all(r.keypoints is not None and r.dense is not None and r.parts is not None for r in kept)
    few, many = ({r.id for r in records if Labels(three_d=s).keeps("three_d", r)} for s in (0.2, 0.6))
    assert few < many
    other = {r.id for r in records if Labels(three_d=0.2, seed=1).keeps("three_d", r)}
    assert few != other
    sparse = Labels(dense=0, parts=0, iuv=0, three_d=0)(record)
    assert (sparse.dense, sparse.parts, sparse.iuv, sparse.joints, sparse.body) == (None,) * 5
    assert sparse.keypoints is record.keypoints
    assert (sparse.camera, sparse.box) == (record.camera, record.box)
    with pytest.raises(ValueError, match="0 to 1"):
        Labels(dense=2)


def test_a_set_of_records_can_be_changed(record: Record):
    whole = RecordSet("made", Path("made"), [record, record].__getitem__, np.arange(2))
    changed = whole.changed(Labels(dense=0))
    assert changed[1].dense is None
    assert whole[1].dense is not None
    assert len(changed[:1]) == 1
