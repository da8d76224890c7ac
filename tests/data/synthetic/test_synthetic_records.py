"""Synthetic people as records: all labels true of the picture's person, and in the same batches."""

import numpy as np
import pytest
import torch

from bodyloop.body import BodyModel, ChartMirror
from bodyloop.body.skeletons import UNION45
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.batch import Batch, Layout
from bodyloop.data.labels import Labels
from bodyloop.data.mixture import MixedLoader, MixedSampler, Mixture, RecordDataset
from bodyloop.data.part_maps import PartMap
from bodyloop.data.record import RecordSet
from bodyloop.data.synthetic import SurfaceLabeller, SyntheticPeople, synthetic_records
from bodyloop.evidence import IuvMap


@pytest.fixture(scope="module")
def people(body: BodyModel) -> SyntheticPeople:
    return SyntheticPeople("wild", seed=3, size=96, body=body)


@pytest.fixture(scope="module")
def records(people: SyntheticPeople, body: BodyModel) -> RecordSet:
    return synthetic_records(people.sample, range(5, 13), SurfaceLabeller(body), "synthetic-wild")


def test_labels_are_the_samples(records: RecordSet, people: SyntheticPeople, body: BodyModel):
    assert len(records) == 8
    record, sample = records[2], people.sample(7)
    assert (record.dataset, record.id, record.size) == ("synthetic-wild", "7", (96, 96))
    assert np.array_equal(record.image, sample.image.numpy())
    assert record.joints is not None
    assert record.keypoints is not None
    assert record.body is not None
    points, _ = body.keypoints(UNION45)
    assert torch.allclose(record.joints.points, body.points(sample.bodies, points), atol=1e-5)
    seen = record.keypoints.confidence > 0
    assert torch.allclose(
        record.keypoints.pixels[seen], sample.camera.project(record.joints.points)[seen], atol=1e-3
    )
    assert isinstance(record.parts, PartMap)
    assert isinstance(record.iuv, IuvMap)
    assert np.array_equal(record.parts.labels > 0, sample.fragments.mask.numpy())
    assert np.array_equal(record.iuv.part > 0, sample.fragments.mask.numpy())
    assert record.dense is not None
    assert 100 <= len(record.dense) <= 150
    x, y = record.dense.pixels.long().T.numpy()
    assert np.array_equal(record.iuv.part[y, x], record.dense.part.numpy())
    again = records[2].dense
    assert again is not None
    assert torch.equal(record.dense.pixels, again.pixels)


def test_in_batches_with_labels_withheld(records: RecordSet, body: BodyModel):
    config, layout = AugmentConfig(64), Layout(parts="densepose", iuv=True)
    options = {"body": body, "mirror": ChartMirror()}
    full, sparse = (
        RecordDataset(r, config, layout, **options)
        for r in (records, records.changed(Labels(dense=0, parts=0, iuv=0, three_d=0)))
    )
    mixture = Mixture([full, sparse])
    (batch,) = MixedLoader(mixture, MixedSampler(mixture.sizes, per_epoch=8), 8)
    assert isinstance(batch, Batch)
    assert torch.equal(batch.has_pose, batch.source == 0)
    assert torch.equal(batch.has_parts, batch.source == 0)
    assert torch.equal(batch.dense_weight.sum(1) > 0, batch.source == 0)
    assert batch.has_image.all()
    assert batch.has_camera.all()
    assert (batch.confidence.sum(1) > 0).all()
    own = batch.source == 0
    points, _ = body.keypoints(UNION45)
    placed = batch.camera.project(body.points(batch.bodies, points))
    gap = (placed - batch.keypoints).norm(dim=-1)[batch.confidence > 0]
    assert gap[own[:, None].expand_as(batch.confidence)[batch.confidence > 0]].max() < 0.3


def test_the_labeller_has_to_say_joints(people: SyntheticPeople, body: BodyModel):
    with pytest.raises(ValueError, match="partition 'smpl', got 'lsp'"):
        synthetic_records(people.sample, range(1), SurfaceLabeller(body, partition="lsp"), "a")
