"""The home screen, credits and statement of a member, over HTTP."""

from datetime import timedelta
from uuid import uuid4

import pytest

from engage.flows.scheduled.settle import settle_due
from tests.api.calling import LIFETIME, PROGRAM, Caller, Calling, fields, problem
from tests.support.clock import FIVE_MINUTES, NOON, advance, stopped_clock

ME, CREDITS, ENTRIES = "/v1/me", "/v1/me/credits", "/v1/me/entries"
NOBODYS = "01a1f0a0-0000-7000-8000-000000000000"


async def later(api: Calling, by: timedelta) -> None:
    """Advance the clock and settle what falls due."""
    await settle_due(api.services, now=advance(api.services, by))


@pytest.fixture(autouse=True)
def _at_noon(api: Calling) -> None:
    stopped_clock(api.services).at = NOON


async def shared(api: Calling, member: Caller, times: int = 3) -> None:
    for _ in range(times):
        answer = await member.post("/v1/shares", {"kind": "link", "product_id": "band"})
        assert answer.status_code == 202


async def test_the_home_screen_is_one_answer(api: Calling) -> None:
    member = await api.joined()
    await member.post("/v1/fuel/taps")
    await shared(api, member, 1)
    home = (await member.get(ME)).json()
    assert home["member"] == {
        "member_id": member.member_id,
        "program": PROGRAM,
        "program_version": "2022",
        "country": "ES",
        "zone": "Europe/Madrid",
        "currency": "EUR",
    }
    assert home["balance"] == {"active": 0, "pending": 62, "held": 0, "debt": 0, "seq": 3}
    assert home["streak"] == {
        "days": 1,
        "next_tap_at": "2026-11-21T23:00:00Z",
        "next_bonus_in": 6,
        "freezes": 0,
        "best": 1,
        "frozen_days": [],
        "lost": None,
        "offer": None,
    }
    limits = {limit["rule"]: (limit["remaining"], limit["resets_at"]) for limit in home["limits"]}
    assert limits == {
        "share_social": (3, "2026-11-30T23:00:00Z"),
        "share_link": (2, "2026-11-30T23:00:00Z"),
        "review": (5, "2026-11-21T23:00:00Z"),
    }
    assert (home["tier"], home["campaigns"], home["expiring"], home["waiting"]) == (None, [], [], [])


async def test_active_points_show_when_they_expire(api: Calling) -> None:
    member = await api.joined()
    await later(api, FIVE_MINUTES)
    home = (await member.get(ME)).json()
    assert home["balance"]["active"] == 50
    assert home["expiring"] == [{"points": 50, "expires_at": "2027-11-21T12:05:00Z"}]


async def test_an_unchanged_home_screen_is_answered_with_304(api: Calling) -> None:
    member = await api.joined()
    first = await member.get(ME)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        same = await member.get(ME, if_none_match=known)
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    await member.post("/v1/fuel/taps")
    changed = await member.get(ME, if_none_match=tag)
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


async def test_a_credit_shows_why_it_was_granted(api: Calling) -> None:
    member = await api.joined()
    await member.post("/v1/fuel/taps")
    credit = (await member.get(CREDITS)).json()["items"][0]
    assert (credit["rule"], credit["points"], credit["state"]) == ("fuel", 2, "pending")
    assert credit["source_key"] == "fuel:2026-11-21"
    assert (credit["due_at"], credit["active_at"]) == ("2026-11-21T12:05:00Z", None)
    assert credit["expires_at"] == "2027-11-21T12:05:00Z"
    assert credit["why"]["version"] == "2022"
    assert credit["why"]["inputs"]["streak_days"] == 1
    (day, bonus) = credit["why"]["trace"]
    assert (day["code"], bonus["code"]) == ("streak_day", "streak_bonus_ahead")
    assert day["facts"] == {"rule": "fuel", "streak_days": 1, "points": 2}
    assert day["text"] == "fuel: Day 1 in a row earns 2 points."
    german = (await member.get(f"{CREDITS}/{credit['id']}", accept_language="de")).json()
    assert german["why"]["trace"][0]["facts"] == day["facts"]
    assert german["why"]["trace"][0]["text"] != day["text"]
    assert (await member.get(f"{CREDITS}/{credit['id']}")).json() == credit


async def test_credits_are_listed_in_pages_newest_first(api: Calling) -> None:
    member = await api.joined()
    await shared(api, member)
    seen, path = [], f"{CREDITS}?limit=3"
    while path:
        page = (await member.get(path)).json()
        assert len(page["items"]) <= 3
        seen += [credit["source_key"] for credit in page["items"]]
        cursor = page["next_cursor"]
        path = f"{CREDITS}?limit=3&cursor={cursor}" if cursor else ""
    assert seen == ["share_link:2026-11:3", "share_link:2026-11:2", "share_link:2026-11:1", "registration"]


async def test_credits_can_be_listed_by_state(api: Calling) -> None:
    member = await api.joined()
    await later(api, FIVE_MINUTES)
    await shared(api, member, 1)
    states = {}
    for state in ("pending", "active", "expired", "reversed"):
        found = (await member.get(f"{CREDITS}?state={state}")).json()["items"]
        states[state] = [credit["rule"] for credit in found]
    assert states == {"pending": ["share_link"], "active": ["registration"], "expired": [], "reversed": []}


async def test_the_statement_has_every_movement_with_the_balance_after_it(api: Calling) -> None:
    member = await api.joined()
    await member.post("/v1/reviews", {"product_id": "band", "review_id": "r-1"})
    await later(api, FIVE_MINUTES)
    await api.shop.post("/v1/shop/events", api.event("review.removed", member, review_id="r-1"))
    entries = (await member.get(ENTRIES)).json()["items"]
    assert [(e["kind"], e["points"], e["balance_after"]) for e in entries] == [
        ("clawback", -20, 50),
        ("earning", 20, 70),
        ("earning", 50, 50),
    ]
    assert [entry["rule"] for entry in entries] == ["review", "review", "registration"]
    assert entries[0]["corrects"] == entries[1]["seq"]
    assert all(entry["credit_id"] and entry["at"].endswith("Z") for entry in entries)
    first = (await member.get(f"{ENTRIES}?limit=2")).json()
    rest = (await member.get(f"{ENTRIES}?cursor={first['next_cursor']}")).json()
    assert first["items"] + rest["items"] == entries
    assert rest["next_cursor"] is None


async def test_another_members_credit_is_not_found(api: Calling) -> None:
    member, other = await api.joined(), await api.joined()
    (credit,) = (await member.get(CREDITS)).json()["items"]
    for path in (f"{CREDITS}/{credit['id']}", f"{CREDITS}/{uuid4()}", f"{CREDITS}/not-an-id"):
        problem(await other.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("state=lost", "state"),
        ("cursor=*", "cursor"),
        ("cursor=AAAA", "cursor"),
        (f"cursor={'A' * 65}", "cursor"),
        ("cursor=null", "cursor"),
        ("state=null", "state"),
        ("stat=pending", "stat"),
    ],
)
async def test_an_invalid_query_is_refused_with_the_parameter(api: Calling, query: str, where: str) -> None:
    member = await api.joined()
    assert fields(problem(await member.get(f"{CREDITS}?{query}"), 400, "invalid_request")) == [where]


@pytest.mark.parametrize("path", [ME, CREDITS, ENTRIES, f"{CREDITS}/{NOBODYS}"])
async def test_reading_needs_a_valid_token(api: Calling, path: str) -> None:
    for caller in (api.nobody, api.shop, api.member_of(PROGRAM, "nobody"), api.member_of("none", "m-1")):
        problem(await caller.get(path), 401, "unauthorized")


async def test_a_feed_ticket_is_valid_once(api: Calling) -> None:
    member = await api.joined()
    answer = await member.post("/v1/feed/tickets")
    assert answer.status_code == 201
    ticket = answer.json()
    assert ticket["url"] == api.services.settings.feed_url
    assert ticket["expires_at"].endswith("Z")
    owner = await api.services.topics.redeem_ticket(ticket["ticket"])
    assert owner is not None
    assert (owner.program_id, owner.member_id) == (PROGRAM, member.member_id)
    left_s = owner.expires_at - api.services.clock.wall().timestamp()
    assert 0 < left_s <= LIFETIME.total_seconds(), "what it opens ends with the token"
    assert await api.services.topics.redeem_ticket(ticket["ticket"]) is None


async def test_a_credit_says_why_in_the_language_in_which_it_is_asked_for(api: Calling) -> None:
    member = await api.joined()
    tap = (await member.post("/v1/fuel/taps", accept_language="de")).json()["credits"][0]
    assert tap["why"] == {"text": "Sie haben am 21. November 2026 getankt. Tag 1 in Folge bringt 2 Punkte."}
    english = "You fuelled up on 21 November 2026. Day 1 in a row earns 2 points."
    one = (await member.get(f"{CREDITS}/{tap['id']}")).json()
    assert (one["why"]["text"], one["why"]["trace"][0]["code"]) == (english, "streak_day")
    german = (await member.get(f"{CREDITS}/{tap['id']}", accept_language="de")).json()
    assert german["why"]["text"] == tap["why"]["text"]
    page = (await member.get(CREDITS, accept_language="fr")).json()["items"]
    texts = {credit["rule"]: credit["why"]["text"] for credit in page}
    assert texts["fuel"].startswith("Vous avez fait le plein le 21 novembre 2026. ")
    assert texts["registration"].startswith("Vous vous êtes inscrit(e) le 21 novembre 2026. ")


async def test_a_reason_has_the_members_own_date_and_an_operators_its_reason(api: Calling) -> None:
    member = await api.joined()
    stopped_clock(api.services).at = NOON.replace(hour=23, minute=30)
    tap = (await member.post("/v1/fuel/taps")).json()["credits"][0]
    assert "on 22 November 2026" in tap["why"]["text"], "in Madrid"
    given = {"points": 7, "reason": "a late parcel", "reference": "T-77"}
    await api.operator.post(f"/v1/admin/members/{member.member_id}/adjustments", given)
    page = (await member.get(CREDITS)).json()["items"]
    texts = {credit["rule"]: credit["why"]["text"] for credit in page}
    assert texts["adjustment"] == "An operator adjusted the points: a late parcel"


async def test_a_repeated_share_says_why_as_it_did(api: Calling) -> None:
    member = await api.joined()
    share = {"kind": "link", "product_id": "band", "share_id": "s-1"}
    first = (await member.post("/v1/shares", share)).json()
    again = (await member.post("/v1/shares", share)).json()
    assert again["repeated"]
    assert again["credits"][0]["why"] == first["credits"][0]["why"]
    assert "Number 1 of 3 in November 2026 earns 10 points." in first["credits"][0]["why"]["text"]


@pytest.mark.parametrize(
    ("language", "why"),
    [
        ("en", "The next tap is possible from 22 November 2026 00:00."),
        ("de", "Kommen Sie zum nächsten Mal wieder: am 22. November 2026 00:00."),
    ],
)
async def test_a_refusal_says_why_in_the_callers_language(api: Calling, language: str, why: str) -> None:
    member = await api.joined()
    await member.post("/v1/fuel/taps")
    refused = problem(await member.post("/v1/fuel/taps", accept_language=language), 409, "already_tapped")
    assert refused["why"] == {"text": refused["detail"]}
    assert refused["detail"] == why
