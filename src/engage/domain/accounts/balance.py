"""A member's balance, as answers and the feed show it."""

from typing import Final

from msgspec import Struct

# The most points of one credit, and of one account: every sum fits into 64 bits, and into the numbers of the
# clients that read JSON, which are exact up to 2**53.
MOST_POINTS: Final = 10**12
MOST_BALANCE: Final = 10**15


class Balance(Struct, frozen=True):
    """Points, never negative. `active` can be spent now; `held` are set aside by holds; `debt` is owed.

    `seq` rises by one with each change of the balance: it orders the feed's messages.
    """

    active: int = 0
    pending: int = 0
    held: int = 0
    debt: int = 0
    seq: int = 0
