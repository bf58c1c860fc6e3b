"""A town of few members on real servers, each life compared with the model's after every step."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from itertools import count
from typing import Any, Literal, TypeVar

from redis.asyncio import Redis

from engage.clock import StoppedClock
from engage.domain.activity import AnyActivity, AppSignIn, Registration
from engage.domain.earning.slots import wanted
from engage.domain.program.program import Program
from engage.domain.refusals import Refusal
from engage.flows.activities.record import MemberActivity, RecordedActivity, record
from engage.flows.operations.audit import audit
from engage.flows.operations.rebuild import rebuild
from engage.flows.reads.home import read_home
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.take_events import take_events
from engage.gate import keys
from engage.gate.client import SlotRequest
from engage.runtime.services import Services
from engage.settings import Settings
from tests.properties.lives import Expected, Life
from tests.support.activities import PROGRAM, join, review_removed, share_removed, signed_in
from tests.support.clock import NOON
from tests.support.database import rows

T = TypeVar("T")

Loss = Literal["emptied", "rebuilt"]

# Madrid keeps its zone; Auckland becomes Los Angeles with the second version.
COUNTRIES = ("ES", "NZ")

_numbers = count(1)


class World:
    """What all towns have in common: the servers, and a loop to ask them in."""

    def __init__(
        self, settings: Settings, services: Services, valkey: Redis, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.settings = settings
        self.services = services
        self.valkey = valkey
        self.loop = loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)


class Town:
    def __init__(self, world: World, *, hours: int) -> None:
        """Members join `hours` after NOON: the second version comes into force in their days."""
        self.world = world
        self.services = world.services
        self.lives: list[Life] = []
        self.died = False  # Whether a caller has died with places claimed.
        assert isinstance(self.services.clock, StoppedClock)
        self.clock = self.services.clock
        self.clock.at = NOON + timedelta(hours=hours)
        number = next(_numbers)
        for country in COUNTRIES:
            self.join(Life(f"{country}-{number}", country))

    def join(self, life: Life) -> None:
        joined = self.world.run(join(self.services, life.member_id, life.country))
        program, zone = self.in_force(life)
        life.foresee(program, Registration(), self.clock.now(), zone)
        life.happened({credit.rule: credit.rule for credit in joined.credits})
        self.lives.append(life)

    def in_force(self, life: Life) -> tuple[Program, str]:
        program, market = self.services.programs.in_force(PROGRAM, at=self.clock.now(), country=life.country)
        return program, market.zone

    def do(self, who: int, activity: AnyActivity) -> None:
        if isinstance(activity, AppSignIn):
            self.sign_in(who)
        else:
            self.check(self.world.run(self.recorded([(who, activity)])))

    def do_together(self, activities: list[AnyActivity]) -> None:
        """In one batch, one activity each."""
        self.check(self.world.run(self.recorded(list(enumerate(activities)))))

    def do_and_die(self, who: int, activity: AnyActivity) -> None:
        """The process ends right after its answer: nothing is confirmed, told or rung for."""
        self.check(self.world.run(self.recorded([(who, activity)], dying=True)))

    def claim_and_die(self, who: int, activity: AnyActivity) -> None:
        """The process ends before it has an answer, between the gate and the database."""
        life = self.lives[who]
        program, zone = self.in_force(life)
        slots = wanted(program.earning, activity, at=self.clock.now(), zone=zone)
        self.world.run(
            self.services.gate.claim([SlotRequest(PROGRAM, life.member_id, slot) for slot in slots])
        )
        self.died = True

    async def recorded(
        self, acts: list[tuple[int, AnyActivity]], *, dying: bool = False
    ) -> list[tuple[Life, AnyActivity, RecordedActivity | Exception]]:
        await self.services.post_commit.drain()
        now = self.clock.now()
        asked = [MemberActivity(PROGRAM, self.lives[n].member_id, activity, now) for n, activity in acts]
        answers = await record(self.services, asked)
        if dying:
            self.services.post_commit._confirmed.clear()
            self.services.post_commit._changes.clear()
            self.services.post_commit._unpublished.clear()
            self.services.post_commit._due.clear()
        return [(self.lives[n], act, answer) for (n, act), answer in zip(acts, answers, strict=True)]

    def check(self, recorded: list[tuple[Life, AnyActivity, RecordedActivity | Exception]]) -> None:
        for life, activity, answer in recorded:
            program, zone = self.in_force(life)
            expected = life.foresee(program, activity, self.clock.now(), zone)
            if isinstance(expected, Refusal):
                assert isinstance(answer, Refusal), (expected, answer)
                assert (answer.code, answer.facts) == (expected.code, expected.facts)
            else:
                assert isinstance(answer, RecordedActivity), (expected, answer)
                self.compare(life, expected, answer)

    def compare(self, life: Life, expected: Expected, answer: RecordedActivity) -> None:
        assert answer.repeated == expected.repeated
        assert {(c.rule, c.points, c.due_at) for c in answer.credits} == {
            (c.rule_id, c.points, c.due_at) for c in expected.credits
        }
        if answer.repeated:
            assert answer.limit is not None
            program, zone = self.in_force(life)
            left = life.remaining(program, self.clock.now(), zone)
            assert answer.limit.remaining == left[answer.limit.rule]
            return
        if answer.streak is not None:
            assert answer.streak.days == expected.days
        ids = [credit.id for credit in answer.credits]
        found = self.world.run(
            rows(self.services.db, "SELECT rule_id, source_key FROM credits WHERE id = ANY(:ids)", ids=ids)
        )
        taken = {str(rule_id): str(key) for rule_id, key in found}
        if not self.died:
            assert taken == {credit.rule_id: credit.source_key for credit in expected.credits}
        life.happened(taken)

    def sign_in(self, who: int) -> None:
        life = self.lives[who]
        event = signed_in(self.services, life.member_id)
        taken = self.world.run(take_events(self.services, [event]))
        assert (taken.accepted, taken.refused) == (1, [])
        program, zone = self.in_force(life)
        expected = life.foresee(program, AppSignIn(event_id=event.id), self.clock.now(), zone)
        if isinstance(expected, Expected):
            life.happened({"app_sign_in": "app_sign_in"})

    def remove(self, who: int, kind: str, name: str) -> None:
        life = self.lives[who]
        removal = share_removed if kind == "share" else review_removed
        taken = self.world.run(take_events(self.services, [removal(self.services, name, life.member_id)]))
        assert (taken.accepted, taken.refused) == (1, [])
        life.remove(f"{kind}:{name}")

    def wait(self, hours: float) -> None:
        self.clock.advance(timedelta(hours=hours))

    def settle(self) -> None:
        now = self.clock.now()
        self.world.run(settle_due(self.services, now=now))
        for life in self.lives:
            life.settle(now)

    def lose_valkey(self, how: Loss) -> None:
        self.world.run(self.services.gate.forget_all())
        if how == "rebuilt":
            self.world.run(rebuild(self.services))

    def fall_behind(self, who: int, activities: list[AnyActivity]) -> None:
        """Valkey knows nothing of these, as after a failover to a replica that had not heard of them yet."""
        before = self.world.run(self._dumped())
        for activity in activities:
            self.do(who, activity)
        self.world.run(self._put_back(before))

    async def _dumped(self) -> dict[bytes, bytes]:
        await self.services.post_commit.drain()
        valkey = self.world.valkey
        found = [key async for key in valkey.scan_iter(match=f"{keys.PREFIX}*", count=1000)]
        return {key: await valkey.dump(key) for key in found}

    async def _put_back(self, before: dict[bytes, bytes]) -> None:
        await self.services.post_commit.drain()
        await self.services.gate.forget_all()
        for key, dump in before.items():
            await self.world.valkey.restore(key, 0, dump)

    def look_at_home(self, who: int) -> None:
        life = self.lives[who]
        home = self.world.run(read_home(self.services, PROGRAM, life.member_id))
        program, zone = self.in_force(life)
        now = self.clock.now()
        assert (home.balance.active, home.balance.pending) == life.balance()
        assert home.streak == life.streak(program, now, zone)
        assert {limit.rule: limit.remaining for limit in home.limits} == life.remaining(program, now, zone)

    def close(self) -> None:
        """Everything becomes active; the ledger holds what the lives had, and each point is accounted for."""
        self.wait(48)
        self.settle()
        for who, life in enumerate(self.lives):
            self.look_at_home(who)
            found = self.world.run(
                rows(
                    self.services.db,
                    "SELECT source_key, state FROM credits WHERE member_id = :member AND points > 0",
                    member=life.member_id,
                )
            )
            assert {str(key): state for key, state in found} == {k: had.state for k, had in life.had.items()}
        self.world.run(self.services.post_commit.drain())
        audited = self.world.run(audit(self.world.settings))
        assert audited.broken == []
        # Whoever died has told nobody, and no sweep runs here.
        assert {finding.check.name for finding in audited.late} <= {"told_in_time"}
