"""Nothing gets into a log that the list of fields does not name, and no value can forge a line."""

import ast
import logging
from io import StringIO
from pathlib import Path

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from engage import logs
from engage.logs.failures import failure_text
from engage.logs.fields import FIELDS, MASK, Cleaner, one_line
from engage.logs.pseudonyms import UNKNOWN, Pseudonyms
from engage.settings import Settings

ROOT = Path(__file__).parents[2]
SOURCES = [*(ROOT / "src").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "bind", "write"}
SECRET = "hunter2-and-4915112345678"
CLEANER = Cleaner(Pseudonyms("a pepper of 16 or more"))


def calls(path: Path) -> list[ast.Call]:
    """Calls of loggers: `log.info`, `_refused.write`, `event_log.error`."""
    return [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in LEVELS
        and isinstance(node.func.value, ast.Name)
        and (
            node.func.value.id in ("log", "event_log", "_log", "_failed", "_unauthorized", "_refused")
            or node.func.value.id == "_refusals"
        )
        and not (node.args and isinstance(node.args[0], ast.Call))
    ]


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if "structlog" in path.read_text("utf-8")], ids=str
)
def test_every_field_of_every_call_is_in_the_list(path: Path) -> None:
    for call in calls(path):
        names = {keyword.arg for keyword in call.keywords if keyword.arg is not None} - {"exc_info"}
        assert names <= FIELDS.keys() | {"member"}, f"{path}:{call.lineno}"


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if "structlog" in path.read_text("utf-8")], ids=str
)
def test_every_event_is_a_constant(path: Path) -> None:
    for call in calls(path):
        if isinstance(call.func, ast.Attribute) and call.func.attr not in ("bind", "write"):
            first = call.args[0]
            assert isinstance(first, ast.Constant | ast.Name), f"{path}:{call.lineno}"


@given(st.dictionaries(st.text(), st.text()))
def test_a_field_that_is_not_in_the_list_is_masked(fields: dict[str, str]) -> None:
    for name, value in CLEANER(None, "", dict(fields)).items():
        assert name in FIELDS or name == "member" or value == MASK


@given(st.text(), st.sampled_from(sorted(FIELDS)))
def test_no_value_ends_a_line(text: str, name: str) -> None:
    for value in CLEANER(None, "", {name: text}).values():
        assert all(each.isprintable() for line in str(value).split("\n") for each in line)
        assert "\n" not in str(value) or name == "exception"


@pytest.mark.parametrize("of_somebody", ["+49 151 1234 5678", "a.member@shop.example", "4111111111111111"])
def test_sentences_hold_nothing_of_anybody(of_somebody: str) -> None:
    said = str(CLEANER(None, "", {"reason": f"the row ({of_somebody}) is there"})["reason"])
    assert of_somebody not in said
    assert said.startswith("the row ")


def test_a_member_has_a_pseudonym_that_needs_the_pepper() -> None:
    first, other = Pseudonyms("one pepper"), Pseudonyms("another pepper")
    assert first.of("fuel", "m-1") == first.of("fuel", "m-1") != first.of("fuel", "m-2")
    assert first.of("fuel", "m-1") != first.of("fue", "lm-1")
    assert first.of("fuel", "m-1") != other.of("fuel", "m-1")
    assert Pseudonyms("").of("fuel", "m-1") == UNKNOWN
    assert CLEANER(None, "", {"member": "m-1"})["member"] != "m-1"


def test_an_error_is_its_types_and_places() -> None:
    try:
        try:
            int(SECRET)
        except ValueError as error:
            raise RuntimeError(SECRET) from error
    except RuntimeError as error:
        said = failure_text(error)
    assert SECRET not in said
    assert said.startswith("builtins.RuntimeError\n")
    assert "caused by\nbuiltins.ValueError\n" in said
    assert "test_fields.py:" in said


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_libraries_errors_and_forged_lines(
    log_format: str, settings_only: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = StringIO()
    monkeypatch.setattr("sys.stderr", output)
    before = structlog.get_config()
    handlers, level = logging.root.handlers[:], logging.root.level
    try:
        logs.configure(msgspec.structs.replace(settings_only, log_format=log_format, log_level="debug"))
        log = structlog.get_logger("test")
        log.info("one\nFORGED", reason=f"two\nFORGED \x1b[31m{SECRET}", code="three\nFORGED", token=SECRET)
        logging.getLogger("lib").warning("with %s", SECRET)
        logging.getLogger("lib").error(f"of {SECRET}")  # As some libraries do.
        try:
            raise ValueError(SECRET)
        except ValueError:
            log.exception("a step failed")
            logging.getLogger("lib").exception("of %s", SECRET)
    finally:
        structlog.configure(**before)
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
    said = output.getvalue()
    assert SECRET not in said
    assert "4915112345678" not in said
    assert not any(line.startswith("FORGED") for line in said.splitlines())
    assert said.count("a library logged") == 3
    assert said.count("builtins.ValueError") == 2
    if log_format == "json":
        lines = [msgspec.json.decode(line) for line in said.splitlines()]
        assert len(lines) == 5
        assert lines[0]["token"] == MASK
        assert "\x1b" not in said


@pytest.fixture
def settings_only() -> Settings:
    return Settings(database_url="", state_url="", queue_url="", topics_url="", pepper="x" * 32)


@given(st.text())
def test_one_line_is_one_line(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1
    assert one_line(text).isprintable()
