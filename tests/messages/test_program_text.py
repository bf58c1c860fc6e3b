"""Programs in words, in each language of the console."""

import re
from pathlib import Path

import pytest

from engage import programs
from engage.console.cookies import LANGUAGES
from engage.domain.program.program import Program
from engage.messages import program_text
from engage.messages.catalogue import read_catalog
from engage.messages.program_text.sections import descriptions, lines

PRESETS = [programs.preset(name) for name in programs.names()]

NAMED = re.compile(r"""text\(\s*f?"([a-z_.0-9]*)""")
HEADERS = re.compile(r"headers\(([^)]*)\)")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("program", PRESETS, ids=lambda program: f"{program.id}-{program.version}")
def test_each_preset_has_words_without_gaps(program: Program, language: str) -> None:
    shown = lines(program, language)
    assert [line for line in shown if "console.words" in line or "…" in line] == []
    if language != "en":
        sentences = {sentence for each in descriptions(program, "en") for sentence in each.sentences}
        assert sentences & set(shown) == set()


def test_numbers_dates_and_plurals_are_those_of_the_language() -> None:
    program = programs.preset("eu-mi-points/2022")
    russian, french = lines(program, "ru"), lines(program, "fr")
    assert "Баллы сгорают через 12 месяцев после активации." in russian
    assert any("с 1 сентября 2022" in line for line in russian)
    assert any("50,00 EUR/GBP" in line for line in french)
    assert any("après 5 minutes" in line for line in french)


def test_the_catalogue_has_no_text_that_nobody_names() -> None:
    folder = Path(program_text.__file__).parent
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))
    begun = {f"console.words.{key}" for key in NAMED.findall(sources)}
    for names in HEADERS.findall(sources):
        begun |= {f"console.words.header.{name}" for name in re.findall(r'"(\w+)"', names)}
    keys = {
        message.id[0] if isinstance(message.id, tuple | list) else message.id
        for message in read_catalog("en")
    }
    words = {key for key in keys if key.startswith("console.words.")}
    exact = words & begun
    open_ended = tuple(key for key in begun - words if key != "console.words.header." and key.endswith("."))
    assert {key for key in words - exact if not key.startswith(open_ended)} == set()
