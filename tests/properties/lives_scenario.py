"""Members and operators on real servers, compared with the plain model after every step."""

from collections import Counter
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import msgspec

from engage.domain.activity import AnyActivity, FuelTap, Review, Share
from engage.domain.refusals import Refusal
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.record import record
from engage.flows.campaigns.budgets import fold_returns
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.scheduled.due_work import run_due_work
from engage.flows.scheduled.reactions import react_due
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.events import AnyEvent
from engage.flows.shop.take_events import take_events
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.campaigns.budgets import read_left
from tests.properties.lives_documents import SEGMENT
from tests.properties.lives_members import Earned, Member, Model, Order
from tests.properties.lives_model import PROGRAM, ZONES, Document, Line, local
from tests.properties.lives_operators import Operators
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import NOON, stopped_clock
from tests.support.database import rows
from tests.support.segments import put

CURRENCIES = {"ES": "EUR", "IN": "INR"}

_event = msgspec.json.Decoder(AnyEvent)

# What members have, and what is beside it: due and expiring with it.
_CREDITS = """
SELECT rule_id, campaign, boost, state, activity_at,
       CASE WHEN state = 'reversed' AND active_at IS NULL THEN 0 ELSE points - taken_back END AS kept
FROM credits
WHERE program_id = :program AND member_id = :member AND rule_id <> 'transfer'
"""
_APART = """
SELECT c.source_key, c.due_at, b.due_at, c.expires_at, b.expires_at
FROM credits c JOIN credits b USING (program_id, member_id)
WHERE c.program_id = :program AND c.member_id = :member AND c.beside IS NOT NULL
  AND b.source_key || '+' || c.beside = c.source_key AND c.state <> 'reversed'
  AND (c.due_at, c.expires_at) IS DISTINCT FROM (b.due_at, b.expires_at)
"""


class MemberLives:
    """Starts two days before NOON with a member of each country, one of whom is in a segment."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.clock = stopped_clock(services)
        self.clock.at = NOON - timedelta(days=2)
        self.model = Model()
        self.operators = Operators(services, self.model)
        self._numbers = count(1)

    async def begin(self) -> None:
        for country in ZONES:
            await self.join(country)
        await self.list_members([0])
        await self.wait_until(NOON)

    @property
    def members(self) -> list[Member]:
        return self.model.members

    def member(self, number: int) -> Member:
        return self.members[number % len(self.members)]

    def tick(self) -> None:
        """No two steps are at the same time."""
        self.clock.advance(timedelta(milliseconds=700))

    def past(self, late: timedelta, member: Member) -> datetime:
        """A time that is this long ago, and later than that at which the member joined."""
        now = self.clock.now()
        at = now - late - (timedelta(microseconds=next(self._numbers)) if late else timedelta())
        return at if at > member.joined else now

    async def list_members(self, numbers: list[int]) -> None:
        """Replace the list of the segment."""
        chosen = {self.member(number).id: self.member(number) for number in numbers}
        replaced = await put(self.services, chosen, SEGMENT, program=PROGRAM)
        for member in self.members:
            is_listed = any(until is None for _, until in member.stays)
            if is_listed and member.id not in chosen:
                member.stays = [(since, until or replaced.since) for since, until in member.stays]
            elif not is_listed and member.id in chosen:
                member.stays.append((replaced.since, None))
        await self.settle()

    async def join(self, country: str) -> None:
        member = Member(f"{country}-{next(self._numbers)}", country, self.clock.now())
        self.members.append(member)
        registration = MemberRegistration(member_id=member.id, program=PROGRAM, country=country)
        joined = await register_member(self.services, registration)
        earned = self.model.perform(member, "registration", "", member.joined)
        self._compare_answer(joined.credits, earned)
        await self.compare(member)

    async def tap(self, number: int) -> None:
        member = self.member(number)
        day = f"{local(self.clock.now(), member.zone):%F}"
        await self._perform(member, FuelTap(), "fuel", day, self.clock.now())

    async def share(self, number: int, late: timedelta) -> None:
        member = self.member(number)
        at = self.past(late, member)
        day = f"{local(at, member.zone):%F}"
        await self._perform(member, Share(kind="link", product_id="phone"), "share", day, at)

    async def review(self, number: int, late: timedelta) -> None:
        member = self.member(number)
        name = f"{next(self._numbers)}"
        activity = Review(product_id=f"p-{name}", review_id=f"r-{name}")
        await self._perform(member, activity, "review", f"p-{name}", self.past(late, member))

    async def _perform(
        self, member: Member, activity: AnyActivity, name: str, named: str, at: datetime
    ) -> None:
        (answer,) = await record(self.services, [MemberActivity(PROGRAM, member.id, activity, at)])
        earned = self.model.perform(member, name, named, at)
        if earned:
            assert isinstance(answer, RecordedActivity), answer
            assert not answer.repeated
            self._compare_answer(answer.credits, earned)
        else:
            assert isinstance(answer, Refusal) or answer.repeated, answer
        await self.compare(member)

    def _compare_answer(self, answer: Any, earned: list[Earned]) -> None:
        assert Counter(
            (each.rule, each.campaign, each.boost, each.points, each.due_at) for each in answer
        ) == (
            Counter(
                (credit.rule, credit.campaign, credit.boost, credit.granted, each.due)
                for each in earned
                for credit in each.credits
            )
        )

    async def pay(self, number: int, lines: list[Line], channel: str, late: timedelta) -> None:
        member, id_ = self.member(number), f"o-{next(self._numbers)}"
        at = self.past(late, member)
        sent = [
            {
                "line_id": f"l-{n}",
                "product_id": line.product,
                "category": line.category,
                "quantity": line.quantity,
                "paid": line.paid,
            }
            for n, line in enumerate(lines)
        ]
        paid = {
            "order_id": id_,
            "channel": channel,
            "payment": {"method": "card"},
            "lines": sent,
            "currency": CURRENCIES[member.country],
        }
        await self._send(member, "order.paid", paid, at)
        self.model.pay(member, id_, lines, channel, at)
        await self.compare(member)

    def _order(self, number: int) -> tuple[Member, str, Order] | None:
        found = [(member, id_, order) for member in self.members for id_, order in member.orders.items()]
        return found[number % len(found)] if found else None

    async def deliver(self, number: int) -> None:
        if (chosen := self._order(number)) is None:
            return
        member, id_, order = chosen
        await self._send(member, "order.delivered", {"order_id": id_})
        for earned in order.earned:
            earned.due = earned.due or self.clock.now()
        await self.compare(member)

    async def give_back(self, number: int, pieces: list[int]) -> None:
        if (chosen := self._order(number)) is None:
            return
        member, id_, order = chosen
        back = []
        for n, (line, wanted) in enumerate(zip(order.lines, pieces, strict=False)):
            if number_back := min(wanted, line.quantity - line.back):
                line.back += number_back
                back.append({"line_id": f"l-{n}", "quantity": number_back})
        if back:
            returned = {"order_id": id_, "return_id": f"r-{next(self._numbers)}", "lines": back}
            await self._send(member, "order.returned", returned)
            self.model.give_back(order, self.clock.now())
            await self.compare(member)

    async def cancel(self, number: int) -> None:
        if (chosen := self._order(number)) is None:
            return
        member, id_, order = chosen
        await self._send(member, "order.cancelled", {"order_id": id_})
        for line in order.lines:
            line.back = line.quantity
        self.model.give_back(order, self.clock.now())
        await self.compare(member)

    async def remove_review(self, number: int) -> None:
        reviews = [
            (member, earned)
            for member in self.members
            for earned in member.earned
            if earned.slot.startswith("review:")
        ]
        if not reviews:
            return
        member, chosen = reviews[number % len(reviews)]
        name = chosen.slot.removeprefix("review:p-")
        await self._send(member, "review.removed", {"review_id": f"r-{name}"})
        for earned in member.earned:
            if earned.slot.endswith(f":p-{name}"):
                for credit in earned.credits:
                    credit.back = credit.granted
        await self.compare(member)

    async def _send(self, member: Member, kind: str, content: Document, at: datetime | None = None) -> None:
        event = {
            "id": f"e-{next(self._numbers)}",
            "type": kind,
            "time": at or self.clock.now(),
            "program": PROGRAM,
            "member_id": member.id,
            "data": content,
        }
        taken = await take_events(self.services, [_event.decode(msgspec.json.encode(event))])
        assert (taken.accepted, taken.refused) == (1, {})

    async def merge(self) -> None:
        """Merge the last two members of one country."""
        for country in ZONES:
            same = [member for member in self.members if member.country == country]
            if len(same) > 1:
                # Of what is pending a merger drops what exceeds limits: that is another model's.
                await self.wait(timedelta(minutes=6))
                *_, into, gone = same
                await merge_members(
                    self.services, PROGRAM, gone.id, into=into.id, reason="test", operator="support"
                )
                await self.services.members.refresh(self.services.db)
                self.model.merge(gone, into)
                await self.compare(into)
                return

    async def erase(self, number: int) -> None:
        member = self.member(number)
        await erase_member(self.services, PROGRAM, member.id, operator="support")
        self.members.remove(member)
        assert await self._balance(member) == (0, 0, 0)
        await self.join(member.country)

    async def wait(self, by: timedelta) -> None:
        await self.wait_until(self.clock.now() + by)

    async def wait_for_edge(self, number: int, before: timedelta) -> None:
        """Wait until something begins or ends, or just before that."""
        edges = sorted(at for at in self.operators.edges() if at - before > self.clock.now())
        if edges:
            await self.wait_until(edges[min(number, len(edges) - 1)] - before)

    async def wait_until(self, at: datetime) -> None:
        self.clock.at = max(at, self.clock.at)
        await self.settle()

    async def settle(self) -> None:
        now = self.clock.now()
        await settle_due(self.services, now=now)
        await react_due(self.services, now=now)
        await fold_returns(self.services, now=now, on_time=False)
        for member in self.members:
            member.settle(now)

    async def compare(self, member: Member) -> None:
        await self.settle()
        found = await rows(self.services.db, _CREDITS, program=PROGRAM, member=member.id)
        assert Counter(tuple(row) for row in found if row[-1]) == Counter(
            (
                credit.rule,
                credit.campaign,
                credit.boost,
                "active" if earned.active else "pending",
                earned.at,
                credit.kept,
            )
            for earned in member.earned
            if not earned.transferred
            for credit in earned.credits
            if credit.kept
        )
        assert await self._balance(member) == (*member.balance(), 0)
        assert await rows(self.services.db, _APART, program=PROGRAM, member=member.id) == []
        await self.compare_budgets()

    async def _balance(self, member: Member) -> tuple[object, ...]:
        (found,) = await rows(
            self.services.db,
            "SELECT active, pending, debt FROM balances WHERE program_id = :program AND member_id = :member",
            program=PROGRAM,
            member=member.id,
        )
        return tuple(found)

    async def compare_budgets(self) -> None:
        async with transaction(self.services.db) as conn:
            left = await read_left(conn, [(PROGRAM, id_) for id_ in self.model.campaigns])
        for id_ in self.model.campaigns:
            expected = self.model.left(id_)
            if expected:
                found = left[PROGRAM, id_]
                assert (found.points, found.count) == (expected.get("points"), expected.get("count"))
                assert min(expected.values()) >= 0

    async def close(self) -> None:
        """All that is due is done, and the audit is clean; long after, what was active has ended together."""
        await self.wait(timedelta(days=1))
        while await run_due_work(self.services, now=self.clock.now()):
            pass
        await self.services.post_commit.drain()
        for member in self.members:
            await self.compare(member)
        await assert_audit_is_clean(self.services)
        self.clock.advance(timedelta(days=400))
        while await run_due_work(self.services, now=self.clock.now()):
            pass
        for member in self.members:
            pending = member.balance()[1]
            assert await self._balance(member) == (0, pending, 0)
        await assert_audit_is_clean(self.services)
