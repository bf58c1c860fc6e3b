"""Show what an installation does, live in the terminal, or once as plain text."""

import asyncio
import os
from pathlib import Path
from typing import Final

import rich_click as click
from rich.console import Console
from rich.live import Live

from engage.cli.options import Range, data_option
from engage.cli.top.figures import figures
from engage.cli.top.reading import Address, Reading, read
from engage.cli.top.view import screen
from engage.embedded import processes, run_file
from engage.embedded.data_folder import DEFAULT_FOLDER, folder_at

ONCE_WIDTH: Final = 160


@click.command
@click.argument("ports", nargs=-1, metavar="[HOST:PORT]...")
@data_option
@click.option("--once", is_flag=True, help="Show one interval as plain text, and end.")
@click.option(
    "--interval",
    type=Range(0.2, 60),
    default=2.0,
    show_default=True,
    help="Seconds between two looks.",
)
def top(ports: tuple[str, ...], data: Path | None, once: bool, interval: float) -> None:
    """Show taps, settlement, the feed and the health of all parts, from their operations ports.

    The ports are those of the installation, or those that are named. Ctrl-C ends it.
    """
    if once:
        console = Console(width=ONCE_WIDTH, emoji=False, highlight=False, no_color=True)
    else:
        console = Console(emoji=False, highlight=False)
    try:
        asyncio.run(_show(console, ports, data, once=once, interval_s=interval))
    except KeyboardInterrupt:
        return


async def _show(
    console: Console, ports: tuple[str, ...], data: Path | None, *, once: bool, interval_s: float
) -> None:
    before = await read(_addresses(ports, data))
    await asyncio.sleep(interval_s)
    if once:
        after = await read(_addresses(ports, data))
        console.print(screen(figures(before, after), title="engage"))
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            before = await _refresh(live, before, _addresses(ports, data))
            await asyncio.sleep(interval_s)


async def _refresh(live: Live, before: Reading, addresses: list[Address]) -> Reading:
    now = await read(addresses)
    title = f"engage · {len(now.parts)} processes · Ctrl-C ends it"
    live.update(screen(figures(before, now), title=title), refresh=True)
    return now


def _addresses(ports: tuple[str, ...], data: Path | None) -> list[Address]:
    """Find the operations ports, anew each time: a process that was replaced has another one.

    Raises ClickException where there is none.
    """
    if ports:
        return [_address(text) for text in ports]
    port = os.environ.get("ENGAGE_OPERATIONS_PORT")
    if data is None and port is not None and port.isdecimal():
        host = os.environ.get("ENGAGE_OPERATIONS_HOST", processes.LOOPBACK)
        return [Address(processes.reachable(host), int(port))]
    run = run_file.read(folder_at(data or DEFAULT_FOLDER))
    if run is None:
        raise click.ClickException(
            f"nothing runs in {data or DEFAULT_FOLDER}; name the operations ports, such as 127.0.0.1:9100"
        )
    return [
        Address(processes.LOOPBACK, record.operations_port, record.name)
        for record in run.processes
        if record.operations_port
    ]


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise click.ClickException(f"{text} is no operations port: write host:port")
    return Address(host.strip("[]") or processes.LOOPBACK, int(port))
