"""The part of the full history that has levels, boosts, games and a leaderboard."""

from datetime import timedelta

import msgspec

from engage.domain.activity import FuelTap
from engage.domain.leaderboards.definition import Leaderboard
from engage.domain.leaderboards.kind import LEADERBOARD
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.definitions.change import add_definition
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.scheduled.due_work import run_due_work
from engage.runtime.services import Services
from tests.support import campaigns, games, tiers
from tests.support.clock import DAY, NOON, advance

DOCUMENTS = (tiers.DOCUMENT, games.DOCUMENT)

WEEK = {
    "id": "week",
    "program": games.ARCADE,
    "title": {"en": "Week"},
    "score": "points_earned",
    "resets": "weekly",
    "prizes": [{"to_rank": 2, "points": 30}],
}

DOUBLE = campaigns.document(
    boosts=[campaigns.boost("purchase", "fuel", multiply=2)],
    budget={"points": 100_000, "count": 100, "points_per_member": 50_000},
    **{"from": "2025-10-01T00:00:00", "until": "2026-12-01T00:00:00"},
)
BOOKS = campaigns.document(
    "books",
    rules=[
        {
            "id": "books",
            "title": "Books",
            "on": {"activity": "order"},
            "limit": {"type": "once_per", "field": "order_id"},
            "award": {"type": "per_spend", "points": 1, "step_minor": 1_000},
            "due": {"type": "on_delivery"},
        },
        {
            "id": "any_fuel",
            "title": "Any fuel",
            "on": {"activity": "fuel_tap"},
            "limit": {"type": "per_window", "window": "day", "count": 1},
            "award": {"type": "fixed", "points": 4},
            "due": {"type": "after", "delay": "PT5M"},
        },
    ],
    **{"from": "2025-10-01T00:00:00", "until": "2026-12-01T00:00:00"},
)


async def rise(services: Services) -> None:
    """Three members rise to gold, with boosts on what they earn then. One is merged, and one erased. Two
    campaigns pay them, one of which is paused meanwhile.
    """
    await campaigns.approve(services, DOUBLE)
    await campaigns.approve(services, BOOKS, at=services.clock.now())
    for name in ("t-1", "t-2", "t-3"):
        await tiers.join(services, name)
        await tiers.send(services, tiers.paid(services, f"of-{name}", 300_00, member_id=name))
        await tiers.tap(services, name)
        await tiers.send(services, tiers.paid(services, f"more-{name}", 80_00, member_id=name))
        await campaigns.act_on(
            services, DOUBLE, "paused" if name == "t-1" else "resumed", at=advance(services, DAY)
        )
        advance(services, DAY)
    for order in ("of-t-1", "more-t-1"):
        await tiers.send(services, tiers.delivered(services, order, member_id="t-1"))
    await run_due_work(services, now=advance(services, timedelta(minutes=5)))
    await tiers.send(services, tiers.returned(services, "more-t-1", member_id="t-1"))
    await merge_members(services, tiers.PROGRAM, "t-2", into="t-1", reason="one person", operator="key-1")
    await erase_member(services, tiers.PROGRAM, "t-3", operator="key-1")
    await run_due_work(services, now=services.clock.now())


async def play(services: Services) -> None:
    """On the day before NOON: a game that ends in three days, and one that goes on, both with a member who is
    merged, and a board whose week ends in three days.
    """
    await run_due_work(services, now=advance(services, NOON - DAY - services.clock.now()))
    await games.add_game(services, games.game(until="2026-11-23T00:00:00"))
    coupon = games.prize("coupon", points=None, reward="coupon", per_day=2)
    await games.add_game(services, games.game("box", prizes=[coupon]))
    await add_definition(services, LEADERBOARD, msgspec.convert(WEEK, Leaderboard), operator="test")
    names = await games.players(services, 4)
    for _ in range(3):
        for game_id in ("wheel", "box"):
            await games.try_play(services, names, game_id)
    await record(
        services, [MemberActivity(games.ARCADE, name, FuelTap(), services.clock.now()) for name in names]
    )
    await run_due_work(services, now=advance(services, timedelta(minutes=5)))
    await merge_members(services, games.ARCADE, names[3], into=names[0], reason="one", operator="key-1")
    await run_due_work(services, now=services.clock.now())
