"""Documents that operators send: each is taken or refused with its problems, whatever is in it.

`tests/domain/program/test_parse.py` spoils programs, `tests/decoding` the texts of JSON, TOML and CSV.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage import programs
from engage.api.http import bodies
from engage.decoding.csv_text import InvalidFile
from engage.decoding.json_text import decode_json
from engage.decoding.malformed import Malformed
from engage.domain.calendar import instant
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.parse import from_value, parse_json, parse_toml
from engage.domain.campaigns.partial import partial_campaign
from engage.domain.campaigns.surroundings import Surroundings
from engage.domain.campaigns.validation import problems
from engage.domain.campaigns.zones import zones_of
from engage.domain.definitions.kind import DefinitionKind, standalone_problems
from engage.domain.document.decoding import JSON, mismatches
from engage.domain.document.errors import DocumentError
from engage.domain.playback import campaign_examples, examples
from engage.domain.program import sections
from engage.domain.program.kinds import KINDS
from engage.domain.program.parse import parse
from engage.flows.members.import_file import COLUMNS, check_file, rows_of
from engage.flows.members.import_rows import read_candidates
from engage.runtime.services import Services
from tests.security.documents import CAMPAIGNS, DEFINITIONS, versions_of
from tests.support.generated_cases import cases
from tests.support.processor import processor_seconds
from tests.support.spoiling import JSON_VALUES, spoil

CONTEXT = sections.context_of(programs.read("eu-mi-points/2025"))
ZONES = ["Europe/Madrid", "Asia/Kolkata", "America/Sao_Paulo"]
BOUND_S = 2.0
DEEP = [b"[" * 60_000, b'{"a":' * 20_000, b'{"title":' + b"[" * 40 + b"]" * 40 + b"}", b"9" * 60_000]
SPOILED = settings(max_examples=cases(60))


def spoiled(sound: dict[str, Any], drawn: st.DataObject) -> dict[str, Any]:
    document = deepcopy(sound)
    for _ in range(drawn.draw(st.integers(1, 3))):
        spoil(document, drawn, JSON_VALUES)
    return document


def sent(document: object) -> Any:
    """Return a document as it arrives: the integers of JSON may be too large for msgspec."""
    with suppress(Malformed):
        return decode_json(msgspec.json.encode(document), msgspec.json.Decoder())
    return None


def instants(definition: Any) -> Iterator[Any]:
    """Compute the times that screens and workers compute."""
    for name in ("from_", "until", "opens_at", "closes_at"):
        moment = getattr(definition, name, None)
        if moment is not None:
            yield from (instant(moment, zone) for zone in ZONES)
    if definition.__class__.__name__ == "Draw":
        yield definition.closed_at(ZONES) + definition.round_after


def assert_can_be_stored(document: Any) -> None:
    text = msgspec.json.encode(document)
    assert b"\\u0000" not in text, "PostgreSQL has no such character"
    assert msgspec.json.decode(text, type=type(document)) == document


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_sound_definition_has_no_problem(kind: DefinitionKind[Any]) -> None:
    definition = msgspec.convert(DEFINITIONS[kind.name], kind.struct)
    assert standalone_problems(kind, definition, CONTEXT) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@SPOILED
@given(st.data())
def test_any_definition_is_taken_or_refused(kind: DefinitionKind[Any], drawn: st.DataObject) -> None:
    document = sent(spoiled(DEFINITIONS[kind.name], drawn))
    if document is None or mismatches(document, kind.struct, notation=JSON, most=bodies.MISTAKES_SHOWN):
        return
    definition = msgspec.convert(document, kind.struct)
    if not standalone_problems(kind, definition, CONTEXT):
        assert_can_be_stored(definition)
        assert all(found.tzinfo is not None for found in instants(definition))


@SPOILED
@given(st.sampled_from(CAMPAIGNS), st.data())
def test_any_campaign_is_taken_or_refused(sound: dict[str, Any], drawn: st.DataObject) -> None:
    document = sent(spoiled(sound, drawn))
    try:
        campaign = from_value(document, source="", notation=JSON)
    except DocumentError:
        rest = partial_campaign(document, notation=JSON)
        if rest is not None:
            rest.shown(problems(rest.campaign, around(rest.campaign)))
        return
    where = around(campaign)
    if problems(campaign, where):
        return
    assert_can_be_stored(campaign)
    assert campaign.first_instant(ZONES) <= campaign.last_instant(ZONES)
    assert zones_of(campaign, where.programs)
    campaign_examples.check(campaign, where.programs)


def around(campaign: Campaign) -> Surroundings:
    return Surroundings(programs=versions_of(campaign), segments=None)


@given(st.text() | st.text("[]{}:\",\\u0d8e19-. \n#='a\ud800"))
def test_any_text_is_a_document_or_its_problems(text: str) -> None:
    for read in (parse_json, parse_toml, parse):
        with pytest.raises(DocumentError) as error:
            read(text, source="any")
        assert error.value.problems


@given(st.binary())
def test_any_bytes_are_a_body_or_its_mistakes(body: bytes) -> None:
    for kind in KINDS:
        assert bodies.mistakes(body, kind.struct)


@pytest.mark.parametrize("hostile", DEEP, ids=lambda text: f"{text[:12]!r} {len(text)}")
def test_a_hostile_document_is_refused_in_bounded_time(hostile: bytes) -> None:
    with processor_seconds(BOUND_S):
        for type_ in (Campaign, *(kind.struct for kind in KINDS)):
            assert bodies.mistakes(hostile, type_)
        with pytest.raises(DocumentError):
            parse_json(hostile.decode(), source="hostile")


def test_a_document_with_thousands_of_mistakes_is_refused_in_bounded_time() -> None:
    wrong = {
        "questions": [{"no": 1, "options": [{}] * 20}] * 500,
        "title": {f"x{n}": "" for n in range(5_000)},
    }
    with processor_seconds(BOUND_S):
        found = bodies.mistakes(msgspec.json.encode(wrong), KINDS[0].struct)
    assert len(found) == bodies.MISTAKES_SHOWN


PROGRAM_TEXT = programs.text("by-mi-bonus/2024")


@settings(max_examples=cases(40))
@given(st.integers(0, len(PROGRAM_TEXT)), st.integers(0, 30), st.binary(max_size=4))
def test_a_program_with_other_bytes_in_it_is_a_program_or_its_problems(at: int, cut: int, put: bytes) -> None:
    text = PROGRAM_TEXT.encode()
    with suppress(DocumentError, UnicodeDecodeError):
        examples.check(parse((text[:at] + put + text[at + cut :]).decode(), source="slip"))


# The file of an import.

CELL = st.one_of(
    st.text(max_size=6),
    st.binary(max_size=4),
    st.sampled_from(
        [
            *("m-1", "ES", "1990-02-28", "0001-01-01", "9999-12-31", "9999-12-31T23:59:59-23:59", "person"),
            *("+34600123456", "+" + "9" * 400, "a;b", "4929001", "1e3", "9" * 5_000, "-1", "0x10", "NaN"),
            *('"', '""', "a\0b", "\ufeff", "\u0661", "=cmd|' /C calc'!A0", "x" * 9_000),
        ]
    ),
).map(lambda cell: cell if isinstance(cell, bytes) else cell.encode("utf-8", "surrogatepass"))
LINE = st.lists(CELL, max_size=11).map(b",".join)
HEADER = st.just(",".join(COLUMNS).encode()) | st.lists(st.sampled_from(COLUMNS)).map(
    lambda names: ",".join(["member_id", "country", *names]).encode()
)


@settings(max_examples=cases(200))
@given(HEADER | LINE, st.lists(LINE, max_size=4), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_any_file_of_members_is_read_or_refused_row_by_row(
    known: Services, file: Callable[[bytes], Path], header: bytes, lines: list[bytes], end: bytes
) -> None:
    try:
        table = check_file(file(end.join([header, *lines])))
    except InvalidFile:
        return
    rows = list(rows_of(table))
    good, rejected = read_candidates(known, table, rows, "eu-mi-points", name="any", lines={})
    assert len(good) + len(rejected) == len(rows) == table.rows
    assert all(reason for _, reason in rejected)
    assert not [each for each in good if "\0" in str(each.member)]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], Path]:
    path = tmp_path_factory.mktemp("import") / "members.csv"

    def write(content: bytes) -> Path:
        path.write_bytes(content)
        return path

    return write


@pytest.fixture(scope="module")
def known(api: Any) -> Services:
    services: Services = api.services
    return services
