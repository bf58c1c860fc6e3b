"""The winners, which follow from the root and the signature of the round: algorithm engage-draw-1."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from engage.domain.draws.beacon import Chain
from engage.domain.fairness.sampling import sample


def named_round(chain: Chain, *, closes_at: datetime, round_after: timedelta, published_at: datetime) -> int:
    """The round that decides: the first one later than `closes_at` plus `round_after`.

    A root that is published only when that round is out already would prove nothing. Then it is the first one
    later than `published_at` plus `round_after`.
    """
    number = chain.first_after(closes_at + round_after)
    if chain.time_of(number) > published_at:
        return number
    return chain.first_after(published_at + round_after)


def winners_of(root: str, signature: str, numbers: Sequence[int], prizes: int) -> list[int]:
    """The numbers that win, in the order in which they are drawn, none twice.

    The seed is the SHA-256 of the root's 32 bytes and the signature's 48. The numbers are shuffled from the
    front (Fisher and Yates): place i takes one of the places from i on, which `sample` chooses without bias.
    With no more entries than prizes all win.
    """
    seed = sha256(bytes.fromhex(root) + bytes.fromhex(signature)).digest()
    places = list(numbers)
    drawn = min(prizes, len(places))
    for place in range(drawn):
        other = place + sample(seed, ["winner", place], len(places) - place)
        places[place], places[other] = places[other], places[place]
    return places[:drawn]
