import copy
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bodyloop.errors import InputError
from bodyloop.evidence import encode_rle, read_boxes, read_densepose_annotations, read_keypoints
from bodyloop.evidence.densepose_annotations import MASK_NAMES


def half(left=True):
    mask = np.zeros((256, 256), bool)
    mask[:, :128] = left
    mask[:, 128:] = not left
    return encode_rle(mask)


def annotation(number=1, **changes):
    return {
        "id": number, "image_id": 785, "category_id": 1, "bbox": [10.5, 20, 102, 204], "area": 99.0, "iscrowd": 0,
        "num_keypoints": 17, "keypoints": [v for i in range(17) for v in (20 + i, 30 + i, 2)],
        "segmentation": [[1, 2, 3, 4, 5, 6]],
        "dp_masks": [half(), [], [], [], [], [], [], [], [], [], [], [], [], half(left=False)],
        "dp_x": [0.0, 255.0, 127.5], "dp_y": [0.0, 255.0, 51.0], "dp_I": [1.0, 24.0, 3.0],
        "dp_U": [0.0, 0.25, 1.0], "dp_V": [0.5, 0.75, 0.125],
    } | changes  # fmt: skip


def densepose(*annotations):
    return {
        "info": {"year": 2014},
        "images": [{"id": 785, "file_name": "COCO_val2014_000000000785.jpg", "width": 640, "height": 425}],
        "annotations": list(annotations) or [annotation()],
        "categories": [{"id": 1, "name": "person"}],
    }


def save(folder, data):
    path = folder / "densepose_coco_2014_minival.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


@pytest.mark.filterwarnings("error")
def test_official_annotations(tmp_path):
    path = save(tmp_path, densepose())
    file = read_densepose_annotations(path)
    (person,) = file.for_image("COCO_val2014_000000000785.jpg")
    assert person.label == "1"
    assert person.box == (10.5, 20, 112.5, 224)
    expected = torch.tensor([[10.5, 20], [112.5, 224], [61.5, 60.8]])
    assert torch.allclose(person.points.pixels, expected, atol=1e-4)
    assert person.points.part.tolist() == [1, 24, 3]
    assert person.points.uv.tolist() == [[0, 0.5], [0.25, 0.75], [1, 0.125]]
    assert person.points.weight.tolist() == [1, 1, 1]
    assert person.points.part.dtype == torch.int64
    assert file.sizes == {"COCO_val2014_000000000785.jpg": (640, 425)}
    assert file.skipped == []
    assert len(read_keypoints(path).people) == len(read_boxes(path).boxes) == 1


def test_part_masks(tmp_path):
    ((person,),) = read_densepose_annotations(save(tmp_path, densepose())).people.values()
    mask = person.part_mask()
    assert mask.shape == (256, 256)
    assert (mask[:, :128] == 1).all()
    assert (mask[:, 128:] == 14).all()
    assert (MASK_NAMES[0], MASK_NAMES[13]) == ("torso", "head")
    image = person.image_part_mask((200, 210))
    assert image.shape == (210, 200)
    rows, columns = np.nonzero(image)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (11, 112, 20, 209)
    assert set(image[20:, 11:62].ravel().tolist()) == {1}
    assert set(image[20:, 62:113].ravel().tolist()) == {14}


def test_points_and_masks_agree(tmp_path):
    """A point at (dp_x, dp_y) = (column, row) of the frame lies on the image's mask where it is on the frame's."""
    rng = np.random.default_rng(0)
    mask = np.kron(rng.random((16, 16)) < 0.5, np.ones((16, 16), bool))
    x, y = (rng.integers(0, 16, (2, 50)) * 16 + 7).astype(float)
    one = [1.0] * 50
    record = annotation(dp_masks=[encode_rle(mask)] + [[]] * 13, dp_x=x.tolist(), dp_y=y.tolist(), dp_I=one,
                        dp_U=one, dp_V=one)  # fmt: skip
    ((person,),) = read_densepose_annotations(save(tmp_path, densepose(record))).people.values()
    columns, rows = person.points.pixels.round().long().numpy().T
    image = person.image_part_mask((640, 425))
    assert np.array_equal(image[rows, columns], mask[y.astype(int), x.astype(int)])


def test_the_later_mask_counts(tmp_path):
    both = [half()] * 2 + [[]] * 12
    ((person,),) = read_densepose_annotations(
        save(tmp_path, densepose(annotation(dp_masks=both)))
    ).people.values()
    assert set(person.part_mask().ravel().tolist()) == {0, 2}


def without(*keys):
    return {k: v for k, v in annotation(7).items() if k not in keys}


@pytest.mark.filterwarnings("error")
def test_people_without_dense_annotation_are_passed_over(tmp_path):
    bare = without("dp_x", "dp_y", "dp_I", "dp_U", "dp_V", "dp_masks")
    masks, points = without("dp_x", "dp_y", "dp_I", "dp_U", "dp_V"), without("dp_masks")
    file = read_densepose_annotations(
        save(tmp_path, densepose(bare, annotation(8, iscrowd=1), masks, points, annotation(9)))
    )
    (people,) = file.people.values()
    assert [(p.label, len(p.points), p.part_mask().any()) for p in people] == [
        ("7", 0, True), ("7", 3, False), ("9", 3, True)
    ]  # fmt: skip
    assert len(file.skipped) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"dp_x": [1.0, 2.0]},
        {"dp_U": "abc"},
        {"dp_I": ["1", "2", "3"]},
        {"bbox": [1, 2, 0, 4]},
        {"bbox": None},
        {"image_id": 12},
        {"dp_masks": [half()] * 13},
        {"dp_masks": {"counts": ""}},
        {"dp_masks": [{"size": [256, 256], "counts": "122O"}] + [[]] * 13},
        {"dp_masks": [{"size": [2, 3], "counts": "122O"}] + [[]] * 13},
        {"dp_masks": ["mask"] + [[]] * 13},
        {"dp_masks": [], "dp_I": [0, 25, 1.5]},
    ],
)
def test_a_broken_record_is_counted_and_the_others_are_used(tmp_path, change):
    path = save(tmp_path, densepose(annotation(77, **change), annotation()))
    with pytest.warns(UserWarning, match=r"left out 1 of 2 annotations and 0 points.*77"):
        file = read_densepose_annotations(path)
    assert [p.label for p in file.for_image("COCO_val2014_000000000785.jpg")] == ["1"]
    assert len(file.skipped) == 1
    with pytest.raises(InputError, match="none that can be used"):
        read_densepose_annotations(save(tmp_path, densepose(annotation(77, **change))))


def test_broken_points_are_counted(tmp_path):
    record = annotation(
        dp_I=[0, 1, 25, 2.5, 1, 1, 1, 1, 1], dp_U=[0.5, None, 0.5, 0.5, 1.5, 0.5, 0.5, 0.5, 0.5], dp_V=[0.5] * 9,
        dp_x=[5, 5, 5, 5, 5, -1, 5, 5, 7], dp_y=[5, 5, 5, 5, 5, 5, 300, float("nan"), 7],
    )  # fmt: skip
    with pytest.warns(UserWarning, match="left out 0 of 1 annotations and 8 points"):
        file = read_densepose_annotations(save(tmp_path, densepose(record)))
    ((person,),) = file.people.values()
    assert len(person.points) == 1
    assert file.skipped[0].startswith("8 x")


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "3", "{", '{"images": [], "annotations": []}', '{"images": {}, "annotations": []}',
             '{"images": [1], "annotations": [1]}', "hello"],
)  # fmt: skip
def test_not_such_a_file(tmp_path, text):
    with pytest.raises(InputError, match=r"minival\.json: expected COCO-DensePose.*got"):
        read_densepose_annotations(save(tmp_path, text))
    with pytest.raises(InputError, match="expected"):
        read_densepose_annotations(tmp_path / "missing.json")


VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just([]) | st.just({})
)


@pytest.mark.filterwarnings("ignore:.*left out")
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_mutation_gives_a_result_or_an_input_error(tmp_path_factory, data):
    value = copy.deepcopy(densepose())
    holder, key = value, data.draw(st.sampled_from(["images", "annotations"]))
    for _ in range(data.draw(st.integers(0, 4))):
        inner = holder[key]
        keys = (
            list(inner)
            if isinstance(inner, dict)
            else list(range(len(inner)))
            if isinstance(inner, list)
            else []
        )
        if not keys:
            break
        holder, key = inner, data.draw(st.sampled_from(keys))
    holder[key] = data.draw(VALUES)
    try:
        file = read_densepose_annotations(save(tmp_path_factory.getbasetemp(), value))
    except InputError:
        return
    for people in file.people.values():
        for person in people:
            person.part_mask()
