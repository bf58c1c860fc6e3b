"""A program with velocity rules, and members who share devices."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256

from engage.clock import Clock
from engage.domain.activity import AnyActivity, FuelTap, Review, Share, Visit
from engage.domain.identity import Origin
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.record import record
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.programs.publish import publish
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.programs import rule, services_with

PROGRAM = "guarded"
TAP = FuelTap()

RING = """
[[protection.velocity]]
id = "ring"
per = "device"
counts = "members"
at_most = 3
per_window = "day"
hold = "P3D"
"""

_DOCUMENT = """
id = "guarded"
version = "1"
title = "Guarded"
in_force_from = 2020-01-01
eligibility = { min_age = 18, person_ref = "optional" }
expiry = { type = "rolling", months = 12 }

[countries]
ES = { zone = "Europe/Madrid", currency = "EUR" }
"""

_RULES = "".join(
    [
        rule("fuel", 'activity = "fuel_tap"', 'type = "daily_streak"', 2),
        rule(
            "fuel_streak",
            'activity = "fuel_tap"',
            'type = "same_as", rule = "fuel"',
            'type = "every_nth_day", points = 20, days = 3',
        ),
        rule(
            "share",
            'activity = "share"',
            'type = "per_window", count = 30, window = "day"',
            10,
            due='type = "after", delay = "PT1H"',
        ),
        rule(
            "review",
            'activity = "review"',
            'type = "once_per", field = "product_id"',
            20,
            due='type = "on_confirmation", within = "P2D"',
        ),
        # More than one operator may take alone.
        rule("rich", 'activity = "visit"', 'type = "once_per", field = "page"', 501),
    ]
)


def document(velocity: str = RING, *, more: str = "") -> str:
    return f"{_DOCUMENT}{velocity}{_RULES}{more}"


@asynccontextmanager
async def guarded_services(
    settings: Settings, velocity: str = RING, *, more: str = "", clock: Clock | None = None
) -> AsyncIterator[Services]:
    """Open services with the program published. The clock stands at NOON by default."""
    async with services_with(settings, document(velocity, more=more), clock=clock) as services:
        yield services


def source(name: str) -> bytes:
    """A hash, as origins have them."""
    return sha256(name.encode()).digest() if name else b""


def origin(device: str = "tablet", *, network: str = "cafe", attested: bool = False) -> Origin:
    return Origin(source(device), attested, source(network))


async def join(services: Services, members: Sequence[str]) -> None:
    for member in members:
        registration = MemberRegistration(member_id=member, program=PROGRAM, country="ES")
        await register_member(services, registration)


def ring(size: int) -> list[str]:
    return [f"m-{n:02}" for n in range(1, size + 1)]


def act(
    services: Services, member: str, activity: AnyActivity = TAP, where: Origin | None = None
) -> MemberActivity:
    return MemberActivity(
        PROGRAM, member, activity, services.clock.now(), origin=origin() if where is None else where
    )


async def perform(
    services: Services, member: str, activity: AnyActivity = TAP, where: Origin | None = None
) -> RecordedActivity:
    (answer,) = await record(services, [act(services, member, activity, where)])
    assert isinstance(answer, RecordedActivity), answer
    return answer


async def open_ring(services: Services) -> None:
    """Publish the program, and let a ring of five members tap on one device: the points of two are held."""
    await publish(services.db, document(), source="test", operator="test", clock=services.clock)
    await services.programs.refresh(services.db)
    await join(services, ring(5))
    for member in ring(5):
        await perform(services, member)


def visit(page: str = "a") -> Visit:
    return Visit(page=page)


def share(number: int = 1) -> Share:
    return Share(kind="link", product_id="band", share_id=f"s-{number}")


def review(number: int = 1) -> Review:
    return Review(product_id=f"p-{number}", review_id=f"r-{number}")
