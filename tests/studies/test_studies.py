"""Tables of networks: rows, claims and curves hold together."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bodyloop.cli import main
from bodyloop.evaluate.claims import Claim
from bodyloop.evaluate.tables import Figures
from bodyloop.nets.backbones import make_backbone
from bodyloop.studies import STUDIES
from bodyloop.studies import study as module
from bodyloop.studies.networks import STEPS, from_classifier
from bodyloop.studies.study import Asked, measure_study
from bodyloop.train.config import Recipe
from bodyloop.train.settings import from_text, to_text


@pytest.mark.parametrize("scale", STEPS)
@pytest.mark.parametrize("name", STUDIES)
def test_rows_are_different_networks_that_survive_json(name: str, scale: str):
    cells = [row.cell(Asked(scale), 0) for row in STUDIES[name].rows]  # type: ignore[arg-type]
    assert len(set(cells)) == len(cells)
    for cell in cells:
        assert from_text(Recipe, to_text(cell.recipe)) == cell.recipe
        assert cell.people.split == "test"


@pytest.mark.parametrize("name", STUDIES)
def test_claims_and_curves_speak_of_rows(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    study = STUDIES[name]
    names = [row.name for row in study.rows]
    assert len(set(names)) == len(names)
    some = Figures(100.0, 120.0, 60.0, dkd_px=5.0, part_iou=0.5, pve_t_mm=30.0, keypoint_px=4.0)
    some = replace(some, pa_x_mm=20.0, pa_y_mm=20.0, pa_z_mm=40.0)
    monkeypatch.setattr(module, "measure_cells", lambda cells, shop, tell: dict.fromkeys(cells, some))
    table, claims = measure_study(study, Asked(seeds=(0, 1)), None, print)  # type: ignore[arg-type]
    assert [row.name for row in table.rows] == names
    assert claims
    assert all(isinstance(claim, Claim) for claim in claims)
    assert {point for curve in study.curves for _, point in curve.points} <= set(names)
    assert {level for curve in study.curves for level in curve.levels} <= set(names)
    assert any("2 seeds" in note for note in table.notes)


def test_constrained_labels_are_judged_by_the_gains_of_table_7():
    study, (claim_at,) = STUDIES["rong-table7"], [0.12]
    paper = {row.name: row.paper.mpvpe_mm for row in study.rows if row.paper is not None}
    assert paper["3D, 2D; none"] == 128.9
    assert paper["2D; none"] == 230.9
    assert "dense, 2D; none" not in paper, "no column of the text is surely that one"

    def holds(gain: float) -> bool:
        values = {
            row.name: Figures(mpvpe_mm=100.0 * (1 - gain * ("studio" in row.name))) for row in study.rows
        }
        values["3D, 2D; studio 3D"] = Figures(mpvpe_mm=100.0)
        (claim,) = study.claims(values, lambda id, where, rule, **rest: (rule, rest))  # type: ignore[arg-type, return-value]
        rule, rest = claim  # type: ignore[misc]
        assert rest["paper_values"]["gain with 2D"] == pytest.approx(1 - 203.2 / 230.9, abs=1e-3)
        return rule(rest["our_values"])

    assert holds(claim_at + 0.005)
    assert not holds(claim_at - 0.005)


def test_a_table_from_the_command_line(tmp_path: Path, capsys):
    assert main(["reproduce", "rong-table7", "-o", str(tmp_path), "--quick", "--workers", "1"]) == 0
    shown = capsys.readouterr()
    assert "dense, 2D; studio 3D" in shown.out
    assert "networks to train" in shown.err
    assert (tmp_path / "rong-table7.json").exists()
    assert main(["reproduce", "rong-table7", "-o", str(tmp_path), "--quick", "--count", "3"]) == 2
    assert "leave it out" in capsys.readouterr().err


def test_networks_begin_with_a_classifier_if_asked_for(tmp_path: Path, capsys):
    """All of them: those that teach or come first, too; and they are other networks than those that do not."""
    for name in STUDIES:
        for row in STUDIES[name].rows:
            plain = row.cell(Asked("gpu"), 0).recipe
            text = to_text(from_classifier(plain))
            assert '"start": "random"' not in text
            assert ('"start": "classifier"' in text) == ('"start": "random"' in to_text(plain))
    weights = tmp_path / "weights"
    weights.mkdir()
    torch.save(make_backbone("resnet18", 8).state_dict(), weights / "resnet18-0123.pth")
    job = ["reproduce", "moon-table10", "-o", str(tmp_path / "out"), "--quick", "--workers", "1"]
    assert main([*job, "--backbones", str(weights)]) == 2
    assert "add --scale gpu" in capsys.readouterr().err
    assert main([*job, "--backbones", str(weights), "--scale", "gpu"]) == 0
    assert json.loads((tmp_path / "out" / "moon-table10.json").read_text())["run"]["command"].endswith("hub")
    recipes = [p.read_text() for p in (tmp_path / "out" / "networks").glob("*/recipe.json")]
    assert any('"start": "classifier"' in text for text in recipes)
    (weights / "resnet18-0123.pth").unlink()
    capsys.readouterr()
    other = ["reproduce", "rong-table7", "-o", str(tmp_path / "out"), "--quick", "--workers", "1"]
    assert main([*other, "--backbones", str(weights), "--scale", "gpu"]) == 2
    assert "one file of weights of resnet18" in capsys.readouterr().err


def test_tables_of_candidates_share_one_measurement(tmp_path: Path, capsys):
    tables = ("mion-table1", "mion-table2", "mion-table3", "mion-table6", "mion-speed")
    for name in tables:
        assert main(["reproduce", name, "-o", str(tmp_path), "--quick", "--workers", "1"]) == 0
        stored = json.loads((tmp_path / f"{name}.json").read_text())
        for row in stored["rows"]:
            assert row["ours"] is not None
    shown = capsys.readouterr().err
    assert shown.count("networks to train") == 3  # with PNCC, with places, SPIN's
    table = json.loads((tmp_path / "mion-table3.json").read_text())
    ours = {row["name"]: row["ours"]["mpjpe_mm"] for row in table["rows"]}
    assert ours["best path"] <= min(ours["random path"], ours["CEN"], ours["lowest energy"])
