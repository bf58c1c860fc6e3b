"""The session without sockets: events in, actions out."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.domain.accounts.balance import Balance
from engage.feed.messages import Auth, Incoming, Ping, Resume, decode
from engage.feed.session import (
    Abort,
    Actions,
    Close,
    Phase,
    ReadSnapshot,
    Redeem,
    Send,
    Session,
    Timeouts,
    push_of,
)

TIMEOUTS = Timeouts(auth_s=5, read_s=15, drain_s=10, close_s=3)


def balance(seq: int) -> Balance:
    """Derive the balance from the seq, so that a message with the wrong balance is noticed."""
    return Balance(active=seq * 10, pending=seq % 3, held=seq % 5, debt=0, seq=seq)


def shown(seq: int) -> dict[str, int]:
    return {"active": seq * 10, "pending": seq % 3, "held": seq % 5, "debt": 0}


def messages_of(actions: Actions | bytes | None) -> list[dict[str, Any]]:
    """Decode the messages of actions that must all be Send."""
    if actions is None or isinstance(actions, bytes):
        actions = () if actions is None else (Send(actions),)
    messages = []
    for action in actions:
        assert isinstance(action, Send), action
        messages.append(msgspec.json.decode(action.message))
    return messages


def snapshot(seq: int) -> dict[str, Any]:
    return {"type": "snapshot", "seq": seq, "balance": shown(seq)}


def pushed(seq: int, cause: str = "tap") -> dict[str, Any]:
    return {"type": "balance", "seq": seq, "balance": shown(seq), "cause": cause}


def opened() -> Session:
    return Session(100.0, TIMEOUTS)


def reading() -> Session:
    session = opened()
    assert session.authenticated(100.0) == (ReadSnapshot(),)
    return session


def live(seq: int = 5) -> Session:
    session = reading()
    assert messages_of(session.snapshot_read(balance(seq), 100.0)) == [snapshot(seq)]
    return session


# Credentials.


def test_without_credentials_a_connection_ends_after_five_seconds() -> None:
    session = opened()
    assert session.deadline == 105.0
    assert session.expired(105.0) == (Close(3000, "no credentials"),)


def test_a_ticket_is_looked_up_and_leads_to_a_snapshot() -> None:
    session = opened()
    assert session.received(Auth("t"), 101.0) == (Redeem("t"),)
    assert session.authenticated(101.5) == (ReadSnapshot(),)
    assert messages_of(session.snapshot_read(balance(7), 102.0)) == [snapshot(7)]
    assert session.deadline is None


def test_bad_credentials_are_refused() -> None:
    session = opened()
    session.received(Auth("t"), 101.0)
    assert session.refused(101.0) == (Close(3000, "bad credentials"),)


def test_the_ticket_must_be_looked_up_within_the_same_five_seconds() -> None:
    session = opened()
    session.received(Auth("t"), 101.0)
    assert session.deadline == 105.0
    assert session.expired(105.0) == (Close(1013, "try again later"),)
    assert session.authenticated(106.0) == ()


@pytest.mark.parametrize("message", [Resume(3), None])
def test_the_first_message_must_be_credentials(message: Incoming | None) -> None:
    assert opened().received(message, 101.0) == (Close(3000, "authenticate first"),)


def test_one_ticket_is_enough() -> None:
    session = opened()
    session.received(Auth("t"), 101.0)
    assert session.received(Auth("u"), 101.0) == (Close(3000, "authenticate first"),)


def test_an_authenticated_client_may_send_a_resume_or_new_credentials() -> None:
    for session in (reading(), live()):
        assert session.received(Auth("u"), 101.0) == (Redeem("u"),)
        assert session.phase is not Phase.REDEEMING
        assert session.received(None, 101.0) == (Close(1008, "unexpected message"),)


def test_the_end_of_the_credentials_closes_once() -> None:
    session = live()
    assert session.credentials_ended("token expired", 101.0) == (Close(3000, "token expired"),)
    assert session.deadline == 104.0
    assert session.credentials_ended("token expired", 102.0) == ()


def test_a_member_that_the_database_does_not_know_is_refused() -> None:
    assert reading().snapshot_read(None, 101.0) == (Close(3000, "unknown member"),)


def test_a_balance_that_cannot_be_read_closes_with_try_again_later() -> None:
    session = reading()
    assert session.deadline == 115.0
    assert session.expired(115.0) == (Close(1013, "try again later"),)
    assert session.snapshot_read(balance(1), 116.0) == ()


# Pushes.


def test_a_change_is_pushed() -> None:
    session = live(5)
    assert messages_of(session.changed(push_of(balance(6), "tap"))) == [pushed(6)]
    assert messages_of(session.changed(push_of(balance(9), "settled"))) == [pushed(9, "settled")]


def test_a_change_that_is_not_newer_is_not_sent() -> None:
    session = live(5)
    assert session.changed(push_of(balance(5), "tap")) is None
    assert session.changed(push_of(balance(4), "tap")) is None


def test_a_change_during_the_read_follows_the_snapshot() -> None:
    session = reading()
    assert session.changed(push_of(balance(6), "tap")) is None
    assert session.changed(push_of(balance(8), "tap")) is None
    assert session.changed(push_of(balance(7), "tap")) is None
    assert messages_of(session.snapshot_read(balance(5), 101.0)) == [snapshot(5), pushed(8)]


def test_a_change_that_the_snapshot_has_is_not_sent_again() -> None:
    session = reading()
    session.changed(push_of(balance(6), "tap"))
    assert messages_of(session.snapshot_read(balance(6), 101.0)) == [snapshot(6)]
    assert session.changed(push_of(balance(6), "tap")) is None


# Resume.


def test_a_resume_is_answered_with_the_current_state() -> None:
    session = live(5)
    assert messages_of(session.received(Resume(3), 101.0)) == [pushed(5, "resume")]


def test_a_resume_is_answered_though_nothing_was_missed() -> None:
    """By a snapshot: a database that lost changes may have counted as far since."""
    assert messages_of(live(5).received(Resume(5), 101.0)) == [snapshot(5)]


def test_after_a_failover_the_client_gets_a_snapshot_and_what_comes_next_though_seq_goes_back() -> None:
    session = live(41)
    assert session.forget(100.0) == (ReadSnapshot(),)
    assert messages_of(session.snapshot_read(balance(40), 101.0)) == [snapshot(40)]
    assert messages_of(session.changed(push_of(balance(41), "spent"))) == [pushed(41, "spent")]


def test_a_failover_leaves_a_client_alone_that_knows_nothing_yet() -> None:
    assert opened().forget(100.0) == ()


def test_a_client_ahead_of_a_restored_database_is_set_back_by_a_snapshot() -> None:
    assert messages_of(live(5).received(Resume(6), 101.0)) == [snapshot(5)]


def test_a_resume_before_the_snapshot_replaces_it() -> None:
    session = reading()
    assert session.received(Resume(3), 101.0) == ()
    assert messages_of(session.snapshot_read(balance(5), 101.0)) == [pushed(5, "resume")]


def test_a_resume_before_the_snapshot_knows_of_changes_since() -> None:
    session = reading()
    session.received(Resume(7), 101.0)
    session.changed(push_of(balance(8), "tap"))
    assert messages_of(session.snapshot_read(balance(5), 101.0)) == [pushed(8, "resume")]


def test_a_ping_is_answered_as_often_as_it_comes_unless_the_client_does_not_read() -> None:
    session = live(5)
    for _ in range(2):
        assert messages_of(session.received(Ping(), 101.0)) == [{"type": "pong"}]
    session.stalled(102.0)
    assert session.received(Ping(), 103.0) == ()
    session.drained()
    assert messages_of(session.received(Ping(), 104.0)) == [{"type": "pong"}]


def test_a_ping_is_no_credentials() -> None:
    (closed,) = opened().received(Ping(), 101.0)
    assert isinstance(closed, Close)


def test_one_resume_is_enough() -> None:
    session = live()
    session.received(Resume(3), 101.0)
    assert session.received(Resume(3), 101.0) == (Close(1008, "unexpected message"),)


# Slow clients.


def test_a_slow_client_gets_only_the_newest_state() -> None:
    session = live(5)
    session.stalled(101.0)
    for seq in (6, 7, 8):
        assert session.changed(push_of(balance(seq), "tap")) is None
    assert messages_of(session.drained()) == [pushed(8)]
    assert session.deadline is None
    assert messages_of(session.changed(push_of(balance(9), "tap"))) == [pushed(9)]


def test_a_slow_client_that_has_missed_nothing_gets_nothing() -> None:
    session = live(5)
    session.stalled(101.0)
    assert session.drained() == ()


def test_a_client_that_does_not_drain_for_ten_seconds_is_too_slow() -> None:
    session = live(5)
    session.stalled(101.0)
    session.changed(push_of(balance(6), "tap"))
    assert session.deadline == 111.0
    assert session.expired(111.0) == (Close(1013, "too slow"),)
    assert session.drained() == ()


def test_a_stalled_client_is_answered_when_it_has_drained() -> None:
    session = reading()
    session.stalled(101.0)
    assert session.snapshot_read(balance(5), 102.0) == ()
    assert session.deadline == 112.0
    session.changed(push_of(balance(6), "tap"))
    assert messages_of(session.drained()) == [snapshot(5), pushed(6)]


def test_a_stalled_client_that_resumes_gets_that_answer_alone() -> None:
    session = reading()
    session.stalled(101.0)
    session.snapshot_read(balance(5), 102.0)
    session.changed(push_of(balance(6), "tap"))
    assert session.received(Resume(2), 103.0) == ()
    assert messages_of(session.drained()) == [pushed(6, "resume")]


# Ends.


def test_a_restart_closes_once() -> None:
    for session in (opened(), reading(), live()):
        assert session.restarting(101.0) == (Close(1012, "restarting"),)
        assert session.restarting(101.0) == ()


def test_a_client_that_does_not_answer_a_close_frame_is_aborted() -> None:
    session = live()
    session.restarting(101.0)
    assert session.deadline == 104.0
    assert session.expired(104.0) == (Abort(),)


def test_nothing_is_sent_after_the_close_frame() -> None:
    session = live(5)
    session.restarting(101.0)
    assert session.received(Resume(1), 102.0) == ()
    assert session.received(None, 102.0) == ()
    assert session.changed(push_of(balance(6), "tap")) is None
    assert session.authenticated(102.0) == ()
    assert session.snapshot_read(balance(7), 102.0) == ()
    session.stalled(102.0)
    assert session.drained() == ()
    session.ended()
    assert (session.phase, session.deadline) == (Phase.CLOSED, None)


# Events in any order.

EVENTS = st.lists(
    st.one_of(
        st.integers(1, 12).map(lambda steps: ("commit", steps)),
        st.integers(0, 12).map(lambda back: ("receive", back)),
        st.just(("begin to read", 0)),
        st.just(("read", 0)),
        st.integers(0, 20).map(lambda seq: ("resume", seq)),
        st.just(("stall", 0)),
        st.just(("drain", 0)),
    ),
    max_size=40,
)


@given(EVENTS)
def test_an_old_state_and_the_messages_since_make_the_current_state(events: list[tuple[str, int]]) -> None:
    """The last message has the current balance, and no seq is lower than the one before."""
    session = reading()
    newest = read_at = 0
    read = resumed = False
    stalled = False
    messages: list[dict[str, Any]] = []
    for kind, number in events:
        match kind:
            case "commit":
                newest += number
            case "receive":  # Late, twice or out of order, as several publishers may send it.
                seq = max(newest - number, 0)
                messages += messages_of(session.changed(push_of(balance(seq), "tap")))
            case "begin to read" if not read:
                read_at = newest
            case "read" if not read:
                read = True
                messages += messages_of(session.snapshot_read(balance(read_at), 100.0))
            case "resume" if not resumed:
                resumed = True
                messages += messages_of(session.received(Resume(number), 100.0))
            case "stall" if not stalled:
                stalled = True
                session.stalled(100.0)
            case "drain" if stalled:
                stalled = False
                messages += messages_of(session.drained())
    # Everything is read, received and drained at the end.
    if not read:
        messages += messages_of(session.snapshot_read(balance(read_at), 100.0))
    messages += messages_of(session.changed(push_of(balance(newest), "tap")))
    if stalled:
        messages += messages_of(session.drained())

    sequence = [message["seq"] for message in messages]
    assert sequence == sorted(sequence)
    assert all(message["balance"] == shown(message["seq"]) for message in messages)
    assert messages[-1]["seq"] == newest
    first = messages[0]
    assert first["type"] == "snapshot" or first["cause"] == "resume"
    changes = [message["seq"] for message in messages if message.get("cause") == "tap"]
    assert len(set(changes)) == len(changes)
    assert sum(message["type"] == "snapshot" for message in messages) <= 1 + resumed


@given(st.binary(max_size=64))
def test_any_bytes_of_a_client_can_be_decoded_or_refused(raw: bytes) -> None:
    decode(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"type":"auth"}',
        b'{"type":"auth","ticket":""}',
        b'{"type":"auth","ticket":"' + b"t" * 257 + b'"}',
        b'{"type":"auth","ticket":"t","more":1}',
        b'{"type":"auth","ticket":"\xff"}',
        b'{"type":"resume","seq":-1}',
        b'{"type":"resume","seq":"1"}',
        b'{"type":"balance","seq":1}',
        b"[" * 2000,
        b'{"type":"auth","ticket":"t","x":' + b"[" * 1_450 + b"]" * 1_450 + b"}",
        b'{"type":"resume","seq":' + b"9" * 4_000 + b"}",
    ],
)
def test_bytes_that_are_no_message_decode_to_none(raw: bytes) -> None:
    assert decode(raw) is None


def test_auth_and_resume_messages_are_decoded() -> None:
    assert decode(b'{"type":"auth","ticket":"t"}') == Auth("t")
    assert decode(b' {"seq":7,"type":"resume"} ') == Resume(7)
