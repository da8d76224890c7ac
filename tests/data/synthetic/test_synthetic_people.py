"""Samples by number: the same whoever draws them, with labels that agree with each other."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from bodyloop.body import BodyModel, get_skeleton
from bodyloop.body.parts import partition
from bodyloop.data.poses import PoseSet
from bodyloop.data.synthetic import (
    DOMAINS,
    MocapPoses,
    SurfaceLabeller,
    SyntheticPeople,
    SyntheticSample,
    get_domain,
)
from bodyloop.data.synthetic.people import MOST_LEAN
from bodyloop.data.synthetic.streams import stream
from bodyloop.errors import InputError
from bodyloop.geometry import geodesic_distance
from bodyloop.raster import interpolate, rasterize
from data.motion_files import tiny_body

SIZE = 96
NAMES = ("studio", "wild", "bridge")
COCO = get_skeleton("coco17")


@pytest.fixture(scope="module")
def people(body: BodyModel) -> dict[str, SyntheticPeople]:
    return {name: SyntheticPeople(name, seed=3, size=SIZE, body=body) for name in NAMES}


@pytest.fixture(scope="module")
def samples(people: dict[str, SyntheticPeople]) -> dict[str, SyntheticSample]:
    return {name: SyntheticSample.stack([people[name].sample(i) for i in range(24)]) for name in NAMES}


def same(a: SyntheticSample, b: SyntheticSample) -> bool:
    pairs = [
        (a.image, b.image),
        (a.bodies.rotations, b.bodies.rotations),
        (a.bodies.betas, b.bodies.betas),
        (a.bodies.translation, b.bodies.translation),
        (a.camera.focal, b.camera.focal),
        (a.camera.center, b.camera.center),
        (a.fragments.face_id, b.fragments.face_id),
        (a.fragments.barycentric, b.fragments.barycentric),
        (a.fragments.depth, b.fragments.depth),
        (a.index, b.index),
        (a.subject, b.subject),
        (a.sequence, b.sequence),
    ]
    return all(torch.equal(x, y) for x, y in pairs)


def single(batch: SyntheticSample) -> Iterator[SyntheticSample]:
    for i in range(len(batch.image)):
        yield SyntheticSample(
            batch.image[i],
            batch.bodies[i],
            type(batch.camera)(batch.camera.focal[i], batch.camera.center[i], batch.camera.size),
            type(batch.fragments)(
                batch.fragments.face_id[i], batch.fragments.barycentric[i], batch.fragments.depth[i]
            ),
            batch.index[i],
            batch.subject[i],
            batch.sequence[i],
        )


# Determinism


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_depends_on_seed_and_number_alone(people: dict[str, SyntheticPeople], name: str):
    again = SyntheticPeople(name, seed=3, size=SIZE)
    assert same(again.sample(5), people[name].sample(5)), "whatever was drawn before it"
    assert not torch.equal(people[name].sample(6).image, people[name].sample(5).image)
    other = SyntheticPeople(name, seed=4, size=SIZE).sample(5)
    assert not torch.equal(other.image, people[name].sample(5).image)


@pytest.mark.parametrize(("workers", "batch"), [(0, 4), (1, 3), (2, 2)])
def test_workers_and_batches_change_nothing(samples: dict[str, SyntheticSample], workers: int, batch: int):
    people = SyntheticPeople("wild", seed=3, size=SIZE, start=2, count=7)
    loader = DataLoader(people, batch, num_workers=workers, collate_fn=SyntheticSample.stack)
    found = {int(s.index): s for b in loader for s in single(b)}
    assert sorted(found) == list(range(2, 9))
    truth = list(single(samples["wild"]))
    assert all(same(sample, truth[i]) for i, sample in found.items())


def test_splits_share_neither_looks_nor_shapes(people: dict[str, SyntheticPeople]):
    other = SyntheticPeople("studio", seed=3, size=SIZE, split="test")

    def shapes(source: SyntheticPeople) -> set[tuple[float, ...]]:
        return {tuple(source.sample(i).bodies.betas.tolist()) for i in range(6)}

    assert not shapes(other) & shapes(people["studio"])


# Labels


@pytest.mark.parametrize("name", NAMES)
def test_fragments_are_those_of_the_clothed_body(
    samples: dict[str, SyntheticSample], body: BodyModel, name: str
):
    """Where the naked body is drawn alone with the labels' parameters, the labels see nearly the same places."""
    batch = samples[name]
    bare = rasterize(body.vertices(batch.bodies), body.faces, batch.camera)
    both = bare.mask & batch.fragments.mask
    assert float(both.sum()) > 0.83 * float(batch.fragments.mask.sum()), "cloth stands off a little"
    off = (bare.depth - batch.fragments.depth)[both].abs()
    assert float(off.median()) < 0.03
    places = [interpolate(f, body.faces, body.v_template) for f in (bare, batch.fragments)]
    assert float((places[0] - places[1])[both].norm(dim=-1).median()) < 0.03
    assert (batch.fragments.barycentric.sum(-1)[batch.fragments.mask] - 1).abs().max() < 1e-4
    assert (batch.fragments.barycentric[~batch.fragments.mask] == 0).all()
    assert torch.isinf(batch.fragments.depth[~batch.fragments.mask]).all()


def test_maps_follow_what_is_seen(samples: dict[str, SyntheticSample], body: BodyModel):
    batch = samples["wild"]
    maps = SurfaceLabeller(body).maps(batch)
    seen = batch.fragments.mask
    assert torch.equal(maps.parts >= 0, seen)
    assert torch.equal(maps.iuv[..., 0] > 0, seen)
    assert (maps.pncc[~seen] == 0).all()
    assert torch.equal(maps.depth > 0, seen)
    wrist = batch.keypoints(body, COCO)
    left, label = COCO.index("left_wrist"), partition("smpl").parts
    pixel = wrist.image[:, left].round().long().clamp(0, SIZE - 1)
    found = maps.parts[torch.arange(24), pixel[:, 1], pixel[:, 0]][wrist.visible[:, left]]
    near = {label.index(n) for n in ("left_wrist", "left_elbow", "left_hand")}
    assert np.mean([int(f) in near for f in found]) > 0.8


def test_an_atlas_of_another_body_is_refused():
    with pytest.raises(ValueError, match="give the body's own atlas"):
        SurfaceLabeller(tiny_body())


def test_everybody_is_seen(samples: dict[str, SyntheticSample]):
    least = {"studio": 0.04, "bridge": 0.01, "wild": 0.01}
    for name, batch in samples.items():
        assert float(batch.fragments.mask.float().mean((1, 2)).min()) > least[name], name


@pytest.mark.parametrize("name", NAMES)
def test_visible_keypoints_lie_on_the_visible_person(
    samples: dict[str, SyntheticSample], body: BodyModel, name: str
):
    batch = samples[name]
    found = batch.keypoints(body, COCO)
    assert found.image.shape == (24, 17, 2)
    assert found.known.all()
    assert (found.visible <= found.inside).all()
    grown = torch.nn.functional.max_pool2d(batch.fragments.mask[:, None].float(), 5, 1, 2)[:, 0]
    pixel = found.image.round().long().clamp(0, SIZE - 1)
    on_person = grown[torch.arange(24)[:, None], pixel[..., 1], pixel[..., 0]] > 0
    assert on_person[found.visible].all()
    assert 0.4 < float(found.visible.float().mean()) < 0.98
    projected = batch.camera.project(found.camera)
    assert torch.allclose(projected, found.image)


def test_the_far_side_is_marked_hidden(people: dict[str, SyntheticPeople], body: BodyModel):
    """Of people seen from behind the face is hidden; of those who face the camera it mostly is not."""
    behind, front = [], []
    for number in range(60):
        sample = people["studio"].sample(number)
        found = sample.keypoints(body, COCO)
        nose = COCO.index("nose")
        head = body.frames(sample.bodies).rotations[15, :, 2]
        towards = float(head @ torch.nn.functional.normalize(found.camera[nose], dim=-1))
        (behind if towards > 0.7 else front if towards < -0.7 else []).append(bool(found.visible[nose]))
    assert behind
    assert front
    assert sum(behind) == 0
    assert sum(front) > 0.6 * len(front), "hands may hide it"


def test_occluders_are_in_the_labels(people: dict[str, SyntheticPeople], body: BodyModel):
    """Somewhere the bare body is drawn on many pixels inside its outline where the labels see nothing."""
    hidden = 0
    for i in range(24):
        sample = people["wild"].sample(i)
        bare = rasterize(body.vertices(sample.bodies), body.faces, sample.camera).mask
        share = float((bare & ~sample.fragments.mask).sum() / bare.sum())
        assert share < 0.62
        hidden += share > 0.1
    assert 2 <= hidden <= 16


# Domains


def pitches(people: SyntheticPeople, count: int = 80) -> np.ndarray:
    return np.array([people.stage.shot(i)[0].pose.pitch for i in range(count)])


def test_studio_cameras_are_level_and_wild_ones_are_not(people: dict[str, SyntheticPeople]):
    level, free = pitches(people["studio"]), pitches(people["wild"])
    low, high = DOMAINS["studio"].pitch_limits
    assert low - 0.1 <= level.min() <= level.max() <= high + 0.1
    assert free.std() > 3 * level.std()
    assert free.max() > 25
    assert free.min() < 0


def test_shapes_spread_as_the_domains_say(people: dict[str, SyntheticPeople]):
    betas = {
        name: torch.stack([people[name].stage.shot(i)[0].people[0].bodies.betas for i in range(60)])
        for name in NAMES
    }
    distinct = {name: len(b.unique(dim=0)) for name, b in betas.items()}
    assert distinct["studio"] <= 7
    assert distinct["bridge"] <= 24
    assert distinct["wild"] == 60
    assert float(betas["wild"].std()) > 1.2 * float(betas["studio"].std())


def test_studio_people_stand_upright_on_the_floor(people: dict[str, SyntheticPeople]):
    for number in range(30):
        shot, _ = people["studio"].stage.shot(number)
        vertices = shot.people[0].vertices
        assert abs(vertices[:, 1].min()) < 1e-5
        up = float(shot.people[0].bodies.rotations[0, 1, 1])
        assert up > np.cos(MOST_LEAN) - 1e-4
        joints = people["studio"].body.joints(shot.people[0].bodies)
        inside = joints.mean(0).numpy() - vertices.mean(0)
        assert np.linalg.norm(inside) < 0.2, "parameters and vertices are at the same place"


def test_a_sequence_keeps_its_person(people: dict[str, SyntheticPeople]):
    shots = [people["bridge"].stage.shot(i)[0] for i in range(60)]
    looks: dict[int, set[object]] = {}
    for shot in shots:
        looks.setdefault(shot.sequence, set()).add(shot.people[0].look)
    assert all(len(found) == 1 for found in looks.values())
    assert len(shots) > len(looks) > 10


# Where poses come from


def mocap_poses() -> PoseSet:
    pose = torch.zeros(6, 72)
    pose[:, 5] = torch.arange(6) * 0.1
    return PoseSet(pose, torch.tensor([0.0, 0.5, 0.0, 0.25, 0.25, 0.0]), torch.tensor([0, 0, 0, 1, 1, 1]))


def test_motion_capture_gives_its_own_poses_by_weight():
    poses = MocapPoses(mocap_poses(), "made up")
    drawn = {round(float(geodesic_distance(poses.draw(stream(0, i))[1], torch.eye(3))), 2) for i in range(60)}
    assert drawn == {0.1, 0.3, 0.4}
    frames = [poses.frame(stream(1), m)[1] for m in (0.0, 0.5, 0.99)]
    angles = [round(float(geodesic_distance(f, torch.eye(3))), 2) for f in frames]
    assert angles in ([0.0, 0.1, 0.2], [0.3, 0.4, 0.5]), "one clip, in order"


def test_people_take_the_poses_they_are_given(body: BodyModel):
    people = SyntheticPeople("studio", size=32, poses=MocapPoses(mocap_poses(), "made up"), body=body)
    angles = geodesic_distance(people.sample(0).bodies.rotations[1:], torch.eye(3))
    assert round(float(angles[0]), 2) in (0.1, 0.3, 0.4)
    assert float(angles[1:].max()) < 1e-3


def test_photos_become_backgrounds(tmp_path: Path, body: BodyModel):
    Image.new("RGB", (300, 200), (250, 0, 0)).save(tmp_path / "red.png")
    people = SyntheticPeople("wild", size=SIZE, photos=tmp_path, body=body)
    plain = SyntheticPeople("wild", size=SIZE, body=body)

    def red(source: SyntheticPeople) -> int:
        corners = [source.sample(i).image[:8, :8].float().mean((0, 1)) for i in range(12)]
        return sum(bool(c[0] > 3 * c[1] + 30) for c in corners)

    assert red(people) >= 3
    assert red(plain) == 0


# Mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed: expected a whole number from 0 on, got -1"),
        ({"count": -5}, "count: expected a whole number from 0 on, got -5"),
        ({"start": -5}, "start: expected"),
        ({"size": 8}, "size: expected 32 to 1024 pixels, got 8"),
        ({"split": "dev"}, "no split is called 'dev'"),
    ],
)
def test_bad_numbers(body: BodyModel, options: dict, message: str):
    with pytest.raises(InputError, match=message):
        SyntheticPeople("wild", body=body, **options)


def test_bad_sources(body: BodyModel, tmp_path: Path):
    with pytest.raises(InputError, match="no domain is called 'moon'; expected one of studio, wild, bridge"):
        get_domain("moon")
    with pytest.raises(InputError, match="no photos in this folder"):
        SyntheticPeople("wild", body=body, photos=tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        SyntheticPeople("wild", body=body, photos=tmp_path / "none")
    with pytest.raises(InputError, match="no poses"):
        MocapPoses(PoseSet(torch.zeros(0, 72), torch.zeros(0), torch.zeros(0)), "nothing")
