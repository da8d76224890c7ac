"""The documentation: a site without warnings that needs no other host, and pages that say what is there."""

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
ASSETS = (".npz", ".safetensors", ".min.js")
LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    return tool("site_pages")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for library in ("mkdocs", "material", "mkdocstrings_handlers"):
        pytest.importorskip(library, reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return folder


class Links(HTMLParser):
    """What a page loads, what it leads to, and what can be led to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.leads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors.add(given.get("id") or "")
        if LOADING.get(tag) in given:
            self.loads.append(given[LOADING[tag]] or "")
        if tag == "a":
            self.leads.append(given.get("href") or "")


def test_the_site_loads_nothing_from_elsewhere_and_links_lead_somewhere(site: Path):
    found = {path: Links(path) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(found) > 50
    for path, page in found.items():
        for link in page.loads + page.leads:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                assert link not in page.loads or parts.scheme == "data", f"{path}: loads {link}"
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{path}: {link}"
            if parts.fragment and target in found:
                assert unquote(parts.fragment) in found[target].anchors, f"{path}: {link}"


def test_the_site_has_every_room_card_and_lesson(site: Path):
    rooms = {
        path.stem for path in (ROOT / "src" / "bodyloop").iterdir() if path.suffix == ".py" or path.is_dir()
    }
    rooms = {room for room in rooms if not room.startswith("_")}
    assert rooms - {"py"} <= {path.stem for path in (site / "api").iterdir()}
    cards = {path.stem for path in (ROOT / "src").rglob("*.md")}
    assert cards == {path.stem for path in (site / "cards").iterdir()} - {"index"}
    lessons = {path.stem for path in (ROOT / "examples").glob("*.py")}
    assert lessons == {path.stem for path in (site / "lessons").iterdir()} - {"index"}
    assert "fit_people" in (site / "api" / "annotate.html").read_text()


@pytest.mark.parametrize(
    ("place", "link", "wanted"),
    [
        ("index.md", "docs/body.md", "body.md"),
        ("index.md", "docs/img/demo.png", "img/demo.png"),
        ("index.md", "examples/", "lessons/index.md"),
        ("body.md", "priors.md#noise", "priors.md#noise"),
        ("body.md", "../LICENSE", "LICENSE.txt"),
        ("body.md", "../src/bodyloop/priors/weights/flow.md", "cards/flow.md"),
        ("priors.md", "../examples/05_priors.py", "lessons/05_priors.md"),
        ("lessons/05_priors.md", "../docs/priors.md", "../priors.md"),
        ("body.md", "https://example.org/docs/body.md", "https://example.org/docs/body.md"),
        ("body.md", "../elsewhere.md", "../elsewhere.md"),
    ],
)
def test_links_of_the_repository_work_on_the_site(pages: ModuleType, place: str, link: str, wanted: str):
    assert pages.relinked(f"see [this]({link}).", place) == f"see [this]({wanted})."


def test_public_names_are_found_where_they_are_defined(pages: ModuleType):
    names = pages.public_names()
    assert names["Bodies"] == "bodyloop.body.bodies.Bodies"
    assert names["fit_people"] == "bodyloop.annotate.people.fit_people"
    assert names["detect_people"] == "bodyloop.detect.detect_people"


def test_arguments_that_share_an_entry_get_one_each():
    pytest.importorskip("griffe", reason="the extra docs is not installed")
    parted = tool("site_docstrings").parted
    text = "Do.\n\nArgs:\n    a, b: of both,\n        in metres.\n    c: other, d: this.\n\nRaises:\n    A, B: never."
    assert parted(text) == (
        "Do.\n\nArgs:\n    a: of both,\n        in metres.\n    b: of both,\n        in metres.\n"
        "    c: other, d: this.\n\nRaises:\n    A, B: never."
    )
    assert parted("a, b: not an argument.") == "a, b: not an argument."


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_lists_and_tables_stand_apart(path: Path):
    """GitHub starts a list or a table within a paragraph, the site does not."""
    before, fenced = "", False
    for line in path.read_text().splitlines():
        fenced ^= line.startswith("```")
        if re.match(r"[-*] |1\. |\|", line) and not fenced:
            same = before.startswith("|") if line.startswith("|") else re.match(r"[-*] |\d+\. |  ", before)
            assert not before or same or before.startswith("#"), f"an empty line is missing before {line!r}"
        before = line


def test_the_picture_of_the_rooms_is_that_of_the_code():
    rooms = tool("draw_rooms")
    assert rooms.PICTURE.read_text() == rooms.drawing(), "run: python tools/draw_rooms.py"


def test_lines_that_follow_are_left_out():
    reduced = tool("draw_rooms").reduced
    assert reduced({"a": [], "b": ["a"], "c": ["a", "b"]}) == {"a": [], "b": ["a"], "c": ["b"]}


def test_licences_name_everything_that_ships():
    said = (ROOT / "docs" / "licences.md").read_text()
    package = ROOT / "src" / "bodyloop"
    for path in package.rglob("*"):
        if path.name.endswith(ASSETS):
            name = path.relative_to(package)
            assert f"`{name}`" in said or f"`{name.parent}/*{name.suffix}`" in said, (
                f"docs/licences.md lacks {name}"
            )
