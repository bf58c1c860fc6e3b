"""What goes over the feed's websocket, both ways. `openapi/feed.yaml` is generated from these structs."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from engage.domain.accounts.balance import Balance

# The longest message that a client may send.
MESSAGE_BYTES: Final = 4096

# Causes of the feed's own; all others come from the flow that changed the balance.
RESUMED: Final = "resume"
HEALED: Final = "resync"

Seq = Annotated[int, Meta(ge=0, description="Rises with each change of the member's balance.")]
Points = Annotated[int, Meta(ge=0)]


class Shown(Struct, frozen=True, gc=False):
    """A balance as a screen shows it: points to spend, points to come, points kept by holds, points owed."""

    active: Points
    pending: Points
    held: Points
    debt: Points


class Snapshot(Struct, frozen=True, tag_field="type", tag="snapshot", gc=False):
    """The balance as it is now. Replaces whatever the client knew, also when `seq` is lower than that."""

    seq: Seq
    balance: Shown


class BalanceChanged(Struct, frozen=True, tag_field="type", tag="balance", gc=False):
    """The balance after a change. `seq` may jump forward; it never goes back on one connection."""

    seq: Seq
    balance: Shown
    cause: Annotated[
        str,
        Meta(
            description="What changed the balance. `resume` answers a resume; `resync` tells what was "
            "missed while the feed itself could not listen. Others may be added at any time."
        ),
    ]


class Auth(Struct, frozen=True, tag_field="type", tag="auth", forbid_unknown_fields=True):
    """First message of a client that sent no Authorization header. A ticket is good once, for 30 s."""

    ticket: Annotated[str, Meta(min_length=1, max_length=256)]


class Resume(Struct, frozen=True, tag_field="type", tag="resume", forbid_unknown_fields=True):
    """First message after authentication of a client that knows a balance already."""

    seq: Annotated[int, Meta(ge=0, description="The highest `seq` that the client has seen.")]


Incoming = Auth | Resume
Outgoing = Snapshot | BalanceChanged

_incoming: msgspec.json.Decoder[Incoming] = msgspec.json.Decoder(Incoming)
_encode = msgspec.json.Encoder().encode


def decode(message: bytes) -> Incoming | None:
    """None when it is nothing that a client may send."""
    try:
        return _incoming.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def snapshot(balance: Balance) -> bytes:
    """The message, encoded."""
    return _encode(Snapshot(balance.seq, _shown(balance)))


def balance_changed(balance: Balance, cause: str) -> bytes:
    """The message, encoded."""
    return _encode(BalanceChanged(balance.seq, _shown(balance), cause))


def _shown(balance: Balance) -> Shown:
    return Shown(balance.active, balance.pending, balance.held, balance.debt)
