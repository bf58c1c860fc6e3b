"""A member's balance, as answers and the feed show it."""

from msgspec import Struct


class Balance(Struct, frozen=True):
    """Points, never negative. `active` can be spent now; `held` are set aside by holds; `debt` is owed.

    `seq` rises by one with each change of the balance: it orders the feed's messages.
    """

    active: int = 0
    pending: int = 0
    held: int = 0
    debt: int = 0
    seq: int = 0
