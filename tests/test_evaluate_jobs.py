"""``bodyloop evaluate``, end to end, on small files in the official formats and on synthetic people."""

import csv
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bodyloop import evaluate_jobs
from bodyloop.body import Bodies, BodyModel, builtin_atlas, face_parts
from bodyloop.body.parts import partition
from bodyloop.body.skeletons import H36M17, MPI17, SPIN24
from bodyloop.cli import main
from bodyloop.data.formats import open_dataset
from bodyloop.data.synthetic import SyntheticPeople
from bodyloop.evaluate.evaluation import joint_source
from bodyloop.evaluate.protocols import J17
from bodyloop.evidence.part_map import UPI_PARTS
from bodyloop.geometry import Camera
from bodyloop.nets.build import build, save_estimator
from bodyloop.nets.mrt import MrtConfig
from bodyloop.raster import part_map, rasterize
from bodyloop.view import save_npz
from data.formats.test_folder_formats import save as save_sequence
from data.formats.test_folder_formats import sequence, up3d
from data.formats.test_json_formats import coco, person
from data.formats.test_json_formats import save as save_json
from evaluate.mupots_made_up import save_mupots
from made_up import random_bodies
from made_up_crops import TINY

COUNT = 5
CAMERA = Camera.from_focal(500, 300, 240)


@pytest.fixture(scope="module")
def people() -> Bodies:
    return random_bodies(COUNT, spread=0.2, dtype=torch.float32)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "hmr.safetensors"
    save_estimator(build(TINY["hmr"]), path)
    return path


class Run:
    """What one call did."""

    def __init__(self, status: int, text: str, folder: Path) -> None:
        self.status, self.text, self.folder = status, text, folder

    @property
    def scores(self) -> dict[str, Any]:
        return json.loads((self.folder / "scores.json").read_text())

    def value(self, metric: str) -> float:
        return next(line["value"] for line in self.scores["table"] if line["metric"] == metric)


@pytest.fixture
def evaluate(tmp_path: Path, capsys, monkeypatch) -> Callable[..., Run]:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(evaluate_jobs, "CHUNK", 2)
    small = partial(evaluate_jobs.partial_comparison, cell=40)
    monkeypatch.setattr(evaluate_jobs, "partial_comparison", small)

    def run(*arguments: object, out: str = "out") -> Run:
        status = main([str(a) for a in ("evaluate", "-o", tmp_path / out, *arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return Run(status, " ".join((captured.out + captured.err).split()), tmp_path / out)

    return run


def save_people(folder: Path, body: BodyModel, people: Bodies, photos: list[str], labels: list[str]) -> Path:
    """A result for each photo, as the other commands write them."""
    for photo in dict.fromkeys(photos):
        own = [i for i, name in enumerate(photos) if name == photo]
        where = folder / "_".join(Path(photo).parts).replace("/", "")
        where.mkdir(parents=True)
        scores = {"photo": np.array(photo), "label": np.array([labels[i] for i in own])}
        save_npz(where / "body.npz", people[torch.tensor(own)], CAMERA, body.name, scores)
    return folder


def pixels_of(points: torch.Tensor, camera: Camera = CAMERA) -> np.ndarray:
    return camera.project(points).numpy()


def spin_file(folder: Path, body: BodyModel, people: Bodies, names: list[str], **more: Any) -> Path:
    """SPIN's npz of the people, whose joints are those of the body."""
    joints = joint_source(body, SPIN24)(people).numpy()
    known = np.array([name in J17 for name in SPIN24.keypoints])
    flat = pixels_of(torch.from_numpy(joints))
    low, high = flat.min(1), flat.max(1)
    relative = joints - joints[:, [SPIN24.index("pelvis_extra")]]
    np.savez(
        folder / "spin.npz",
        imgname=np.array(names),
        center=(low + high) / 2,
        scale=(high - low).max(1) / 200 * 1.2,
        part=np.concatenate([flat, np.ones((len(names), 24, 1))], -1),
        S=np.concatenate([relative, np.broadcast_to(known[:, None], (len(names), 24, 1))], -1),
        **more,
    )
    return folder / "spin.npz"


def photos(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", CAMERA.size, (90, 120, 60)).save(folder / name)


NAMES = [f"images/S9_Walking.60457274_{i:06d}.jpg" for i in range(1, 5 * COUNT, 5)]


def test_the_truth_has_no_error(evaluate, tmp_path: Path, body: BodyModel, people: Bodies):
    """Joints of Human3.6M, from SPIN's file; found people are matched by their boxes."""
    file = spin_file(tmp_path, body, people, NAMES)
    moved = Bodies(people.rotations, people.betas, people.translation)
    found = save_people(tmp_path / "found", body, moved, NAMES, ["0"] * COUNT)
    run = evaluate("--bodies", found, "--data", f"spin:{file}", "--protocol", "h36m-p2")
    assert run.status == 0, run.text
    assert run.scores["count"] == COUNT
    assert run.value("mpjpe_mm") < 0.01
    assert run.value("pa_mpjpe_mm") < 0.01
    with (run.folder / "scores.csv").open(newline="") as lines:
        assert len(list(csv.reader(lines))) == COUNT + 1
    page = (run.folder / "report.html").read_text()
    assert page.count("<img") > COUNT, "worst, best and others, from the side at least"
    assert "Human3.6M, protocol 2" in run.text
    assert str(run.folder / "report.html") in run.text


def test_a_known_error_is_found(evaluate, tmp_path: Path, body: BodyModel, people: Bodies):
    """3DPW's measures of meshes: shapes that differ, in poses that do not."""
    pose, shape = people.pose.numpy(), people.betas.numpy()
    names = [f"a/image_{i:05d}.jpg" for i in range(COUNT)]
    file = spin_file(tmp_path, body, people, names, pose=pose, shape=shape, gender=np.array(["f"] * COUNT))
    other = Bodies(people.rotations, people.betas + 0.5, people.translation)
    found = save_people(tmp_path / "found", body, other, names, ["0"] * COUNT)
    run = evaluate("--bodies", found, "--data", file, "--protocol", "3dpw")
    assert run.status == 0, run.text
    mesh = body.vertices(Bodies(people.rotations, people.betas, people.translation * 0))
    wrong = body.vertices(Bodies(other.rotations, other.betas, other.translation * 0))
    joints = [
        joint_source(body, SPIN24)(Bodies(b.rotations, b.betas, b.translation * 0)) for b in (people, other)
    ]
    root = SPIN24.index("pelvis_extra")
    off = (wrong - joints[1][:, root, None]) - (mesh - joints[0][:, root, None])
    assert run.value("pve_mm") == pytest.approx(1000 * float(off.norm(dim=-1).mean()), rel=1e-3)
    assert any("--female, --male" in note for note in run.scores["notes"])


def test_3dpws_pickles(evaluate, tmp_path: Path, body: BodyModel):
    data, _ = sequence(body)
    save_sequence(tmp_path, data, split="test")
    records = open_dataset(tmp_path, split="test")
    labels = [record.body.bodies for record in records]
    true = Bodies(
        *(torch.stack(x) for x in zip(*((b.rotations, b.betas, b.translation) for b in labels), strict=True))
    )
    found = save_people(
        tmp_path / "found", body, true, [str(r.image) for r in records], [r.id for r in records]
    )
    arguments = ("--bodies", found, "--data", f"3dpw:{tmp_path}", "--protocol", "3dpw", "--split", "test")
    run = evaluate(*arguments)
    assert run.status == 0, run.text
    assert run.scores["count"] == 5
    for metric in ("mpjpe_mm", "pve_mm", "pa_pve_mm"):
        assert run.value(metric) < 0.02
    some = evaluate(*arguments, "-n", 3, out="some")
    assert [p["label"] for p in some.scores["people"]] == [records[i].id for i in (0, 2, 4)]
    assert any("3 of 5 people" in note for note in some.scores["notes"])


def test_up3d(evaluate, tmp_path: Path, body: BodyModel, weights: Path):
    folder = tmp_path / "up"
    folder.mkdir()
    fits = [up3d(folder, n)[1] for n in range(3)]
    (folder / "test.txt").write_text("".join(f"/{n:05d}_image.png\n" for n in range(3)))
    people = Bodies.from_smpl(
        *(torch.tensor(np.stack([f[k] for f in fits])).float() for k in ("pose", "betas"))
    )
    names = [f"{n:05d}_image.png" for n in range(3)]
    found = save_people(tmp_path / "found", body, people, names, [f"{n:05d}" for n in range(3)])
    arguments = ("--data", folder, "--protocol", "up-3d", "--split", "test")
    run = evaluate("--bodies", found, *arguments)
    assert run.status == 0, run.text
    assert [run.value(key) < 0.01 for key in ("pve_mm", "mpjpe_mm", "pve_t_mm")] == [True] * 3
    photos(folder, names[:2])
    run = evaluate("--weights", weights, *arguments, out="net")
    assert run.status == 1
    assert run.scores["count"] == 2
    assert "1 of 3 people are left out" in run.text
    assert "No such file" in run.text


def test_densepose(evaluate, tmp_path: Path, body: BodyModel, people: Bodies):
    atlas, g = builtin_atlas(), torch.Generator().manual_seed(0)
    entries = []
    for i in range(2):
        faces = torch.randint(len(atlas.faces), (20,), generator=g)
        uv = atlas.uv[faces].mean(1)
        corners, weight = atlas.locate(atlas.charts[faces], *uv.unbind(-1))
        x, y = CAMERA.project((body.vertices(people[i])[corners] * weight[..., None]).sum(1)).T
        width, height = CAMERA.size
        entries.append(
            person(11 + i, bbox=[0, 0, width, height], dp_masks=[[]] * 14, dp_x=(x / width * 255).tolist(),
                   dp_y=(y / height * 255).tolist(), dp_I=atlas.charts[faces].tolist(), dp_U=uv[:, 0].tolist(),
                   dp_V=uv[:, 1].tolist())
        )  # fmt: skip
    content = coco(*entries)
    content["images"][0] |= {"width": width, "height": height}
    file = save_json(tmp_path / "dense.json", content)
    name = content["images"][0]["file_name"]
    found = save_people(tmp_path / "found", body, people[torch.tensor([1, 0])], [name] * 2, ["12", "11"])
    run = evaluate("--bodies", found, "--data", file, "--protocol", "coco-densepose")
    assert run.status == 0, run.text
    assert run.value("dkd_px") < 0.1
    assert any("imitates DensePose's" in note for note in run.scores["notes"])


def test_lsp(evaluate, tmp_path: Path, body: BodyModel, people: Bodies):
    names = [f"images/im{1001 + i}.jpg" for i in range(2)]
    own = partition("lsp").parts
    for i in range(2):
        drawn = part_map(rasterize(body.vertices(people[i]), body.faces, CAMERA), face_parts(body, "lsp"))
        table = np.array([0, *(UPI_PARTS.index(part) + 1 for part in own)], np.uint8)
        labels = table[drawn.numpy() + 1]
        Image.fromarray(labels).save(tmp_path / f"part{i}.png")
        Image.fromarray((labels > 0).astype(np.uint8) * 255).save(tmp_path / f"mask{i}.png")
    file = spin_file(
        tmp_path, body, people[:2], names, maskname=np.array(["mask0.png", "mask1.png"]),
        partname=np.array(["part0.png", "part1.png"]),
    )  # fmt: skip
    found = save_people(tmp_path / "found", body, people[:2], names, ["0", "0"])
    run = evaluate("--bodies", found, "--data", file, "--masks", tmp_path, "--protocol", "lsp-segmentation")
    assert run.status == 0, run.text
    for metric in ("fb_accuracy", "fb_f1", "part_accuracy", "part_f1", "silhouette_iou", "part_iou_6"):
        assert run.value(metric) == 1, metric


def test_fits_to_a_data_sets_keypoints(evaluate, tmp_path: Path, body: BodyModel, people: Bodies):
    file = spin_file(tmp_path, body, people, NAMES)
    photos(tmp_path, NAMES[:4])
    run = evaluate("--method", "fit", "--data", file, "--protocol", "h36m-p1")
    assert run.status == 1
    assert run.scores["count"] == 4
    assert "neither the camera nor the image's size is known" in run.text
    assert 0 < run.value("pa_mpjpe_mm") < 80


def test_only_the_protocols_people_count(evaluate, tmp_path: Path, body: BodyModel, people: Bodies):
    names = [*NAMES[:2], *(f"images/S1_Walking.60457274_{i:06d}.jpg" for i in (1, 6, 11))]
    file = spin_file(tmp_path, body, people, names)
    found = save_people(tmp_path / "found", body, people, names, ["0"] * COUNT)
    run = evaluate("--bodies", found, "--data", file, "--protocol", "h36m-p1")
    assert run.scores["count"] == 2
    run = evaluate("--bodies", found, "--data", file, "--protocol", "mpi-inf-3dhp", out="other")
    assert run.status == 2
    assert "none of 5 records is of MPI-INF-3DHP, test set" in run.text


def synthetic_truth(folder: Path, body: BodyModel, count: int) -> Path:
    maker = SyntheticPeople("studio", split="test", count=count, body=body)
    samples = [maker.sample(i) for i in range(count)]
    for i, sample in enumerate(samples):
        (folder / str(i)).mkdir(parents=True)
        one = Bodies(
            *(x[None] for x in (sample.bodies.rotations, sample.bodies.betas, sample.bodies.translation))
        )
        save_npz(folder / str(i) / "body.npz", one, sample.camera, body.name, {"label": np.array([str(i)])})
    return folder


def test_synthetic_people(evaluate, tmp_path: Path, body: BodyModel):
    found = synthetic_truth(tmp_path / "found", body, 3)
    run = evaluate("--bodies", found, "--synthetic", "studio", "-n", 3)
    assert run.status == 0, run.text
    assert run.value("pve_mm") < 0.02
    assert run.value("part_iou_24") == pytest.approx(1, abs=1e-3)
    assert run.value("dkd_px") < 0.02
    (found / "1" / "body.npz").unlink()
    run = evaluate("--bodies", found, "--synthetic", "studio", "-n", 3, out="fewer")
    assert run.status == 1
    assert run.scores["count"] == 2
    assert "nobody in" in run.text


class StoppedError(Exception):
    """Stands for a kill: nothing may catch it."""


def test_a_stopped_run_goes_on(evaluate, tmp_path: Path, weights: Path, monkeypatch):
    arguments = ("--weights", weights, "--synthetic", "studio", "-n", 5)
    whole = evaluate(*arguments, out="whole")
    assert whole.status == 0
    real, saved = evaluate_jobs.save_chunk, []

    def save(path: Path, chunk: Any) -> None:
        if saved:
            raise StoppedError
        saved.append(path)
        real(path, chunk)

    with monkeypatch.context() as patch:
        patch.setattr(evaluate_jobs, "save_chunk", save)
        with pytest.raises(StoppedError):
            evaluate(*arguments, out="halves")
    assert not (tmp_path / "halves" / "scores.json").exists()
    made = []
    monkeypatch.setattr(evaluate_jobs, "save_chunk", lambda p, c: (made.append(c.rows), real(p, c)))
    again = evaluate(*arguments, out="halves")
    assert again.status == 0
    assert "2 people were done already" in again.text
    assert made == [(2, 3), (4,)]
    assert again.scores == whole.scores
    (tmp_path / "halves" / "chunks" / "000001.npz").write_bytes(b"damaged")
    assert evaluate(*arguments, out="halves").scores == whole.scores
    assert made[2:] == [(2, 3)]
    run = evaluate("--weights", weights, "--synthetic", "studio", "-n", 5, "--seed", 1, out="halves")
    assert run.status == 2
    assert "holds another evaluation (other seed)" in run.text


def test_reading_processes_do_not_matter(evaluate, weights: Path):
    arguments = ("--weights", weights, "--synthetic", "studio", "-n", 5)
    assert evaluate(*arguments).scores == evaluate(*arguments, "--workers", 2, out="two").scores


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected either --data with --protocol, or --synthetic"),
        (("--synthetic", "studio", "--data", "x"), "or --synthetic, got both"),
        (("--data", "x"), "--data needs a --protocol: one of h36m-p1"),
        (("--data", "x", "--protocol", "h36m"), "--protocol: expected one of h36m-p1"),
        (("--data", "none.npz", "--protocol", "3dpw"), "none.npz: expected a data set"),
        (("--data", "x", "--protocol", "mupots-all"), "give their folder with --bodies"),
        (
            ("--data", "x", "--protocol", "mupots-all", "--bodies", "y"),
            "x: expected MuPoTS, a folder with TS1",
        ),
        (("--synthetic", "studio", "--protocol", "3dpw"), "--protocol is for --data"),
        (("--synthetic", "studio", "--method", "fit", "--bodies", "x"), "got --bodies and --method"),
        (("--synthetic", "studio", "-n", 0), "--count: expected at least 1"),
        (("--synthetic", "studio", "--split", "dev"), "--split: expected one of train"),
        (("--synthetic", "studio", "--body", "x"), "--body: synthetic people have the built-in body"),
        (("--synthetic", "studio", "--workers", -1), "--workers: expected a whole number"),
        (("--synthetic", "studio", "--device", "abacus"), "--device abacus: cannot be used"),
        (("--synthetic", "studio"), "no trained network ships yet"),
        (("--synthetic", "studio", "--bodies", "nowhere"), "--bodies nowhere: expected a folder"),
        (("--synthetic", "studio", "--mocap", "nowhere", "--method", "fit"), "nowhere"),
    ],
)
def test_what_cannot_be(evaluate, arguments: tuple[object, ...], message: str):
    run = evaluate(*arguments)
    assert run.status == 2
    assert message in run.text


def test_wrong_formats(evaluate, tmp_path: Path, body: BodyModel, people: Bodies):
    file = spin_file(tmp_path, body, people, NAMES)
    run = evaluate("--method", "fit", "--data", f"spinn:{file}", "--protocol", "3dpw")
    assert run.status == 2
    assert "no format is called 'spinn'; expected one of spin" in run.text
    run = evaluate("--method", "fit", "--data", f"coco:{file}", "--protocol", "3dpw")
    assert run.status == 2
    assert "expected COCO keypoint annotations" in run.text
    run = evaluate("--method", "fit", "--data", file, "--protocol", "3dpw", out="none")
    assert run.status == 2
    assert "nobody of 5 people could be judged: 5 x no SMPL parameters" in run.text


def test_networks_that_make_candidates_better_are_refused_before_anything_is_read(evaluate, tmp_path: Path):
    save_estimator(build(MrtConfig("resnet18", 8, 64, 24, 2, 1, 1, 32)), tmp_path / "mrt.safetensors")
    weights = ("--weights", tmp_path / "mrt.safetensors")
    for people in (("--synthetic", "wild"), ("--data", tmp_path / "nowhere", "--protocol", "3dpw")):
        run = evaluate(*weights, *people)
        assert run.status == 2
        assert "run bodyloop infer with it on the pictures and give its folder with --bodies" in run.text
        assert not run.folder.exists()


def test_mupots(evaluate, people: Bodies, body: BodyModel, tmp_path: Path):
    """Two frames, one with a result of both annotated people, one with none; the third's annotation is not valid."""
    placed = Bodies(people.rotations, people.betas, people.translation + torch.tensor([0.0, 0.0, 3.0]))
    placed.translation[1, 0] += 1.5
    joints = joint_source(body, MPI17)(placed[:2]).double()
    data = tmp_path / "MultiPersonTestSet"
    save_mupots(data / "TS3", [[joints[0], joints[1]], [joints[0], None], [None, None]], CAMERA)
    out = tmp_path / "results" / "TS3-img_000000"
    out.mkdir(parents=True)
    photo = np.array(str(data / "TS3" / "img_000000.jpg"))
    save_npz(
        out / "body.npz",
        placed[torch.tensor([1, 0])],
        CAMERA,
        body.name,
        {"photo": photo, "label": np.array(["0", "1"])},
    )
    arguments = ("--data", data, "--bodies", tmp_path / "results", "--protocol")
    whole = evaluate(*arguments, "mupots-all", out="all")
    assert whole.status == 0, whole.text
    assert whole.value("pck") == pytest.approx(2 / 3, abs=1e-6), whole.scores
    assert any("not those of the joint regressor" in note for note in whole.scores["notes"])
    # Weights of each landmark's surroundings, in Human3.6M's order: joints within the 150 mm of the landmarks.
    rest = body.points(Bodies.rest(), body.keypoints(H36M17)[0])
    near = torch.exp(-torch.cdist(rest, body.v_template).square() / 0.001)
    matrix = (near / near.sum(1, keepdim=True)).numpy()
    np.save(tmp_path / "J_regressor_h36m.npy", matrix)
    regressed = evaluate(
        *arguments, "mupots-all", "--regressor", tmp_path / "J_regressor_h36m.npy", out="regressed"
    )
    assert regressed.status == 0, regressed.text
    assert regressed.value("pck") == pytest.approx(2 / 3, abs=1e-6)
    assert not any("not those of the joint regressor" in note for note in regressed.scores["notes"])
    matched = evaluate(*arguments, "mupots-matched", out="matched")
    assert matched.value("pck") == pytest.approx(1.0)
    assert matched.value("pa_mpjpe_mm") == pytest.approx(0, abs=0.01)
    assert (matched.folder / "report.html").is_file()
    (out / "body.npz").unlink()
    save_npz(out / "other.npz", placed[:1], CAMERA, body.name, {"photo": np.array("elsewhere/a.jpg")})
    assert "no result is of any of 2 pictures" in evaluate(*arguments, "mupots-all", out="none").text
