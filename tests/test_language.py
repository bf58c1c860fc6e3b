"""Names and docstrings are plain words: a short list of the worst. docs/glossary.md has the good ones."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for top in ("src", "workers", "tests") for path in (ROOT / top).rglob("*.py"))
PACKAGES = sorted(path.parent for path in SOURCES if path.name == "__init__.py")

# A docstring begins with a verb or a noun.
QUESTION = re.compile(r"(What|Whether|Whose|Who|Whom|How|Where|When|Which)\b")

# Code reports, publishes, sends, reads: nobody is told anything, and nobody hears of it.
IDIOM = re.compile(r"(?<![a-z])(tell|tells|told|untold|hear|hears|heard)(?![a-z])", re.IGNORECASE)
IDIOM_ALLOWED = 2  # In a file: one can tell two things apart.

# Names that say nothing, or that once had another meaning here.
BANNED = {
    "aftermath",
    "breath",
    "crew",
    "crowd",
    "deed",
    "deeds",
    "ground",
    "hand",
    "helper",
    "helpers",
    "life",
    "lives",
    "manager",
    "misc",
    "room",
    "rooms",
    "square",
    "street",
    "streets",
    "town",
    "towns",
    "truth",
    "util",
    "utils",
    "world",
}


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield node.body[0].lineno, docstring


def names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Classes, functions, parameters and variables. Fields of structs may be names of the public API."""
    fields = {
        id(field.target)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for field in node.body
        if isinstance(field, ast.AnnAssign)
    }
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()) if id(node) not in fields:
                yield node.lineno, node.id


def findings(path: Path) -> list[str]:
    source = path.read_text()
    tree = ast.parse(source)
    name = path.relative_to(ROOT)
    found = [
        f"{name}:{line}: the docstring begins with {match[0]!r}"
        for line, docstring in docstrings(tree)
        if (match := QUESTION.match(docstring))
    ]
    found += [f"{name}:{line}: {word!r} is no name" for line, word in names(tree) if word.lower() in BANNED]
    if path.stem in BANNED | {"data"}:
        found.append(f"{name}:1: {path.stem!r} is no name of a module")
    idioms = [
        f"{name}:{line}: {match[0]!r}"
        for line, text in enumerate(source.splitlines(), start=1)
        for match in IDIOM.finditer(text)
    ]
    return found + (idioms if len(idioms) > IDIOM_ALLOWED else [])


def test_names_and_docstrings_are_plain_words() -> None:
    found = [line for path in SOURCES if path != Path(__file__) for line in findings(path)]
    assert not found, "\n".join(found)


def test_every_package_says_what_lives_in_it() -> None:
    missing = [
        str(package.relative_to(ROOT))
        for package in PACKAGES
        if package.is_relative_to(ROOT / "src") or package.is_relative_to(ROOT / "workers")
        if not ast.get_docstring(ast.parse((package / "__init__.py").read_text()))
    ]
    assert missing == []
