import json
import math
from pathlib import Path
from typing import Any

import pytest

from bodyloop.errors import InputError
from bodyloop.evaluate.claims import Claim, Ledger, Rule, at_least, at_most, lower, page

ROOT = Path(__file__).parents[2]


def claim(name: str = "zanfir-t1-latent-beats-ambient", **changes: Any) -> Claim:
    given: dict[str, Any] = {
        "id": name,
        "paper": "Zanfir et al. 2020",
        "where": "table 1",
        "statement": "Latent space beats ambient space.",
        "paper_values": {"latent": 50.0, "ambient": 62.0},
        "our_values": {"latent": 45.5, "ambient": 61.2},
        "unit": "mm",
        "scale": "500 frames of held-out subjects",
        "seeds": (0,),
        "command": "bodyloop reproduce zanfir-table1 --mocap DATA -o FOLDER",
        "date": "2026-11-21",
    }
    return Claim.judge(lower("latent", "ambient"), **{**given, **changes})


@pytest.mark.parametrize(
    ("rule", "text", "true", "false"),
    [
        (lower("a", "b"), "a < b", {"a": 1, "b": 2}, {"a": 2, "b": 2}),
        (lower("a", "b", share=0.5), "a < 0.5 x b", {"a": 0.9, "b": 2}, {"a": 1, "b": 2}),
        (at_most("a", 43), "a <= 43", {"a": 43}, {"a": 43.1}),
        (at_most("a", "b", share=0.93), "a <= 0.93 x b", {"a": 93, "b": 100}, {"a": 94, "b": 100}),
        (at_least("share won", 0.8), "share won >= 0.8", {"share won": 0.8}, {"share won": 0.79}),
        (at_least("a", "b"), "a >= b", {"a": -1, "b": -2}, {"a": -3, "b": -2}),
        (lower("a", "b") & at_most("a", -3.5), "a < b and a <= -3.5", {"a": -4, "b": 0}, {"a": -3, "b": 0}),
        (lower("z, 6D", "a + x"), "z, 6D < a + x", {"z, 6D": 1, "a + x": 2}, {"z, 6D": 2, "a + x": 1}),
    ],
)  # fmt: skip
def test_rules(rule: Rule, text: str, true: dict[str, float], false: dict[str, float]):
    assert rule.text == text
    assert rule(true)
    assert not rule(false)


def test_a_rule_needs_its_figures():
    with pytest.raises(ValueError, match="speaks of 'b'; our figures are a"):
        lower("a", "b")({"a": 1.0})
    with pytest.raises(ValueError, match="speaks of 'c'"):
        (at_most("a", 2) & at_most("c", 2))({"a": 3.0})
    with pytest.raises(ValueError, match="expected a rule such as"):
        Rule("a is fine")({"a": 1.0})


def test_a_claim_is_judged_by_its_rule_alone():
    assert claim().holds
    assert not claim(our_values={"latent": 62.0, "ambient": 61.0}).holds
    assert claim().statement == "Latent space beats ambient space. Holds if latent < ambient."
    assert claim().rule == lower("latent", "ambient")
    given = {**vars(claim()), "holds": False}
    with pytest.raises(ValueError, match="its rule, 'latent < ambient', says True"):
        Claim(**given)
    with pytest.raises(ValueError, match="not finite"):
        claim(our_values={"latent": math.nan, "ambient": 61.0})


def test_missing_ledger_is_empty(tmp_path: Path):
    assert Ledger.read(tmp_path).claims == ()
    with pytest.raises(InputError, match="no such folder"):
        Ledger.read(tmp_path / "none")


def test_recording_replaces_the_same_and_keeps_the_others(tmp_path: Path):
    Ledger.read(tmp_path).record([claim("b"), claim("c")])
    newer = claim("b", our_values={"latent": 63.0, "ambient": 61.2})
    written = Ledger.read(tmp_path).record([newer, claim("a")])
    back = Ledger.read(tmp_path)
    assert back == written
    assert back.claims == (claim("a"), newer, claim("c"))
    fields = {"id", "paper", "where", "statement", "paper_values", "our_values", "unit", "holds", "scale", "seeds",
              "command", "date"}  # fmt: skip
    entries = json.loads((tmp_path / "claims.json").read_text())
    assert [set(entry) for entry in entries] == [fields] * 3
    assert (tmp_path / "claims.md").read_text() == page(back.claims)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["claims.json", "claims.md"]


def test_the_page_shows_everything():
    text = page([claim(), claim("moon-x", paper="Moon | al.", our_values={"latent": 9, "ambient": 8})])
    moon, zanfir = text.split("## ")[1:]
    assert moon.startswith("Moon | al.\n")
    assert "**does not hold**" in moon
    row = zanfir.splitlines()[-1]
    assert row == (
        "| Latent space beats ambient space. Holds if latent < ambient. (table 1; `zanfir-t1-latent-beats-ambient`) "
        "| latent: 50 mm<br>ambient: 62 mm | latent: 45.5 mm<br>ambient: 61.2 mm | holds "
        "| 500 frames of held-out subjects; seed 0; 2026-11-21 "
        "| `bodyloop reproduce zanfir-table1 --mocap DATA -o FOLDER` |"
    )
    assert all(line.count(" | ") == 5 for line in zanfir.splitlines() if line.startswith("|"))


def entry(**changes: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps({**vars(claim()), "seeds": [0]})), **changes}


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("{", "Expecting property name"),
        ("{}", "the top is of type dict"),
        ("[3]", "an entry with 3"),
        (json.dumps([{"id": "a"}]), "an entry with ['id']"),
        (json.dumps([entry(colour="red")]), "'colour'"),
        (json.dumps([entry(unit=3)]), "text that is no text"),
        (json.dumps([entry(holds=1)]), "'holds' that is neither"),
        (json.dumps([entry(holds=False)]), "says True"),
        (json.dumps([entry(our_values={"latent": "9"})]), "our_values that are no numbers"),
        (json.dumps([entry(our_values={"latent": 9})]), "speaks of 'ambient'"),
        (json.dumps([entry(paper_values=[9])]), "paper_values that are no numbers"),
        (json.dumps([entry(seeds=["0"])]), "seeds that are no whole numbers"),
        (json.dumps([entry(statement="It is so.")]), "expected a statement that ends with 'Holds if ...'"),
    ],
)
def test_a_malformed_ledger_says_what_was_expected(tmp_path: Path, text: str, got: str):
    (tmp_path / "claims.json").write_text(text)
    with pytest.raises(InputError, match="expected a list of claims") as caught:
        Ledger.read(tmp_path)
    assert got in str(caught.value)
    assert (tmp_path / "claims.json").read_text() == text


def test_the_ledger_of_this_repository_is_sound():
    ledger = Ledger.read(ROOT / "docs")
    if ledger.claims:
        assert (ROOT / "docs" / "claims.md").read_text() == page(ledger.claims)
