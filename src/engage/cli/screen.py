"""What `engage up` shows: a line for everything that came up, and where it is."""

from contextlib import suppress

from rich.console import Console
from rich.status import Status

WIDTH = 22


class Screen:
    """Writes on after the terminal has gone away, to nobody."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._status: Status | None = None

    def say(self, line: str, style: str = "yellow") -> None:
        with suppress(OSError):
            self._console.print(line, style=style, markup=False)

    def came_up(self, what: str, seconds: float) -> None:
        with suppress(OSError):
            self._console.print(f"[green]ready[/green]  {what:<{WIDTH}}[dim]{seconds:6.2f} s[/dim]")

    def place(self, what: str, where: str) -> None:
        with suppress(OSError):
            self._console.print(f"       {what:<{WIDTH}}", end="")
            self._console.print(where, style="bold cyan", markup=False)

    def begin(self, what: str) -> None:
        """Show a moving sign until the next thing begins, or `end`."""
        self.end()
        if self._console.is_terminal:
            self._status = self._console.status(f"{what} …")
            self._status.start()

    def end(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
