"""The store: responses, keys, versions, members, events, the sandbox's clock, the outbox."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.domain.refusals import Refusal
from engage.runtime.database import open_database, transaction
from engage.runtime.ids import new_id
from engage.settings import Settings
from engage.store import api_keys, idempotency, outbox, programs, sandbox_clock
from engage.store.idempotency import RequestKey, StoredResponse
from engage.store.members import members
from engage.store.members.members import Member, NewMember
from engage.store.members.persons import person_hashes
from engage.store.programs import PublishedVersion
from engage.store.shop import events
from engage.store.shop.events import RecordedEvent
from tests.support.database import rows

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MOMENT = timedelta(milliseconds=1)


@pytest.fixture
async def db(database: Settings) -> AsyncIterator[AsyncEngine]:
    engine = open_database(database.database_url, pool_size=20)
    yield engine
    await engine.dispose()


ANSWER = StoredResponse(202, [("content-type", "application/json")], b'{"credits": []}')


def request_key(key: str = "k", *, of: bytes = b"f") -> RequestKey:
    return RequestKey("m-1", key, of)


async def test_a_key_that_a_transaction_has_locked_is_not_free_until_it_ends(db: AsyncEngine) -> None:
    one, other = request_key("1"), request_key("2")
    async with transaction(db) as first, transaction(db) as second:
        assert await idempotency.lock_free(first, [one, one, other]) == [True, False, True]
        assert await idempotency.lock_free(second, [other, request_key("3")]) == [False, True]
    async with transaction(db) as conn:
        assert await idempotency.lock_free(conn, [other, one]) == [True, True], "nothing was done under them"


async def test_of_many_transactions_with_a_key_one_does_its_action(db: AsyncEngine) -> None:
    async def act(body: bytes) -> bool:
        async with transaction(db) as conn:
            (free,) = await idempotency.lock_free(conn, [request_key()])
            if free:
                await idempotency.keep(conn, [(request_key(), StoredResponse(200, [], body))])
            return free

    acted = await asyncio.gather(*(act(b"%d" % n) for n in range(60)))
    assert acted.count(True) == 1
    async with transaction(db) as conn:
        found = await idempotency.find(conn, request_key())
    assert found == (b"f", StoredResponse(200, [], b"%d" % acted.index(True)))


async def test_an_answer_is_kept_if_its_transaction_commits(db: AsyncEngine) -> None:
    async with db.connect() as conn:
        await idempotency.lock_free(conn, [request_key()])
        await idempotency.keep(conn, [(request_key(), ANSWER)])
        await conn.rollback()
    async with transaction(db) as conn:
        assert await idempotency.find(conn, request_key()) is None
        assert await idempotency.lock_free(conn, [request_key()]) == [True]
        await idempotency.keep(conn, [(request_key(), ANSWER)])
    async with transaction(db) as conn:
        assert await idempotency.find(conn, request_key(of=b"other")) == (b"f", ANSWER)
        assert await idempotency.lock_free(conn, [request_key()]) == [False]


async def test_a_key_is_valid_until_revoked_and_stored_as_a_hash(db: AsyncEngine) -> None:
    key, other = api_keys.new_key(), api_keys.new_key()
    async with transaction(db) as conn:
        await api_keys.add(conn, key, name="shop", scopes=["shop"], programs=["p", "q"], now=NOW)
        await api_keys.add(conn, key, name="again", scopes=["shop", "admin"], programs=None, now=NOW)
        found = api_keys.match(await api_keys.read_active(conn), key)
        assert found is not None
        assert (found.name, found.scopes, found.programs) == ("shop", ("shop",), ("p", "q"))
        assert [found.opens(program) for program in ("p", "q", "r")] == [True, True, False]
        for programs in (None, ["r"]):
            await api_keys.bind(conn, found.id, programs)
            bound = api_keys.match(await api_keys.read_active(conn), key)
            assert bound is not None
            assert [bound.opens(program) for program in ("p", "r")] == [programs is None, True]
        forged = f"ek_{found.id}_{other.rpartition('_')[2]}"
        for wrong in (other, forged, key[:-1], key + "x", key.upper(), "", "ek__", "x" * 200):
            assert api_keys.match(await api_keys.read_active(conn), wrong) is None
        assert [(listed.id, listed.revoked_at) for listed in await api_keys.list_keys(conn)] == [
            (found.id, None)
        ]
        assert await api_keys.lock_key(conn, found.id) is not None
        await api_keys.revoke(conn, found.id, now=NOW)
        assert await api_keys.lock_key(conn, found.id) is None
        assert await api_keys.read_active(conn) == {}
    kept = str(await rows(db, "SELECT * FROM api_keys"))
    assert key.rpartition("_")[2] not in kept


async def test_a_published_version_never_changes(db: AsyncEngine) -> None:
    async def add(document: str, version: str = "1", since: date = date(2026, 1, 1)) -> bool:
        async with transaction(db) as conn:
            return await programs.add(
                conn, PublishedVersion("p", version, document), in_force_from=since, now=NOW
            )

    added = await asyncio.gather(*(add("one") for _ in range(10)))
    assert sorted(added) == [False] * 9 + [True]
    with pytest.raises(Refusal) as refused:
        await add("two")
    assert (refused.value.code, refused.value.status) == ("version_exists", 409)
    await add("older", "0", date(2025, 1, 1))
    async with transaction(db) as conn:
        assert [version.version for version in await programs.read_all(conn)] == ["0", "1"]
        assert await programs.count(conn) == 2


def new_member(n: int, **changes: Any) -> NewMember:
    fields: dict[str, Any] = {
        "program_id": "p",
        "member_id": f"m-{n:03}",
        "country": "ES",
        "kind": "person",
        "birth_date": None,
        "person_hash": None,
        "earlier_hashes": [],
        "phone": None,
        "referral_code": None,
        "card_numbers": [],
    }
    return NewMember(**(fields | changes))


async def add(db: AsyncEngine, member: NewMember) -> None:
    async with transaction(db) as conn:
        await members.add_member(conn, member, now=NOW)


async def test_members_are_found_by_id_and_card_and_walked_in_order(db: AsyncEngine) -> None:
    for n in range(7):
        await add(db, new_member(n, card_numbers=[f"c-{n}"]))
    await add(db, new_member(1, program_id="q"))
    async with transaction(db) as conn:
        found = await members.read_members(conn, [("p", "m-001"), ("q", "m-001"), ("p", "nobody")])
        assert found == {key: Member(*key, "ES", NOW) for key in (("p", "m-001"), ("q", "m-001"))}
        by_card = await members.read_card_owners(conn, [("p", "c-3"), ("q", "c-3"), ("p", "none")])
        assert by_card == {("p", "c-3"): "m-003"}
        assert await members.count_members(conn) == 8
        walked, last = [], ("", "")
        while page := await members.read_members_after(conn, last, limit=3):
            walked += page
            last = page[-1].program_id, page[-1].member_id
    assert [(m.program_id, m.member_id) for m in walked] == [
        *[("p", f"m-{n:03}") for n in range(7)],
        ("q", "m-001"),
    ]


async def test_a_refused_member_leaves_no_rows(db: AsyncEngine) -> None:
    hashed, _ = person_hashes("ref", program_id="p", peppers=["x"])
    await add(db, new_member(1, person_hash=hashed, card_numbers=["a", "b"]))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"member_id": "m-001"}, "member_exists"),
        ({"person_hash": hashed}, "person_has_account"),
        ({"card_numbers": ["b", "c"]}, "card_taken"),
    ]
    for n, (changes, code) in enumerate(wrong):
        with pytest.raises(Refusal) as refused:
            await add(db, new_member(100 + n, **changes))
        assert refused.value.code == code
    assert refused.value.facts["card_numbers"] == ["b"]
    assert await rows(db, "SELECT member_id FROM members") == [("m-001",)]
    assert await rows(db, "SELECT card_number FROM card_numbers ORDER BY 1") == [("a",), ("b",)]
    await add(db, new_member(2, card_numbers=["c"]))


def test_a_person_is_recognised_within_a_program_only() -> None:
    def hashed(ref: str, program: str, pepper: str) -> bytes | None:
        return person_hashes(ref, program_id=program, peppers=[pepper])[0]

    assert hashed("ref", "p", "x") == hashed("ref", "p", "x")
    others = {
        hashed("ref", "q", "x"),
        hashed("ref", "p", "y"),
        hashed("fer", "p", "x"),
        hashed("x", "p\0ref", "x"),
    }
    assert hashed("ref", "p", "x") not in others
    assert len(others) == 4


async def test_an_event_is_recorded_once(db: AsyncEngine) -> None:
    content = events.EventContent("app.signed_in", NOW, b"digest")
    kept = [RecordedEvent("p", f"e-{n}", "m-1", content) for n in range(3)]
    async with transaction(db) as conn:
        assert await events.add_events(conn, kept[:2], now=NOW) == 2
        assert await events.add_events(conn, kept, now=NOW + MOMENT) == 1
        event_keys = [("p", "e-0"), ("p", "e-2"), ("q", "e-0"), ("p", "e-9")]
        assert await events.read_recorded_events(conn, event_keys) == {
            ("p", "e-0"): content,
            ("p", "e-2"): content,
        }
    assert await rows(db, "SELECT count(*) FROM shop_events WHERE received_at = :now", now=NOW) == [(2,)]


@pytest.mark.parametrize(
    ("kept", "again", "is_same"),
    [
        (b"one", b"one", True),
        (b"one", b"two", False),
        (None, b"one", True),
    ],
)
async def test_an_id_belongs_to_one_event(
    db: AsyncEngine, kept: bytes | None, again: bytes, is_same: bool
) -> None:
    """Of an event of an earlier release only the type and the time are known."""
    recorded, repeated = (
        RecordedEvent("p", "e-1", "m-1", events.EventContent("app.signed_in", NOW, digest))
        for digest in (kept, again)
    )
    async with transaction(db) as conn:
        await events.add_events(conn, [recorded], now=NOW)
    other = RecordedEvent("p", "e-2", "m-1", repeated.content)
    if is_same:
        async with transaction(db) as conn:
            assert await events.add_events(conn, [repeated, other], now=NOW) == 1
    else:
        with pytest.raises(events.IdsTaken) as taken:
            async with transaction(db) as conn:
                await events.add_events(conn, [repeated, other], now=NOW)
        assert taken.value.ids == {("p", "e-1")}


async def test_the_sandboxs_clock_is_shared_and_never_set_back(db: AsyncEngine) -> None:
    async with transaction(db) as conn:
        await conn.execute(text("DELETE FROM sandbox_clock"))
        assert await sandbox_clock.read(conn) == timedelta()
        for ahead in (timedelta(days=400, microseconds=7), timedelta(days=401)):
            assert await sandbox_clock.advance_to(conn, ahead) == ahead
            assert await sandbox_clock.read(conn) == ahead
        assert await sandbox_clock.advance_to(conn, timedelta(days=1)) == timedelta(days=401)
        assert await sandbox_clock.read(conn) == timedelta(days=401)


async def test_unpublished_changes_go_to_one_worker_each(db: AsyncEngine) -> None:
    async with transaction(db) as conn:
        for _ in range(4):
            await conn.execute(
                text("INSERT INTO outbox VALUES (:id, :at, 'active', ARRAY['p', 'p'], ARRAY['m-1', 'm-2'])"),
                {"id": new_id(), "at": NOW},
            )
    async with transaction(db) as first, transaction(db) as second:
        assert await outbox.lock_unpublished(first, before=NOW, limit=9) == []
        some = await outbox.lock_unpublished(first, before=NOW + MOMENT, limit=3)
        rest = await outbox.lock_unpublished(second, before=NOW + MOMENT, limit=3)
        assert (len(some), len(rest)) == (3, 1)
        assert some[0][1:] == ("active", [("p", "m-1"), ("p", "m-2")])
        await outbox.delete(first, [id_ for id_, _, _ in some])
        await outbox.delete(first, [new_id() for _ in range(40_000)])
    assert await rows(db, "SELECT count(*) FROM outbox") == [(1,)]
