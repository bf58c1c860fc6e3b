"""A new feature needs its own package, a line in the table, a field of the program and its example steps."""

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar, Protocol

import msgspec
import pytest

from engage.domain.document import decoding
from engage.domain.document.errors import Problem, duplicate_names
from engage.domain.document.fields import DocumentStruct, RuleId
from engage.domain.feature.action import Action
from engage.domain.feature.outcome import Expectation, Outcome
from engage.domain.feature.section import Context, Section
from engage.domain.playback import examples
from engage.domain.program import parse, sections, validation, versions
from engage.domain.program.example import AnyAction, Example, Step
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.domain.simulation.member import SimulatedFeature, SimulatedMember
from tests.domain.broken_documents import SOUND

# The package of a feature, a game: members guess a number.


class Riddle(DocumentStruct, frozen=True):
    id: RuleId
    number: int


class RiddlesDocument(Protocol):
    @property
    def riddles(self) -> list[Riddle]: ...


def _problems(document: RiddlesDocument, context: Context) -> Iterator[Problem]:
    yield from duplicate_names([game.id for game in document.riddles], "riddles", "id")


def _conflicts(earlier: RiddlesDocument, later: RiddlesDocument, version: str) -> Iterator[Problem]:
    numbers = {game.id: game.number for game in earlier.riddles}
    for n, game in enumerate(later.riddles):
        before = numbers.get(game.id, game.number)
        if before != game.number:
            yield Problem(f"riddles[{n}].number", f"{before} as in version {version}", str(game.number))


class SimulatedRiddles(SimulatedFeature):
    def __init__(self, numbers: dict[str, int]) -> None:
        self.numbers = numbers
        self.guesses = 0


def _simulate(member: SimulatedMember, document: RiddlesDocument) -> SimulatedRiddles:
    return SimulatedRiddles({game.id: game.number for game in document.riddles})


GAMES: Section[RiddlesDocument] = Section(
    problems=_problems,
    conflicts=_conflicts,
    ids=lambda document: {"riddles": [game.id for game in document.riddles]},
    simulate=_simulate,
)


class ExpectedGuess(Expectation, frozen=True):
    right: bool
    guesses: int

    def in_words(self, zone: str) -> str:
        return f"{'right' if self.right else 'wrong'} after {self.guesses}"


class Guess(Action, frozen=True, tag="guess"):
    results: ClassVar = frozenset({"guessed"})

    game: RuleId
    number: int

    def problems(self, path: str, context: Context, *, refused: Code | None) -> Iterator[Problem]:
        if self.game not in context.ids["riddles"]:
            yield Problem(f"{path}.game", "the id of a game", self.game)

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        games = member.feature(SimulatedRiddles)
        games.guesses += 1
        if games.guesses > 2:
            raise Refusal(Code.NOT_OFFERED)
        guessed = ExpectedGuess(games.numbers[self.game] == self.number, games.guesses)
        return Outcome(results={"guessed": guessed})


# The lines outside of the package.


class StepWithGames(Step, frozen=True):
    do: AnyAction | Guess  # type: ignore[assignment]
    guessed: ExpectedGuess | None = None


class ExampleWithGames(Example, frozen=True):
    steps: list[StepWithGames]  # type: ignore[assignment]


class ProgramWithRiddles(Program, frozen=True, kw_only=True):
    riddles: list[Riddle] = msgspec.field(default_factory=list)
    examples: list[ExampleWithGames] = msgspec.field(default_factory=list)  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def _table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "SECTIONS", (*sections.SECTIONS, GAMES))


TEXT = (
    SOUND[: SOUND.index("[[examples]]")]
    + """
[[riddles]]
id = "dice"
number = 6

[[examples]]
title = "A guess"
country = "ES"

[[examples.steps]]
at = 2026-02-01T10:00:00
do = { activity = "guess", game = "dice", number = 5 }
guessed = { right = false, guesses = 1 }

[[examples.steps]]
at = 2026-02-01T10:00:01
do = { activity = "guess", game = "dice", number = 6 }
guessed = { right = true, guesses = 2 }

[[examples.steps]]
at = 2026-02-01T10:00:02
do = { activity = "guess", game = "dice", number = 6 }
refused = "not_offered"
"""
)


def _read(*changes: tuple[str, str]) -> ProgramWithRiddles:
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    table = parse.toml_table(text, source="games.toml")
    assert decoding.mismatches(table, ProgramWithRiddles) == []
    return msgspec.convert(table, ProgramWithRiddles)


def test_its_section_is_validated_and_its_examples_are_played() -> None:
    program = _read()
    assert validation.problems(program) == []
    assert examples.check(program) == []


def test_its_problems_have_the_path_of_their_field() -> None:
    game = '[[riddles]]\nid = "dice"\nnumber = 1\n\n'
    twice = _read(("[[examples]]", game + "[[examples]]"), ('game = "dice"', 'game = "cards"'))
    assert [str(problem) for problem in validation.problems(twice)] == [
        'riddles[1].id: expected a unique id, got "dice", which riddles[0] has',
        "examples[0].steps[0].do.game: expected the id of a game, got cards",
    ]


def test_a_wrong_type_in_it_is_found_with_all_others() -> None:
    table = parse.toml_table(TEXT.replace("number = 6\n", 'number = "six"\n', 1), source="games.toml")
    found = decoding.mismatches(table, ProgramWithRiddles)
    assert [str(problem) for problem in found] == ['riddles[0].number: expected a whole number, got "six"']


def test_an_expectation_that_is_not_met_is_shown_beside_the_result() -> None:
    (failure,) = examples.check(_read(("right = true, guesses = 2", "right = true, guesses = 1")))
    assert (failure.expected, failure.found) == ("right after 1", "right after 2")


def test_an_expectation_of_another_action_is_refused() -> None:
    wrong = _read(('refused = "not_offered"', "balance = {}"), ("guessed = {", "earns = []\nguessed = {"))
    assert [str(problem) for problem in validation.problems(wrong)] == [
        "examples[0].steps[0].earns: expected no earns: guess has no such result, got one"
    ]


def test_it_says_what_must_not_change_between_versions() -> None:
    later = _read(
        ("number = 6", "number = 7"), ('version = "1"', 'version = "2"'), ("2026-01-01", "2027-01-01")
    )
    assert [str(problem) for _, problem in versions.conflicts([_read(), later])] == [
        "riddles[0].number: expected 6 as in version 1, got 7"
    ]


def test_it_is_in_the_json_schema() -> None:
    schema = parse.schema(ProgramWithRiddles)
    assert schema["properties"]["riddles"]["items"] == {"$ref": "#/definitions/Riddle"}
    assert schema["definitions"]["Guess"]["properties"]["activity"] == {"enum": ["guess"]}
