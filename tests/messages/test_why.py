"""Why a credit was granted, in words: in each language, with local dates and right plurals."""

from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import pytest

from engage.domain.activity import AnyActivity, FuelTap, Order, Payment, RuleActivity, Share
from engage.domain.earning.credit import Why
from engage.domain.earning.trace import FACTS, TraceCode, TraceStep, step
from engage.messages.catalogue import LANGUAGES, known
from engage.messages.why import DECISIONS_CACHED, why_text

MADRID = "Europe/Madrid"
LATE = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)  # The 22nd in Madrid.


def why(activity: AnyActivity, *trace: TraceStep, rule: str = "r", at: datetime = LATE) -> Why:
    return Why(
        program="p",
        version="1",
        rule=rule,
        activity=activity,
        at=at,
        zone=MADRID,
        inputs={},
        trace=list(trace),
    )


def stored(reason: Why) -> dict[str, Any]:
    """The reason as the database has it."""
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(reason))
    return decoded


TAP = why(FuelTap(), step(TraceCode.STREAK_DAY, rule="r", streak_days=3, points=2))
SHARE = why(
    Share(kind="link", product_id="band"),
    step(TraceCode.NO_SLOT, rule="other"),
    step(TraceCode.WINDOW_SLOT, rule="r", slot=2, of=3, window="2026-11", points=10),
)
ORDER = why(
    Order(order_id="o-1", channel="web", currency="EUR", payment=Payment(method="card"), lines=[]),
    step(
        TraceCode.SPEND_STEPS,
        rule="r",
        paid_minor=5000,
        lines=1,
        shipping_minor=0,
        discount_minor=0,
        points=50,
        step_points=1,
        step_minor=100,
    ),
    step(TraceCode.PROMOTION_LINES_LEFT_OUT, rule="r", lines=1),
)


def test_a_reason_says_what_was_done_on_the_members_own_day_and_what_it_earns() -> None:
    assert why_text(TAP, "en") == "You fuelled up on 22 November 2026. Day 3 in a row earns 2 points."
    assert why_text(SHARE, "en") == (
        "You shared something on 22 November 2026. Number 2 of 3 in November 2026 earns 10 points."
    )
    assert why_text(ORDER, "en") == (
        "You paid order o-1 on 22 November 2026. €50.00 for 1 line earn 50 points: 1 for each €1.00."
    )


def test_the_same_reason_is_written_in_each_language() -> None:
    assert why_text(TAP, "fr").startswith("Vous avez fait le plein le 22 novembre 2026. ")
    assert why_text(SHARE, "de") == (
        "Sie haben am 22. November 2026 etwas geteilt. Nummer 2 von 3 in November 2026 bringt 10 Punkte."
    )
    for reason in (TAP, SHARE, ORDER):
        assert len({why_text(reason, language) for language in LANGUAGES}) == len(LANGUAGES)


def test_a_multiplier_is_written_as_the_language_writes_numbers() -> None:
    boosted = why(
        FuelTap(),
        step(
            TraceCode.TIER_BOOST,
            rule="r",
            group="club",
            level="silver",
            multiply="1.5",
            base_points=33,
            points=16,
        ),
    )
    assert "1.5 times" in why_text(boosted, "en")
    assert "1,5 fois" in why_text(boosted, "fr")


def test_a_day_is_the_one_of_a_daily_window() -> None:
    daily = why(FuelTap(), step(TraceCode.WINDOW_SLOT, rule="r", slot=1, of=2, window="2026-11-22", points=1))
    assert why_text(daily, "en").endswith("Number 1 of 2 on 22 November 2026 earns 1 point.")
    assert why_text(daily, "ru").endswith(
        "Номер 1 из 2 за 22 ноября 2026\N{NARROW NO-BREAK SPACE}г. приносит 1 балл."
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("reason", [TAP, SHARE, ORDER], ids=["tap", "share", "order"])
def test_a_stored_reason_reads_as_the_new_one_did(reason: Why, language: str) -> None:
    assert why_text(stored(reason), language) == why_text(reason, language)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", TraceCode)
def test_each_code_of_a_trace_says_why_in_each_language(code: TraceCode, language: str) -> None:
    """A code without a text in one of the languages fails here."""
    values = {"rule": "r", "window": "2026-11", "until": "2026-11-22"}
    facts = {name: values.get(name, 2) for name in FACTS[code]}
    text = why_text(why(FuelTap(), TraceStep(code, facts)), language)
    assert text.count(" ") > 3
    for unfinished in ("trace.", "why.", "…", "{", "None"):
        assert unfinished not in text, text


@pytest.mark.parametrize("activity", [str(a.__struct_config__.tag) for a in get_args(RuleActivity)])
def test_each_activity_that_a_rule_can_be_about_has_a_sentence(activity: str) -> None:
    assert known(f"why.{activity}")


def test_what_ended_a_credit_is_said_rather_than_what_it_earned() -> None:
    lapsed = why(
        Share(kind="link", product_id="band"),
        step(TraceCode.ONCE, rule="r", points=5),
        step(TraceCode.LAPSED),
    )
    assert why_text(lapsed, "en").endswith("The shop did not confirm the activity in time.")


@pytest.mark.parametrize(
    ("kept", "text"),
    [
        ({"trace": [["erased", {}]]}, "The member was erased."),
        (
            {"rule": "adjustment", "trace": [["adjusted", {"reason": "T-1"}]]},
            "An operator adjusted the points: T-1",
        ),
        ({"rule": "opening_balance", "trace": [["opening", {"import": "old"}]]}, "the import old."),
        ({"trace": ["day 3 earns 2"]}, "day 3 earns 2"),
        ({"trace": [["of_a_later_release", {"points": 3}]]}, "of_a_later_release, points 3"),
        ({"trace": []}, ""),
    ],
)
def test_a_reason_without_an_activity_is_its_trace_alone(kept: dict[str, Any], text: str) -> None:
    assert why_text(kept, "en").endswith(text)


def test_an_activity_of_a_later_release_is_named_by_its_day() -> None:
    kept = stored(TAP) | {"activity": {"activity": "moonwalk"}}
    assert why_text(kept, "en").startswith("This was on 22 November 2026. ")


def test_each_decision_has_its_own_text_however_many_there_were_before() -> None:
    for days in range(1, 2 * DECISIONS_CACHED):
        decision = why(FuelTap(), step(TraceCode.STREAK_DAY, rule="r", streak_days=days, points=2))
        for language in ("en", "fr"):
            assert why_text(decision, language) == why_text(stored(decision), language)
            assert f" {days} " in why_text(decision, language).replace(".", " ")


def test_the_title_of_a_campaign_is_written_as_soon_as_it_is_known() -> None:
    facts = {"rule": "r", "campaign": "spring", "version": 1, "base_points": 2, "points": 2}
    decision = why(FuelTap(), step(TraceCode.CAMPAIGN_ADDS, **facts))
    assert "spring" in why_text(decision, "en")
    assert "Spring days" in why_text(decision, "en", lambda _campaign, _version: "Spring days")
    assert "spring" in why_text(decision, "en")
