"""Rules of signing in: how many attempts, how long a lock-out and a session last."""

from datetime import datetime, timedelta
from typing import Final

ATTEMPTS: Final = 10
LOCKED_FOR: Final = timedelta(minutes=15)

# A session ends when nobody has used it for this long, and at the latest after that.
IDLE: Final = timedelta(hours=2)
LONGEST: Final = timedelta(hours=12)

# How long somebody may take with a provider that signs them in.
PATIENCE: Final = timedelta(minutes=10)

# How often the last use of a session is written down.
SEEN_EVERY: Final = timedelta(minutes=1)


def is_locked(failures: int, failed_at: datetime | None, now: datetime) -> bool:
    """Return whether an operator has to wait: after ATTEMPTS wrong ones, until LOCKED_FOR has passed."""
    return failures >= ATTEMPTS and failed_at is not None and now < failed_at + LOCKED_FOR


def failures_with(failures: int, failed_at: datetime | None, now: datetime) -> int:
    """Count one more attempt. Those before a lock-out that is over no longer count."""
    over = failures >= ATTEMPTS and not is_locked(failures, failed_at, now)
    return 1 if over else failures + 1


def is_over(created_at: datetime, seen_at: datetime, now: datetime) -> bool:
    """Return whether a session has ended by time."""
    return now >= seen_at + IDLE or now >= created_at + LONGEST
