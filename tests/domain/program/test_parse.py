"""Parsing: a valid document becomes a program, any other text a DocumentError with every problem."""

import re
import tomllib
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage import programs
from engage.decoding.toml_text import LONGEST_TEXT
from engage.domain.document import decoding
from engage.domain.document.errors import DocumentError
from engage.domain.earning.due import After
from engage.domain.earning.trace import TraceCode, step
from engage.domain.playback import examples
from engage.domain.program import validation
from engage.domain.program.parse import parse
from engage.domain.program.program import Program
from engage.messages.traces import trace_line
from tests.domain.broken_documents import BROKEN, JOINING, SOUND
from tests.domain.broken_shops import BROKEN_SHOPS, SHOP
from tests.support.generated_cases import cases
from tests.support.spoiling import spoil

WRONG = [(SOUND, name, *broken) for name, broken in BROKEN.items()]
WRONG += [(SHOP, name, *broken) for name, broken in BROKEN_SHOPS.items()]


@pytest.mark.parametrize(
    ("sound", "old", "new", "expected"), [w[:1] + w[2:] for w in WRONG], ids=[w[1] for w in WRONG]
)
def test_a_wrong_document_lists_all_problems(sound: str, old: str, new: str, expected: list[str]) -> None:
    assert sound.count(old) >= 1
    with pytest.raises(DocumentError) as error:
        parse(sound.replace(old, new, 1), source="tea.toml")
    assert [str(problem) for problem in error.value.problems] == expected
    assert str(error.value).splitlines()[0] == f"tea.toml: {expected[0]}"


def test_the_unbroken_document_is_valid() -> None:
    program = parse(SOUND, source="tea.toml")
    assert examples.check(program) == []
    assert parse("\ufeff" + SOUND, source="from an editor that marks the byte order") == program
    joining = parse(SOUND + JOINING, source="with joining").earning.rules.by_id["joining"]
    assert joining.due == After(delay=timedelta())


def test_two_rules_can_pay_for_the_same_orders() -> None:
    shop = parse(SHOP, source="shop.toml")
    assert len(shop.rules) == 3
    assert examples.check(shop) == []
    assert parse(SHOP.replace('orders = { channels = ["web"] }', "", 1), source="shop.toml") != shop


def test_length_depth_and_examples_of_a_document_are_limited() -> None:
    step = '[[examples.steps]]\nat = 2026-03-01T00:00:00\ndays = 1000\ndo = {activity = "fuel_tap"}\n'
    step += 'refused = "already_tapped"\n'
    example = '[[examples]]\ntitle = "{}"\ncountry = "ES"\n'
    many = "".join(example.format(n) + step for n in range(20))
    for text, what in [
        ("#" * (LONGEST_TEXT + 1), f"{LONGEST_TEXT + 1} characters, more than {LONGEST_TEXT}"),
        ("a = " + "[" * 20_000, "nested too deeply"),
        (SOUND + many, "at most 20000 activities in all, got 20007"),
    ]:
        with pytest.raises(DocumentError) as error:
            parse(text, source="long.toml")
        assert what in str(error.value)


def test_a_failed_example_shows_the_outcome_and_its_trace() -> None:
    text = SOUND.replace("points = 2 }\ndue", "points = 3 }\ndue").replace('"A week"', '"A week"\ntotal = 64')
    found = examples.check(parse(text, source="tea.toml"))
    assert [str(failure) for failure in found] == [
        'examples[0] "A week", step 1, 2026-02-01 10:00:00+01:00, day 1 of 6: expected fuel 2, got fuel 3',
        'examples[0] "A week", step 2, 2026-02-07 10:00:00+01:00: expected fuel 2 and '
        "bonus 50 due 2026-02-07 10:05:00+01:00, "
        "got fuel 3 and bonus 50 due 2026-02-07 10:05:00+01:00",
    ]
    assert found[1].trace == [
        step(TraceCode.STREAK_DAY, rule="fuel", streak_days=7, points=3),
        step(TraceCode.STREAK_BONUS, rule="bonus", streak_days=7, every_days=7, points=50),
    ]


def test_a_wrong_total_fails_when_all_steps_pass() -> None:
    text = SOUND.replace('title = "A week"', 'title = "A week"\ntotal = 65')
    (failure,) = examples.check(parse(text, source="tea.toml"))
    assert str(failure) == 'examples[0] "A week", total: expected 65 points, got 64 points'


def test_a_refusal_instead_of_points_fails_and_points_instead_of_one() -> None:
    step = '\n[[examples.steps]]\nat = 2026-02-07T{}\ndo = {{ activity = "fuel_tap" }}\n{}\n'
    twice = step.format("11:00:00", 'earns = [{ rule = "fuel", points = 2 }]')
    next_day = '\n[[examples.steps]]\nat = 2026-02-08T00:00:00\ndo = { activity = "fuel_tap" }\n'
    found = examples.check(parse(SOUND + twice + next_day + 'refused = "already_tapped"', source="tea"))
    assert [(failure.expected, failure.found) for failure in found] == [
        ("fuel 2", "refusal already_tapped"),
        ("refusal already_tapped", "fuel 2"),
    ]
    assert found[0].facts["next_tap_at"] == datetime(2026, 2, 7, 23, tzinfo=UTC)


def test_an_end_is_not_found_where_points_never_expire() -> None:
    text = SOUND.replace('type = "rolling"\nmonths = 12', 'type = "never"')
    text = text.replace("due_at = 2026-02-07T10:05:00", "expires_at = 2027-02-07T10:05:00")
    (failure,) = examples.check(parse(text, source="tea"))
    assert failure.found == "fuel 2 and bonus 50 until never"


@given(st.text() | st.text("[]{}=\".#\n'a1-:T"))
def test_any_text_is_a_program_or_a_document_error(text: str) -> None:
    with pytest.raises(DocumentError):
        parse(text, source="any")


@given(st.integers(0, len(SOUND)), st.integers(0, 30), st.text(max_size=5))
def test_a_document_with_a_typing_error_is_a_program_or_a_document_error(at: int, cut: int, put: str) -> None:
    with suppress(DocumentError):
        examples.check(parse(SOUND[:at] + put + SOUND[at + cut :], source="slip"))


TABLES = [tomllib.loads(text) for text in (SOUND, SHOP, *map(programs.text, programs.names()[:2]))]


@given(st.sampled_from(TABLES), st.data())
@settings(max_examples=cases(400))
def test_every_wrong_field_is_found_and_no_other(sound: dict[str, Any], drawn: st.DataObject) -> None:
    """The walk through the types agrees with msgspec. Tables that pass both never break the validation."""
    table = deepcopy(sound)
    for _ in range(drawn.draw(st.integers(1, 3))):
        spoil(table, drawn)
    problems = decoding.mismatches(table, Program)
    try:
        program = msgspec.convert(table, Program)
    except msgspec.ValidationError:
        assert problems
        return
    # msgspec needs no tag where there is only one kind. A document must have it.
    assert all(problem.path.endswith(".type") for problem in problems)
    if not problems and not validation.problems(program):
        examples.check(program)


@pytest.mark.parametrize("name", programs.names())
def test_a_program_survives_encoding_and_decoding(name: str) -> None:
    program = programs.preset(name)
    assert msgspec.json.decode(msgspec.json.encode(program), type=Program) == program
    assert parse(programs.text(name), source=name) == program


def test_the_documents_in_the_guide_are_valid() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "programs.md").read_text(encoding="utf-8")
    text, *parts = re.findall(r"^```toml\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)
    assert len(parts) == 4
    for shown in (text, "\n".join([text, *parts])):
        program = parse(shown, source="docs/programs.md")
        assert [str(failure) for failure in examples.check(program)] == []
    assert len(program.examples) == 2
    wrong = text.replace('rule = "fuel" }\naward', 'rule = "feul" }\naward')
    with pytest.raises(DocumentError) as error:
        parse(wrong, source="2026-spring.toml")
    assert str(error.value) in guide
    (first, *_) = examples.check(parse(text.replace("points = 2 }\ndue", "points = 3 }\ndue"), source=""))
    assert f"2026-spring.toml: {first}\n    {trace_line(first.trace[0], 'en')}\n" in guide
