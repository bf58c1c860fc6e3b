"""A member of each program in plain Python: a readable specification of the ledger.

It imports nothing of engage. Its numbers are those of the programs' published terms; amounts are in minor
units.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo


@dataclass
class Shop:
    """The terms of a program: orders, expiration and spending."""

    country: str
    currency: str
    zone: str
    channels: set[str]  # Channels whose orders earn.
    earns: str  # "spend" or "tags".
    step: int = 1  # Minor units for a point.
    first: int | None = None  # Only so many delivered orders earn, and each with its delivery.
    ships: bool = False  # Shipping earns, and may be paid with points.
    plain_lines_only: bool = False  # Neither promotions nor instalments.
    due: str = "delivery"
    ends: str = "rolling"
    welcome: int = 0
    spends: bool = False
    least: int = 1
    percent: int = 100
    worth: int = 1  # Minor units of a point.
    coupon: tuple[str, int, int, int, int] | None = None  # Reward, points, minor units, days, least order.

    def counted(self, lines: list["Line"]) -> list["Line"]:
        """Return the lines that earn, and that points can pay for."""
        return [line for line in lines if not (self.plain_lines_only and line.promotion)]


SHOPS = {
    "eu-mi-points": Shop(
        "ES", "EUR", "Europe/Madrid", {"web", "app", "store"}, "spend", 100, welcome=50,
        coupon=("coupon_5", 500, 500, 365, 0),
    ),
    "bf-mi-points": Shop(
        "BF", "XOF", "Africa/Ouagadougou", {"web", "app"}, "spend", 10_000, ships=True,
        ends="january", spends=True, least=10, worth=100,
    ),
    "by-mi-bonus": Shop(
        "BY", "BYN", "Europe/Minsk", {"store"}, "tags", plain_lines_only=True,
        due="tomorrow", ends="never", spends=True, percent=30, worth=100,
    ),
    "in-mi-tokens": Shop(
        "IN", "INR", "Asia/Kolkata", {"web", "app", "store"}, "spend", 1_000, ends="year", welcome=50,
        first=5, coupon=("coupon_100", 2_500, 10_000, 90, 0),
    ),
}  # fmt: skip

HOLD = timedelta(minutes=30)
GRACE = timedelta(days=30)


def end_of(shop: Shop, at: datetime) -> datetime | None:
    """Return the end of points that become active at `at`, or None."""
    zone = ZoneInfo(shop.zone)
    local = at.astimezone(zone)
    if shop.ends == "never":
        return None
    if shop.ends == "year":
        return datetime(local.year + 2, 1, 1, tzinfo=zone)
    try:
        year_on = local.replace(year=local.year + 1)
    except ValueError:  # 29 February.
        year_on = local.replace(year=local.year + 1, day=28)
    if shop.ends == "rolling":
        return year_on
    noon = datetime(year_on.year, 1, 1, 12, tzinfo=zone)
    return noon if noon > year_on else noon.replace(year=year_on.year + 1)


@dataclass
class Lot:
    points: int
    left: int
    ends: datetime | None
    number: int
    expired: int = 0

    def expire(self) -> None:
        self.expired, self.left = self.expired + self.left, 0


@dataclass
class Credit:
    points: int
    due: datetime | None
    lot: Lot | None = None
    taken: int = 0


@dataclass
class Coupon:
    minor: int
    ends: datetime
    state: str = "issued"


@dataclass
class Hold:
    points: int
    minor: int
    until: datetime
    of: list[tuple[Lot, int]]
    coupon: Coupon | None = None
    state: str = "open"
    returned: int = 0


@dataclass
class Line:
    paid: int
    quantity: int
    tag: int = 0
    promotion: bool = False
    back: int = 0


def returned_share(lines: list[Line], of: str) -> Fraction:
    weights = [line.tag * line.quantity if of == "tags" else line.paid for line in lines]
    back = [Fraction(w * line.back, line.quantity) for w, line in zip(weights, lines, strict=True)]
    return sum(back, Fraction()) / sum(weights) if sum(weights) else Fraction(0)


@dataclass
class Order:
    lines: list[Line]
    total: int
    paid: datetime
    credit: Credit | None
    hold: Hold | None
    delivered: datetime | None = None
    cancelled: datetime | None = None


def _standing(orders: list[Order], at: datetime) -> int:
    """Return how many of these orders were not cancelled then."""
    return sum(order.cancelled is None or order.cancelled > at for order in orders)


@dataclass
class Member:
    shop: Shop
    now: datetime
    lots: list[Lot] = field(default_factory=list)
    credits: list[Credit] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    coupons: list[Coupon] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    debt: int = 0

    @property
    def active(self) -> int:
        return sum(lot.left for lot in self.lots)

    @property
    def balance(self) -> tuple[int, int, int, int]:
        """(active, pending, held, debt)"""
        pending = sum(credit.points for credit in self.credits if credit.lot is None)
        held = sum(hold.points for hold in self.holds if hold.state == "open")
        return self.active, pending, held, self.debt

    def advance(self, to: datetime) -> None:
        """Do the work that falls due until then, in its order."""
        while True:
            due: list[tuple[datetime, int, Credit | Hold | Lot]] = [
                *((c.due, 0, c) for c in self.credits if c.lot is None and c.points and c.due),
                *((hold.until, 1, hold) for hold in self.holds if hold.state == "open"),
                *((lot.ends, 2, lot) for lot in self.lots if lot.left and lot.ends),
            ]
            first = min(due, key=lambda work: work[:2], default=None)
            if first is None or first[0] > to:
                break
            self.now = max(self.now, first[0])
            match first[2]:
                case Credit() as credit:
                    self.activate(credit)
                case Hold() as hold:
                    self.close(hold, "expired")
                case Lot() as lot:
                    lot.expire()
        self.now = to

    def activate(self, credit: Credit) -> None:
        assert credit.due is not None
        lot = Lot(credit.points, credit.points, end_of(self.shop, credit.due), len(self.lots))
        credit.lot = lot
        self.lots.append(lot)
        self.pay_debt()

    def max_points(self, lines: list[Line], *, shipping: int, channel: str, method: str) -> int:
        """The points that could pay for an order now."""
        shop = self.shop
        online = shop.plain_lines_only and channel != "store"
        if not shop.spends or online or (shop.plain_lines_only and method != "card"):
            return 0
        payable = sum(line.paid for line in shop.counted(lines)) + (shipping if shop.ships else 0)
        if self.active < shop.least:
            return 0
        return min(self.active, payable * shop.percent // 100 // shop.worth)

    def pay_debt(self) -> None:
        points = min(self.debt, self.active)
        self.take(points)
        self.debt -= points

    def take(self, points: int) -> list[tuple[Lot, int]]:
        """Take points from the lots that end first."""
        taken = []
        for lot in sorted(self.lots, key=lambda lot: (lot.ends is None, lot.ends or self.now, lot.number)):
            part = min(points, lot.left)
            if part:
                lot.left -= part
                points -= part
                taken.append((lot, part))
        assert points == 0
        return taken

    def earns(self, lines: list[Line], total: int) -> int:
        match self.shop.earns:
            case "tags":
                return sum(line.tag * line.quantity for line in lines)
            case _:
                return total // self.shop.step

    def pay(self, lines: list[Line], *, shipping: int, channel: str, method: str, hold: Hold | None) -> Order:
        earning = self.shop.counted(lines)
        total = sum(line.paid for line in earning) + (shipping if self.shop.ships else 0)
        total = max(total - (hold.minor if hold else 0), 0)
        points = 0
        refused = self.shop.plain_lines_only and method in ("instalments", "instalment_card")
        if channel in self.shop.channels and not refused and earning:
            points = self.earns(earning, total)
        credit = None
        if points and self.shop.first is None:
            due = None
            if self.shop.due == "tomorrow":
                local = self.now.astimezone(ZoneInfo(self.shop.zone)) + timedelta(days=1)
                due = local.replace(hour=0, minute=0, second=0, microsecond=0)
            credit = Credit(points, due)
            self.credits.append(credit)
        self.orders.append(Order(lines, points, self.now, credit, hold))
        return self.orders[-1]

    def pay_first_orders(self) -> None:
        """Pay the orders that were delivered first, and take back what others have been paid."""
        if self.shop.first is None:
            return
        delivered = [
            (order.delivered, n, order)
            for n, order in enumerate(self.orders)
            if order.total and order.delivered is not None
        ]
        before: list[Order] = []
        for at, _, order in sorted(delivered, key=lambda one: one[:2]):
            changes = [at, *(other.cancelled for other in before if other.cancelled and other.cancelled > at)]
            since = min((at for at in changes if _standing(before, at) < self.shop.first), default=None)
            before.append(order)
            if order.cancelled is not None:
                continue
            if since is None and order.credit is not None:
                self.claw_back(order.credit, order.total, order.total)
                order.credit = None
            elif since is not None and order.credit is None:
                order.credit = Credit(order.total, max(since, order.paid))
                self.credits.append(order.credit)
                self.take_returns(order)
            elif since is not None and order.credit is not None and order.credit.lot is None:
                order.credit.due = max(since, order.paid)

    def deliver(self, order: Order, at: datetime) -> None:
        order.delivered = min(at, order.delivered or at)
        if order.credit and order.credit.lot is None and self.shop.due == "delivery" and not self.shop.first:
            order.credit.due = max(order.delivered, order.paid)
        self.pay_first_orders()

    def cancel(self, order: Order, at: datetime) -> None:
        order.cancelled = min(at, order.cancelled or at)
        for line in order.lines:
            line.back = line.quantity
        self.take_returns(order)
        self.pay_first_orders()

    def take_returns(self, order: Order) -> None:
        """Adjust spent and earned points to the pieces that are back so far."""
        everything = all(line.back == line.quantity for line in order.lines)
        counted = self.shop.counted(order.lines)
        if order.hold and order.hold.state == "captured":
            share = Fraction(1) if everything else returned_share(counted, "paid")
            self.reinstate(order.hold, int(order.hold.points * share))
            coupon = order.hold.coupon
            if coupon and everything and coupon.state == "used":
                coupon.state = "issued"
                if coupon.ends <= self.now:
                    coupon.ends = self.now + GRACE
        if order.credit:
            share = Fraction(1) if everything else returned_share(counted, self.shop.earns)
            self.claw_back(order.credit, int(order.total * share), order.total)

    def claw_back(self, credit: Credit, so_far: int, total: int) -> None:
        if credit.lot is None:
            credit.points = total - so_far
            return
        # Points that were taken while the credit was pending are not in its lot.
        wanted = so_far - (total - credit.lot.points) - credit.taken
        points = min(wanted, credit.lot.points - credit.lot.expired - credit.taken)
        if points <= 0:
            return
        credit.taken += points
        available = min(points, self.active)
        from_lot = min(available, credit.lot.left)
        credit.lot.left -= from_lot
        self.take(available - from_lot)
        self.debt += points - available

    def reinstate(self, hold: Hold, so_far: int) -> None:
        points = so_far - hold.returned
        hold.returned = so_far
        for n, (lot, part) in reversed(list(enumerate(hold.of))):
            back = min(part, points)
            if back:
                points -= back
                hold.of[n] = (lot, part - back)
                lot.left += back
                if lot.ends and lot.ends <= self.now:
                    lot.ends = self.now + GRACE
        self.pay_debt()

    def hold(self, points: int, lines: list[Line], coupon: Coupon | None = None) -> Hold:
        minor = points * self.shop.worth
        if coupon is not None:
            coupon.state = "applied"
            minor = min(coupon.minor, sum(line.paid for line in lines))
        hold = Hold(points, minor, self.now + HOLD, self.take(points), coupon)
        self.holds.append(hold)
        return hold

    def redeem(self) -> Coupon:
        assert self.shop.coupon is not None
        _, points, minor, days, _ = self.shop.coupon
        self.take(points)
        self.coupons.append(Coupon(minor, self.now + timedelta(days=days)))
        return self.coupons[-1]

    def close(self, hold: Hold, outcome: str) -> None:
        hold.state = outcome
        if hold.coupon is not None:
            hold.coupon.state = "used" if outcome == "captured" else "issued"
        if outcome != "captured":
            for lot, part in hold.of:
                lot.left += part
            for lot in self.lots:
                if lot.ends and lot.ends <= self.now:
                    lot.expire()
            self.pay_debt()
