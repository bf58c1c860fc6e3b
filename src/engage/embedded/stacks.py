"""The stack of each thread of a process that does not answer, in its log."""

import faulthandler
import signal
from typing import Final

STACKS_SIGNAL: Final = signal.SIGUSR1


def write_stacks_on_signal() -> None:
    """Let the supervisor ask, also while Python code does not give up the processor."""
    faulthandler.register(STACKS_SIGNAL)
