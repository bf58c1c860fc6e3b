"""The output of `engage up`: a line for each process that is ready, and the addresses."""

from contextlib import suppress

from rich.console import Console
from rich.status import Status

WIDTH = 22


class Screen:
    """Ignores write errors, so that the installation keeps running after the terminal is closed."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(emoji=False, highlight=False, soft_wrap=True)
        self._status: Status | None = None

    def show(self, line: str, style: str = "yellow") -> None:
        with suppress(OSError):
            self._console.print(line, style=style, markup=False)

    def show_ready(self, name: str, seconds: float) -> None:
        with suppress(OSError):
            self._console.print(f"[green]ready[/green]  {name:<{WIDTH}}[dim]{seconds:6.2f} s[/dim]")

    def show_address(self, name: str, address: str) -> None:
        with suppress(OSError):
            self._console.print(f"       {name:<{WIDTH}}", end="")
            self._console.print(address, style="bold cyan", markup=False)

    def begin_step(self, step: str) -> None:
        """Show a spinner until the next step begins or `end_step`."""
        self.end_step()
        if self._console.is_terminal:
            self._status = self._console.status(f"{step} …")
            self._status.start()

    def end_step(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
