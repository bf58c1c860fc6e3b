"""A member's balance as everyone sees it."""

from msgspec import Struct


class Balance(Struct, frozen=True):
    """Points. `active` can be spent now, without what a hold keeps; none is negative; what is owed is `debt`.

    `seq` rises by one with each change of the balance: it orders the feed's messages.
    """

    active: int = 0
    pending: int = 0
    held: int = 0
    debt: int = 0
    seq: int = 0
