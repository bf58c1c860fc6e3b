"""Whatever a client sends on the feed, and whenever: a message of the contract, or a close with its code."""

import json
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from engage.domain.accounts.balance import Balance
from engage.feed.asyncapi import document
from engage.feed.messages import MESSAGE_BYTES, Auth, Ping, Resume, decode
from engage.feed.session import (
    POLICY,
    RESTARTING,
    TRY_LATER,
    UNAUTHORIZED,
    Abort,
    Action,
    Close,
    Phase,
    ReadSnapshot,
    Redeem,
    Send,
    Session,
    Timeouts,
    push_of,
)
from tests.feed.feeds import running_feed
from tests.support.generated_cases import cases
from tests.support.processor import processor_seconds
from tests.support.spoiling import JSON_VALUES, spoil

SOUND: list[dict[str, Any]] = [
    {"type": "auth", "ticket": "t" * 43},
    {"type": "resume", "seq": 7},
    {"type": "ping"},
]
CODES = {POLICY, RESTARTING, TRY_LATER, UNAUTHORIZED}
BOUND_S = 1.0


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    message = dict(draw(st.sampled_from(SOUND)))
    for _ in range(draw(st.integers(0, 2))):
        spoil(message, draw(st.data()), JSON_VALUES)
    return json.dumps(message).encode()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    text = json.dumps(draw(st.sampled_from(SOUND))).encode()
    at, cut = draw(st.integers(0, len(text))), draw(st.integers(0, 4))
    return text[:at] + draw(st.binary(max_size=4)) + text[at + cut :]


MESSAGES = spoiled() | damaged() | st.binary(max_size=40)


def contract() -> Any:
    """Make a validator of the messages that the contract lets a client send."""
    schemas = document()["components"]["schemas"]
    kinds = [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in (Auth, Resume, Ping)]
    return jsonschema_rs.validator_for({"anyOf": kinds, "components": {"schemas": schemas}})


@settings(max_examples=cases(300))
@given(MESSAGES)
def test_a_message_is_one_of_the_contract_or_none(raw: bytes) -> None:
    message = decode(raw)
    if message is not None:
        assert contract().is_valid(json.loads(raw)), raw


@given(st.sampled_from(SOUND))
def test_every_message_of_the_contract_is_taken(sound: dict[str, Any]) -> None:
    assert contract().is_valid(sound)
    assert decode(json.dumps(sound).encode()) is not None


@pytest.mark.parametrize(
    "part", [b"[", b'{"a":', b'"\\', b"\\", b"9", b"\xff", b'{"type":"ping"},', b'"type":"ping",', b" "]
)
def test_a_long_message_is_none_in_bounded_time(part: bytes) -> None:
    with processor_seconds(BOUND_S):
        for start in (b"", b'{"type":"resume","seq":', b'{"type":"auth","ticket":"'):
            for length in (MESSAGE_BYTES, 1_000_000):
                assert decode(start + part * (length // len(part))) is None


# Everything that may happen to a connection, in any order, between the messages of its client.
EVENTS = ["authenticated", "refused", "unavailable", "restarting", "displaced", "expired", "forget"]
EVENT = st.one_of(
    MESSAGES,
    st.sampled_from([*EVENTS, "read", "unknown", "changed", "stalled", "drained", "ended"]),
)


def happen(session: Session, event: str | bytes, seq: int, now: float) -> tuple[Action, ...]:
    match event:
        case bytes():
            return session.received(decode(event), now)
        case "read":
            return session.snapshot_read(Balance(seq=seq), now)
        case "unknown":
            return session.snapshot_read(None, now)
        case "changed":
            message = session.changed(push_of(Balance(seq=seq), "tap"))
            return () if message is None else (Send(message),)
        case "stalled":
            session.stalled(now)
            return ()
        case "drained":
            return session.drained()
        case "ended":
            session.ended()
            return ()
        case "expired" if session.deadline is None:
            return ()
        case _:
            actions: tuple[Action, ...] = getattr(session, event)(now)
            return actions


@settings(max_examples=cases(300))
@given(st.lists(EVENT, max_size=25))
def test_no_order_of_messages_and_events_breaks_a_session(events: list[str | bytes]) -> None:
    session, is_closed, has_redeemed = Session(100.0, Timeouts()), False, False
    for number, event in enumerate(events):
        was_over = session.phase is Phase.CLOSED
        for action in happen(session, event, number, 100.0 + number):
            match action:
                case Close(code=code):
                    assert code in CODES
                    assert not is_closed, "a second close frame"
                    is_closed = True
                case Send(message=message):
                    assert not was_over, "a message after the close frame"
                    assert msgspec.json.decode(message)["type"] in ("snapshot", "balance", "pong")
                case Redeem(ticket=ticket):
                    assert not was_over
                    assert 0 < len(ticket) <= 256
                    has_redeemed = True
                case Abort():
                    assert was_over
                case ReadSnapshot():
                    assert not was_over
    assert session.phase is not Phase.REDEEMING or has_redeemed


HOSTILE: list[bytes | str | list[bytes | str]] = [
    b"\x00" * 100,
    b'{"type":"ping"}',
    "",
    "[" * 4_000,
    '{"type":"resume","seq":' + "9" * 3_000 + "}",
    '{"type":"resume","seq":-1}',
    '{"type":"resume","seq":1e3}',
    '{"type":"auth","ticket":"' + "t" * 3_000 + '"}',
    ['{"type":', '"resume",', '"seq":', "{}}"],
    ["x" * 1_000] * 50,
]


async def test_hostile_frames_close_their_connection_and_no_other(valkey: Redis) -> None:
    async with running_feed(valkey) as running:
        await running.ready()
        running.balances.change("m1", 5)
        running.balances.change("m2", 1)
        async with running.client("m1") as calm:
            await calm.expect("snapshot", 5)
            for hostile in HOSTILE:
                async with running.client("m2") as client:
                    await client.expect("snapshot", 1)
                    await client.connection.send(hostile)
                    if hostile == b'{"type":"ping"}':
                        continue  # In a binary frame it is the same message.
                    code, _ = await client.read_to_the_end()
                    assert code in (1008, 1009), hostile
            await running.change("m1", [6])
            await calm.expect("balance", 6, "tap")
