"""Traces that an earlier release wrote as sentences are read as steps, and go back to the same sentences."""

import json
from typing import Any

import msgspec
from alembic import command
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.api.http.traces import with_text
from engage.domain.earning.trace import FACTS, TraceCode
from engage.ledger.credits import Credit, list_credits
from engage.messages.why import no_title
from engage.runtime.database import one_statement, open_database
from engage.runtime.ids import new_id
from engage.settings import Settings
from tests.support.migrations import move

AMOUNT = {"paid_minor": 1000, "lines": 2, "shipping_minor": 0, "discount_minor": 0}


def of(code: str, **facts: Any) -> list[Any]:
    return [code, facts]


# No release wrote these as sentences.
LATER_CODES = {
    *(TraceCode.HELD, TraceCode.RELEASED, TraceCode.REJECTED, TraceCode.RESTORED),
    *(TraceCode.EARNED_BEFORE, TraceCode.LAPSED, TraceCode.TIER_BOOST, TraceCode.GAME_PRIZE),
    *(TraceCode.DRAW_WON, TraceCode.FRIEND_JOINED, TraceCode.FRIEND_ORDERED, TraceCode.INVITED),
    *(TraceCode.QUIZ_ANSWERS, TraceCode.QUIZ_FULL_SCORE, TraceCode.CHALLENGE_STEP, TraceCode.BOARD_RANK),
    *(TraceCode.CAMPAIGN_MULTIPLIES, TraceCode.CAMPAIGN_ADDS, TraceCode.BUDGET_EXHAUSTED),
}

# Every form of sentence that release 0002 could write, with its steps.
RULES: list[tuple[str, list[list[Any]]]] = [
    ("fuel: day 7 in a row pays 2", [of("streak_day", rule="fuel", streak_days=7, points=2)]),
    (
        "bonus: day 7 in a row, every 7 days pay 50",
        [of("streak_bonus", rule="bonus", streak_days=7, every_days=7, points=50)],
    ),
    (
        "bonus: day 8 in a row, the next bonus is on day 14",
        [of("streak_bonus_ahead", rule="bonus", streak_days=8, bonus_day=14)],
    ),
    (
        "share_link: 2 of 3 in 2026-11 pays 5",
        [of("window_slot", rule="share_link", slot=2, of=3, window="2026-11", points=5)],
    ),
    (
        "daily: 1 of 1 in 2026-11-21 pays 5",
        [of("window_slot", rule="daily", slot=1, of=1, window="2026-11-21", points=5)],
    ),
    ("joining: once pays 50", [of("once", rule="joining", points=50)]),
    (
        "review: once for tea: 5 pays off pays 20",
        [of("once_per", rule="review", key="tea: 5 pays off", points=20)],
    ),
    ("first: no place left", [of("no_slot", rule="first")]),
    ("app: nothing by channel web", [of("channel_excluded", rule="app", channel="web")]),
    ("cash: nothing paid by card", [of("payment_method_excluded", rule="cash", method="card")]),
    (
        "pickup: nothing by channel web unless it is paid at pick-up",
        [of("not_paid_at_pickup", rule="pickup", channel="web")],
    ),
    ("regular: all lines are in a promotion", [of("only_promotion_lines", rule="regular")]),
    ("second: each order pays 5", [of("each_order", rule="second", points=5)]),
    ("tags: 21 on the price tags", [of("tag_points", rule="tags", points=21)]),
    (
        "buy: 1000 for 2 lines: 10, 1 for each 100",
        [of("spend_steps", rule="buy", **AMOUNT, points=10, step_points=1, step_minor=100)],
    ),
    (
        "steps: 1000 for 2 lines and 500 for shipping, less 100 paid with points or coupons: 20, from 900",
        [
            of(
                "bracket",
                rule="steps",
                **AMOUNT | {"shipping_minor": 500, "discount_minor": 100},
                points=20,
                from_minor=900,
            )
        ],
    ),
    ("steps: 1000 for 2 lines: below all brackets", [of("lost_bracket", rule="steps", **AMOUNT)]),
    ("a sentence that no release wrote", [of("text", text="a sentence that no release wrote")]),
]
# The sentence of the award named lines that were left out. They are a separate step now.
LEFT_OUT = "buy: 1000 for 2 lines: 10, 1 for each 100; 3 lines in a promotion left out"
LEFT_OUT_STEPS = [
    of("spend_steps", rule="buy", **AMOUNT, points=10, step_points=1, step_minor=100),
    of("promotion_lines_left_out", rule="buy", lines=3),
]
OTHERS: list[tuple[dict[str, Any], str, list[Any]]] = [
    (
        {"rule": "adjustment", "inputs": {"points": 5}},
        "fuel: no place left",
        of("adjusted", reason="fuel: no place left"),
    ),
    (
        {"rule": "opening_balance", "inputs": {"import": "old", "line": 2}},
        "an opening balance, brought by the import old",
        of("opening", **{"import": "old"}),
    ),
    ({"rule": "adjustment", "inputs": {}}, "erased", of("erased")),
    ({}, "removed before it came", of("removed_before")),
]


async def add_credit(db: AsyncEngine, why: dict[str, Any]) -> None:
    async with db.begin() as conn:
        await conn.execute(
            text(
                "INSERT INTO credits (program_id, member_id, id, source_key, rule_id, program_version,"
                " points, state, activity_at, accepted_at, due_at, why) VALUES ('p', 'm', :id, :key, 'r',"
                " '1', 5, 'pending', now(), now(), now(), CAST(:why AS jsonb))"
            ),
            {"id": (id_ := new_id()), "key": str(id_), "why": json.dumps(why)},
        )


async def traces(db: AsyncEngine) -> list[list[Any]]:
    async with db.connect() as conn:
        result = await conn.execute(text("SELECT why -> 'trace' FROM credits ORDER BY id"))
        return [msgspec.json.decode(row) if isinstance(row, str) else row for row in result.scalars()]


async def test_sentences_become_steps_and_go_back(own_database: Settings) -> None:
    db = open_database(own_database.database_url, pool_size=1)
    try:
        await move(db, command.downgrade, "0002")
        await add_credit(db, {"rule": "fuel", "trace": [sentence for sentence, _ in RULES]})
        await add_credit(db, {"rule": "buy", "trace": [LEFT_OUT]})
        for why, sentence, _ in OTHERS:
            await add_credit(db, why | {"trace": [sentence]})
        steps = [
            [step for _, of_sentence in RULES for step in of_sentence],
            LEFT_OUT_STEPS,
            *([step] for _, _, step in OTHERS),
        ]
        await move(db, command.upgrade, "head")
        assert await traces(db) == steps
        await move(db, command.downgrade, "0002")
        first, _, *others = await traces(db)
        assert first == [sentence for sentence, _ in RULES]
        assert others == [[sentence] for _, sentence, _ in OTHERS]
        await move(db, command.upgrade, "head")
        assert await traces(db) == steps, "what went back comes again"
        async with one_statement(db) as conn:
            credits = await list_credits(conn, "p", "m", state=None, before=None, limit=50)
        shown = [line.text for credit in credits for line in with_text(credit, "en", no_title).why["trace"]]
        assert len(shown) == len(RULES) + 2 + len(OTHERS)
        assert "fuel: Day 7 in a row earns 2 points." in shown
    finally:
        await db.dispose()


def test_a_sentence_that_came_after_the_migration_is_shown_as_it_is() -> None:
    credit = Credit(
        id=new_id(),
        rule="joining",
        points=50,
        taken_back=0,
        unit="points",
        campaign=None,
        boost=None,
        state="pending",
        due_at=None,
        active_at=None,
        expires_at=None,
        source_key="joining",
        why={"trace": ["joining: once pays 50", of("no_slot", rule="first")]},
        waits_for=None,
        lapses_at=None,
    )
    lines = with_text(credit, "de", no_title).why["trace"]
    assert [(line.code, line.facts) for line in lines] == [
        ("text", {"text": "joining: once pays 50"}),
        ("no_slot", {"rule": "first"}),
    ]
    assert lines[0].text == "joining: once pays 50"


def test_every_code_is_among_the_sentences_with_all_its_facts() -> None:
    steps = [step for _, found in RULES for step in found] + LEFT_OUT_STEPS + [step for _, _, step in OTHERS]
    assert {code for code, _ in steps} == set(TraceCode) - LATER_CODES
    assert all(facts.keys() == set(FACTS[TraceCode(code)]) for code, facts in steps)
