"""`engage payouts`: what was paid out, compared with what the provider says of it."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import rich_click as click
import structlog
from rich.console import Console
from rich.table import Column, Table

from engage.domain.refusals import Unavailable
from engage.embedded.installation import open_installation
from engage.flows.withdrawals.reconcile import PayoutDifference, Reconciliation
from engage.flows.withdrawals.reconcile import reconcile as reconcile_payouts
from engage.runtime.services import follow_sandbox_clock, open_services

# A pipe has no width of its own; what is cut off there could not be looked up.
PIPE_WIDTH = 200


@click.group()
def payouts() -> None:
    """Withdrawals that a provider of mobile money pays out."""


@payouts.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=None,
    help="The installation's folder, running or not. Without it the URLs of the environment, or .engage.",
)
@click.pass_context
def reconcile(ctx: click.Context, data: Path | None) -> None:
    """Compare withdrawals with what the provider has: ask about what is open, and about what has ended.

    Workers do it every day. Exit status 1, and the rows, where something differs or has been open for more
    than a day.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    try:
        found = asyncio.run(_reconcile(data))
    except Unavailable as away:
        raise click.ClickException(f"{away.facts['part']} does not answer") from away
    if found.differences:
        console.print(_table(found.differences))
    console.print(
        f"{found.asked:,} open asked about, {found.closed:,} closed; {found.compared:,} compared, "
        f"{found.unanswered:,} without an answer; {len(found.differences):,} differences",
        soft_wrap=True,
    )
    ctx.exit(1 if found.differences else 0)


async def _reconcile(data: Path | None) -> Reconciliation:
    # What is told of each withdrawal is for workers' logs; here the table says it.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("WARNING"))
    async with (
        open_installation(data) as settings,
        open_services(settings, command_timeout_s=None) as services,
    ):
        await follow_sandbox_clock(services)
        return await reconcile_payouts(services)


def _table(differences: list[PayoutDifference]) -> Table:
    # Ids are to be copied: they are wrapped rather than cut.
    names = ("withdrawal", "program", "member", "requested", "amount", "difference")
    table = Table(*(Column(name, overflow="fold") for name in names))
    for one in differences:
        withdrawal = one.withdrawal
        table.add_row(
            str(withdrawal.id),
            withdrawal.program_id,
            withdrawal.member_id,
            _time(withdrawal.requested_at),
            f"{withdrawal.amount_minor} {withdrawal.currency}",
            one.description,
        )
    return table


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z")
