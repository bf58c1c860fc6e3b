"""Changes of balances as they are published, and the topics that they are published on: one a member."""

from typing import Final

import msgspec
from msgspec import Struct

from engage.domain.accounts.balance import Balance
from engage.domain.keys import MemberKey

# The cause of the last change of an account: its member was merged or erased.
CLOSED: Final = "closed"


class Change(Struct, frozen=True, array_like=True, gc=False):
    """A member's balance after a change, and the cause of the change."""

    program_id: str
    member_id: str
    active: int
    pending: int
    held: int
    debt: int
    seq: int
    cause: str
    trace: str = ""  # The traceparent of its publication, where it is traced.

    @property
    def balance(self) -> Balance:
        return Balance(self.active, self.pending, self.held, self.debt, self.seq)


def change_of(program_id: str, member_id: str, balance: Balance, cause: str) -> Change:
    return Change(
        program_id,
        member_id,
        balance.active,
        balance.pending,
        balance.held,
        balance.debt,
        balance.seq,
        cause,
    )


def topic(program_id: str, member_id: str) -> str:
    """Return a member's topic, whose braces make its hash slot that of the member."""
    return f"engage:feed:{{{program_id}:{member_id}}}"


def topic_of(member: MemberKey) -> str:
    return topic(*member)


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Change).decode
