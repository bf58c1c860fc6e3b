"""One member of a program on real servers, compared with the reference model after every step.

The clock is advanced as the sandbox's is, so that the scheduled flows do all work that falls due, in order.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Literal
from uuid import UUID

import msgspec

from engage.domain.activity import Line as SentLine
from engage.domain.activity import Payment
from engage.domain.refusals import Refusal
from engage.flows.checkout.close_holds import HoldClosing, close_holds
from engage.flows.checkout.hold import HoldRequest, hold
from engage.flows.checkout.quote import QuoteRequest, quote
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.operations.audit import audit
from engage.flows.operations.install import install
from engage.flows.reads.home import read_home
from engage.flows.rewards.coupons import read_coupons
from engage.flows.rewards.redeem import RewardRequest, redeem
from engage.flows.scheduled.advance_clock import advance_clock
from engage.flows.scheduled.reactions import react_due
from engage.flows.shop.events import AnyEvent
from engage.flows.shop.take_events import take_events
from engage.runtime.services import Services, open_services
from engage.settings import Settings
from tests.properties.reference_model import SHOPS, Credit, Hold, Line, Member, Order
from tests.support.blocking import BlockingServices
from tests.support.clock import NOON, DetachedClock

_numbers = count(1)
_event = msgspec.json.Decoder(AnyEvent)


class SteppedClock(DetachedClock):
    """A clock that only `advance_clock` advances: its wall stands still."""

    def wall(self) -> datetime:
        return NOON


@asynccontextmanager
async def services_with_presets(settings: Settings) -> AsyncIterator[Services]:
    await install(settings)
    async with open_services(settings, SteppedClock()) as services:
        await services.programs.refresh(services.db)
        yield services


class SentOrder:
    """An order with its id at the shop and its state in the model."""

    def __init__(self, order_id: str) -> None:
        self.order_id = order_id
        self.order: Order | None = None


class ShopScenario:
    def __init__(self, blocking: BlockingServices, program: str) -> None:
        self.run = blocking.run
        self.services = blocking.services
        self.program = program
        self.shop = SHOPS[program]
        self.member_id = f"{self.shop.country}-{next(_numbers)}"
        self.member = Member(self.shop, self.services.clock.now())
        self.orders: list[SentOrder] = []
        registration = MemberRegistration(
            member_id=self.member_id,
            program=program,
            country=self.shop.country,
            person_ref=self.member_id,
        )
        self.run(register_member(self.services, registration))
        self.codes: dict[int, str] = {}  # By the identity of the model's coupon.
        if self.shop.country == "IN":
            self.send(("app.signed_in", {}))
        if self.shop.welcome:
            self.member.credits.append(Credit(self.shop.welcome, self.member.now + timedelta(minutes=5)))
        self.compare()

    def send(
        self, *events: tuple[str, dict[str, Any]], at: datetime | None = None, together: bool = False
    ) -> None:
        """Send every event twice: in two lists, or `together` in concurrent calls. They were `at` that time,
        now by default.
        """
        decoded = [
            _event.decode(
                msgspec.json.encode(
                    {
                        "id": f"e-{next(_numbers)}",
                        "type": kind,
                        "time": at or self.services.clock.now(),
                        "program": self.program,
                        "member_id": self.member_id,
                        "data": data,
                    }
                )
            )
            for kind, data in events
        ]

        async def sent() -> list[Any]:
            calls = [[event] for event in decoded] * 2 if together else [decoded, decoded]
            if together:
                return await asyncio.gather(*(take_events(self.services, call) for call in calls))
            return [await take_events(self.services, call) for call in calls]

        taken = self.run(sent())
        assert sum(answer.accepted for answer in taken) == len(events), taken
        self.run(react_due(self.services, now=self.services.clock.now()))

    def pay(
        self,
        lines: list[Line],
        *,
        shipping: int,
        channel: str,
        method: str,
        points: int,
        early: bool,
        back: Sequence[int] = (),
    ) -> None:
        """Pay for an order, with points or a coupon where the member has some.

        `early`: the delivery is reported before the payment. `back`: so are returned pieces of each line,
        even more than were bought.
        """
        # Of orders that are delivered at one instant the id decides, here in the order of payment.
        sent = SentOrder(f"o-{next(_numbers):06}")
        held = self.hold(sent.order_id, lines, shipping, channel, method, points) if points else None
        held = held or self.apply(sent.order_id, lines, shipping)
        if held is not None:
            hold_id, of = held
            self.end(hold_id, of, "captured")
        else:
            hold_id, of = None, None
        if early:
            self.send(("order.delivered", {"order_id": sent.order_id}))
        if any(back):
            returned = [{"line_id": f"l-{n}", "quantity": pieces} for n, pieces in enumerate(back) if pieces]
            return_id = f"r-{next(_numbers)}"
            self.send(
                ("order.returned", {"order_id": sent.order_id, "return_id": return_id, "lines": returned})
            )
        self.send(
            (
                "order.paid",
                {
                    "order_id": sent.order_id,
                    "channel": channel,
                    "payment": {"method": method},
                    "lines": [
                        {
                            "line_id": f"l-{n}",
                            "product_id": "phone",
                            "quantity": line.quantity,
                            "paid": line.paid,
                            "promotion": line.promotion,
                            "tag_points": line.tag,
                        }
                        for n, line in enumerate(lines)
                    ],
                    "shipping": shipping,
                    "currency": self.shop.currency,
                    "hold_id": hold_id,
                },
            )
        )
        sent.order = self.member.pay(lines, shipping=shipping, channel=channel, method=method, hold=of)
        if early:
            self.member.deliver(sent.order, self.services.clock.now())
        if any(back):
            for line, pieces in zip(lines, back, strict=False):
                line.back = min(pieces, line.quantity)
            self.member.take_returns(sent.order)
        self.orders.append(sent)
        self.compare()

    def deliver(self, number: int, *, late: timedelta = timedelta()) -> None:
        """Report a delivery this long after it."""
        sent = self.orders[number % len(self.orders)]
        assert sent.order is not None
        at = self.services.clock.now() - late
        self.send(("order.delivered", {"order_id": sent.order_id}), at=at)
        self.member.deliver(sent.order, at)
        self.compare()

    def cancel(self, number: int, *, late: timedelta = timedelta()) -> None:
        """Report a cancellation this long after it."""
        sent = self.orders[number % len(self.orders)]
        assert sent.order is not None
        at = self.services.clock.now() - late
        self.send(("order.cancelled", {"order_id": sent.order_id}), at=at)
        self.member.cancel(sent.order, at)
        self.compare()

    def give_back(self, number: int, parts_of: list[int], *, together: bool = False) -> None:
        """Return pieces of each line, with one return a line."""
        sent = self.orders[number % len(self.orders)]
        assert sent.order is not None
        returns: list[tuple[str, dict[str, Any]]] = []
        for n, (line, wanted) in enumerate(zip(sent.order.lines, parts_of, strict=False)):
            pieces = min(wanted, line.quantity - line.back)
            if pieces:
                line.back += pieces
                back = {"line_id": f"l-{n}", "quantity": pieces}
                returns.append(
                    (
                        "order.returned",
                        {"order_id": sent.order_id, "return_id": f"r-{next(_numbers)}", "lines": [back]},
                    )
                )
        if returns:
            self.send(*returns, together=together)
            self.member.take_returns(sent.order)
        self.compare()

    def hold(
        self, order_id: str, lines: list[Line], shipping: int, channel: str, method: str, points: int
    ) -> tuple[str, Hold] | None:
        """Hold these points, or as many as possible. None when that is refused."""
        basket = self.basket(lines, shipping, channel, method)
        most = self.member.max_points(lines, shipping=shipping, channel=channel, method=method)
        quoted = self.run(quote(self.services, QuoteRequest(**basket)))
        assert quoted.max_points == most
        points_held = min(points, most) or points
        (answer,) = self.run(
            hold(self.services, [HoldRequest(**basket, order_id=order_id, points=points_held)])
        )
        if most == 0:
            assert isinstance(answer, Refusal), answer
            self.compare()
            return None
        assert not isinstance(answer, Exception), answer
        assert answer.points == points_held
        held = self.member.hold(points_held, lines)
        assert answer.discount.amount == held.minor
        self.compare()
        return str(answer.hold_id), held

    def basket(self, lines: list[Line], shipping: int, channel: str, method: str) -> dict[str, Any]:
        return {
            "member_id": self.member_id,
            "program": self.program,
            "lines": [
                SentLine(
                    line_id=f"l-{n}",
                    product_id="phone",
                    quantity=line.quantity,
                    paid=line.paid,
                    promotion=line.promotion,
                )
                for n, line in enumerate(lines)
            ],
            "shipping": shipping,
            "payment": Payment(method=method),
            "currency": self.shop.currency,
            "channel": channel,
        }

    def apply(self, order_id: str, lines: list[Line], shipping: int) -> tuple[str, Hold] | None:
        """Pay with a coupon of the member, if the order is large enough."""
        least = self.shop.coupon[4] if self.shop.coupon else 0
        now = self.member.now
        usable = [coupon for coupon in self.member.coupons if coupon.state == "issued" and coupon.ends > now]
        if not usable or sum(line.paid for line in lines) < least:
            return None
        points_held = HoldRequest(
            **self.basket(lines, shipping, "web", "card"),
            order_id=order_id,
            coupon_codes=[self.codes[id(usable[0])]],
        )
        (answer,) = self.run(hold(self.services, [points_held]))
        assert not isinstance(answer, Exception), answer
        held = self.member.hold(0, lines, usable[0])
        assert answer.discount.amount == held.minor
        self.compare()
        return str(answer.hold_id), held

    def redeem(self) -> None:
        if self.shop.coupon is None:
            return
        reward, points, *_ = self.shop.coupon
        (answer,) = self.run(redeem(self.services, [RewardRequest(self.program, self.member_id, reward)]))
        if self.member.active < points:
            assert isinstance(answer, Refusal)
            assert answer.code == "insufficient_points"
        else:
            assert not isinstance(answer, Exception), answer
            self.codes[id(self.member.redeem())] = answer.issued.code
        self.compare()

    def put_aside(self, lines: list[Line], shipping: int, points: int, *, released: bool) -> None:
        held = self.hold(f"o-{next(_numbers)}", lines, shipping, "store", "card", points)
        if held is not None and released:
            self.end(*held, "released")

    def end(self, hold_id: str, held: Hold, outcome: Literal["captured", "released"]) -> None:
        (ended,) = self.run(close_holds(self.services, [HoldClosing(UUID(hold_id), outcome)]))
        assert not isinstance(ended, Exception), ended
        self.member.close(held, outcome)
        self.compare()

    def wait(self, by: timedelta) -> None:
        now = self.run(advance_clock(self.services, by=by))
        self.member.advance(now)
        self.compare()

    def compare(self) -> None:
        home = self.run(read_home(self.services, self.program, self.member_id))
        balance = home.balance
        now = self.services.clock.now()
        listed = self.run(
            read_coupons(self.services, self.program, self.member_id, state=None, before=None, limit=100)
        )
        states = [
            "expired" if coupon.state == "issued" and coupon.ends <= now else coupon.state
            for coupon in self.member.coupons
        ]
        assert sorted(coupon.state for coupon in listed) == sorted(states)
        found = (balance.active, balance.pending, balance.held, balance.debt)
        assert found == self.member.balance
        ends: dict[datetime, int] = {}
        for lot in self.member.lots:
            if lot.left and lot.ends is not None:
                end = lot.ends.astimezone(UTC)
                ends[end] = ends.get(end, 0) + lot.left
        soonest = sorted(ends.items())[: len(home.expiring)]
        assert [(expiration.expires_at, expiration.points) for expiration in home.expiring] == soonest
        assert len(home.expiring) == min(len(ends), 12)

    def close(self) -> None:
        """A day later the audit is clean."""
        self.wait(timedelta(days=1))
        self.run(self.services.post_commit.drain())
        broken = self.run(audit(self.services.settings)).broken
        findings = [f"{found.check.name}: {found.columns}, {found.rows[:3]}" for found in broken]
        assert not findings, "\n".join(findings)
