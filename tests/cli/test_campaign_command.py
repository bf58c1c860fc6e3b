"""`engage campaign` as an operator runs it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engage import programs
from engage.cli import main
from engage.flows.campaigns.act import act
from engage.flows.campaigns.read import show_campaign
from engage.programs import campaigns
from engage.runtime.services import Services, open_services
from engage.settings import Settings, to_environment
from tests.support.campaigns import operator

KEY = "eu-mi-points", "spring"
SPRING = """\
# A comment, which the server does not keep.
id = "spring"
program = "eu-mi-points"
title = { en = "Spring", fr = "Printemps" }
from = 2027-03-01T00:00:00
until = 2027-04-01T00:00:00
audience = { countries = ["ES", "FR"], no_order_for = "P90D" }

[[boosts]]
id = "reviews"
rules = ["review"]
multiply = 2
hours = ["10:00", "14:00"]

[[examples]]
title = "A review in the morning"
country = "ES"
steps = [
    { at = 2027-03-02T10:00:00, do = { activity = "review", product_id = "p", review_id = "r" }, earns = [
        { rule = "review", points = 20 },
        { rule = "review", points = 20, boost = "reviews" },
    ] },
]
"""


@pytest.fixture
def spring(tmp_path: Path) -> Path:
    file = tmp_path / "spring.toml"
    file.write_text(SPRING)
    return file


@pytest.fixture
def installed(own_installed: Settings) -> Settings:
    return own_installed


@pytest.fixture
async def services(installed: Settings) -> AsyncIterator[Services]:
    async with open_services(installed) as opened:
        await opened.programs.refresh(opened.db)
        yield opened


def offline(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["campaign", *map(str, arguments)], env={"COLUMNS": "120"})


async def online(settings: Settings, *arguments: object) -> Result:
    """Run in a thread, because the command runs its own event loop."""
    environment = {**to_environment(settings), "COLUMNS": "120"}
    return await asyncio.to_thread(
        CliRunner().invoke, main, ["campaign", *map(str, arguments)], env=environment
    )


def test_check_shows_that_a_document_is_valid_and_its_examples_come_true(spring: Path) -> None:
    done = offline("check", spring)
    assert (done.exit_code, done.output) == (0, "spring: 1 boost, 1 example, all as expected\n")


def test_check_takes_json_with_the_same_names(tmp_path: Path) -> None:
    file = tmp_path / "double.json"
    preset = campaigns.read("eu-mi-points/double-points")
    file.write_text(json.dumps({"id": "d", "program": preset.program, "title": {"en": "D"}}))
    done = offline("check", file)
    assert done.exit_code == 1
    assert [line.partition(": expected")[0] for line in done.output.splitlines()] == [
        f"{file}: from",
        f"{file}: until",
    ]


WRONG = [
    ('["review"]', '["reveiw"]', "boosts[0].rules[0]: expected the id of a rule", "(did you mean review?)"),
    ("2027-04-01", "2027-02-01", "until: expected a time after from", "2027-02-01"),
    (
        '"eu-mi-points"',
        '"eu-mi-point"',
        "program: expected the id of a program",
        "(did you mean eu-mi-points?)",
    ),
    ("multiply", "multipy", "boosts[0].multipy: expected one of id", "(did you mean multiply?)"),
    ("points = 20, boost", "points = 30, boost", 'examples[0] "A review in the morning", step 1', "30"),
    ("[[boosts]]", "[[boosts", "line 9", "TOML"),
]


@pytest.mark.parametrize(("old", "new", "place", "shown"), WRONG, ids=[place for _, _, place, _ in WRONG])
def test_check_shows_each_mistake_at_its_place(
    spring: Path, old: str, new: str, place: str, shown: str
) -> None:
    spring.write_text(SPRING.replace(old, new, 1))
    done = offline("check", spring)
    assert done.exit_code == 1
    assert f"{spring}: {place}" in done.output
    assert shown in done.output


def test_check_shows_mistakes_of_types_and_of_what_they_name_together(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(
        SPRING.replace('"ES", "FR"', '"XX"').replace('"review"]', '"nope"]') + "[budget]\npoints = -1\n"
    )
    shown = offline("check", file)
    assert shown.exit_code == 1
    for place in ("budget.points", "audience.countries[0]", "boosts[0].rules[0]"):
        assert place in shown.output


def test_check_finds_what_two_documents_both_have(tmp_path: Path) -> None:
    rule = """
[[rules]]
id = "stand"
title = "Visit the stand"
on = { activity = "visit", page = "stand" }
limit = { type = "once" }
award = { type = "fixed", points = 5 }
due = { type = "after", delay = "PT5M" }
"""
    files = [tmp_path / "spring.toml", tmp_path / "summer.toml"]
    for file in files:
        file.write_text(SPRING.replace('"spring"', f'"{file.stem}"') + rule)
    done = offline("check", *files)
    assert done.exit_code == 1
    assert 'rules[0].id: expected an id of its own, got "stand", which campaign summer has' in done.output
    assert "which campaign spring has" in done.output
    assert offline("check", files[0]).exit_code == 0


def test_check_takes_the_documents_of_a_program_of_your_own(spring: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.toml"
    program.write_text(programs.text("eu-mi-points/2022").replace('id = "eu-mi-points"', 'id = "mine"'))
    spring.write_text(SPRING.replace('"eu-mi-points"', '"mine"'))
    assert "program: expected the id of a program" in offline("check", spring).output
    done = offline("check", spring, "--program", program)
    assert done.exit_code == 0, done.output
    assert offline("check", spring, "--program", tmp_path / "none.toml").exit_code == 1


def test_a_file_that_is_not_there_or_no_document_is_shown(tmp_path: Path) -> None:
    for name, shown in (("none.toml", "no such file"), ("spring.yaml", "ends with .toml or .json")):
        done = offline("check", tmp_path / name)
        assert (done.exit_code, shown in done.output) == (1, True), done.output


async def test_a_document_is_pushed_changed_and_compared(
    installed: Settings, services: Services, spring: Path
) -> None:
    assert (await online(installed, "diff", spring)).output == "spring: not on the server\n"
    pushed = await online(installed, "push", spring)
    assert (pushed.exit_code, pushed.output) == (0, "spring: version 1, draft\n")
    again = await online(installed, "push", spring)
    assert (again.exit_code, again.output) == (0, "spring: version 1 is the same, unchanged\n")
    same = await online(installed, "diff", spring)
    assert (same.exit_code, same.output) == (0, "spring: the same as version 1\n")
    spring.write_text(SPRING.replace("multiply = 2", "multiply = 3").replace(', fr = "Printemps"', ""))
    differs = await online(installed, "diff", spring)
    assert (differs.exit_code, differs.output) == (
        1,
        'title.fr: "Printemps" → nothing\nboosts[0].multiply: 2 → 3\n',
    )
    changed = await online(installed, "push", spring)
    assert (changed.exit_code, changed.output) == (0, "spring: version 1, draft\n")
    view = await show_campaign(services, KEY, None)
    assert (view.revision, view.versions[0].authors) == (2, ["command line"])
    # The example still expects what a doubled review pays.
    spring.write_text(SPRING)
    await online(installed, "push", spring)
    await act(services, KEY, "submitted", operator=operator("one"))
    await act(services, KEY, "approved", operator=operator("two"))
    spring.write_text(SPRING.replace("multiply = 2", "multiply = 3"))
    beside = await online(installed, "push", spring)
    assert (beside.exit_code, beside.output) == (0, "spring: version 2, draft\n")
    await act(services, KEY, "ended", operator=operator("one"))
    spring.write_text(SPRING.replace("multiply = 2", "multiply = 4"))
    refused = await online(installed, "push", spring)
    assert (refused.exit_code, "wrong_state" in refused.output) == (1, True)


async def test_push_shows_what_only_the_server_knows(installed: Settings, spring: Path) -> None:
    without_examples = SPRING.partition("[[examples]]")[0]
    spring.write_text(without_examples.replace("audience = {", 'audience = { segments = ["regulars"],'))
    assert offline("check", spring).exit_code == 0
    refused = await online(installed, "push", spring)
    assert refused.exit_code == 1
    assert f"{spring}: audience.segments[0]: expected the id of a segment" in refused.output


@pytest.mark.parametrize("suffix", [".toml", ".json"])
async def test_an_exported_document_is_the_same(
    installed: Settings, services: Services, spring: Path, tmp_path: Path, suffix: str
) -> None:
    await online(installed, "push", spring)
    exported = tmp_path / "out" / f"spring{suffix}"
    exported.parent.mkdir()
    done = await online(installed, "export", exported)
    assert (done.exit_code, done.output) == (0, f"spring: version 1 in {exported}\n")
    assert "null" not in exported.read_text()
    assert (await online(installed, "diff", exported)).exit_code == 0
    assert offline("check", exported).exit_code == 0
    spring.write_text(SPRING.replace("multiply = 2", "multiply = 3"))
    await act(services, KEY, "submitted", operator=operator("one"))
    await online(installed, "push", spring)
    first = tmp_path / f"first{suffix}"
    assert (await online(installed, "export", first, "--campaign", "spring", "--version", 1)).exit_code == 0
    assert first.read_text() == exported.read_text()
    for options in (["--version", "3"], ["--program", "in-mi-tokens"], ["--campaign", "summer"]):
        done = await online(installed, "export", exported, *options)
        assert (done.exit_code, "not on the server" in done.output) == (1, True)


@pytest.mark.parametrize("name", campaigns.names())
async def test_the_presets_can_be_pushed_and_exported(installed: Settings, tmp_path: Path, name: str) -> None:
    program_id, _, id_ = name.partition("/")
    file = tmp_path / f"{id_}.toml"
    file.write_text(campaigns.text(name))
    pushed = await online(installed, "push", file)
    assert pushed.exit_code == 0, pushed.output
    exported: Any = tmp_path / f"{id_}.json"
    assert (await online(installed, "export", exported, "--program", program_id)).exit_code == 0
    assert (await online(installed, "diff", exported)).exit_code == 0
