"""Messages of the feed, in both directions. `openapi/feed.yaml` is generated from these structs."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from engage.decoding.json_text import decode_json
from engage.decoding.malformed import Malformed
from engage.domain.accounts.balance import Balance

# The limit of a message from a client.
MESSAGE_BYTES: Final = 4096

# Causes of the feed itself. All others come from the flow that changed the balance.
RESUMED: Final = "resume"
RESYNCED: Final = "resync"

Seq = Annotated[int, Meta(ge=0, description="Rises with each change of the member's balance.")]
Points = Annotated[int, Meta(ge=0)]


class FeedBalance(Struct, frozen=True, gc=False):
    """Points that can be spent, that are pending, that are held, and that are owed."""

    active: Points
    pending: Points
    held: Points
    debt: Points


class Snapshot(Struct, frozen=True, tag_field="type", tag="snapshot", gc=False):
    """The current balance. It replaces what the client knows, even where its `seq` is lower."""

    seq: Seq
    balance: FeedBalance


class BalanceChange(Struct, frozen=True, tag_field="type", tag="balance", gc=False):
    """The balance after a change. `seq` may skip numbers and never falls on one connection."""

    seq: Seq
    balance: FeedBalance
    cause: Annotated[
        str,
        Meta(
            description="The cause of the change. `resume`: the answer to a resume. `resync`: the balance "
            "after an interruption of the feed. New causes may be added."
        ),
    ]


class Auth(Struct, frozen=True, tag_field="type", tag="auth", forbid_unknown_fields=True):
    """First message of a client without an Authorization header, and from any client before its token ends. A
    ticket is valid once, for 30 s.
    """

    ticket: Annotated[str, Meta(min_length=1, max_length=256)]


class Resume(Struct, frozen=True, tag_field="type", tag="resume", forbid_unknown_fields=True):
    """First message after authentication of a client that has seen a balance before."""

    seq: Annotated[int, Meta(ge=0, le=2**63 - 1, description="The highest `seq` that the client has seen.")]


class Ping(Struct, frozen=True, tag_field="type", tag="ping", forbid_unknown_fields=True):
    """Asks whether the feed still answers. Browsers show the pings of the protocol to nobody."""


class Pong(Struct, frozen=True, tag_field="type", tag="pong"):
    """The answer to a ping."""


Incoming = Auth | Resume | Ping
Outgoing = Snapshot | BalanceChange | Pong

_incoming: msgspec.json.Decoder[Incoming] = msgspec.json.Decoder(Incoming)
_encode = msgspec.json.Encoder().encode

PONG: Final = _encode(Pong())


def decode(message: bytes) -> Incoming | None:
    """Return None for anything that is no message of a client."""
    try:
        return decode_json(message, _incoming, limit_bytes=MESSAGE_BYTES)
    except Malformed:
        return None


def snapshot(balance: Balance) -> bytes:
    """Encode a snapshot."""
    return _encode(Snapshot(balance.seq, _balance(balance)))


def balance_changed(balance: Balance, cause: str) -> bytes:
    """Encode a change."""
    return _encode(BalanceChange(balance.seq, _balance(balance), cause))


def _balance(balance: Balance) -> FeedBalance:
    return FeedBalance(balance.active, balance.pending, balance.held, balance.debt)
