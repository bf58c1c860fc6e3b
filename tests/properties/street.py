"""A street of shops on real servers: one member of a program, whose life is compared with the plain model.

The clock stands at NOON by the wall and is moved as the sandbox's is, so that all work that falls due on the
way is done by the flows that do it, in its order.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Literal, TypeVar
from uuid import UUID

import msgspec

from engage.clock import Clock
from engage.domain.activity import Line as SentLine
from engage.domain.activity import Payment
from engage.domain.refusals import Refusal
from engage.flows.checkout.close_holds import HoldClosing, close_holds
from engage.flows.checkout.hold import HoldRequest, hold
from engage.flows.checkout.quote import QuoteRequest, quote
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.operations.audit import audit
from engage.flows.reads.home import read_home
from engage.flows.rewards.coupons import read_coupons
from engage.flows.rewards.redeem import RewardRequest, redeem
from engage.flows.scheduled.advance_clock import advance_clock
from engage.flows.shop.events import AnyEvent
from engage.flows.shop.take_events import take_events
from engage.runtime.services import Services
from engage.settings import Settings
from tests.properties.plain import SHOPS, Credit, Hold, Line, Member, Order
from tests.support.clock import NOON

T = TypeVar("T")

_numbers = count(1)
_event = msgspec.json.Decoder(AnyEvent)


class TravellingClock(Clock):
    """Its wall stands still; what moves it is `advance_clock`."""

    def wall(self) -> datetime:
        return NOON


class World:
    """What all streets have in common: the servers, and a loop to ask them in."""

    def __init__(self, settings: Settings, services: Services, loop: asyncio.AbstractEventLoop) -> None:
        self.settings = settings
        self.services = services
        self.loop = loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)


class Bought:
    """An order, as the model and as the shop know it."""

    def __init__(self, order_id: str) -> None:
        self.order_id = order_id
        self.order: Order | None = None
        self.cancelled = False
        self.delivered_early = False


class Street:
    def __init__(self, world: World, program: str) -> None:
        self.world = world
        self.program = program
        self.shop = SHOPS[program]
        self.member_id = f"{self.shop.country}-{next(_numbers)}"
        self.member = Member(self.shop, world.services.clock.now())
        self.orders: list[Bought] = []
        self.steps: list[str] = []
        registration = MemberRegistration(
            member_id=self.member_id, program=program, country=self.shop.country
        )
        world.run(register_member(world.services, registration))
        self.codes: dict[int, str] = {}  # Of the model's coupons, by identity.
        if self.shop.country == "IN":
            self.tell(("app.signed_in", {}))
        if self.shop.welcome:
            self.member.credits.append(Credit(self.shop.welcome, self.member.now + timedelta(minutes=5)))
        self.compare()

    # What the shop tells.

    def tell(self, *told: tuple[str, dict[str, Any]], together: bool = False, refused: int = 0) -> None:
        """Sends events, each twice over: in one list, or each in a call of its own and all at once."""
        now = self.world.services.clock.now()
        events = [
            _event.decode(
                msgspec.json.encode(
                    {
                        "id": f"e-{next(_numbers)}",
                        "type": kind,
                        "time": now,
                        "program": self.program,
                        "member_id": self.member_id,
                        "data": data,
                    }
                )
            )
            for kind, data in told
        ]

        async def sent() -> list[Any]:
            calls = [[event] for event in events] * 2 if together else [events, events]
            if together:
                return await asyncio.gather(*(take_events(self.world.services, call) for call in calls))
            return [await take_events(self.world.services, call) for call in calls]

        taken = self.world.run(sent())
        assert sum(one.accepted for one in taken) == len(events) - refused, taken

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
        """An order, perhaps with points or a coupon captured before, and delivered before we hear of it, or
        so many pieces of its lines back, be they more than were bought.
        """
        bought = Bought(f"o-{next(_numbers)}")
        kept = self.hold(bought.order_id, lines, shipping, channel, method, points) if points else None
        kept = kept or self.apply(bought.order_id, lines, shipping)
        if kept is not None:
            hold_id, of = kept
            self.end(hold_id, of, "captured")
        else:
            hold_id, of = None, None
        if early:
            self.tell(("order.delivered", {"order_id": bought.order_id}))
        if any(back):
            told = [{"line_id": f"l-{n}", "quantity": pieces} for n, pieces in enumerate(back) if pieces]
            return_id = f"r-{next(_numbers)}"
            self.tell(
                ("order.returned", {"order_id": bought.order_id, "return_id": return_id, "lines": told})
            )
        self.tell(
            (
                "order.paid",
                {
                    "order_id": bought.order_id,
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
        bought.order = self.member.pay(lines, shipping=shipping, channel=channel, method=method, hold=of)
        if early:
            self.member.deliver(bought.order)
        if any(back):
            for line, pieces in zip(lines, back, strict=False):
                line.back = min(pieces, line.quantity)
            self.member.returned(bought.order)
        self.orders.append(bought)
        self.compare()

    def deliver(self, number: int) -> None:
        bought = self.orders[number % len(self.orders)]
        assert bought.order is not None
        self.tell(("order.delivered", {"order_id": bought.order_id}))
        self.member.deliver(bought.order)
        self.compare()

    def cancel(self, number: int) -> None:
        bought = self.orders[number % len(self.orders)]
        assert bought.order is not None
        self.tell(("order.cancelled", {"order_id": bought.order_id}))
        for line in bought.order.lines:
            line.back = line.quantity
        self.member.returned(bought.order)
        self.compare()

    def give_back(self, number: int, parts_of: list[int], *, together: bool = False) -> None:
        """Of each line so many pieces, each line in a return of its own."""
        bought = self.orders[number % len(self.orders)]
        assert bought.order is not None
        told: list[tuple[str, dict[str, Any]]] = []
        for n, (line, wanted) in enumerate(zip(bought.order.lines, parts_of, strict=False)):
            pieces = min(wanted, line.quantity - line.back)
            if pieces:
                line.back += pieces
                back = {"line_id": f"l-{n}", "quantity": pieces}
                told.append(
                    (
                        "order.returned",
                        {"order_id": bought.order_id, "return_id": f"r-{next(_numbers)}", "lines": [back]},
                    )
                )
        if told:
            self.tell(*told, together=together)
            self.member.returned(bought.order)
        self.compare()

    # What the member does at the checkout.

    def hold(
        self, order_id: str, lines: list[Line], shipping: int, channel: str, method: str, points: int
    ) -> tuple[str, Hold] | None:
        """Asks for so many points, or for as many as can be; None where it is refused."""
        basket = self.basket(lines, shipping, channel, method)
        most = self.member.most(lines, shipping=shipping, channel=channel, method=method)
        quoted = self.world.run(quote(self.world.services, QuoteRequest(**basket)))
        assert quoted.max_points == most
        asked = min(points, most) or points
        (answer,) = self.world.run(
            hold(self.world.services, [HoldRequest(**basket, order_id=order_id, points=asked)])
        )
        if most == 0:
            assert isinstance(answer, Refusal), answer
            self.compare()
            return None
        assert not isinstance(answer, Exception), answer
        assert answer.points == asked
        kept = self.member.hold(asked, lines)
        assert answer.discount.amount == kept.minor
        self.compare()
        return str(answer.hold_id), kept

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
        """Pays with a coupon that the member has, where the order is large enough for it."""
        least = self.shop.coupon[4] if self.shop.coupon else 0
        usable = [one for one in self.member.coupons if one.state == "issued" and one.ends > self.member.now]
        if not usable or sum(line.paid for line in lines) < least:
            return None
        asked = HoldRequest(
            **self.basket(lines, shipping, "web", "card"),
            order_id=order_id,
            coupon_codes=[self.codes[id(usable[0])]],
        )
        (answer,) = self.world.run(hold(self.world.services, [asked]))
        assert not isinstance(answer, Exception), answer
        kept = self.member.hold(0, lines, usable[0])
        assert answer.discount.amount == kept.minor
        self.compare()
        return str(answer.hold_id), kept

    def redeem(self) -> None:
        if self.shop.coupon is None:
            return
        reward, points, *_ = self.shop.coupon
        (answer,) = self.world.run(
            redeem(self.world.services, [RewardRequest(self.program, self.member_id, reward)])
        )
        if self.member.active < points:
            assert isinstance(answer, Refusal)
            assert answer.code == "insufficient_points"
        else:
            assert not isinstance(answer, Exception), answer
            self.codes[id(self.member.redeem())] = answer.coupon.code
        self.compare()

    def put_aside(self, lines: list[Line], shipping: int, points: int, *, let_go: bool) -> None:
        kept = self.hold(f"o-{next(_numbers)}", lines, shipping, "store", "card", points)
        if kept is not None and let_go:
            self.end(*kept, "released")

    def end(self, hold_id: str, kept: Hold, how: Literal["captured", "released"]) -> None:
        (ended,) = self.world.run(close_holds(self.world.services, [HoldClosing(UUID(hold_id), how)]))
        assert not isinstance(ended, Exception), ended
        self.member.close(kept, how)
        self.compare()

    def wait(self, by: timedelta) -> None:
        now = self.world.run(advance_clock(self.world.services, by=by))
        self.member.until(now)
        self.compare()

    def compare(self) -> None:
        home = self.world.run(read_home(self.world.services, self.program, self.member_id))
        balance = home.balance
        now = self.world.services.clock.now()
        listed = self.world.run(
            read_coupons(
                self.world.services, self.program, self.member_id, state=None, before=None, limit=100
            )
        )
        states = [
            "expired" if one.state == "issued" and one.ends <= now else one.state
            for one in self.member.coupons
        ]
        assert sorted(one.state for _, one in listed) == sorted(states)
        found = (balance.active, balance.pending, balance.held, balance.debt)
        assert found == self.member.balance
        ends: dict[datetime, int] = {}
        for lot in self.member.lots:
            if lot.left and lot.ends is not None:
                end = lot.ends.astimezone(UTC)
                ends[end] = ends.get(end, 0) + lot.left
        soonest = sorted(ends.items())[: len(home.expiring)]
        assert [(one.expires_at, one.points) for one in home.expiring] == soonest
        assert len(home.expiring) == min(len(ends), 12)

    def close(self) -> None:
        """All that can end ends, and every point is accounted for."""
        self.wait(timedelta(days=1))
        self.world.run(self.world.services.post_commit.drain())
        broken = self.world.run(audit(self.world.settings)).broken
        told = [f"{one.check.name}: {one.columns}, {one.rows[:3]}" for one in broken]
        assert not told, "\n".join(told)
