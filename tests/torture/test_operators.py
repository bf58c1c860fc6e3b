"""Checks find campaigns that pay too much, or outside their time, and members who are gone wrongly."""

from typing import Any

import pytest
from msgspec.structs import replace

from engage.torture.checks import accounts, campaigns
from engage.torture.checks.books import Balance, Credit
from tests.torture.evidence import BEGAN, MEMBER, Written, tap_credit, uuid

DOCUMENT = {
    "id": "double",
    "from": "2026-11-21T08:00:00",
    "until": "2026-11-24T08:00:00",
    "budget": {"points": 9},
}


@pytest.fixture
def written() -> Written:
    found = Written()
    found.send("createCampaign", body=DOCUMENT, status=201)
    return found


def boosted(base: Credit, number: int = 90, **rest: Any) -> Credit:
    key = f"{base.source_key}+double"
    row = replace(base, id=uuid(number), source_key=key, campaign="double", boost="double")
    return replace(row, **rest)


def test_a_credit_of_a_campaign_is_beside_another(written: Written) -> None:
    base = tap_credit(21)
    written.books.credits.append(boosted(base))
    assert "beside nothing" in written.found(campaigns.campaigns_keep_to_their_documents)[0].text
    written.books.credits.append(base)
    assert written.found(campaigns.campaigns_keep_to_their_documents) == []


def test_a_credit_outside_the_time_of_its_campaign_is_found(written: Written) -> None:
    base = tap_credit(24)
    written.books.credits.extend([base, boosted(base)])
    assert "campaign's time" in written.found(campaigns.campaigns_keep_to_their_documents)[0].text


@pytest.mark.parametrize(
    ("budget", "is_broken"),
    [
        ({"points": 10}, False),
        ({"points": 9}, True),
        ({"count": 2}, False),
        ({"count": 1}, True),
        ({"points_per_member": 10}, False),
        ({"points_per_member": 9}, True),
    ],
)
def test_points_beyond_a_budget_are_found(budget: dict[str, int], is_broken: bool) -> None:
    written = Written()
    written.send("createCampaign", body=DOCUMENT | {"budget": budget}, status=201)
    for day in (21, 22):
        base = tap_credit(day)
        written.books.credits.extend([base, boosted(base, 90 + day)])
    assert bool(written.found(campaigns.campaigns_keep_to_their_documents)) is is_broken


def test_points_that_were_taken_back_are_in_no_budget(written: Written) -> None:
    for day in (21, 22):
        base = tap_credit(day)
        written.books.credits.extend([base, boosted(base, 90 + day, state="reversed")])
    assert written.found(campaigns.campaigns_keep_to_their_documents) == []


@pytest.mark.parametrize(("points", "is_broken"), [(5, False), (4, True)])
def test_what_a_survivor_has_of_a_merged_member_is_granted_once(points: int, is_broken: bool) -> None:
    written = Written()
    written.send("createCampaign", body=DOCUMENT | {"budget": {"points": points, "count": 1}}, status=201)
    base = tap_credit(21)
    for member_id in (MEMBER, "m-2"):
        written.books.credits.extend(replace(each, member_id=member_id) for each in (base, boosted(base)))
    assert bool(written.found(campaigns.campaigns_keep_to_their_documents)) is is_broken


def erase(written: Written, status: int | None = 200) -> None:
    written.send("eraseMember", "DELETE", f"/v1/admin/members/{MEMBER}?program=torture", status=status)


def test_an_erasure_that_was_answered_is_there(written: Written) -> None:
    erase(written)
    assert written.found(accounts.closings_are_as_answered)
    written.change(written.books.members[0], erased_at=BEGAN)
    assert written.found(accounts.closings_are_as_answered) == []


def test_nobody_is_gone_without_a_request(written: Written) -> None:
    written.change(written.books.members[0], erased_at=BEGAN)
    assert written.found(accounts.closings_are_as_answered)
    erase(written, status=409)
    assert written.found(accounts.closings_are_as_answered)
    erase(written, status=None)
    assert written.found(accounts.closings_are_as_answered) == []


def test_a_member_is_merged_into_the_one_that_was_asked_for(written: Written) -> None:
    path = f"/v1/admin/members/{MEMBER}/merge?program=torture"
    written.send("mergeMembers", path=path, body={"into": "m-2"})
    written.change(written.books.members[0], merged_into="m-3")
    assert written.found(accounts.closings_are_as_answered)
    written.change(written.books.members[0], merged_into="m-2")
    assert written.found(accounts.closings_are_as_answered) == []


@pytest.mark.parametrize(("active", "closed"), [(1, True), (0, False)])
def test_a_closed_account_is_empty_and_stays_closed(written: Written, active: int, closed: bool) -> None:
    erase(written)
    written.change(written.books.members[0], erased_at=BEGAN)
    row = Balance(member_id=MEMBER, active=active, pending=0, held=0, debt=0, version=1, closed=closed)
    written.books.balances.append(row)
    assert len(written.found(accounts.closings_are_as_answered)) == 1


def test_an_erased_member_gets_no_answer(written: Written) -> None:
    erase(written)
    written.send("getHome", "GET", "/v1/me", status=401)
    assert written.found(accounts.erased_members_have_no_access) == []
    written.send("getHome", "GET", "/v1/me", answer={"balance": {}})
    assert written.found(accounts.erased_members_have_no_access) == [], "that API may not have looked yet"
    written.at += accounts.LOOKED_S
    written.send("getHome", "GET", "/v1/me", answer={"balance": {}})
    assert len(written.found(accounts.erased_members_have_no_access)) == 1


def test_a_merged_member_and_the_survivor_are_left_out_of_other_checks(written: Written) -> None:
    written.change(written.books.members[0], merged_into="m-2")
    assert written.evidence().books.closed == {MEMBER, "m-2"}
