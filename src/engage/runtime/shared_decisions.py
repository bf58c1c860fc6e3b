"""Decisions that many credits share: each is stored once, and credits name it by its number.

A tap of one market and day, at one length of the streak, is decided alike for everybody. A decision becomes a
shared one when it is made for the second time, so that one which nobody else has costs nothing more than the
credit that it belongs to.

A standby that becomes the primary may never have got the newest decisions. Their numbers are those of others
there, so they are looked up again (`forget`).
"""

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.domain.earning.credit import NewCredit
from engage.fifo_cache import FifoCache
from engage.ledger.accept import why_json
from engage.ledger.decisions import store_decisions
from engage.runtime.database import one_statement

# Decisions in memory, the newest ones.
KEPT: Final = 10_000

_encode = msgspec.json.Encoder().encode


class SharedDecisions:
    """The numbers of the decisions that this process has made lately. A decision never changes."""

    def __init__(self, db: AsyncEngine) -> None:
        self._db = db
        self._numbers: FifoCache[bytes, int] = FifoCache(KEPT)
        self._made_once: FifoCache[bytes, None] = FifoCache(KEPT)

    def number_of(self, credit: NewCredit) -> int | None:
        """The number of the decision to grant a credit; None if the credit says itself why."""
        return self._numbers.get(_key(credit)) if _can_be_shared(credit) else None

    async def share(self, credits: Sequence[NewCredit]) -> None:
        """Store the decisions among these that were made before, or that several of these have.

        Comes before the transaction that accepts the credits. Raises Unavailable.
        """
        made: Counter[bytes] = Counter()
        whys: dict[bytes, NewCredit] = {}
        # Activities of one batch that were decided together share their credits.
        distinct = {id(credit): credit for credit in credits}
        times = Counter(map(id, credits))
        for number, credit in distinct.items():
            if _can_be_shared(credit) and (key := _key(credit)) not in self._numbers:
                made[key] += times[number]
                whys[key] = credit
        if not made:
            return
        repeated = [key for key, count in made.items() if count > 1 or key in self._made_once]
        if repeated:
            async with one_statement(self._db) as conn:
                numbers = await store_decisions(conn, [why_json(whys[key].why) for key in repeated])
            for key, number in zip(repeated, numbers, strict=True):
                self._numbers.keep(key, number)
        for key in repeated:
            self._made_once.pop(key, None)
        for key in made.keys() - set(repeated):
            self._made_once.keep(key, None)

    def forget(self) -> None:
        """Look the decisions up again: another server is the primary."""
        for key in self._numbers:
            self._made_once.keep(key, None)
        self._numbers.clear()


def _can_be_shared(credit: NewCredit) -> bool:
    """True if the activity has no more than its name: then the decision names nothing of the member's own."""
    why = credit.why
    return (
        credit.reference is None
        and why.at == credit.activity_at
        and all(getattr(why.activity, name) is None for name in why.activity.__struct_fields__)
    )


def _key(credit: NewCredit) -> bytes:
    """A digest of the decision without the instant of the activity."""
    why = credit.why
    stated = (why.program, why.version, why.rule, why.activity, why.zone, why.inputs, why.trace)
    return blake2b(_encode(stated), digest_size=16).digest()
