"""`engage operators`: people who sign in to the console."""

from pathlib import Path
from typing import Final, get_args

import rich_click as click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engage.cli.keys import opened_programs, programs_options
from engage.cli.options import data_option
from engage.cli.run import run_with_database
from engage.domain.operators.roles import Role
from engage.flows.operators.accounts import AccountProblem, create_operator, list_operators, reset_operator
from engage.store.audit_log import COMMAND_LINE

_PROBLEMS: Final = {
    AccountProblem.NO_EMAIL: "{email} is no e-mail address",
    AccountProblem.EXISTS: "there is an operator {email}: `engage operators reset` sets a new password",
    AccountProblem.UNKNOWN: "there is no operator {email}",
}


@click.group
def operators() -> None:
    """Create, list and reset operators of the console."""


@operators.command
@click.argument("email")
@click.option("--role", type=click.Choice(get_args(Role)), required=True, help="What the operator may do.")
@programs_options
@data_option
def create(email: str, role: Role, programs: tuple[str, ...], all_programs: bool, data: Path | None) -> None:
    """Create an operator. The password is shown only now, and has to be changed after signing in."""
    opened = opened_programs(programs, all_programs=all_programs)
    _show(
        email,
        run_with_database(data, lambda db: create_operator(db, email, role, opened, by=COMMAND_LINE)),
    )


@operators.command(name="list")
@data_option
def list_(data: Path | None) -> None:
    """List all operators by their addresses."""
    table = Table("e-mail", "role", "programs", "second factor", "made", "disabled")
    for operator in run_with_database(data, list_operators):
        made, disabled = (
            f"{at:%Y-%m-%d %H:%M}" if at else "" for at in (operator.created_at, operator.disabled_at)
        )
        programs = "all" if operator.programs is None else ", ".join(operator.programs)
        factor = "on" if operator.totp_secret else ""
        table.add_row(escape(operator.email), operator.role, programs, factor, made, disabled)
    Console(emoji=False).print(table)


@operators.command
@click.argument("email")
@data_option
def reset(email: str, data: Path | None) -> None:
    """Set a new password. All sessions, a lock-out and the second factor end."""
    _show(email, run_with_database(data, lambda db: reset_operator(db, email, by=COMMAND_LINE)))


def _show(email: str, password: str | AccountProblem) -> None:
    if isinstance(password, AccountProblem):
        raise click.ClickException(_PROBLEMS[password].format(email=email))
    click.echo(password)
