"""Print programs: with frames and colours on a terminal, as plain aligned text elsewhere."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from engage.cli.output import open_console
from engage.domain.program.program import Program
from engage.messages.catalogue import DEFAULT
from engage.messages.program_text.description import SectionTable
from engage.messages.program_text.sections import descriptions

# Other programs read plain text, so its lines are never wrapped.
PLAIN_WIDTH = 10_000


def show(program: Program) -> None:
    console = open_console(pipe_width=PLAIN_WIDTH)
    console.print(f"{program.title}: {program.id} {program.version}", style="bold", markup=False)
    found = descriptions(program, DEFAULT)
    for description in found:
        for sentence in description.sentences:
            console.print(sentence, markup=False)
    for description in found:
        if description.table is not None:
            console.print()
            console.print(_table(console, description.table))
    console.print()


def show_list(programs: Sequence[tuple[str, Program]]) -> None:
    console = open_console(pipe_width=PLAIN_WIDTH)
    headers = "preset", "title", "in force from", "countries", "rules", "rewards", "examples"
    rows = []
    for name, program in programs:
        counts = [str(len(items)) for items in (program.rules, program.rewards, program.examples)]
        countries = " ".join(program.countries)
        rows.append((name, program.title, str(program.in_force_from), countries, *counts))
    console.print(_table(console, SectionTable(headers, rows)))


def _table(console: Console, section: SectionTable) -> Table:
    frame = box.ROUNDED if console.is_terminal else None
    table = Table(*section.headers, box=frame, pad_edge=frame is not None, header_style="bold")
    if section.number_column is not None:
        table.columns[section.number_column].justify = "right"
    for row in section.rows:
        table.add_row(*row)
    return table
