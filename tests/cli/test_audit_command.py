"""`engage audit`, as finance reads it."""

from io import StringIO

from rich.console import Console

from engage.audit import Finding
from engage.cli.audit import show_finding
from engage.flows.operations.audit import CHECKS


def test_ids_are_shown_as_they_are_stored() -> None:
    output = StringIO()
    key = "review:x:0 [/b] [red]"
    finding = Finding(CHECKS[0], 1, ["source_key"], [(key,)])
    show_finding(Console(file=output, emoji=False, highlight=False, width=200), finding, "broken")
    assert key in output.getvalue()
