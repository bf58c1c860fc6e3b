"""The keys of the state and the topics can be divided by members. What each kind grows with is known."""

import re
from collections.abc import Sequence
from typing import Any, Final

import pytest

from engage.clock import MachineClock
from engage.connections.servers import Call, Servers, Standalone
from engage.connections.slots import slot_of
from engage.domain.identity import Identity
from engage.gate import keys
from engage.gate.boards import COMPLETE, BoardRow
from engage.gate.client import Gate
from engage.runtime.services import Services
from engage.signals.changes import topic
from engage.signals.topics import Topics
from engage.signals.traces import Carried, trace_key
from tests.support.activities import PROGRAM, join, link, perform, review, social, tap
from tests.support.clock import NOON

MEMBERS = [f"m-{n}" for n in range(12)]

# What the number of keys of each kind grows with, and what one key grows with. A key that grows with all
# members of a program would be on one primary, however many there are.
KINDS: Final[list[tuple[str, str, str]]] = [
    (r"engage:gate:\{[^}]+:[0-9a-f]+\}", "programs x 65,536", "members of a bucket"),
    (r"engage:gate:\{[^}]+:[0-9a-f]+\}:.+:.+", "what members did once in a day", "nothing"),
    (r"engage:gate:board:\{[^}]+\}:state", "boards x periods", "nothing"),
    # The bound: who has a score on this board in this period. About 150 bytes each.
    (r"engage:gate:board:\{[^}]+\}:(order|places)", "boards x periods", "members with a score"),
    (r"engage:ticket:[0-9a-f]{64}", "feed tickets of half a minute", "nothing"),
    (r"engage:trace:\{[^}]+\}", "members with a traced credit that is due within the hour", "nothing"),
    (r"engage:limit:\{[0-9a-f]\}:.+", "callers that have not a whole quota", "nothing"),
    (r"engage:done:[a-z_]+", "kinds of due work", "nothing"),
    (r"engage:health:(state|topics)(:\{\d+\})?", "primaries", "nothing"),
    (r"engage:health:(api|feed|worker)(:problems|:releases)?", "nothing", "processes"),
]
SHARED_BY_MEMBERS: Final = {
    r"engage:gate:board:\{[^}]+\}:state",
    r"engage:gate:board:\{[^}]+\}:(order|places)",
}


class Recorded(Standalone):
    """The servers of a service, with every call that it made."""

    def __init__(self, servers: Servers, calls: list[Call]) -> None:
        assert isinstance(servers, Standalone)
        super().__init__(servers._client)
        self._calls = calls

    def slot(self, key: str) -> int:
        """Divide calls as for a Cluster."""
        return slot_of(key)

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        self._calls += calls
        return await super().run(calls)


@pytest.fixture
def calls(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    found: list[Call] = []
    gate = Gate(Recorded(services.gate._servers, found))
    topics = Topics(Recorded(services.topics._servers, found), MachineClock())
    monkeypatch.setattr(services.gate, "__dict__", gate.__dict__)
    monkeypatch.setattr(services.topics, "__dict__", topics.__dict__)
    return found


async def use_everything(services: Services) -> None:
    """Write each kind of key as the processes do."""
    for member in MEMBERS:
        await join(services, member)
        for activity in (tap(), social(), link(), review()):
            await perform(services, activity, member)
    await services.post_commit.drain()
    rows = [BoardRow(member, 10, NOON, 1) for member in MEMBERS]
    board = (PROGRAM, "week", "2026-11-16")
    await services.gate.boards.load(board, rows, state="", then=COMPLETE)
    await services.gate.boards.update(board, rows)
    assert await services.gate.boards.top(board, 3) is not None
    for member in MEMBERS:
        await services.gate.limits.charge([(f"member:{member}", 60_000_000)])
    await services.gate.check()
    await services.topics.check()
    for process in ("api", "feed", "worker"):
        await services.topics.heartbeat(process)
    await services.topics.note_done("settle")
    await services.topics.issue_ticket(Identity(PROGRAM, "m-1", 2_000_000_000, "key"))
    due_at = services.topics._clock.now()
    await services.topics.carry_traces([Carried(PROGRAM, member, due_at, "trace") for member in MEMBERS])
    assert len(await services.topics.take_traces([(PROGRAM, member) for member in MEMBERS[1:]])) == 11


def kind_of(key: str) -> str:
    kinds = [pattern for pattern, _, _ in KINDS if re.fullmatch(pattern, key)]
    assert len(kinds) == 1, key
    return kinds[0]


def keys_of(call: Call) -> list[str]:
    name, *arguments = call.command
    if name == "FCALL":
        count = int(arguments[1])
        return [str(key) for key in arguments[2 : 2 + count]]
    return [str(arguments[0])]


async def test_every_key_is_of_a_kind_whose_growth_is_known(services: Services, calls: list[Call]) -> None:
    await use_everything(services)
    found = {key async for some in services.gate._servers.scan("", 100) for key in some}
    assert {kind_of(key) for key in found} == {pattern for pattern, _, _ in KINDS}


async def test_the_keys_of_each_call_have_one_hash_slot(services: Services, calls: list[Call]) -> None:
    await use_everything(services)
    functions = {str(call.command[1]) for call in calls if call.command[0] == "FCALL"}
    assert functions >= {
        *("engage_claim", "engage_confirm", "engage_load", "engage_publish"),
        *("engage_board_load", "engage_board_update", "engage_board_read"),
    }
    for call in calls:
        names = keys_of(call)
        assert {slot_of(name) for name in names} <= {slot_of(call.key)}, call.command[:2]


def test_the_traces_of_a_member_are_where_their_topic_is() -> None:
    for member in MEMBERS:
        assert slot_of(trace_key((PROGRAM, member))) == slot_of(topic(PROGRAM, member))


async def test_no_key_has_two_members_but_those_whose_bound_is_stated(
    services: Services, calls: list[Call]
) -> None:
    await use_everything(services)
    members: dict[str, set[str]] = {}
    for call in calls:
        for name in keys_of(call):
            texts = {part if isinstance(part, str) else repr(part) for part in call.command}
            about = {m for m in MEMBERS if any(re.search(rf"\b{m}\b", text) for text in texts)}
            members.setdefault(name, set()).update(about)
    shared = {kind_of(name) for name, about in members.items() if len(about) > 1}
    assert shared <= SHARED_BY_MEMBERS
    assert shared, "a board has all members with a score"


def test_members_are_spread_over_all_primaries() -> None:
    """Of three primaries each has about a third of the members, of their records and of their topics."""
    for name in (keys.bucket, topic):
        shares = [0, 0, 0]
        for number in range(6_000):
            shares[slot_of(name(PROGRAM, f"member-{number}")) * 3 // 16_384] += 1
        assert all(1_800 < share < 2_200 for share in shares), name
