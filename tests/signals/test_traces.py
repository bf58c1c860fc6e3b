"""Traces wait until their credits are due, on one server or in a Cluster. Their loss does no harm."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from engage.clock import MachineClock
from engage.connections.cluster import open_servers
from engage.connections.slots import slot_of
from engage.domain.refusals import Unavailable
from engage.embedded.valkey_cluster import running_cluster
from engage.signals.topics import Topics
from engage.signals.traces import TRACE_MOST_S, TRACE_TTL_S, TRACES_OF_MEMBER, Carried, trace_key

PROGRAM = "eu-mi-points"
MEMBERS = [(PROGRAM, f"m-{number}") for number in range(60)]
ANA = (PROGRAM, "ana")
CLOCK = MachineClock()
BUSY_PRIMARY = 0


def carried(member: tuple[str, str], trace: str, *, in_s: float = -1) -> Carried:
    return Carried(*member, CLOCK.now() + timedelta(seconds=in_s), trace)


@pytest.fixture
async def topics(state_url: str) -> AsyncIterator[Topics]:
    servers = open_servers(state_url)
    await servers.on_each("FLUSHALL")
    opened = Topics(servers, CLOCK)
    yield opened
    await opened.close()


async def test_the_traces_of_due_credits_are_taken_once(topics: Topics) -> None:
    await topics.carry_traces([carried(member, f"of {member[1]}") for member in MEMBERS])
    await topics.carry_traces([carried(ANA, "first", in_s=-3), carried(ANA, "second", in_s=-2)])
    nobody = (PROGRAM, "nobody")
    found = await topics.take_traces([*MEMBERS, nobody, ANA, ANA])
    assert found == {member: [f"of {member[1]}"] for member in MEMBERS} | {ANA: ["first", "second"]}
    assert await topics.take_traces([*MEMBERS, ANA]) == {}


async def test_the_trace_of_a_credit_that_is_not_due_is_left(topics: Topics) -> None:
    await topics.carry_traces([carried(ANA, "later", in_s=300), carried(ANA, "now")])
    assert await topics.take_traces([ANA]) == {ANA: ["now"]}
    assert await topics.take_traces([ANA]) == {}
    assert await _ttl(topics) > TRACE_TTL_S, "the trace that is due later waits"


async def test_a_trace_that_is_due_sooner_does_not_shorten_the_wait_of_others(topics: Topics) -> None:
    await topics.carry_traces([carried(ANA, "later", in_s=2_000)])
    await topics.carry_traces([carried(ANA, "sooner", in_s=10)])
    assert 2_000 < await _ttl(topics) <= 2_000 + TRACE_TTL_S


async def test_the_traces_of_a_member_are_bounded_in_number_and_time(topics: Topics) -> None:
    many = [carried(ANA, f"{number}", in_s=number - 100) for number in range(TRACES_OF_MEMBER + 5)]
    await topics.carry_traces([*many, carried(ANA, "too late", in_s=TRACE_MOST_S)])
    assert 0 < await _ttl(topics) <= TRACE_TTL_S
    assert len((await topics.take_traces([ANA]))[ANA]) == TRACES_OF_MEMBER


async def test_the_loss_of_a_primary_loses_the_traces_of_its_members_only(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, replicas=0) as cluster:
        topics = Topics(open_servers(cluster.url), CLOCK)
        victim = cluster.nodes[BUSY_PRIMARY]
        owners = await cluster.owners()
        others = [m for m in MEMBERS if owners[slot_of(trace_key(m))] is not victim]
        assert 0 < len(others) < len(MEMBERS)
        await topics.carry_traces([carried(member, "before") for member in MEMBERS])
        await victim.kill()
        with pytest.raises(Unavailable):
            await topics.carry_traces([carried(member, "after") for member in MEMBERS])
        found = await topics.take_traces(MEMBERS)
        assert found.keys() == set(others)
        assert {trace for traces in found.values() for trace in traces} == {"before", "after"}
        await topics.close()


async def _ttl(topics: Topics) -> int:
    key = trace_key(ANA)
    servers = topics._servers
    await servers.locate()
    owner = servers.owner(servers.slot(key))
    assert owner is not None
    return int(await servers.node(owner).ttl(key))
