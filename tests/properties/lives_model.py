"""Campaigns in plain Python: a readable specification of what their documents pay beside a credit.

It imports nothing of engage. Documents are those of the API; amounts are in minor units.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

PROGRAM = "lives"
ZONES = {"ES": "Europe/Madrid", "IN": "Asia/Kolkata"}
PER_POINT = 100  # Minor units that a purchase pays a point for.
SILVER = 100_00  # Spent, less what came back.
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Document = dict[str, Any]


def local(at: datetime, zone: str) -> datetime:
    return at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def share_of(purpose: str, campaign: str, member: str) -> float:
    """A number from 0 to 100 that never changes."""
    digest = sha256(f"{purpose}:{PROGRAM}:{campaign}:{member}".encode()).digest()
    return int.from_bytes(digest[:4]) % 10_000 / 100


@dataclass
class Line:
    paid: int
    quantity: int
    product: str
    category: str
    back: int = 0


@dataclass(eq=False)
class Credit:
    """Points of a rule, or of a boost beside it. `lines` are those of an order that share them, a point for
    each `step` of minor units.
    """

    rule: str
    granted: int
    campaign: str | None = None
    boost: str | None = None
    lines: list[Line] = field(default_factory=list)
    step: int = PER_POINT
    back: int = 0

    @property
    def kept(self) -> int:
        return self.granted - self.back

    def give_back(self) -> None:
        """Of the pieces that are back so far the share of the points is gone, rounded down."""
        paid = sum(line.paid for line in self.lines)
        back = sum(Fraction(line.paid * line.back, line.quantity) for line in self.lines)
        self.back = int(self.granted * back / paid)


@dataclass
class Facts:
    """A member as campaigns see them at an instant."""

    member: str
    country: str
    joined: datetime
    silver: bool
    listed: bool  # In the segment.
    last_payment: datetime | None

    @property
    def zone(self) -> str:
        return ZONES[self.country]


@dataclass
class Campaign:
    """Actions of operators, each from its instant on: approved a document, paused, resumed, ended."""

    actions: list[tuple[datetime, str, Document]] = field(default_factory=list)

    @property
    def newest(self) -> Document:
        return [document for _, action, document in self.actions if action == "approved"][-1]

    @property
    def is_ended(self) -> bool:
        return any(action == "ended" for _, action, _ in self.actions)

    @property
    def is_paused(self) -> bool:
        switched = [action for _, action, _ in self.actions if action != "approved"]
        return switched[-1:] == ["paused"]

    def in_force(self, at: datetime, zone: str) -> Document | None:
        done = [(action, document) for since, action, document in self.actions if since <= at]
        approved = [document for action, document in done if action == "approved"]
        switched = [action for action, _ in done if action in ("paused", "resumed", "ended")]
        if not approved or (switched and switched[-1] != "resumed"):
            return None
        document = approved[-1]
        now = local(at, zone if document["zone"] == "member" else document["zone"])
        return document if moment(document["from"]) <= now < moment(document["until"]) else None


def is_for(document: Document, facts: Facts, at: datetime) -> bool:
    audience, joined = document["audience"], local(facts.joined, facts.zone)
    absent_since = None
    if "no_order_for" in audience:
        days = int(audience["no_order_for"].removeprefix("P").removesuffix("D"))
        absent_since = at - timedelta(days=days)
    conditions = (
        facts.country in audience.get("countries", ZONES),
        "joined_before" not in audience or joined < moment(audience["joined_before"]),
        "joined_after" not in audience or joined >= moment(audience["joined_after"]),
        "percent" not in audience or share_of("percent", document["id"], facts.member) < audience["percent"],
        "tiers" not in audience or facts.silver,
        "segments" not in audience or facts.listed,
        "first_order" not in audience or facts.last_payment is None,
        absent_since is None or facts.last_payment is None or facts.last_payment <= absent_since,
        share_of("holdout", document["id"], facts.member) >= document["holdout_percent"],
    )
    return all(conditions)


def beside(
    base: Credit, documents: list[Document], now: datetime, channel: str | None
) -> list[tuple[Document, Credit]]:
    """The credits that campaigns want to add beside a base at a local time, in the order of their ranks."""
    found = []
    for document in documents:
        added = [credit for boost in document["boosts"] if (credit := _added(boost, base, now, channel))]
        if added:
            added[0].campaign = document["id"]
            found.append((document, added[0]))
    found.sort(key=lambda each: (-each[0]["stacking"].get("priority", 0), each[0]["id"]))
    return list(_capped(base, _stacked(found)))


def _added(boost: Document, base: Credit, now: datetime, channel: str | None) -> Credit | None:
    if base.rule not in boost["rules"] or DAYS[now.weekday()] not in boost.get("weekdays", DAYS):
        return None
    if "hours" in boost:
        start, end = boost["hours"]
        clock = f"{now:%H:%M}"
        if not (start <= clock < end if start < end else clock >= start or clock < end):
            return None
    lines = [
        line
        for line in base.lines
        if line.product in boost.get("products", [line.product])
        and line.category in boost.get("categories", [line.category])
    ]
    paid = sum(line.paid for line in lines)
    if base.lines and (
        not lines
        or channel not in boost.get("channels", [channel])
        or paid < boost.get("min_amount_minor", 0)
    ):
        return None
    times = Fraction(str(boost.get("multiply", 1))) - 1
    of = Fraction(paid, base.step) if base.lines else base.granted
    points = boost.get("add", int(times * of))
    return Credit(base.rule, points, boost=boost["id"], lines=lines) if points else None


def _stacked(found: list[tuple[Document, Credit]]) -> list[tuple[Document, Credit]]:
    """Of a group the first, and where one is exclusive the first of those alone."""
    groups: set[str] = set()
    kept = []
    for document, credit in found:
        group = document["stacking"].get("group")
        if group not in groups:
            kept.append((document, credit))
        if group is not None:
            groups.add(group)
    exclusive = [each for each in kept if each[0]["stacking"].get("exclusive")]
    return exclusive[:1] or kept


def _capped(base: Credit, found: list[tuple[Document, Credit]]) -> Iterator[tuple[Document, Credit]]:
    """All within the lowest of the caps: the last ones lose first."""
    caps = [cap for document, _ in found if (cap := document["stacking"].get("max_multiplier"))]
    left = int(base.granted * Fraction(str(min(caps)))) - base.granted if caps else None
    for document, credit in found:
        if left is not None:
            credit.granted = min(credit.granted, left)
            left -= credit.granted
        if credit.granted:
            yield document, credit
