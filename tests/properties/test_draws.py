"""Lists, winners and prizes follow members who enter, leave and merge, whenever they do so.

Steps are drawn: entries, erasures and mergers of a few members, before the freeze, between it and the
drawing, and before the prizes are paid. A small model says who is listed, and who gets a prize.
"""

from collections.abc import Iterator
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec import Struct
from redis.asyncio import Redis

from engage.domain.draws.certificate import faults
from engage.domain.draws.definition import Draw
from engage.domain.draws.kind import DRAW
from engage.domain.draws.reading import read_certificate as read_file
from engage.domain.refusals import Code
from engage.flows.definitions.change import add_definition
from engage.flows.draws.drawing import draw_due, freeze_due
from engage.flows.draws.enter import DrawEntry
from engage.flows.draws.prizes import pay_due
from engage.flows.draws.reads import read_certificate, read_draw
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.blocking import BlockingServices, blocking
from tests.support.clock import advance, stopped_clock
from tests.support.database import rows
from tests.support.draws import PROGRAM, join, services_with_draws, try_to_enter
from tests.support.generated_cases import cases

EXAMPLES = 25
MEMBERS = 6
WINNERS = 3

_numbers = count(1)


class Enter(Struct, frozen=True):
    member: int


class Erase(Struct, frozen=True):
    member: int


class Merge(Struct, frozen=True):
    member: int
    into: int


Step = Enter | Erase | Merge

numbers = st.integers(0, MEMBERS - 1)
entries = st.builds(Enter, numbers)
changes = st.one_of(entries, st.builds(Erase, numbers), st.builds(Merge, numbers, numbers))
scenarios = st.tuples(
    st.lists(entries, max_size=8),
    st.lists(changes, max_size=6),  # Before the freeze,
    st.lists(changes, max_size=3),  # before the drawing,
    st.lists(changes, max_size=3),  # before the prizes are paid.
)


class Model:
    """Members by number; entries by number, with the member who has each."""

    def __init__(self) -> None:
        self.survivor = list(range(MEMBERS))
        self.erased: set[int] = set()
        self.owners: dict[int, int] = {}
        self.listed: list[int] | None = None
        self._last = 0

    def current(self, member: int) -> int:
        while self.survivor[member] != member:
            member = self.survivor[member]
        return member

    def enter(self, member: int) -> int | Code:
        member = self.current(member)
        if member in self.erased:
            return Code.UNKNOWN_MEMBER
        if self.listed is not None:
            return Code.DRAW_CLOSED
        if member in self.owners.values():
            return Code.ALREADY_ENTERED
        self._last += 1
        self.owners[self._last] = member
        return self._last

    def erase(self, member: int) -> None:
        member = self.current(member)
        self.erased.add(member)
        self.owners = {number: owner for number, owner in self.owners.items() if owner != member}

    def may_merge(self, member: int, into: int) -> bool:
        pair = (self.current(member), self.current(into))
        return pair == (member, into) and member != into and not self.erased & set(pair)

    def merge(self, member: int, into: int) -> None:
        self.survivor[member] = into
        if self.listed is None and into in self.owners.values():
            self.owners = {number: owner for number, owner in self.owners.items() if owner != member}
        else:
            self.owners = {n: into if owner == member else owner for n, owner in self.owners.items()}


@pytest.fixture
def services(own_database: Settings, valkey: Redis) -> Iterator[BlockingServices]:
    with blocking(services_with_draws(own_database)) as opened:
        yield opened


def test_the_list_and_the_prizes_follow_the_members(services: BlockingServices) -> None:
    @given(scenarios)
    @hypothesis_settings(max_examples=cases(EXAMPLES), suppress_health_check=list(HealthCheck))
    def play(phases: tuple[list[Step], list[Step], list[Step], list[Step]]) -> None:
        services.run(_play(services.services, phases))

    play()
    services.run(assert_audit_is_clean(services.services))


async def _play(services: Services, phases: tuple[list[Step], list[Step], list[Step], list[Step]]) -> None:
    draw_id, model = f"draw-{next(_numbers)}", Model()
    members = [f"{draw_id}-m-{n}" for n in range(MEMBERS)]
    witness = f"{draw_id}-witness"
    await join(services, *members, witness)
    await add_definition(services, DRAW, _draw(services, draw_id), operator="key-1")
    first, second, frozen, drawn = phases
    await _do(services, model, members, draw_id, [*first, *second])
    await freeze_due(services, now=advance(services, timedelta(hours=1)))
    model.listed = sorted(model.owners)
    await _do(services, model, members, draw_id, frozen)
    view = await read_draw(services, PROGRAM, witness, draw_id, language="en")
    if not model.listed:
        assert (view.state, view.entries) == ("void", 0)
        return
    assert (view.state, view.entries) == ("frozen", len(model.listed))
    assert view.round_at is not None
    stopped_clock(services).at = view.round_at
    await draw_due(services, now=view.round_at)
    await _do(services, model, members, draw_id, drawn)
    await pay_due(services, now=services.clock.now())
    certificate = read_file(await read_certificate(services, PROGRAM, witness, draw_id))
    assert faults(certificate) == []
    assert [entry.number for entry in certificate.entries] == model.listed
    assert certificate.winners is not None
    assert len(certificate.winners) == min(WINNERS, len(model.listed))
    assert await _paid(services, draw_id) == {
        (members[model.owners[number]], number) for number in certificate.winners if number in model.owners
    }


async def _do(services: Services, model: Model, members: list[str], draw_id: str, steps: list[Step]) -> None:
    for step in steps:
        match step:
            case Enter(member=member):
                answer = await try_to_enter(services, members[member], draw_id)
                found = answer.number if isinstance(answer, DrawEntry) else answer.code
                assert found == model.enter(member)
            case Erase(member=member):
                await erase_member(services, PROGRAM, members[member], operator="key-1")
                model.erase(member)
            case Merge(member=member, into=into) if model.may_merge(member, into):
                await merge_members(
                    services, PROGRAM, members[member], into=members[into], reason="one", operator="key-1"
                )
                model.merge(member, into)


def _draw(services: Services, draw_id: str) -> Draw:
    now = services.clock.now()
    return Draw(
        id=draw_id,
        program=PROGRAM,
        title={"en": draw_id},
        opens_at=now,
        closes_at=now + timedelta(hours=1),
        winners=WINNERS,
        points=50,
    )


async def _paid(services: Services, draw_id: str) -> set[tuple[object, object]]:
    found = await rows(
        services.db,
        "SELECT member_id, CAST(why -> 'inputs' ->> 'number' AS int) FROM credits WHERE rule_id = :rule",
        rule=f"draw:{draw_id}",
    )
    assert len(found) == len(set(found))
    return {(member, number) for member, number in found}
