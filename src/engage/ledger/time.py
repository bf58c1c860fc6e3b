"""The time in statements that decide by it: that of the process, and never later than the database's own.

`:ahead` is `Clock.ahead`. So nothing is accepted or activated early, whatever clock a process has.
"""

from typing import Final

NOW: Final = "least(CAST(:now AS timestamptz), statement_timestamp() + CAST(:ahead AS interval))"
