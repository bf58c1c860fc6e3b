"""Expected failures of a command's work become one line for the terminal."""

import pytest
import rich_click as click

from engage.cli.run import run
from engage.domain.document.errors import DocumentError, Problem
from engage.domain.refusals import Code, Refusal, Unavailable


async def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Unavailable("postgres"), "postgres does not answer; try again"),
        (Refusal(Code.UNKNOWN_PROGRAM, program="nowhere"), "there is no such program"),
        (Refusal(Code.UNKNOWN_MEMBER), "there is no such member"),
        (
            DocumentError("p.toml", [Problem("id", "a name", "1")]),
            "a published version cannot be read: p.toml: id: expected a name, got 1",
        ),
    ],
)
def test_an_expected_failure_is_shown_in_one_line(error: Exception, message: str) -> None:
    with pytest.raises(click.ClickException) as failed:
        run(fail(error), hint="; try again")
    assert failed.value.message == message


@pytest.mark.parametrize("error", [Refusal(Code.SOLD_OUT), ValueError("a bug")])
def test_other_errors_are_raised_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        run(fail(error))
    assert raised.value is error
