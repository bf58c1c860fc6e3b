"""Two processes at once, with many requests for every slot: exactly what the limits allow is credited."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from engage.domain.activity import AnyActivity, AppSignIn
from engage.domain.refusals import Refusal
from engage.flows.activities.activity import RecordedActivity
from engage.flows.activities.record import record
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.operations.audit import audit
from engage.gate.claims import SlotRequest
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.activities import PROGRAM, act, join, link, perform, review, social, source_keys, tap
from tests.support.database import rows

AT_ONCE = 24

LIMITS: list[tuple[str, Callable[[int], AnyActivity], dict[str, int]]] = [
    ("once", lambda n: AppSignIn(event_id=f"e-{n}"), {"app_sign_in": 1}),
    ("once a day", lambda n: tap(), {"fuel": 1}),
    ("n a month", lambda n: social(), {"share_social": 3, "share_any": 6}),
    ("n a day", lambda n: link(), {"share_link": 2, "share_any": 6, "share_thanks": 6, "first_link": 1}),
    ("once a key", lambda n: review("band", f"r-{n}"), {"review": 1}),
    ("once a key, for each key", lambda n: review(f"p-{n % 3}", f"r-{n}"), {"review": 3}),
    ("once a reference", lambda n: social("s-1"), {"share_social": 1, "share_any": 1}),
    ("once a reference, two of them", lambda n: social(f"s-{n % 2}"), {"share_social": 2, "share_any": 2}),
]


@pytest.mark.parametrize("losing", [False, True], ids=["kept", "losing"])
@pytest.mark.parametrize(
    ("make", "allowed"), [limit[1:] for limit in LIMITS], ids=[limit[0] for limit in LIMITS]
)
async def test_a_limit_holds_however_many_requests_there_are(
    services: Services,
    other: Services,
    settings: Settings,
    make: Callable[[int], AnyActivity],
    allowed: dict[str, int],
    losing: bool,
) -> None:
    """`losing`: Valkey is emptied many times during the test."""
    await join(services)
    asking = [
        record(process, [act(process, make(2 * n + m))])
        for n in range(AT_ONCE // 2)
        for m, process in enumerate((services, other))
    ]
    losses = [services.gate.forget_all() for _ in range(6 if losing else 0)]
    results = await asyncio.gather(*interleaved(asking, losses))
    answers = [answer for result in results if result is not None for answer in result]
    credits = Counter(
        (credit.rule, credit.id) for a in answers if isinstance(a, RecordedActivity) for credit in a.credits
    )
    assert Counter(rule for rule, _ in credits) == allowed, "no more and no less was answered"
    codes = {a.code for a in answers if isinstance(a, Refusal)}
    assert codes <= {"already_rewarded", "already_tapped", "limit_reached"}
    assert len(await source_keys(services)) == 1 + sum(allowed.values()), "and kept"
    await services.post_commit.drain()
    await other.post_commit.drain()
    assert (await audit(settings)).broken == []


def interleaved(
    many: list[Coroutine[Any, Any, Any]], few: list[Coroutine[Any, Any, Any]]
) -> list[Coroutine[Any, Any, Any]]:
    together = list(many)
    for n, one in enumerate(few):
        together.insert(2 + n * (len(many) // max(len(few), 1) + 1), one)
    return together


async def test_many_members_at_once_do_not_disturb_each_other(
    services: Services, other: Services, settings: Settings
) -> None:
    members = [f"m-{n}" for n in range(40)]
    for member in members:
        await join(services, member)
    activities: list[AnyActivity] = [tap(), social(), link(), review(), tap(), social()]
    asking = [
        record(process, [act(process, activity, m) for m in members[::step]])
        for activity in activities
        for process, step in ((services, 1), (other, -1))
    ]
    await asyncio.gather(*asking)
    found = await rows(
        services.db, "SELECT rule_id, count(*), count(DISTINCT member_id) FROM credits GROUP BY 1 ORDER BY 1"
    )
    assert found == [
        ("first_link", 40, 40),
        ("fuel", 40, 40),
        ("registration", 40, 40),
        ("review", 40, 40),
        ("share_any", 240, 40),
        ("share_link", 80, 40),
        ("share_social", 120, 40),
        ("share_thanks", 80, 40),
    ]
    assert (await audit(settings)).broken == []


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    ("activity", "earned"),
    [(social("s-1"), {"share_social", "share_any"}), (review("band", "r-1"), {"review"})],
    ids=["share", "review"],
)
async def test_one_activity_sent_a_hundred_times_settles_in_one_round(
    services: Services, other: Services, activity: AnyActivity, earned: set[str], processes: int
) -> None:
    """Batches as the API makes them, each with the tap of somebody else: nobody gets 503."""
    for member in ("m-1", "m-2", "m-3"):
        await join(services, member)
    batches = [
        [*[act(process, activity)] * (100 // processes), act(process, tap(), f"m-{2 + n}")]
        for n, process in enumerate((services, other)[:processes])
    ]
    results = await asyncio.gather(
        *(record(process, batch) for process, batch in zip((services, other), batches, strict=False))
    )
    for *answers, tapped in results:
        assert isinstance(tapped, RecordedActivity)
        for answer in answers:
            if isinstance(answer, Refusal):
                assert answer.code == "already_rewarded"
            else:
                assert {credit.rule for credit in answer.credits} == earned
    first_times = [a for answers in results for a in answers[:-1] if not getattr(a, "repeated", True)]
    assert len(first_times) == 1
    assert len(await source_keys(services)) == 1 + len(earned)


async def test_many_different_activities_under_one_reference_settle_in_few_rounds(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All products were reviewed before, so each review is refused by itself; the tap in the batch waits."""
    for member in ("m-1", "m-2"):
        await join(services, member)
    for n in range(100):
        await perform(services, review(f"p-{n}", f"r-{n}"))
    await services.post_commit.drain()  # Until then the gate grants again what is used.
    claim, rounds = services.gate.claim, []

    async def counting(requests: Sequence[SlotRequest]) -> Any:
        rounds.append(len(requests))
        return await claim(requests)

    monkeypatch.setattr(services.gate, "claim", counting)
    batch = [act(services, review(f"p-{n}", "again")) for n in range(100)]
    *answers, tapped = await record(services, [*batch, act(services, tap(), "m-2")])
    assert isinstance(tapped, RecordedActivity)
    assert {getattr(answer, "code", None) for answer in answers} == {"already_rewarded"}
    assert len(rounds) < 12


async def test_of_many_different_activities_under_one_reference_one_earns(services: Services) -> None:
    await join(services)
    for n in range(20):
        await perform(services, review(f"p-{n}", f"r-{n}"))
    batch = [act(services, review(f"p-{n}", "again")) for n in range(40)]
    answers = await record(services, batch)
    recorded = [answer for answer in answers if isinstance(answer, RecordedActivity)]
    assert len([answer for answer in recorded if not answer.repeated]) == 1
    again = await rows(services.db, "SELECT count(*) FROM credits WHERE reference LIKE '%again'")
    assert again == [(1,)], "and the places of the others are free"
    assert isinstance(await perform(services, review("p-39", "r-39")), RecordedActivity)


async def test_repeats_of_a_refused_share_are_refused_with_it(services: Services) -> None:
    await join(services)
    for activity in [*[link()] * 3, *[social()] * 3]:
        await perform(services, activity)
    answers = await record(services, [act(services, social("s-1"))] * 50 + [act(services, link("s-1"))] * 50)
    assert {answer.code for answer in answers if isinstance(answer, Refusal)} == {"limit_reached"}
    assert not [answer for answer in answers if isinstance(answer, RecordedActivity)]


def registration(n: int, **fields: Any) -> MemberRegistration:
    return MemberRegistration(**({"member_id": f"m-{n}", "program": PROGRAM, "country": "ES"} | fields))


@pytest.mark.parametrize(
    ("fields", "codes"),
    [
        ({"member_id": "same"}, {"member_exists"}),
        ({"person_ref": "the same person"}, {"person_has_account"}),
        ({"card_numbers": ["0000", "1111", "2222"]}, {"card_taken"}),
        (
            {"member_id": "same", "person_ref": "the same person", "card_numbers": ["1111"]},
            {"member_exists", "person_has_account"},
        ),
    ],
    ids=["member", "person", "card", "all"],
)
async def test_two_registrations_at_once_make_one_member(
    services: Services, other: Services, settings: Settings, fields: dict[str, Any], codes: set[str]
) -> None:
    registering = [register_member((services, other)[n % 2], registration(n, **fields)) for n in range(20)]
    found = await asyncio.gather(*registering, return_exceptions=True)
    won = [answer for answer in found if not isinstance(answer, BaseException)]
    lost = [answer for answer in found if isinstance(answer, Refusal)]
    assert (len(won), len(lost)) == (1, 19), found
    assert {refusal.code for refusal in lost} <= codes
    kept = await rows(services.db, "SELECT member_id, pending, version FROM balances")
    assert kept == [(won[0].member_id, 50, 1)]
    assert (await audit(settings)).broken == []


async def test_cards_in_any_order_do_not_deadlock(services: Services, other: Services) -> None:
    cards = [f"{n:04}" for n in range(12)]
    registering = [
        register_member((services, other)[n % 2], registration(n, card_numbers=cards[:: 1 if n % 2 else -1]))
        for n in range(12)
    ]
    found = await asyncio.gather(*registering, return_exceptions=True)
    assert sorted(str(answer) for answer in found if isinstance(answer, BaseException)) == ["card_taken"] * 11
