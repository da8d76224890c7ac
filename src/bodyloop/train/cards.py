"""Model cards: what weights are, made of what, how, and how good."""

from collections.abc import Sequence
from dataclasses import asdict
from textwrap import fill
from typing import Any

WIDTH = 110


def card_text(title: str, text: str, lines: Sequence[str]) -> str:
    """Markdown: a title, a paragraph, a list."""
    items = [fill(f"- {line}", WIDTH, subsequent_indent="  ", break_on_hyphens=False) for line in lines]
    return "\n".join([f"# {title}", "", fill(text, WIDTH, break_on_hyphens=False), "", *items]) + "\n"


def settings_text(config: Any) -> str:
    """All fields of a configuration: "steps 200, seed 0"."""
    return ", ".join(f"{name} {value}" for name, value in asdict(config).items())
