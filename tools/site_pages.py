"""Pages of the documentation site that are not files of ``docs/``: hooks of MkDocs, named in ``mkdocs.yml``.

The README becomes the first page. Lessons, model cards and one page a room of the API are made from ``examples/``, the
cards beside the weights, and the docstrings; none of them is kept. Links are written as they work in the repository,
and lead to the site's pages here.
"""

import ast
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "bodyloop"
PLAIN = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "LICENSE": "LICENSE.txt",
    "NOTICE": "NOTICE.txt",
}
"""Files of the repository's root, and where they are on the site."""
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")
"""What a Markdown link or picture leads to, if that is a file, without an anchor."""


DOCS = re.compile(r"docs/\w+\.md")
"""How a lesson speaks of a page."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made here, and bring the navigation's folders to their pages."""
    for name, text in made().items():
        files.append(File.generated(config, name, content=text))
    there = {file.src_uri for file in files}
    config.nav = list(_entries(config.nav or [], there))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead the page's links to the site's pages."""
    return relinked(markdown, page.file.src_uri)


def made() -> dict[str, str]:
    """Text of all pages by their place on the site."""
    pages = {place: (ROOT / name).read_text() for name, place in PLAIN.items()}
    return pages | _lessons() | _cards() | _api()


def places() -> dict[str, str]:
    """Where files of the repository are on the site; those of ``docs/`` go without saying."""
    found = dict(PLAIN) | {"examples": "lessons/index.md"}
    found |= {f"examples/{path.name}": f"lessons/{path.stem}.md" for path in lesson_files()}
    return found | {path.relative_to(ROOT).as_posix(): f"cards/{path.name}" for path in card_files()}


def relinked(markdown: str, place: str) -> str:
    """Markdown whose relative links, as they work in the repository, work on the site.

    Args:
        markdown: of a page.
        place: the page's, on the site.
    """
    moved = places()
    home = next((source for source, there in moved.items() if there == place), f"docs/{place}")
    folder, here = posixpath.dirname(home), posixpath.dirname(place)

    def led(link: re.Match[str]) -> str:
        source = posixpath.normpath(posixpath.join(folder, link[1]))
        target = moved.get(source, source.removeprefix("docs/") if source.startswith("docs/") else None)
        return link[1] if target is None else posixpath.relpath(target, here or ".")

    return LINK.sub(led, markdown)


def _entries(nav: list[Any], there: set[str]) -> Iterator[Any]:
    """Navigation with folders opened, and without pages of ``docs/`` that do not exist yet."""
    for entry in nav:
        [(title, target)] = entry.items()
        if isinstance(target, list):
            yield {title: list(_entries(target, there))}
        elif target.endswith("/"):
            pages = sorted(page for page in there if page.startswith(target) and page.endswith(".md"))
            index = f"{target}index.md"
            yield {title: [index, *({_label(page): page} for page in pages if page != index)]}
        elif target in there:
            yield entry


def _label(page: str) -> str:
    """What a page of a folder is called in the navigation: the file's name, of a lesson in words."""
    stem = posixpath.basename(page).removesuffix(".md")
    return stem.replace("_", " ") if stem[0].isdigit() else stem


def lesson_files() -> list[Path]:
    """The lessons in their order."""
    return sorted((ROOT / "examples").glob("[0-9]*.py"))


def card_files() -> list[Path]:
    """The model cards beside the weights."""
    return sorted(PACKAGE.rglob("*.md"))


def _lessons() -> dict[str, str]:
    """A page a lesson, what it says of itself and then its code; and a list of them."""
    pages, lines = {}, []
    for path in lesson_files():
        text = path.read_text()
        title, _, said = (ast.get_docstring(ast.parse(text)) or "").partition("\n")
        title, said = title.removesuffix("."), DOCS.sub(r"[\g<0>](../\g<0>)", said)
        code = text.split('"""', 2)[2].strip()
        pages[f"lessons/{path.stem}.md"] = f"# {title}\n{said}\n\n```python\n{code}\n```\n"
        lines.append(f"- [{title}](examples/{path.name})")
    head = "# Lessons\n\nShort programs that run as they are, in seconds, without data. The tests run them too.\n\n"
    return pages | {"lessons/index.md": head + "\n".join(lines) + "\n"}


def _cards() -> dict[str, str]:
    """The cards, and a list of them."""
    pages, rows = {}, []
    for path in card_files():
        text = path.read_text()
        pages[f"cards/{path.name}"] = text
        title = text.partition("\n")[0].removeprefix("# ")
        weights = [path.with_suffix(end).relative_to(PACKAGE).as_posix() for end in (".npz", ".safetensors")]
        there = ", ".join(f"`{name}`" for name in weights if (PACKAGE / name).exists())
        rows.append(f"| [{title}]({path.name}) | {there} |")
    head = (
        "# Model cards\n\nWhat ships, what it was made of, how, and how good it is. The command that trained the "
        "weights wrote the card beside them.\n\n| card | file in `bodyloop/` |\n|---|---|\n"
    )
    return pages | {"cards/index.md": head + "\n".join(rows) + "\n"}


def rooms() -> dict[str, list[str]]:
    """Dotted names of the modules in each room; a package within a room is a room of its own here."""
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        package, name = ".".join(parts[:-1]), parts[-1]
        if package == "bodyloop":
            if not name.startswith("_"):
                found[f"{package}.{name}"] = []
        elif name == "__init__":
            found[package] = []
        elif not name.startswith("_"):
            found[package].append(f"{package}.{name}")
    return dict(sorted(found.items()))


def _api() -> dict[str, str]:
    """A page a room, and a list of the rooms and of what `bodyloop` itself has."""
    pages, rows = {}, []
    for room, modules in rooms().items():
        name = room.removeprefix("bodyloop.")
        lines = [f"# {name}", f"::: {room}\n    options:\n      show_root_heading: false"]
        if modules:
            lines[-1] += f"\n      members: {_own(room)}"
        pages[f"api/{name}.md"] = "\n\n".join([*lines, *(f"::: {module}" for module in modules)]) + "\n"
        rows.append(f"| [`{name}`]({name}.md) | {_summary(room)} |")
    names = ", ".join(f"[`{name}`][{path}]" for name, path in public_names().items())
    head = (
        "# API\n\nFrom the docstrings. A room is a package or a module of `bodyloop`; "
        "[architecture](../architecture.md) has the direction of imports between them.\n\n"
        f"`import bodyloop as bl` has {names}.\n\n| room | what it says of itself |\n|---|---|\n"
    )
    return pages | {"api/index.md": head + "\n".join(rows) + "\n"}


def _own(room: str) -> list[str]:
    """Names that a package defines itself."""
    tree = ast.parse((ROOT / "src" / room.replace(".", "/") / "__init__.py").read_text())
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return [name for name in names if not name.startswith("_")]


def _summary(room: str) -> str:
    """First line of a room's docstring, in a table's cell."""
    folder = ROOT / "src" / room.replace(".", "/")
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0].replace("|", "\\|")


def public_names() -> dict[str, str]:
    """Where each name that `bodyloop` has is defined, dotted."""
    return {name: _defined(f"bodyloop.{name}") for name in _imported("bodyloop")}


def _imported(module: str) -> dict[str, str]:
    """What a package imports from elsewhere: dotted origin by name."""
    tree = ast.parse((ROOT / "src" / module.replace(".", "/") / "__init__.py").read_text())
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    found = {
        alias.asname or alias.name: f"{node.module}.{alias.name}" for node in nodes for alias in node.names
    }
    return dict(sorted((name, origin) for name, origin in found.items() if origin.startswith("bodyloop.")))


def _defined(name: str) -> str:
    """Follow a dotted name through the packages that pass it on."""
    package, _, last = name.rpartition(".")
    if not (ROOT / "src" / package.replace(".", "/") / "__init__.py").exists():
        return name
    origin = _imported(package).get(last)
    return name if origin is None else _defined(origin)
