"""Reactions: what follows from the facts of a member, such as the steps of a challenge, a tier, a referral.

Every transaction that changes facts notes the member (`Posting.note_changes`; new credits are noted by
themselves). Workers then run all reactions for the members that were noted. A note is deleted when the
reactions are done, so each is done at least once after the last change: a reaction computes anew what should
be, under the member's lock, and writes the difference. Each feature describes its reaction;
`engage.flows.scheduled.reactions` lists them all.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from engage.domain.keys import MemberKey
from engage.runtime.services import Services


class React(Protocol):
    async def __call__(self, services: Services, members: Sequence[MemberKey], *, now: datetime) -> None:
        """Bring what follows to what it should be, for members in order of their keys, in transactions of its
        own. Repeating it changes nothing. Raises Unavailable.

        What it posts is noted as a change in its turn, so reactions go on until nothing changes.
        """


class Reaction(Struct, frozen=True):
    name: str
    react: React
