"""A simulation says of a member under campaigns exactly what the flows pay for the same steps.

Random campaigns of all kinds, and random steps around their times: each step has the same credits or the same
refusal, and the same balance after it; at the end each credit has kept the same.
"""

import asyncio
from datetime import datetime, timedelta
from random import Random
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.simulated import GivenFacts, as_published, simulate
from engage.domain.playback.statement import PlayedStep, play_steps
from engage.domain.program.example import Step, TimedStep
from engage.flows.campaigns.budgets import fold_returns
from engage.flows.campaigns.simulate import SimulationRequest, run_simulation
from engage.flows.scheduled.reactions import react_due
from engage.flows.scheduled.settle import settle_due
from engage.runtime.services import Services
from engage.settings import Settings
from tests.conftest import fresh_database
from tests.flows.example_member import ExampleMember, StepResult
from tests.properties.lives_documents import CATEGORIES, CHANNELS, PRODUCTS, SEGMENT, TERMS, document
from tests.properties.lives_model import PROGRAM, ZONES, Document
from tests.support.audit import assert_audit_is_clean
from tests.support.campaigns import approve
from tests.support.clock import NOON, stopped_clock
from tests.support.database import rows
from tests.support.generated_cases import cases
from tests.support.programs import services_with
from tests.support.segments import put

CASES = 4
STEPS = 25

CURRENCIES = {"ES": "EUR", "IN": "INR"}
PRICES = [50, 999, 3_351, 12_345]

_KEPT = """
SELECT replace(source_key, :prefix, 'order:'), campaign, boost,
       CASE WHEN state = 'reversed' AND active_at IS NULL THEN 0 ELSE points - taken_back END
FROM credits WHERE program_id = :program AND member_id = :member
"""


class QuickMember(ExampleMember):
    """Does the work that falls due in this program, and looks for no other."""

    async def advance_to(self, at: datetime) -> None:
        stopped_clock(self.services).at = at
        await settle_due(self.services, now=at)
        await react_due(self.services, now=at)
        await fold_returns(self.services, now=at, on_time=False)


def draw_steps(chance: Random, country: str) -> list[TimedStep]:
    """Steps of a member from two days before NOON on, at ever later times."""
    at, found, orders, reviews = NOON - timedelta(days=2), [], dict[str, int](), 0

    def add(**action: Any) -> None:
        found.append(msgspec.convert({"at": at, "do": action}, TimedStep))

    add(activity="join")
    for number in range(STEPS):
        at += timedelta(hours=chance.choice([0, 0, 1, 5, 11]), milliseconds=700)
        known = chance.choice([*orders] or [""])
        match chance.randrange(12):
            case 0 | 1:
                add(activity="fuel_tap")
            case 2:
                add(activity="share", kind="link", product_id="phone")
            case 3 | 4:
                reviews += 1
                add(activity="review", product_id=f"p-{number}", review_id=f"r-{reviews}")
            case 5 if reviews:
                add(activity="review_removed", review_id=f"r-{chance.randint(1, reviews)}")
            case 6 if known:
                add(activity="order_delivered", order_id=known)
            case 7 | 8 if known:
                lines = {f"l-{n}": 1 for n in range(orders[known]) if chance.random() < 0.6}
                add(activity="order_returned", order_id=known, lines=lines or None)
            case 9 if known and chance.random() < 0.3:
                add(activity="order_cancelled", order_id=known)
            case _:
                orders[f"o-{number}"] = pieces = chance.randint(1, 3)
                add(**draw_order(chance, f"o-{number}", pieces, CURRENCIES[country]))
    return found


def draw_order(chance: Random, order_id: str, lines: int, currency: str) -> Document:
    return {
        "activity": "order",
        "order_id": order_id,
        "channel": chance.choice(CHANNELS),
        "payment": {"method": "card"},
        "currency": currency,
        "lines": [
            {
                "line_id": f"l-{n}",
                "product_id": chance.choice(PRODUCTS),
                "category": chance.choice(CATEGORIES),
                "quantity": quantity,
                "paid": quantity * chance.choice(PRICES),
            }
            for n in range(lines)
            for quantity in [chance.randint(1, 3)]
        ],
    }


def as_steps(played: PlayedStep) -> tuple[Any, ...]:
    credits = sorted(
        (each.source_key, each.rule_id, each.points, each.due_at, each.boost or "") for each in played.credits
    )
    return None if played.refusal is None else played.refusal.code, credits


def as_done(result: StepResult) -> tuple[Any, ...]:
    credits = sorted(
        (each.source_key, each.rule, each.points, each.due_at, each.boost or "")
        for each in result.credits or ()
    )
    return result.refusal, credits


async def compare(services: Services, chance: Random) -> None:
    stopped_clock(services).at = NOON - timedelta(days=3)
    country = chance.choice([*ZONES])
    documents = [document(chance, f"c{n}") for n in range(4)]
    await put(services, [], SEGMENT, program=PROGRAM)
    for each in documents:
        await approve(services, each)
    steps = draw_steps(chance, country)
    campaigns = [msgspec.convert(each, Campaign) for each in documents]
    (program,) = services.programs.versions(PROGRAM)
    member = QuickMember(services, PROGRAM, country, CURRENCIES[country])
    member.member_id = f"m-{chance.randrange(1_000)}"
    facts = GivenFacts(member_id=member.member_id)
    simulated = simulate(program, country, map(as_published, campaigns), facts)
    for step, played in zip(steps, play_steps(simulated, steps), strict=True):
        done = await member.step(Step(step.at, step.do), played.at)
        assert as_done(done) == as_steps(played), step
        balance = played.balance
        assert await member.balance() == (balance.active, balance.pending, balance.held, balance.debt), step
    found = await rows(
        services.db,
        _KEPT,
        program=PROGRAM,
        member=member.member_id,
        prefix=f"order:{member.member_id}:",
    )
    assert {row[0]: tuple(row[1:]) for row in found if row[-1]} == {
        each.new.source_key: (each.new.campaign, each.new.boost, each.kept)
        for each in simulated.account.credits.values()
        if each.kept
    }
    if not any(each["holdout_percent"] or "percent" in each["audience"] for each in documents):
        request = SimulationRequest(
            program_id=PROGRAM,
            documents=[],
            campaign_ids=[each.id for each in campaigns],
            country=country,
            steps=steps,
        )
        # A made-up member is in all shares: where there are none it is anybody.
        statement = await run_simulation(services, request)
        assert statement.credits == [each.new for each in simulated.account.credits.values()]
    await assert_audit_is_clean(services)


async def play(migrated: Settings, seed: int) -> None:
    async with fresh_database(migrated) as settings, services_with(settings, TERMS) as services:
        await services.gate.forget_all()
        await compare(services, Random(seed))


@given(seed=st.integers(0, 2**32 - 1))
@hypothesis_settings(
    max_examples=cases(CASES),
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # Another seed is another case, and no simpler one.
)
def test_a_simulation_pays_what_the_flows_pay(migrated: Settings, valkey: Redis, seed: int) -> None:
    asyncio.run(play(migrated, seed))
