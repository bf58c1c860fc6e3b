"""Documents in files: read them, and show what is wrong with them, the same in all commands."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import rich_click as click

from engage.domain.document.errors import DocumentError, Problem
from engage.domain.playback.examples import Failure
from engage.messages import catalogue
from engage.messages.traces import trace_line

T = TypeVar("T")


def read_document(file: Path, parse: Callable[[str], T]) -> T | None:
    """Parse the text of a file, or show its problems and return None. `parse` raises DocumentError."""
    try:
        return parse(file.read_text(encoding="utf-8"))
    except DocumentError as error:
        show_problems(file, error.problems)
    except OSError as error:
        show_problems(file, [Problem("the file", "a document", (error.strerror or str(error)).lower())])
    except UnicodeDecodeError as error:
        byte = f"byte {error.object[error.start]:#04x} at offset {error.start}"
        show_problems(file, [Problem("the file", "text in UTF-8", byte)])
    return None


def show_problems(file: Path, problems: Iterable[Problem]) -> None:
    for problem in problems:
        _show(f"{file}: {problem}")


def show_failures(file: Path, failures: Iterable[Failure], currency: Callable[[int], str]) -> None:
    """Show failed steps of examples, with what explains their outcome. `currency` is that of an example."""
    for failure in failures:
        _show(f"{file}: {failure}")
        for step in failure.trace:
            click.echo(f"    {trace_line(step, catalogue.DEFAULT, currency(failure.index))}")
        for name, value in failure.facts.items():
            click.echo(f"    {name}: {catalogue.show(value, catalogue.DEFAULT)}")


def show_outcome(what: str, number: int, failures: Iterable[Failure]) -> bool:
    """Show in a line how the examples of a document went. Return True if none failed."""
    failed = len({failure.index for failure in failures})
    outcome = f"{failed} not as expected" if failed else "all as expected"
    outcome = outcome if number else "no examples"
    click.secho(f"{what}, {counted(number, 'example')}, {outcome}", fg="red" if failed else "green")
    return not failed


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _show(line: str) -> None:
    place, separator, mistake = line.partition(": expected ")
    click.echo(click.style(place, fg="red") + separator + mistake)
