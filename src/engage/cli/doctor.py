"""`engage doctor`: what is wrong with an installation, in words, and what to do about it."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import rich_click as click
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from engage.cli.options import data_option
from engage.cli.output import open_console
from engage.doctor.check import Severity
from engage.doctor.diagnosis import Diagnosis, diagnose, observe, observe_stopped
from engage.doctor.observations import Observations
from engage.embedded.data_folder import DEFAULT_FOLDER, folder_at
from engage.embedded.errors import InstallationError
from engage.embedded.installation import running_environment

EXIT_STATUS: Final[Mapping[Severity | None, int]] = {"error": 2, "warning": 1, "notice": 0, None: 0}
_STYLES: Final[Mapping[Severity, str]] = {"error": "bold red", "warning": "yellow", "notice": "cyan"}


@click.command
@data_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
@click.pass_context
def doctor(ctx: click.Context, data: Path | None, as_json: bool) -> None:
    """Say what is wrong with an installation, and what to do.

    It asks each server and process, changes nothing, and works when half of them are down. The exit status is
    2 if something does not work, 1 if something needs attention soon, and 0 otherwise.
    """
    diagnosis = diagnose(asyncio.run(_observe(data)))
    if as_json:
        document = {"worst": diagnosis.worst, **msgspec.to_builtins(diagnosis)}
        click.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
    else:
        _show(open_console(), diagnosis)
    ctx.exit(EXIT_STATUS[diagnosis.worst])


async def _observe(data: Path | None) -> Observations:
    """Observe the installation of a folder, or that of the environment. Raises InstallationError."""
    if data is None and any(name.startswith("ENGAGE_") and name.endswith("_URL") for name in os.environ):
        return await observe(os.environ, None)
    folder = folder_at(data or DEFAULT_FOLDER)
    if not folder.layout.exists():
        raise InstallationError(
            f"{folder.path} is not a data folder of engage; `engage up` creates one. An installation of "
            f"your own "
            "servers is found by its environment variables, such as ENGAGE_DATABASE_URL."
        )
    environment = await running_environment(folder)
    if environment is None:
        return observe_stopped(folder.path)
    return await observe(environment, folder.path)


def _show(console: Console, diagnosis: Diagnosis) -> None:
    for finding in diagnosis.findings:
        line = Text.assemble((f"{finding.severity:<8}", _STYLES[finding.severity]), finding.sentence)
        console.print(line)
        console.print(Padding(Text(f"→ {finding.remedy}", style="dim"), (0, 0, 0, 8)))
    if diagnosis.not_checked:
        console.print(
            f"[dim]{len(diagnosis.not_checked)} of {diagnosis.checked + len(diagnosis.not_checked)} checks "
            f"could "
            "not be made: what they look at does not answer, or does not run.[/]",
            soft_wrap=True,
        )
    if diagnosis.worst in (None, "notice"):
        console.print(f"[green]nothing to do[/] {diagnosis.checked} checks")
