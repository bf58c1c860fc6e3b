"""A feed receives the changes of its members alone, and every gap is said, whatever is lost or moved."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import pytest

from engage.clock import MachineClock
from engage.connections.cluster import open_servers
from engage.connections.slots import slot_of
from engage.domain.accounts.balance import Balance
from engage.domain.identity import Identity
from engage.domain.keys import MemberKey
from engage.domain.refusals import Unavailable
from engage.embedded.valkey_cluster import Cluster, Node, running_cluster
from engage.signals.changes import Change, change_of, topic_of
from engage.signals.topics import Topics
from tests.support.eventually import LOOK_AGAIN_S, WITHIN_S
from tests.support.topics import Activated, Received, listening

PROGRAM = "eu-mi-points"
MANY = 2_000
BUSY_PRIMARY = 0


def members_of(name: str, count: int) -> list[MemberKey]:
    return [(PROGRAM, f"{name}-{number}") for number in range(count)]


def change(member: MemberKey, seq: int) -> Change:
    return change_of(*member, Balance(active=seq, seq=seq), "tap")


async def received(queue: Received, count: int) -> list[Change]:
    """Return the next changes, without words about topics."""
    found: list[Change] = []
    async with asyncio.timeout(WITHIN_S):
        while len(found) < count:
            one = await queue.get()
            if isinstance(one, Change):
                found.append(one)
    return found


async def activated(queue: Received, members: Iterable[MemberKey]) -> None:
    """Wait until the topics of these members are active again."""
    left = set(members)
    async with asyncio.timeout(WITHIN_S):
        while left:
            one = await queue.get()
            if isinstance(one, Activated):
                left.discard(one.member)


async def published(topics: Topics, changes: list[Change]) -> None:
    """Publish changes as often as it takes."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                await topics.publish(changes)
            except Unavailable:
                await asyncio.sleep(LOOK_AGAIN_S)
            else:
                return


@pytest.fixture
async def topics(state_url: str) -> AsyncIterator[Topics]:
    opened = Topics(open_servers(state_url), MachineClock())
    yield opened
    await opened.close()


async def test_a_feed_receives_the_members_who_are_connected_to_it_and_no_others(topics: Topics) -> None:
    """Two feeds with thousands of members each, of whom some are on both."""
    here, there = members_of("here", MANY), members_of("there", MANY)
    both, nowhere = members_of("both", 50), members_of("nowhere", MANY)
    async with listening(topics, [*here, *both]) as one, listening(topics, [*there, *both]) as other:
        await topics.publish([change(member, 1) for member in (*here, *nowhere, *both, *there)])
        for queue, members in ((one, [*here, *both]), (other, [*there, *both])):
            found = await received(queue, len(members))
            assert Counter((c.program_id, c.member_id) for c in found) == Counter(members)
        # Whatever else was sent to them would be there before this.
        await topics.publish([change(both[0], 2)])
        for queue in (one, other):
            assert await received(queue, 1) == [change(both[0], 2)]
            assert queue.empty()


async def test_the_changes_of_a_member_keep_their_order(topics: Topics) -> None:
    members = members_of("m", 40)
    async with listening(topics, members) as queue:
        for first in range(1, 61, 3):
            await topics.publish([change(m, seq) for seq in range(first, first + 3) for m in members])
        found = await received(queue, 60 * len(members))
    for member in members:
        assert [c.seq for c in found if c.member_id == member[1]] == list(range(1, 61))


async def test_a_member_who_has_left_is_not_received_until_their_return(topics: Topics) -> None:
    stays, leaves = members_of("m", 2)
    queue: asyncio.Queue[Change] = asyncio.Queue()
    active: asyncio.Queue[MemberKey] = asyncio.Queue()

    def deliver(changes: Sequence[Change]) -> None:
        for each in changes:
            queue.put_nowait(each)

    def activated(members: list[MemberKey]) -> None:
        for member in members:
            active.put_nowait(member)

    subscriptions = topics.subscriptions(deliver=deliver, activated=activated)
    running = asyncio.create_task(subscriptions.run(turned=lambda: None, failed=lambda _: None))
    try:
        async with asyncio.timeout(WITHIN_S):
            assert not subscriptions.watch(stays)
            assert not subscriptions.watch(leaves)
            assert {await active.get(), await active.get()} == {stays, leaves}
            assert subscriptions.watch(leaves)
            subscriptions.unwatch(leaves)
            subscriptions.unwatch(leaves)
            for _ in range(3):
                assert not subscriptions.watch(leaves)
                subscriptions.unwatch(leaves)
            await topics.publish([change(stays, 1)])
            assert await queue.get() == change(stays, 1)
            assert len(subscriptions) == 1
            assert not subscriptions.watch(leaves)
            assert await active.get() == leaves
            await topics.publish([change(leaves, 2), change(stays, 2)])
            assert sorted((await queue.get(), await queue.get()), key=repr) == sorted(
                [change(leaves, 2), change(stays, 2)], key=repr
            )
            assert queue.empty()
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_tickets_heartbeats_and_marks_work_on_a_cluster(topics: Topics) -> None:
    for number in range(30):
        identity = Identity(PROGRAM, f"m{number}", 2_000_000_000, "thumbprint")
        ticket, _ = await topics.issue_ticket(identity)
        assert await topics.redeem_ticket(ticket) == identity
        assert await topics.redeem_ticket(ticket) is None
    await topics.heartbeat("feed", ["changes"])
    (alive,) = await topics.read_heartbeats("feed")
    assert alive.problems == ["changes"]
    await topics.end_heartbeat("feed")
    assert await topics.read_heartbeats("feed") == []
    await topics.note_done("settle")
    assert await topics.not_done(["settle", "expire"]) == ["expire"]
    await topics.check()


async def test_a_lost_primary_makes_a_gap_that_is_said_and_only_for_its_members(tmp_path: Path) -> None:
    members = members_of("m", 60)
    async with running_cluster(tmp_path) as cluster:
        topics = Topics(open_servers(cluster.url), MachineClock())
        victim = cluster.nodes[BUSY_PRIMARY]
        owners = await cluster.owners()
        theirs = [m for m in members if owners[slot_of(topic_of(m))] is victim]
        others = [m for m in members if m not in theirs]
        async with listening(topics, members) as queue:
            await topics.publish([change(member, 1) for member in members])
            assert len(await received(queue, len(members))) == len(members)
            await victim.kill()
            with pytest.raises(Unavailable):
                await topics.publish([change(member, 2) for member in members])
            found = await received(queue, len(others))
            assert sorted(c.member_id for c in found) == sorted(member[1] for member in others)
            ticket, _ = await topics.issue_ticket(Identity(PROGRAM, "m", 2_000_000_000, "thumbprint"))
            assert ticket
            await activated(queue, theirs)
            await published(topics, [change(member, 3) for member in members])
            found = [c for c in await received(queue, len(members)) if c.seq == 3]
            assert {c.member_id for c in found} >= {member[1] for member in theirs}
        await topics.close()


async def test_a_slot_that_moves_makes_a_gap_that_is_said(tmp_path: Path) -> None:
    members = members_of("m", 30)
    async with running_cluster(tmp_path, replicas=0, spare=1) as cluster:
        topics = Topics(open_servers(cluster.url), MachineClock())
        async with listening(topics, members) as queue:
            added = await cluster.add_node()
            await move_topics(cluster, members[:10], to=added)
            await activated(queue, members[:10])
            await published(topics, [change(member, 1) for member in members])
            assert {c.member_id for c in await received(queue, len(members))} == {m[1] for m in members}
        await topics.close()


async def move_topics(cluster: Cluster, members: Iterable[MemberKey], *, to: Node) -> None:
    for member in members:
        await cluster.move_slot(slot_of(topic_of(member)), to)
