"""Consoles, progress bars and times, the same in all commands."""

from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn

PIPE_WIDTH = 200  # A pipe has no width. Ids that a narrow table cuts off could not be searched for.


def open_console(*, pipe_width: int = PIPE_WIDTH) -> Console:
    """Return a console for standard output, with `pipe_width` where it is no terminal."""
    console = Console(emoji=False, highlight=False)
    return console if console.is_terminal else Console(emoji=False, highlight=False, width=pipe_width)


def progress_bar(console: Console, *columns: ProgressColumn) -> Progress:
    """Return a bar with a description, a count, and more columns. It is shown on a terminal only."""
    return Progress(
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def utc_text(at: datetime, timespec: str = "seconds") -> str:
    """Format an instant, such as 2026-11-21 12:00:00Z."""
    return at.astimezone(UTC).isoformat(sep=" ", timespec=timespec).replace("+00:00", "Z")
