"""Two members on real servers, compared with the expected members after every step."""

from datetime import timedelta
from itertools import count
from typing import Literal
from uuid import UUID

from msgspec.structs import asdict
from redis.asyncio import Redis
from sqlalchemy import select

from engage.domain.activity import AnyActivity, AppSignIn, Registration
from engage.domain.earning.credit import WindowPlace
from engage.domain.earning.slots import wanted
from engage.domain.program.program import Program
from engage.domain.refusals import Refusal
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.confirmations import lapse_due
from engage.flows.activities.record import record
from engage.flows.operations.rebuild import rebuild
from engage.flows.reads.home import read_home
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.take_events import take_events
from engage.gate import keys
from engage.gate.claims import SlotRequest
from engage.runtime.database import one_statement
from engage.schema.credits import credits
from tests.properties.expected_member import Expected, ExpectedMember, Slots
from tests.support.activities import PROGRAM, join, review_published, review_removed, share_removed, signed_in
from tests.support.audit import assert_audit_is_clean
from tests.support.blocking import BlockingServices
from tests.support.clock import NOON, stopped_clock
from tests.support.crash import lose_publications
from tests.support.database import rows


def _by_kind(places: tuple[WindowPlace, ...]) -> tuple[WindowPlace, ...]:
    return tuple(sorted(places, key=lambda place: place.kind))


Loss = Literal["emptied", "rebuilt"]

# The second version moves New Zealand from the zone of Auckland to that of Los Angeles.
COUNTRIES = ("ES", "NZ")

_numbers = count(1)


class ActivityScenario:
    def __init__(self, blocking: BlockingServices, *, hours: int) -> None:
        """Members join `hours` after NOON. The second version starts during the scenario."""
        self.run = blocking.run
        self.services = blocking.services
        self.members: list[ExpectedMember] = []
        self.died = False  # A caller has died with slots claimed.
        self.clock = stopped_clock(self.services)
        self.clock.at = NOON + timedelta(hours=hours)
        number = next(_numbers)
        for country in COUNTRIES:
            self.join(ExpectedMember(f"{country}-{number}", country))

    def join(self, member: ExpectedMember) -> None:
        joined = self.run(join(self.services, member.member_id, member.country))
        program, zone = self.in_force(member)
        member.predict(program, Registration(), self.clock.now(), zone)
        member.confirm({credit.rule: (credit.rule, ()) for credit in joined.credits})
        self.members.append(member)

    def in_force(self, member: ExpectedMember) -> tuple[Program, str]:
        program, market = self.services.programs.in_force(
            PROGRAM, at=self.clock.now(), country=member.country
        )
        return program, market.zone

    def perform(self, index: int, activity: AnyActivity) -> None:
        if isinstance(activity, AppSignIn):
            self.sign_in(index)
        else:
            self.check(self.run(self.recorded([(index, activity)])))

    def perform_together(self, activities: list[AnyActivity]) -> None:
        """Record one activity of each member in one batch."""
        self.check(self.run(self.recorded(list(enumerate(activities)))))

    def perform_and_die(self, index: int, activity: AnyActivity) -> None:
        """Record in a process that dies right after its answer: nothing is confirmed or published."""
        self.check(self.run(self.recorded([(index, activity)], dying=True)))

    def claim_and_die(self, index: int, activity: AnyActivity) -> None:
        """Claim slots in a process that dies before it reaches the database."""
        member = self.members[index]
        program, zone = self.in_force(member)
        slots = wanted(program.earning, activity, at=self.clock.now(), zone=zone)
        self.run(self.services.gate.claim([SlotRequest(PROGRAM, member.member_id, slot) for slot in slots]))
        self.died = True

    async def recorded(
        self, acts: list[tuple[int, AnyActivity]], *, dying: bool = False
    ) -> list[tuple[ExpectedMember, AnyActivity, RecordedActivity | Exception]]:
        await self.services.post_commit.drain()
        now = self.clock.now()
        batch = [MemberActivity(PROGRAM, self.members[n].member_id, activity, now) for n, activity in acts]
        answers = await record(self.services, batch)
        if dying:
            lose_publications(self.services)
        return [(self.members[n], act, answer) for (n, act), answer in zip(acts, answers, strict=True)]

    def check(self, recorded: list[tuple[ExpectedMember, AnyActivity, RecordedActivity | Exception]]) -> None:
        for member, activity, answer in recorded:
            program, zone = self.in_force(member)
            expected = member.predict(program, activity, self.clock.now(), zone)
            if isinstance(expected, Refusal):
                assert isinstance(answer, Refusal), (expected, answer)
                assert (answer.code, answer.facts) == (expected.code, expected.facts)
            else:
                assert isinstance(answer, RecordedActivity), (expected, answer)
                self.compare(member, expected, answer)

    def compare(self, member: ExpectedMember, expected: Expected, answer: RecordedActivity) -> None:
        assert answer.repeated == expected.repeated
        assert {(c.rule, c.points, c.due_at) for c in answer.credits} == {
            (c.rule_id, c.points, c.due_at) for c in expected.credits
        }
        if answer.repeated:
            assert answer.limit is not None
            program, zone = self.in_force(member)
            left = member.remaining(program, self.clock.now(), zone)
            assert answer.limit.remaining == left[answer.limit.rule]
            return
        if answer.streak is not None:
            assert answer.streak.days == expected.days
        ids = [credit.id for credit in answer.credits]
        taken = self.run(self.slots_of(ids))
        if not self.died:
            assert taken == {
                credit.rule_id: (credit.source_key, _by_kind(credit.windows)) for credit in expected.credits
            }
        member.confirm(taken)

    async def slots_of(self, ids: list[UUID]) -> dict[str, Slots]:
        """Return the source key and the places of credits, by rule."""
        async with one_statement(self.services.db) as conn:
            query = select(
                *(credits.c.rule_id, credits.c.source_key, credits.c.of_day, credits.c.day_slot),
                *(credits.c.of_month, credits.c.month_slot),
            ).where(credits.c.id.in_(ids))
            found = (await conn.execute(query)).all()
        taken: dict[str, Slots] = {}
        for rule_id, key, day, day_slot, month, month_slot in found:
            places = []
            if day is not None:
                places.append(WindowPlace("day", day, day_slot))
            if month is not None:
                places.append(WindowPlace("month", month, month_slot))
            taken[rule_id] = key, tuple(places)
        return taken

    def sign_in(self, index: int) -> None:
        member = self.members[index]
        event = signed_in(self.services, member.member_id)
        taken = self.run(take_events(self.services, [event]))
        assert (taken.accepted, taken.refused) == (1, {})
        program, zone = self.in_force(member)
        expected = member.predict(program, AppSignIn(event_id=event.id), self.clock.now(), zone)
        if isinstance(expected, Expected):
            member.confirm({"app_sign_in": ("app_sign_in", ())})

    def remove(self, index: int, kind: str, name: str) -> None:
        member = self.members[index]
        removal = share_removed if kind == "share" else review_removed
        taken = self.run(take_events(self.services, [removal(self.services, name, member.member_id)]))
        assert (taken.accepted, taken.refused) == (1, {})
        member.remove(f"{kind}:{name}")

    def publish(self, index: int, name: str) -> None:
        """The shop publishes a review, before or after the member sends it."""
        member = self.members[index]
        event = review_published(self.services, name, member.member_id)
        taken = self.run(take_events(self.services, [event]))
        assert (taken.accepted, taken.refused) == (1, {})
        member.confirm_activity(f"review:{name}", self.clock.now())

    def wait(self, hours: float) -> None:
        self.clock.advance(timedelta(hours=hours))

    def settle(self) -> None:
        now = self.clock.now()
        self.run(settle_due(self.services, now=now))
        self.run(lapse_due(self.services, now=now))
        for member in self.members:
            member.settle(now)

    def lose_valkey(self, loss: Loss) -> None:
        self.run(self.services.gate.forget_all())
        if loss == "rebuilt":
            self.run(rebuild(self.services))

    def fall_behind(self, index: int, activities: list[AnyActivity]) -> None:
        """Record activities that Valkey loses, as after a failover to a replica that lagged."""
        before = self.run(self._dump())
        for activity in activities:
            self.perform(index, activity)
        self.run(self._restore(before))

    async def _dump(self) -> dict[bytes, bytes]:
        await self.services.post_commit.drain()
        async with Redis.from_url(self.services.settings.state_url) as valkey:
            found = [key async for key in valkey.scan_iter(match=f"{keys.PREFIX}*", count=1000)]
            return {key: await valkey.dump(key) for key in found}

    async def _restore(self, before: dict[bytes, bytes]) -> None:
        await self.services.post_commit.drain()
        await self.services.gate.forget_all()
        async with Redis.from_url(self.services.settings.state_url) as valkey:
            for key, dump in before.items():
                await valkey.restore(key, 0, dump)

    def compare_home(self, index: int) -> None:
        member = self.members[index]
        home = self.run(read_home(self.services, PROGRAM, member.member_id))
        program, zone = self.in_force(member)
        now = self.clock.now()
        assert (home.balance.active, home.balance.pending) == member.balance()
        expected = member.streak(program, now, zone)
        assert (home.streak is None) == (expected is None)
        if expected is not None:
            assert {name: getattr(home.streak, name) for name in expected.__struct_fields__} == asdict(
                expected
            )
        assert {limit.rule: limit.remaining for limit in home.limits} == member.remaining(program, now, zone)

    def close(self) -> None:
        """Settle everything, compare the ledger with the expected credits, and audit."""
        self.wait(48)
        self.settle()
        for index, member in enumerate(self.members):
            self.compare_home(index)
            found = self.run(
                rows(
                    self.services.db,
                    "SELECT source_key, state FROM credits WHERE member_id = :member AND points > 0",
                    member=member.member_id,
                )
            )
            assert {str(key): state for key, state in found} == {
                key: expected.state for key, expected in member.expected_credits.items()
            }
        self.run(assert_audit_is_clean(self.services))
