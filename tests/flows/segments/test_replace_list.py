"""A list is replaced as a whole, and who was in it when is known for ever."""

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from engage.decoding.csv_text import InvalidFile
from engage.domain.refusals import Unavailable
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.segments import effect, replace_list
from engage.flows.segments.id_list import LINES_SHOWN, IdList
from engage.runtime.database import open_database, transaction
from engage.runtime.services import Services
from engage.store.segments import lists, segments
from engage.store.segments.lists import UnknownId
from tests.support.activities import PROGRAM, join
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import NOON, advance
from tests.support.database import rows
from tests.support.eventually import LOOK_AGAIN_S, WITHIN_S
from tests.support.segments import SEGMENT, id_list, members_at, put, put_text

TICK = timedelta(microseconds=1)
ABC = ["a", "b", "c"]


async def join_all(services: Services, *member_ids: str) -> None:
    for member_id in member_ids:
        await join(services, member_id)


async def test_a_list_is_in_force_from_an_instant_on_and_the_one_before_until_then(
    services: Services,
) -> None:
    await join_all(services, *"abcd")
    first = await put(services, ABC)
    assert (first.version, first.members, first.added, first.removed) == (1, 3, 3, 0)
    advance(services, timedelta(days=3))
    second = await put(services, ["b", "c", "d"])
    assert (second.version, second.members, second.added, second.removed) == (2, 3, 1, 1)
    assert NOON < first.since < second.since
    assert await members_at(services, first.since - TICK) == []
    assert await members_at(services, first.since) == ABC
    assert await members_at(services, second.since - TICK) == ABC
    assert await members_at(services, second.since) == ["b", "c", "d"]
    stays = await rows(services.db, "SELECT member_id, since, until FROM segment_members ORDER BY 1")
    assert stays == [
        ("a", first.since, second.since),
        ("b", first.since, None),
        ("c", first.since, None),
        ("d", second.since, None),
    ]
    await assert_audit_is_clean(services)


async def test_who_comes_back_was_away_in_between(services: Services) -> None:
    await join_all(services, "a", "b")
    instants = [(await put(services, members)).since for members in (["a"], ["b"], ["a"], [])]
    found = [await members_at(services, at) for at in instants]
    assert found == [["a"], ["b"], ["a"], []]
    await assert_audit_is_clean(services)


async def test_the_same_list_again_changes_nothing(services: Services) -> None:
    await join_all(services, *ABC)
    first = await put(services, ABC)
    again = await put(services, reversed(ABC))
    assert (again.version, again.since, again.members) == (1, first.since, 3)
    assert (again.added, again.removed) == (0, 0)


async def test_a_list_of_nobody_is_a_version(services: Services) -> None:
    empty = await put(services, [], "nobody")
    assert (empty.version, empty.members) == (1, 0)
    again = await put(services, [], "nobody")
    assert again.version == 1
    await assert_audit_is_clean(services)


async def test_lines_of_nobody_and_without_an_id_are_left_out_and_numbered(services: Services) -> None:
    await join_all(services, *ABC)
    repeated = b"a\r\n" * 3_000
    text = (
        b'\xef\xbb\xbf"Member_ID"\r\n'
        + repeated
        + b'"a"\r\n\r\nnobody\r\nb,ES\r\n b \r\na\x00\r\nc\rnobody\n\xe9'
    )
    found = await put_text(services, text)
    assert (found.members, found.added, found.repeated) == (3, 3, 3_000)
    assert found.unknown_ids == [UnknownId(3_004, "nobody"), UnknownId(3_009, "nobody")]
    assert found.unknown == 2
    assert (found.bad, [bad.line for bad in found.bad_lines]) == (3, [3_005, 3_007, 3_010])
    assert [bad.message.rpartition("got ")[2] for bad in found.bad_lines] == [
        '"b,ES"',
        '"a\\x00"',
        '"\\xe9"',
    ]


async def test_the_first_hundred_are_shown_and_the_others_counted(services: Services) -> None:
    await join(services, "a")
    unknown = b"".join(b"u-%d\n" % n for n in range(130))
    found = await put_text(services, b"a\n" + b"b d\n" * 150 + unknown)
    assert (found.members, found.bad, found.unknown) == (1, 150, 130)
    assert [bad.line for bad in found.bad_lines] == list(range(2, 2 + LINES_SHOWN))
    assert [each.member_id for each in found.unknown_ids] == [f"u-{n}" for n in range(LINES_SHOWN)]
    assert (found.bad_not_shown, found.unknown_not_shown) == (50, 30)
    assert 'got "b d"' in found.bad_lines[0].message


def test_a_list_has_no_more_ids_than_it_may() -> None:
    with IdList(most=3) as ids:
        ids.add(b"member_id\na\nb\nbad line\n")
        ids.close()
        assert (ids.ids, ids.bad) == (2, 1)
    with IdList(most=3) as ids:
        ids.add(b"member_id\na\nb\nbad line\nc\n")
        with pytest.raises(InvalidFile, match="more than 3 ids"):
            ids.close()


async def test_lists_of_two_segments_and_programs_do_not_meet(services: Services) -> None:
    await join_all(services, "a", "b")
    await put(services, ["a"], "one")
    await put(services, ["b"], "two")
    await put(services, ["a"], "one", program="other")
    now = services.clock.now()
    assert await members_at(services, now, "one") == ["a"]
    assert await members_at(services, now, "two") == ["b"]
    assert await rows(services.db, "SELECT count(*) FROM segment_members") == [(2,)], "a is of one program"


async def test_of_two_at_once_one_comes_after_the_other(services: Services, other: Services) -> None:
    await join_all(services, *(f"m-{n}" for n in range(40)))
    halves = ["".join(f"m-{n}\n" for n in range(start, 40, 2)).encode() for start in (0, 1)]
    versions: list[int] = []
    for _ in range(6):
        found = await asyncio.gather(
            *(put_text(one, half) for one, half in zip((services, other), halves, strict=True))
        )
        first, last = sorted(found, key=lambda each: each.version)
        # The one that comes first may bring the list that there is.
        assert last.version == first.version + 1
        assert first.since < last.since
        assert (last.added, last.members) == (20, 20)
        versions += [first.version, last.version]
        in_force = await members_at(services, advance(services, timedelta(seconds=5)))
        assert in_force == sorted(halves[found.index(last)].decode().split())
    assert versions == sorted(versions)
    await assert_audit_is_clean(services)


async def test_a_new_segment_is_made_once(services: Services, other: Services) -> None:
    await join_all(services, *ABC)
    found = await asyncio.gather(*(put_text(each, b"a\nb\n") for each in (services, other) * 3))
    assert {each.version for each in found} == {1}
    assert sum(each.added for each in found) == 2


async def test_a_list_follows_on_one_that_is_not_in_force_yet(services: Services) -> None:
    """A large list is in force later than a small one that comes a moment after it."""
    await join_all(services, *ABC)
    async with transaction(services.db) as conn:
        await segments.lock(conn, (PROGRAM, SEGMENT))
    late = NOON + timedelta(hours=1)
    first = await put_text(services, b"a\nb\n")
    await _shift(services, first.since, late)
    second = await put_text(services, b"b\nc\n")
    assert second.since == late + timedelta(seconds=1)
    assert await members_at(services, late) == ["a", "b"]
    assert await members_at(services, second.since) == ["b", "c"]
    await assert_audit_is_clean(services)


async def _shift(services: Services, before: datetime, to: datetime) -> None:
    async with transaction(services.db) as conn:
        for table in ("segment_members", "segment_versions"):
            statement = text(f"UPDATE {table} SET since = :to WHERE since = :before")
            await conn.execute(statement, {"to": to, "before": before})


async def test_a_transaction_that_takes_too_long_is_ended_by_the_server(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it could commit after the instant from which on the list is in force."""
    await join_all(services, *ABC)
    await put(services, ["a"])
    write = lists.write

    async def slowly(*args: object, **named: object) -> None:
        await write(*args, **named)  # type: ignore[arg-type]
        await args[0].execute(text("SELECT pg_sleep(30)"))  # type: ignore[attr-defined]

    monkeypatch.setattr(effect, "COMMITS_WITHIN", timedelta(milliseconds=50))
    monkeypatch.setattr(lists, "write", slowly)
    with pytest.raises(Unavailable):
        await put_text(services, b"b\nc\n")
    monkeypatch.undo()
    assert await members_at(services, services.clock.now() + timedelta(days=1)) == ["a"]
    found = await put(services, ["b", "c"])
    assert (found.version, found.added, found.removed) == (2, 2, 1)


async def test_a_merger_carries_the_history_to_the_survivor(services: Services) -> None:
    """The survivor was in the segment whenever one of the two was."""
    await join_all(services, "a", "b", "c")
    history: list[list[str]] = [["a"], [], ["b"], ["a", "b"], ["a"], [], ["c"], ["a", "c"]]
    instants = [(await put(services, members)).since for members in history]
    await put(services, ["b"], "only-b")
    await merge_members(services, PROGRAM, "a", into="b", reason="one", operator="key")
    found = [await members_at(services, at) for at in instants]
    assert found == [["b"], [], ["b"], ["b"], ["b"], [], ["c"], ["b", "c"]]
    assert await members_at(services, services.clock.now(), "only-b") == ["b"]
    stays = await rows(services.db, "SELECT DISTINCT member_id FROM segment_members ORDER BY 1")
    assert stays == [("b",), ("c",)]
    await assert_audit_is_clean(services)


async def test_an_id_that_was_merged_is_the_survivors(services: Services) -> None:
    await join_all(services, "a", "b")
    await merge_members(services, PROGRAM, "a", into="b", reason="one", operator="key")
    found = await put(services, ["a", "b"])
    assert (found.members, found.added, found.repeated, found.unknown) == (1, 1, 1, 0)
    again = await put(services, ["a"])
    assert (again.added, again.removed) == (0, 0)
    await assert_audit_is_clean(services)


async def test_an_erasure_removes_the_member_from_lists_and_their_past(services: Services) -> None:
    await join_all(services, *ABC)
    await put(services, ["a", "b"])
    await put(services, ["b"])
    for member_id in ("a", "b"):
        await erase_member(services, PROGRAM, member_id, operator="key")
    assert await rows(services.db, "SELECT * FROM segment_members") == []
    found = await put(services, ["a", "c"])
    assert (found.members, found.unknown, found.unknown_ids) == (1, 1, [UnknownId(2, "a")])
    await assert_audit_is_clean(services)


@pytest.mark.parametrize("closing", ["merge", "erase"])
async def test_a_member_who_is_closed_while_a_list_is_written_is_not_left_in_it(
    services: Services, other: Services, closing: str
) -> None:
    """It waits for the list."""
    await join_all(services, "a", "b")
    db = open_database(services.settings.database_url, pool_size=1)
    try:
        async with transaction(db) as conn:
            with id_list(b"a\n") as ids:
                await lists.load(conn, ids.rows())
            await segments.lock(conn, (PROGRAM, SEGMENT))
            counts = await lists.compare(conn, (PROGRAM, SEGMENT))
            merging = merge_members(other, PROGRAM, "a", into="b", reason="one", operator="key")
            erasing = erase_member(other, PROGRAM, "a", operator="key")
            closes, unused = (merging, erasing) if closing == "merge" else (erasing, merging)
            unused.close()
            closed = asyncio.create_task(closes)
            await _until_waiting(services)
            await replace_list.write_list(
                conn, services.clock, (PROGRAM, SEGMENT), None, counts, operator="key"
            )
        await closed
    finally:
        await db.dispose()
    later = services.clock.now() + timedelta(days=1)
    assert await members_at(services, later) == (["b"] if closing == "merge" else [])
    await assert_audit_is_clean(services)


async def test_a_list_waits_for_a_member_who_is_being_closed(services: Services, other: Services) -> None:
    """Of an account that is closed at that moment the list has the survivor."""
    await join_all(services, "a", "b")
    await put(services, ["a"], "first")
    async with other.db.begin() as conn:
        await conn.execute(text("LOCK TABLE segments IN SHARE MODE"))
        await conn.execute(
            text("UPDATE members SET merged_into = 'b', closed_at = now() WHERE member_id = 'a'")
        )
        putting = asyncio.create_task(put_text(services, b"a\n"))
        await _until_waiting(services)
    assert (await putting).members == 1
    assert await rows(
        services.db, "SELECT member_id FROM segment_members WHERE segment_id = :s", s=SEGMENT
    ) == [("b",)]


async def _until_waiting(services: Services) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'segments'::regclass"
    async with asyncio.timeout(WITHIN_S):
        while await rows(services.db, waiting) == [(0,)]:
            await asyncio.sleep(LOOK_AGAIN_S)
