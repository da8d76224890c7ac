from bodyloop.train.cards import card_text, settings_text
from bodyloop.train.gmm import GmmConfig


def test_a_card_is_a_title_a_text_and_a_list():
    card = card_text("Title", "word " * 40, ["first", "second " * 30])
    lines = card.splitlines()
    assert lines[0] == "# Title"
    assert all(len(line) <= 110 for line in lines)
    assert next(line for line in lines if line.startswith("- ")) == "- first"
    assert card.split("- second")[1].splitlines()[1].startswith("  second")


def test_settings():
    assert settings_text(GmmConfig(seed=3)) == "modes 8, floor 0.05, draws 40000, steps 200, seed 3"
