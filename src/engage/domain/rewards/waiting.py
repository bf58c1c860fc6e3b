"""The waiting list of a scarce reward: pieces that come back, or are added, go to those who came first."""

from datetime import timedelta
from typing import Final

# So long a piece is kept for the member whose turn it is. Who lets it pass has to join again.
TURN: Final = timedelta(days=1)


# So many turns at once are enough for any reward.
MOST_WAITING: Final = 10_000


def pieces_left(stock: int | None, issued: int) -> int | None:
    """The pieces that members can still redeem; None without a limit."""
    return None if stock is None else max(stock - issued, 0)


def is_turn(position: int, left: int | None) -> bool:
    """Tell whether there is a piece for a position of the list, counted from 1."""
    return left is None or position <= left
