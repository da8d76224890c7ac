"""Tables of Moon et al.: few networks for all of them, each trained after those that it needs."""

import json
from pathlib import Path

import pytest

from bodyloop.body import builtin_body
from bodyloop.cli import main
from bodyloop.evaluate.tables import Table
from bodyloop.studies import STUDIES, networks
from bodyloop.studies.moon import F_LABELS, FLOW_FIT
from bodyloop.studies.moon_labels import LABELS, network_of
from bodyloop.studies.networks import _prefix, test_people, train_all
from bodyloop.studies.study import Asked
from bodyloop.train.config import AnyRecipe, Recipe, recipes_before
from bodyloop.train.run_files import LAST

test_people.__test__ = False  # type: ignore[attr-defined]
TABLES = tuple(name for name in STUDIES if name.startswith("moon-"))


def all_before(recipe: AnyRecipe) -> set[AnyRecipe]:
    """All that have to be trained before one."""
    needed = recipes_before(recipe)
    return set(needed).union(*map(all_before, needed))


def everything(name: str, asked: Asked) -> set:
    wanted = [row.cell(asked, 0).recipe for row in STUDIES[name].rows]
    return {r for recipe in wanted for r in (recipe, *all_before(recipe))}


@pytest.mark.parametrize("mocap", [False, True])
def test_all_tables_together_need_forty_networks_at_most(mocap: bool):
    asked = Asked("cpu", mocap)
    whole = set().union(*(everything(name, asked) for name in TABLES))
    assert len(TABLES) == 6
    assert len(whole) <= 40
    for name in ("moon-table6", "moon-table7", "moon-table9", "moon-table10"):
        assert everything(name, asked) & everything("moon-table2", asked), "networks are shared"


def test_a_beginning_is_a_network_of_the_table():
    """The fine-tuned f goes on with f itself."""
    tuned = STUDIES["moon-table6"].rows[2].cell(Asked("cpu"), 0).recipe
    assert _prefix(tuned) == STUDIES["moon-table6"].rows[0].cell(Asked("cpu"), 0).recipe
    assert _prefix(tuned) in recipes_before(tuned)


def test_both_test_sets_judge_every_network():
    for name in TABLES:
        cells = [row.cell(Asked("cpu", True), 0) for row in STUDIES[name].rows]
        for first, second in zip(cells[::2], cells[1::2], strict=True):
            assert first.recipe == second.recipe
            assert (first.people.domain, second.people.domain) == ("wild", "wild2")
            assert (first.people.subjects, second.people.subjects) == (None, "validation")
    assert test_people("wild2", "cpu", False, 96).subjects is None


def test_networks_wait_for_those_they_need(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Whatever the order in which they are asked for."""
    done: list = []

    class Pool:
        def __init__(self, *args: object) -> None:
            pass

        def __enter__(self) -> "Pool":
            return self

        def __exit__(self, *args: object) -> None:
            pass

        def submit(self, work: object, recipe, before, shop):  # type: ignore[no-untyped-def]
            assert set(recipes_before(recipe)) <= set(done)
            assert before is None or before in done
            future = networks.Future()
            done.append(recipe)
            future.set_result(recipe.name)
            return future

    class Drawn:
        """Nobody has to be drawn here."""

        body = builtin_body()

        def crops(self, data: object, recipe: object) -> None:
            pass

    monkeypatch.setattr(networks, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(networks.Workshop, "pantry", lambda shop, tell: Drawn())
    monkeypatch.setattr(networks, "see_before", lambda recipe, pantry, tools: None)
    asked = Asked("cpu")
    wanted: list[Recipe] = [row.cell(asked, 0).recipe for name in TABLES for row in STUDIES[name].rows]
    shop = networks.Workshop(tmp_path / "n", tmp_path / "c", workers=2)
    train_all(wanted[::-1], shop, lambda line: None)
    assert len(done) == len(set(done)) == len(set().union(*(everything(name, asked) for name in TABLES)))
    f = STUDIES["moon-table6"].rows[0].cell(asked, 0).recipe
    shop.run_folder(f).mkdir(parents=True)
    (shop.run_folder(f) / LAST).touch()
    done[:] = [f]
    train_all([f, STUDIES["moon-table6"].rows[4].cell(asked, 0).recipe], shop, lambda line: None)
    assert f not in done[1:]


def test_a_quick_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["reproduce", "moon-table6", "-o", str(tmp_path), "--quick", "--workers", "1"]) == 0
    shown = capsys.readouterr()
    assert "4 networks to train" in shown.err
    assert "separate network g" in shown.out
    assert "second wild" in shown.out


def test_what_labels_cost_and_are_worth(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["reproduce", "moon-labels", "-o", str(tmp_path), "--quick", "--workers", "1"]) == 0
    found = Table.from_json(json.loads((tmp_path / "moon-labels.json").read_text()))
    rows = {row.name: row.ours for row in found.rows}
    assert set(rows) == {*LABELS, *map(network_of, LABELS)}
    for name in LABELS:
        labels, network = rows[name], rows[network_of(name)]
        assert labels is not None
        assert network is not None
        assert labels.ms_per_frame > 0
        assert 0 <= labels.failures < 1
        assert network.pa_mpjpe_mm > 0
        assert network.ms_per_frame is None
    assert rows[FLOW_FIT].pa_mpjpe_mm < rows[F_LABELS].pa_mpjpe_mm, "f has hardly been trained"
