"""The time in statements that decide by it: that of the process, and never later than the database's own.

`:ahead` is `Clock.ahead`. So nothing is accepted, activated, expired or paid out early, whatever clock a
process has. `:on_time` is true when the sandbox's clock passes over the time of the work.
"""

from typing import Final

NOW: Final = "least(CAST(:now AS timestamptz), statement_timestamp() + CAST(:ahead AS interval))"


def is_due(column: str) -> str:
    """A condition: the time in a column has come."""
    return f"({column} <= :now AND (:on_time OR {column} <= {NOW}))"
