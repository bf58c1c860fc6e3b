"""`engage payouts`: compare withdrawals with the payouts of the provider."""

from pathlib import Path

import rich_click as click
import structlog
from rich.table import Column, Table

from engage.cli.options import data_option
from engage.cli.output import open_console, utc_text
from engage.cli.run import run_with_services
from engage.flows.withdrawals.reconcile import PayoutDifference
from engage.flows.withdrawals.reconcile import reconcile as reconcile_payouts


@click.group()
def payouts() -> None:
    """Withdrawals that a provider of mobile money pays."""


@payouts.command()
@data_option
@click.pass_context
def reconcile(ctx: click.Context, data: Path | None) -> None:
    """Compare withdrawals with the payouts of the provider: open ones and recently ended ones.

    Workers do this every day. If something differs, or is open for more than a day, the rows are shown and
    the exit status is 1.
    """
    console = open_console()
    # Each withdrawal is logged for workers. Here the table shows them.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("WARNING"))
    result = run_with_services(data, reconcile_payouts)
    if result.differences:
        console.print(_table(result.differences))
    console.print(
        f"{result.asked:,} open asked about, {result.closed:,} closed; {result.compared:,} compared, "
        f"{result.unanswered:,} without an answer; {len(result.differences):,} differences",
        soft_wrap=True,
    )
    ctx.exit(1 if result.differences else 0)


def _table(differences: list[PayoutDifference]) -> Table:
    # Fold ids instead of cutting them off, so that they can be copied.
    names = ("withdrawal", "program", "member", "requested", "amount", "difference")
    table = Table(*(Column(name, overflow="fold") for name in names))
    for difference in differences:
        withdrawal = difference.withdrawal
        table.add_row(
            str(withdrawal.id),
            withdrawal.program_id,
            withdrawal.member_id,
            utc_text(withdrawal.requested_at),
            f"{withdrawal.amount_minor} {withdrawal.currency}",
            difference.description,
        )
    return table
