"""The docs name what there is: packages, decisions, commands, codes, and the pages that links lead to."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from engage.cli import COMMANDS, load
from engage.domain.refusals import Code

ROOT = Path(__file__).parents[1]
ENGAGE = ROOT / "src" / "engage"
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
ARCHITECTURE = (DOCS / "architecture.md").read_text(encoding="utf-8")

# A link of Markdown, or an image with a width. The part of a page after # is left out.
LINK = re.compile(r"(?:\]\(|src=\")([^)\"#\s]+)")
STATUS_AND_CODE = re.compile(r"\b([1-5]\d\d) `([a-z_]+)`")
CODED = re.compile(r"`([^`]+)`")


def section(page: str, heading: str) -> str:
    """Return the text under a heading of the second level."""
    return page.split(f"## {heading}\n")[1].split("\n## ")[0]


def packages(folder: Path) -> Iterator[str]:
    yield from sorted(init.parent.name for init in folder.glob("*/__init__.py"))


def modules(folder: Path) -> Iterator[str]:
    yield from sorted(file.stem for file in folder.glob("*.py") if file.stem != "__init__")


def test_the_tree_names_every_package() -> None:
    tree = set(CODED.findall(section(ARCHITECTURE, "The tree")))
    missing = [name for name in packages(ENGAGE) if f"{name}/" not in tree]
    inside = [*packages(ENGAGE / "domain"), *packages(ENGAGE / "flows"), *modules(ENGAGE)]
    assert [*missing, *(name for name in inside if name not in tree)] == []


def test_the_tree_names_no_package_that_is_gone() -> None:
    folders = re.findall(r"`(\w+)/`", section(ARCHITECTURE, "The tree"))
    assert [name for name in folders if name not in {*packages(ENGAGE), "workers"}] == []


def test_the_picture_of_the_layers_names_every_package() -> None:
    picture = (DOCS / "images" / "layers.svg").read_text(encoding="utf-8")
    drawn = set(re.findall(r"\w+", " ".join(re.findall(r">([^<]*)</text>", picture))))
    assert [name for name in [*packages(ENGAGE), *packages(ENGAGE / "flows")] if name not in drawn] == []


def test_decisions_are_numbered_without_gaps_and_titled_with_their_number() -> None:
    decisions = sorted((DOCS / "decisions").iterdir())
    assert [page.name[:5] for page in decisions] == [f"{n:04}-" for n in range(1, len(decisions) + 1)]
    titles = [page.read_text(encoding="utf-8").partition("\n")[0] for page in decisions]
    assert [title[:8] for title in titles] == [f"# {n:04}: " for n in range(1, len(decisions) + 1)]


def test_invariants_are_numbered_without_gaps() -> None:
    numbers = [int(n) for n in re.findall(r"^(\d+)\. ", section(ARCHITECTURE, "Invariants"), re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_codes_have_the_status_that_is_written(page: Path) -> None:
    written = STATUS_AND_CODE.findall(page.read_text(encoding="utf-8"))
    assert [(status, code) for status, code in written if status != _status(code)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[^`*]+)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []
    functions = re.findall(r"`(test_\w+)` in `(tests/\S+\.py)`", text)
    assert [
        name for name, file in functions if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")
    ] == []


def test_each_risk_and_each_attack_names_its_test() -> None:
    page = (DOCS / "security.md").read_text(encoding="utf-8")
    risks = re.findall(r"^\| API\d+ .*\|$", page, re.MULTILINE)
    attacks = [row for row in section(page, "Attacks").splitlines() if row.startswith("| ")][1:]
    assert (len(risks), len(attacks)) == (10, 12)
    assert [row for row in [*risks, *attacks] if "`tests/" not in row] == []


def _status(code: str) -> str | None:
    known = Code.named(code)
    return None if known is None else str(known.status)


def test_the_readme_names_every_command() -> None:
    rows = re.findall(r"^\| (`engage .*?) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    named = set(re.findall(r"\w+", " ".join(rows)))
    assert [name for name in commands() if not set(name.split()) <= named] == []


def commands() -> Iterator[str]:
    for name in COMMANDS:
        command = load(name)
        if isinstance(command, click.Group):
            yield from (f"{name} {of_group}" for of_group in command.commands)
        else:
            yield name
