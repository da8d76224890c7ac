import copy
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bodyloop.body import SKELETONS
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence, read_boxes, read_keypoints, write_keypoints

SIDED = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
NAMES = ["nose", *(f"{side}_{part}" for part in SIDED for side in ("left", "right"))]
KEYS = (
    "images",
    "annotations",
    "people",
    "landmarks",
    "skeleton",
    "keypoints",
    "image_id",
    "id",
    "bbox",
    "x",
)


def triplets(n, flag=2):
    return [v for i in range(n) for v in (10 + 3 * i, 20 + 2 * i, flag)]


def coco():
    return {
        "info": {"year": 2017},
        "licenses": [],
        "images": [
            {"id": 785, "file_name": "000000000785.jpg", "width": 640, "height": 425},
            {"id": 9, "file_name": "train/000000000009.jpg", "width": 300, "height": 200},
        ],
        "annotations": [
            {
                "id": 1,
                "image_id": 785,
                "category_id": 1,
                "bbox": [5, 6, 70, 80],
                "area": 99.0,
                "iscrowd": 0,
                "num_keypoints": 17,
                "keypoints": triplets(17),
                "segmentation": [[1, 2, 3, 4, 5, 6]],
            },
            {
                "id": 2,
                "image_id": 9,
                "category_id": 1,
                "bbox": [5, 6, 70, 80],
                "iscrowd": 0,
                "num_keypoints": 17,
                "keypoints": triplets(17, 1),
            },
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": NAMES, "skeleton": [[16, 14]]}],
    }


def openpose(n=75):
    person = {"person_id": [-1], "pose_keypoints_2d": triplets(n // 3, 0.5), "face_keypoints_2d": []}
    return {"version": 1.2, "people": [person, copy.deepcopy(person)]}


def landmarks():
    return [{"x": 0.1 + 0.01 * i, "y": 0.5, "z": 0.0, "visibility": 0.9} for i in range(33)]


def own():
    person = {"label": "me", "keypoints": [[10.0 + i, 20.0, 0.5] for i in range(17)], "box": [1, 2, 30, 40]}
    images = {"a.jpg": {"width": 64, "height": 48, "people": [person]}}
    return {"format": "bodyloop-keypoints", "skeleton": "coco17", "images": images}


def results():
    return [{"image_id": 785, "category_id": 1, "keypoints": triplets(17, 0.7), "score": 0.9}]


def save(folder, data, name="a.json"):
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_coco_annotations(tmp_path):
    data = coco()
    data["annotations"][0]["keypoints"][2] = 0
    data["annotations"] += [
        data["annotations"][0] | {"id": 3, "iscrowd": 1},
        data["annotations"][0] | {"id": 4, "num_keypoints": 0},
    ]
    file = read_keypoints(save(tmp_path, data))
    assert file.format == "COCO annotations"
    person = file.for_image("/photos/000000000785.jpg")
    assert person.skeleton.name == "coco17"
    assert person.labels == ("1",)
    assert person.boxes.tolist() == [[5, 6, 75, 86]]
    assert person.confidence[0].tolist() == [0.0] + [1.0] * 16
    assert person.keypoints[0, 3].tolist() == [19, 26]
    assert file.sizes["000000000785.jpg"] == (640, 425)
    assert file.for_image("000000000009.jpg").confidence.min() == 1  # hidden, but labelled
    assert file.for_image("other.jpg") is None
    assert len(file.skipped) == 2


def test_wholebody_gives_feet(tmp_path):
    data = coco()
    data["annotations"][0] |= {"foot_kpts": triplets(6), "face_kpts": [], "foot_valid": True}
    person = read_keypoints(save(tmp_path, data)).for_image("000000000785.jpg")
    assert person.skeleton.name == "coco23"
    assert person.confidence.shape == (1, 23)
    assert person.skeleton.keypoints[17] == "left_big_toe"


def test_coco_results(tmp_path):
    file = read_keypoints(save(tmp_path, results()))
    person = file.for_image("000000000785.jpg")
    assert person.confidence[0, 0] == pytest.approx(0.7)
    assert person.boxes[0].tolist() == [10, 20, 58, 52]


def test_other_categories_than_cocos(tmp_path):
    data = coco()
    data["categories"][0]["keypoints"] = ["beak", "tail"]
    with pytest.raises(InputError, match="beak"):
        read_keypoints(save(tmp_path, data))


def test_openpose_file_and_folder(tmp_path):
    save(tmp_path, openpose(), "im10_keypoints.json")
    save(tmp_path, openpose(54), "im2_keypoints.json")
    save(tmp_path, {"version": 1.3, "people": []}, "im3_keypoints.json")
    file = read_keypoints(tmp_path)
    assert list(file.people) == ["im2", "im3", "im10"]
    assert len(file.for_image("x/im10.png")) == 2
    assert len(file.for_image("im3.png")) == 0
    eighteen = file.for_image("im2.jpg")
    hip, right_hip = SKELETONS["openpose25"].index("pelvis"), SKELETONS["openpose25"].index("right_hip")
    assert eighteen.confidence[0, hip] == 0
    assert eighteen.keypoints[0, right_hip].tolist() == [10 + 3 * 8, 20 + 2 * 8]
    save(tmp_path, "not json", "im4_keypoints.json")
    assert len(read_keypoints(tmp_path).skipped) == 1


@pytest.mark.parametrize(
    "wrap",
    [
        lambda rows: rows,
        lambda rows: [rows],
        lambda rows: {"landmarks": [rows], "worldLandmarks": [rows]},
        lambda rows: {"poseLandmarks": rows},
        lambda rows: {"pose_landmarks": {"landmark": rows}},
        lambda rows: {"landmark": rows},
    ],
)
def test_mediapipe_in_every_wrapping(tmp_path, wrap):
    path = save(tmp_path, wrap(landmarks()), "photo.json")
    person = read_keypoints(path, {"photo.jpg": (200, 100)}).for_image("photo.jpg")
    assert person.skeleton.name == "mediapipe33"
    assert person.keypoints[0, 0].tolist() == pytest.approx([19.5, 49.5])
    with pytest.raises(InputError, match="width"):
        read_keypoints(path)


def test_mediapipe_with_its_own_sizes(tmp_path):
    data = [
        {"image": f"{i}.jpg", "width": 100, "height": 100, "landmarks": [landmarks()] * i} for i in range(3)
    ]
    file = read_keypoints(save(tmp_path, data))
    assert [len(file.people[f"{i}.jpg"]) for i in range(3)] == [0, 1, 2]


def test_own_format_round_trip(tmp_path):
    keypoints = torch.rand(2, 25, 2) * 100 + 5
    people = {"a b.jpg": Evidence.from_keypoints(SKELETONS["openpose25"], keypoints, torch.rand(2, 25))}
    write_keypoints(tmp_path / "k.json", people, {"a b.jpg": (200, 100)})
    file = read_keypoints(tmp_path / "k.json")
    back, before = file.people["a b.jpg"], people["a b.jpg"]
    assert file.sizes == {"a b.jpg": (200, 100)}
    assert torch.equal(back.keypoints, before.keypoints)
    assert torch.equal(back.confidence, before.confidence)
    assert torch.allclose(back.boxes, before.boxes, atol=1e-4)
    assert back.labels == before.labels


def test_writing_refuses_mixed_skeletons(tmp_path):
    some = [
        Evidence.from_keypoints(SKELETONS[n], torch.ones(1, k, 2), torch.ones(1, k))
        for n, k in (("coco17", 17), ("lsp14", 14))
    ]
    with pytest.raises(ValueError, match="one known skeleton"):
        write_keypoints(tmp_path / "k.json", {"a": some[0], "b": some[1]})


@pytest.mark.parametrize(
    "text",
    ["", "  \n", "{}", "[]", "null", "3", '"x"', "{", "[[[[", "[" * 100000, '{"a": 1}', '[{"a": 1}]', "hello",
     '{"people": 3}', '{"images": 3, "annotations": []}', '{"images": {}, "annotations": {}}', "NaN",
     '{"skeleton": "dog", "people": []}', '{"skeleton": "coco17", "images": []}', '{"landmarks": [[1]]}',
     '{"images": [], "annotations": [{"bbox": [1, 2, 3, 4]}]}', '[{"image_id": 3}]'],
)  # fmt: skip
def test_not_a_keypoint_file(tmp_path, text):
    with pytest.raises(InputError, match=r"a\.json.*expected"):
        read_keypoints(save(tmp_path, text))


def test_unreadable_paths(tmp_path):
    (tmp_path / "b.json").write_bytes(b"\xff\xd8\xff\xe0 a photo")
    (tmp_path / "void").mkdir()
    for path in ("b.json", "void", "missing.json"):
        with pytest.raises(InputError, match="expected"):
            read_keypoints(tmp_path / path)


def test_byte_order_mark_is_fine(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(own()).encode())
    assert len(read_keypoints(tmp_path / "a.json").people) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"keypoints": triplets(16)},
        {"keypoints": triplets(17)[:-1]},
        {"keypoints": ["a"] * 51},
        {"keypoints": [True] * 51},
        {"keypoints": {"nose": [1, 2]}},
        {"keypoints": None},
        {"keypoints": [0.5, 0.5, 2] * 17},
        {"image_id": 12345},
        {"image_id": [1]},
    ],
)
def test_one_broken_annotation_is_skipped_and_told(tmp_path, change):
    data = coco()
    data["annotations"].insert(0, data["annotations"][0] | {"id": 77} | change)
    file = read_keypoints(save(tmp_path, data))
    assert file.for_image("000000000785.jpg").labels == ("1",)
    assert len(file.skipped) == 1
    assert "77" in file.skipped[0]
    data["annotations"] = data["annotations"][:1]
    with pytest.raises(InputError, match="no record can be used"):
        read_keypoints(save(tmp_path, data))


def test_odd_numbers_are_unseen_keypoints(tmp_path):
    data = coco()
    points = data["annotations"][0]["keypoints"]
    points[0], points[3], points[6], points[9], points[14] = float("nan"), float("inf"), None, 10**400, -0.5
    data["annotations"][0]["bbox"] = [0, 0, float("nan"), 3]
    person = read_keypoints(save(tmp_path, data)).for_image("000000000785.jpg")
    assert person.confidence[0].tolist() == [0.0] * 5 + [1.0] * 12
    assert torch.isfinite(person.boxes).all()
    assert torch.isfinite(person.keypoints).all()


def test_all_zero_confidence_is_kept(tmp_path):
    data = openpose()
    data["people"][0]["pose_keypoints_2d"] = [0] * 75
    assert len(read_keypoints(save(tmp_path, data)).people["a"]) == 2


def test_duplicate_ids(tmp_path):
    data = coco()
    data["annotations"].append(data["annotations"][0])
    data["images"] += [data["images"][0], data["images"][0] | {"file_name": "b.jpg"}]
    file = read_keypoints(save(tmp_path, data))
    assert file.for_image("000000000785.jpg").labels == ("1", "1_2")
    assert "used before" in file.skipped[0]


def test_many_broken_records_make_few_lines(tmp_path):
    data = coco()
    data["annotations"] += [{"id": i, "image_id": 785, "keypoints": [1] * (i % 40)} for i in range(1000)]
    assert len(read_keypoints(save(tmp_path, data)).skipped) <= 21


SEEDS = [coco(), openpose(), own(), results(), {"width": 9, "height": 9, "landmarks": [landmarks()]}]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@settings(max_examples=150, deadline=None)
@given(data=JSON)
def test_any_json_gives_a_result_or_an_input_error(tmp_path_factory, data):
    path = save(tmp_path_factory.getbasetemp(), data)
    for read in (read_keypoints, read_boxes):
        try:
            read(path)
        except InputError:
            continue


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_mutation_gives_a_result_or_an_input_error(tmp_path_factory, data):
    value = {"root": copy.deepcopy(data.draw(st.sampled_from(SEEDS)))}
    spots = [p for p in places(value) if p]
    shallow = [p for p in spots if len(p) < 6]
    *parents, last = data.draw(st.sampled_from(shallow) | st.sampled_from(spots))
    holder = value
    for key in parents:
        holder = holder[key]
    if data.draw(st.booleans()):
        holder[last] = data.draw(JSON)
    elif last != "root":
        del holder[last]
    path = save(tmp_path_factory.getbasetemp(), value["root"])
    for read in (read_keypoints, read_boxes):
        try:
            result = read(path)
        except InputError:
            continue
        if read is read_keypoints:
            assert all(torch.isfinite(e.keypoints).all() for e in result.people.values())


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 3000), seed=st.sampled_from(SEEDS))
def test_any_truncation_is_an_input_error(tmp_path_factory, cut, seed):
    text = json.dumps(seed)
    with pytest.raises(InputError):
        read_keypoints(save(tmp_path_factory.getbasetemp(), text[: min(cut, len(text) - 1)]))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("b.json", '{"a.jpg": [[1, 2, 30, 40], [5, 6, 7, 8]]}'),
        ("b.json", '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "bbox": '
         '[1, 2, 30, 40]}, {"image_id": 1, "bbox": [5, 6, 7, 8]}]}'),
        ("b.json", '[{"image_id": "a.jpg", "bbox": [1, 2, 30, 40]}, '
         '{"image_id": "a.jpg", "bbox": [5, 6, 7, 8]}]'),
        ("b.csv", "image,x,y,w,h\na.jpg,1,2,30,40\na.jpg, 5, 6, 7, 8\n"),
        ("b.csv", "a.jpg,1,2,30,40\r\na.jpg,5,6,7,8\r\n"),
    ],
)  # fmt: skip
def test_boxes(tmp_path, name, content):
    boxes = read_boxes(save(tmp_path, content, name)).for_image("x/a.jpg")
    assert boxes.tolist() == [[1, 2, 31, 42], [5, 6, 12, 14]]


def test_one_box_in_spins_format(tmp_path):
    file = read_boxes(save(tmp_path, {"bbox": [17, 37, 117, 142]}, "im1010_bbox.json"))
    assert file.for_image("im1010.jpg").tolist() == [[17, 37, 134, 179]]


def test_broken_boxes(tmp_path):
    data = {"a.jpg": [[1, 2, 30, 40], [1, 2, 0, 40], ["x"], None], "b.jpg": 3}
    file = read_boxes(save(tmp_path, data))
    assert len(file.boxes) == 1
    assert file.skipped[0].startswith("4 x")
    for content in ("", "{}", "[]", "[3]", "word", "a,b,c", '{"a.jpg": [[1, 2, -3, 4]]}', "a.jpg,1,2,nan,4"):
        with pytest.raises(InputError, match="expected"):
            read_boxes(save(tmp_path, content))
