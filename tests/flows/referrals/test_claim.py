"""A friend is referred once, by somebody else, in time, and no advocate has more friends than allowed."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from engage.domain.refusals import Refusal
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.members.update import MemberUpdate, update_member
from engage.flows.referrals.claim import claim_referral
from engage.flows.referrals.my_referral import read_my_referral
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, advance
from tests.support.database import rows
from tests.support.referrals import (
    BY_REGISTRATION,
    PROGRAM,
    code_of,
    counts,
    counts_of,
    invite,
    join,
    order,
    referral,
    services_with_referrals,
    use,
)


async def refused(services: Services, friend: str, advocate: str, **details: Any) -> Refusal:
    with pytest.raises(Refusal) as found:
        await use(services, friend, advocate, **details)
    return found.value


async def test_a_member_has_one_code_however_often_they_ask(services: Services, settings: Settings) -> None:
    await join(services, "advocate")
    asked = await asyncio.gather(*(read_my_referral(services, PROGRAM, "advocate") for _ in range(10)))
    (code,) = {mine.code for mine in asked}
    assert len(code) == 8
    assert asked[0].url is None
    async with services_with_referrals(settings, clock=services.clock) as other:
        assert await code_of(other, "advocate") == code


async def test_a_code_is_read_however_it_is_typed(services: Services) -> None:
    await join(services, "advocate")
    await join(services, "friend")
    code = await code_of(services, "advocate")
    typed = f" {code[:4].lower()}-{code[4:]} "
    assert (await claim_referral(services, PROGRAM, "friend", typed)).state == "pending"
    assert await counts(services) == counts_of(invited=1, pending=1)


@pytest.mark.parametrize("typed", ["ABCDEFGH", "?", "ABC"])
async def test_a_code_of_nobody_is_unknown(services: Services, typed: str) -> None:
    await join(services, "friend")
    with pytest.raises(Refusal) as found:
        await claim_referral(services, PROGRAM, "friend", typed)
    assert (found.value.code, found.value.status) == ("unknown_code", 404)


async def test_a_friend_is_referred_once(services: Services) -> None:
    await invite(services)
    await join(services, "other")
    for advocate in ("advocate", "other"):
        assert (await refused(services, "friend", advocate)).code == "already_referred"
    assert await counts(services, "other") == counts_of()


async def test_nobody_refers_themselves(services: Services) -> None:
    await join(services, "advocate")
    await join(services, "twin")
    assert (await refused(services, "advocate", "advocate")).code == "self_referral"
    await merge_members(services, PROGRAM, "twin", into="advocate", reason="one", operator="key-1")
    assert (await refused(services, "twin", "advocate")).code == "self_referral", "by a merged id too"


@pytest.mark.parametrize(
    ("advocate", "friend"),
    [
        ({"person_ref": "Person 1"}, {"person_ref": "person1"}),
        ({"phone": "+34 612 345 678"}, {"phone": "612345678"}),
        ({"device_ids": ["d-1", "d-2"]}, {"device_ids": ["D-2"]}),
    ],
)
async def test_a_person_a_phone_and_a_device_are_of_one_person(
    services: Services, advocate: dict[str, Any], friend: dict[str, Any]
) -> None:
    await join(services, "advocate", **advocate)
    await join(services, "friend", **friend)
    assert (await refused(services, "friend", "advocate")).code == "self_referral"
    stored = await rows(services.db, "SELECT encode(hash, 'escape') FROM member_traits")
    assert not [hashed for (hashed,) in stored if "d-" in str(hashed).lower()], "keyed hashes only"


async def test_a_card_and_a_phone_that_changed_hands_are_of_one_person(services: Services) -> None:
    await join(services, "advocate", card_numbers=["4929-001"], phone="+34612345678")
    drop = MemberUpdate(program=PROGRAM, remove_card_numbers=["4929001"], phone=None)
    await update_member(services, "advocate", drop)
    await join(services, "with-card", card_numbers=["4929 001"])
    await join(services, "with-phone", phone="612 345 678")
    for friend in ("with-card", "with-phone"):
        assert (await refused(services, friend, "advocate")).code == "self_referral"


async def test_the_device_of_the_request_is_compared(services: Services) -> None:
    await join(services, "advocate", device_ids=["d-1"])
    await join(services, "friend")
    assert (await refused(services, "friend", "advocate", device_id="d-1")).code == "self_referral"
    assert await use(services, "friend", "advocate", device_id="d-2") == "pending"


async def test_one_address_or_a_merged_account_is_flagged(services: Services) -> None:
    await join(services, "advocate", addresses=["Calle Mayor 1, 28013 Madrid"])
    await join(services, "neighbour", addresses=["CALLE MAYOR, 1 - 28013 MADRID"])
    assert await use(services, "neighbour", "advocate") == "flagged"
    assert (await referral(services)).flags == ["address"]
    for member_id in ("old", "friend"):
        await join(services, member_id)
    await merge_members(services, PROGRAM, "old", into="friend", reason="one", operator="key-1")
    assert await use(services, "friend", "advocate") == "flagged"
    assert await counts(services) == counts_of(invited=2, flagged=2)


async def test_a_circle_is_refused_through_merged_ids_too(services: Services) -> None:
    for member_id in ("a", "b", "c", "d"):
        await join(services, member_id)
    await use(services, "b", "a")
    await use(services, "c", "b")
    assert (await refused(services, "a", "b")).code == "circular_referral"
    assert (await refused(services, "a", "c")).code == "circular_referral"
    await merge_members(services, PROGRAM, "c", into="d", reason="one", operator="key-1")
    assert (await refused(services, "a", "d")).code == "circular_referral"


async def test_a_circle_is_not_closed_by_claims_at_once(settings: Settings) -> None:
    async with (
        services_with_referrals(settings, BY_REGISTRATION) as one,
        services_with_referrals(settings, BY_REGISTRATION, clock=one.clock) as other,
    ):
        members = [f"m-{n}" for n in range(6)]
        for member_id in members:
            await join(one, member_id)
        pairs = zip(members, [*members[1:], members[0]], strict=True)
        answers = await asyncio.gather(
            *(use((one, other)[n % 2], *pair) for n, pair in enumerate(pairs)), return_exceptions=True
        )
        refusals = [answer.code for answer in answers if isinstance(answer, Refusal)]
        assert refusals == ["circular_referral"], answers
        await assert_audit_is_clean(one)


async def test_a_code_is_used_soon_after_joining_and_before_the_first_delivery(services: Services) -> None:
    await join(services, "advocate")
    await join(services, "customer")
    await join(services, "late")
    await order(services, member_id="customer")
    assert (await refused(services, "customer", "advocate")).code == "too_late"
    advance(services, 3 * DAY)
    await join(services, "friend")
    assert await use(services, "friend", "advocate") == "pending"
    advance(services, DAY)
    assert (await refused(services, "late", "advocate")).code == "too_late"


async def test_an_advocate_has_no_more_friends_than_the_limit(services: Services) -> None:
    await join(services, "advocate")
    for n in range(4):
        await join(services, f"f-{n}")
    for n in range(3):
        await use(services, f"f-{n}", "advocate")
    full = await refused(services, "f-3", "advocate")
    assert (full.code, full.facts["resets_at"].isoformat()) == ("limit_reached", "2026-11-30T23:00:00+00:00")
    await erase_member(services, PROGRAM, "f-0", operator="key-1")
    advance(services, 10 * DAY)
    await join(services, "december")
    assert await use(services, "december", "advocate") == "pending", "in the next month of Madrid"


async def test_twenty_claims_at_once_keep_the_limit_and_refer_each_friend_once(
    services: Services, settings: Settings
) -> None:
    await join(services, "advocate")
    await join(services, "other")
    for n in range(10):
        await join(services, f"f-{n}")
    async with services_with_referrals(settings, clock=services.clock) as second:
        answers = await asyncio.gather(
            *(
                use(process, f"f-{n}", advocate)
                for n in range(5)
                for process, advocate in ((services, "advocate"), (second, "advocate"))
            ),
            *(use((services, second)[n % 2], "f-9", ("advocate", "other")[n % 2]) for n in range(10)),
            return_exceptions=True,
        )
    found = Counter(str(answer.code) if isinstance(answer, Refusal) else str(answer) for answer in answers)
    assert set(found) <= {"pending", "already_referred", "limit_reached"}, answers
    by_friend = await rows(services.db, "SELECT member_id, count(*) FROM referrals GROUP BY 1")
    assert {count for _, count in by_friend} == {1}
    assert found["pending"] == len(by_friend)
    ((used,),) = await rows(services.db, "SELECT count(*) FROM referrals WHERE advocate_id = 'advocate'")
    assert used == 3


async def test_the_code_of_an_erased_member_is_nobodys(services: Services) -> None:
    await join(services, "advocate")
    await join(services, "friend")
    code = await code_of(services, "advocate")
    await erase_member(services, PROGRAM, "advocate", operator="key-1")
    with pytest.raises(Refusal) as found:
        await claim_referral(services, PROGRAM, "friend", code)
    assert found.value.code == "unknown_code"
    assert await rows(services.db, "SELECT * FROM referral_codes") == []


async def test_both_codes_of_a_merged_member_lead_to_the_survivor(services: Services) -> None:
    for member_id in ("old", "advocate", "one", "two"):
        await join(services, member_id)
    codes = [await code_of(services, member_id) for member_id in ("old", "advocate")]
    await merge_members(services, PROGRAM, "old", into="advocate", reason="one", operator="key-1")
    assert await code_of(services, "advocate") == codes[1]
    for friend, code in zip(("one", "two"), codes, strict=True):
        await claim_referral(services, PROGRAM, friend, code)
    assert await counts(services) == counts_of(invited=2, pending=2)


@pytest.mark.parametrize(
    ("details", "state", "code"),
    [
        ({}, "pending", None),
        ({"addresses": ["Calle Mayor 1"]}, "flagged", None),
        ({"device_ids": ["d-1"]}, "refused", "self_referral"),
        ({"referral_code": "ABCDEFGH"}, "refused", "unknown_code"),
    ],
)
async def test_a_code_at_the_registration_never_stops_it(
    services: Services, details: dict[str, Any], state: str, code: str | None
) -> None:
    await join(services, "advocate", addresses=["Calle Mayor, 1"], device_ids=["d-1"])
    joining = {"referral_code": await code_of(services, "advocate")} | details
    joined = await join(services, "friend", **joining)
    assert joined.referral is not None
    refusal = joined.referral.refusal
    assert (joined.referral.state, refusal and refusal.code) == (state, code)
    assert await counts(services) == counts_of(**{} if state == "refused" else {"invited": 1, state: 1})


async def test_a_program_without_referrals_offers_none(settings: Settings) -> None:
    async with services_with_referrals(settings, "") as services:
        joined = await join(services, "friend", referral_code="ABCDEFGH", addresses=["Spring Lane 1"])
        assert joined.referral is not None
        assert joined.referral.refusal is not None
        assert joined.referral.refusal.code == "not_offered"
        assert await rows(services.db, "SELECT * FROM member_traits") == [], "nothing is kept for nothing"
        for ask in (
            read_my_referral(services, PROGRAM, "friend"),
            claim_referral(services, PROGRAM, "friend", "ABCDEFGH"),
        ):
            with pytest.raises(Refusal) as found:
                await ask
            assert found.value.code == "not_offered"
