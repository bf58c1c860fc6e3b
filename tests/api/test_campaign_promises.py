"""The running API keeps the contract of campaigns: a walk through all of its calls, fields, codes and states.

Each answer has the fields that `tests.support.campaign_promises` lists for its call.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest

from engage.settings import Settings
from tests.api.calling import PROGRAM, Caller, Calling, calling, fields, problem
from tests.support.backtests import work
from tests.support.campaign_promises import BACKTEST, BACKTESTS, CAMPAIGNS, ONE, OPERATIONS, STATE_WORDS
from tests.support.clock import NOON, StoppedClock, advance

PROMISED = {(method, path): (status, shown.split()) for method, path, status, _, shown in OPERATIONS}
LOG = "/v1/admin/audit-log"
SEGMENT = "/v1/admin/segments/{segment_id}"
REVIEW = {"activity": "review", "product_id": "p", "review_id": "r"}


@pytest.fixture
async def api(installed: Settings) -> AsyncIterator[Calling]:
    """An open API whose clock stands at NOON."""
    async with calling(installed, StoppedClock(NOON)) as opened:
        yield opened
        await work(opened.services)


def boosting(id_: str) -> dict[str, Any]:
    """A document with the fields of the contract about what earns more, defaults left out."""
    rule = f"stand_{id_}".replace("-", "_")
    return {
        "id": id_,
        "program": PROGRAM,
        "title": {"en": "Everything"},
        "from": "2026-11-21T12:00:00",
        "until": "2026-12-01T12:00:00",
        "zone": "Europe/Madrid",
        "audience": {
            "countries": ["ES", "FR"],
            "segments": ["loyal"],
            "joined_before": "2026-12-01T00:00:00",
            "joined_after": "2020-01-01T00:00:00",
            "no_order_for": "P90D",
            "percent": 100,
        },
        "holdout_percent": 10,
        "boosts": [
            {
                "id": "phones",
                "rules": ["purchase"],
                "multiply": 1.5,
                "products": ["phone"],
                "channels": ["app"],
                "min_amount_minor": 1_000,
            },
            {"id": "cases", "rules": ["purchase"], "add": 7, "categories": ["cases"]},
            {
                "id": "reviews",
                "rules": ["review"],
                "multiply": 2,
                "weekdays": ["sat", "sun"],
                "hours": ["10:00", "24:00"],
            },
        ],
        "rules": [
            {
                "id": rule,
                "title": "Visit the stand",
                "on": {"activity": "visit", "page": "stand"},
                "limit": {"type": "per_window", "count": 1, "window": "day"},
                "award": {"type": "fixed", "points": 7},
            }
        ],
        "offers": [{"reward": "coupon_5", "percent": 20, "stock": 5}],
        "stacking": {"group": "double", "priority": 3, "exclusive": True, "max_multiplier": 3},
        "budget": {
            "points": 1_000,
            "points_per_member": 100,
            "count": 500,
            "per_device": 50,
            "alerts": [60, 90],
        },
        "examples": [
            {
                "title": "A review on a Saturday",
                "country": "ES",
                "segments": ["loyal"],
                "steps": [
                    {
                        "at": "2026-11-21T13:00:00",
                        "do": REVIEW,
                        "earns": [
                            {"rule": "review", "points": 20},
                            {"rule": "review", "points": 20, "boost": "reviews"},
                        ],
                    }
                ],
            }
        ],
    }


def engaging(id_: str) -> dict[str, Any]:
    """A document with a definition of each kind."""
    title = {"en": "Everything"}
    question = {
        "id": "q",
        "kind": "one",
        "text": title,
        "options": [{"id": "a", "text": title}, {"id": "b", "text": title}],
        "right": ["a"],
    }
    return {
        "id": id_,
        "program": PROGRAM,
        "title": title,
        "from": "2026-11-21T12:00:00",
        "until": "2026-12-01T12:00:00",
        "zone": "Europe/Madrid",
        "quizzes": [
            {
                "id": f"{id_}-quiz",
                "title": title,
                "attempts": {"count": 1, "window": "ever"},
                "time_limit": "PT120S",
                "points_per_right": 3,
                "questions": [question],
            }
        ],
        "challenges": [
            {
                "id": f"{id_}-taps",
                "title": title,
                "goal": {"kind": "count", "activity": "fuel_tap"},
                "steps": [{"at": 3, "points": 10}],
            }
        ],
        "games": [
            {
                "id": f"{id_}-wheel",
                "title": title,
                "from": "2026-11-22T00:00:00",
                "until": "2026-11-30T00:00:00",
                "chances": {"count": 1, "window": "day"},
                "prizes": [{"id": "ten", "title": title, "odds": "1/10", "stock": 10, "points": 10}],
            }
        ],
        "draws": [
            {
                "id": f"{id_}-draw",
                "title": title,
                "opens_at": "2026-11-22T00:00:00",
                "closes_at": "2026-11-30T00:00:00",
                "winners": 1,
                "points": 100,
            }
        ],
        "leaderboards": [
            {
                "id": f"{id_}-board",
                "title": title,
                "score": "points_earned",
                "resets": "weekly",
                "prizes": [{"to_rank": 1, "points": 10}],
            }
        ],
    }


def simple(id_: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "program": PROGRAM,
        "title": {"en": "Spring"},
        "from": "2026-11-21T12:00:00",
        "until": "2026-12-01T12:00:00",
        "boosts": [{"id": "reviews", "rules": ["review"], "multiply": 2}],
    } | changes


def values(shown: Any, path: str) -> list[Any]:
    """The values of a field in an answer, in whichever items have it."""
    inside = [shown]
    for name in path.split("."):
        items = [item for each in inside for item in (each if isinstance(each, list) else [each])]
        inside = [item[name] for item in items if isinstance(item, dict) and name in item]
    return inside


class Walk:
    """Calls with the fields that each of them promises. `done` are the calls that were answered so."""

    def __init__(self, api: Calling) -> None:
        self.api = api
        self.done: set[tuple[str, str]] = set()

    async def call(self, method: str, path: str, body: Any = None, **how: Any) -> Any:
        """The body of a response."""
        return (await self.response(method, path, body, **how)).json()

    async def response(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        of: Mapping[str, str] | None = None,
        by: Caller | None = None,
        query: str = "",
        **headers: str,
    ) -> httpx.Response:
        """The response to a call, by default of the operator, with its promised status and fields. `of` are
        the parts of the path.
        """
        caller, target = by or self.api.operator, path.format_map(of or {}) + query
        match method:
            case "get" | "delete":
                answer: httpx.Response = await getattr(caller, method)(target, **headers)
            case _:
                answer = await getattr(caller, method)(target, body, **headers)
        status, promised = PROMISED[method, path]
        assert answer.status_code == status, answer.text
        lacking = [field for field in promised if not values(answer.json(), field)]
        assert lacking == [], (method, path, answer.text)
        self.done.add((method, path))
        return answer


@pytest.fixture
def walk(api: Calling) -> Walk:
    return Walk(api)


ID = "walk"
SPRING = {"campaign_id": ID}


async def test_each_promised_call_answers_with_its_fields(walk: Walk) -> None:
    api = walk.api
    # Of a fixed name, so that this is none of the one percent.
    await api.joined(member_id="walker")
    member = api.member_of(PROGRAM, "walker")
    of, query = {"segment_id": "walkers"}, f"?program={PROGRAM}"
    await walk.call("put", SEGMENT, b"walker\nnobody\n", of=of, query=query, content_type="text/csv")
    await walk.call("get", "/v1/admin/segments")
    advance(api.services, timedelta(minutes=1))
    await live(walk)
    advance(api.services, timedelta(minutes=1))
    await earn(walk, member)
    assert await walk.call("post", f"{ONE}/end", of=SPRING) == {"state": "ended", "version": 1}
    log = await walk.call("get", LOG, query=f"?subject=campaign:{ID}")
    actions = ["created", "changed", "submitted", "rejected", "submitted", "approved"]
    assert values(log, "items.action")[::-1] == [*actions, "paused", "resumed", "ended"]
    assert "Shorter" in values(log, "items.reason")
    await try_out(walk, member)
    await walk.call("get", "/v1/sandbox", by=api.nobody)
    assert walk.done == PROMISED.keys()


async def live(walk: Walk) -> None:
    """Write a campaign and do everything with it, until it runs."""
    api, audience = walk.api, {"segments": ["walkers"]}
    sent = simple(ID, audience=audience, holdout_percent=1, budget={"points": 1_000})
    made = await walk.response("post", CAMPAIGNS, sent)
    assert made.json() == {"id": ID, "version": 1, "state": "draft"}
    shown = await walk.response("get", ONE, of=SPRING)
    assert shown.headers["etag"] == made.headers["etag"]
    await walk.call("put", ONE, sent, if_match=shown.headers["etag"], of=SPRING)
    for action, by, body, state in (
        ("submit", api.operator, None, "submitted"),
        ("reject", api.approver, {"reason": "Shorter"}, "draft"),
        ("submit", api.operator, None, "submitted"),
        ("approve", api.approver, None, "running"),
        ("pause", api.operator, None, "paused"),
        ("resume", api.operator, None, "running"),
    ):
        answer = await walk.call("post", f"{ONE}/{action}", body, by=by, of=SPRING)
        assert answer == {"state": state, "version": 1}
        assert (await walk.call("get", ONE, of=SPRING))["state"] == state
        items = (await walk.call("get", CAMPAIGNS))["items"]
        assert [item["state"] for item in items if item["id"] == ID] == [state]
    copy = await walk.call("post", f"{ONE}/duplicate", {"new_id": f"{ID}-copy"}, of=SPRING)
    assert (copy["state"], copy["version"]) == ("draft", 1)


async def earn(walk: Walk, member: Caller) -> None:
    """Write a review, which the campaign pays twice, as its report says."""
    sent = {"product_id": "p", "review_id": "r"}
    assert (await member.post("/v1/reviews", sent)).status_code == 202
    assert ID in values(await walk.call("get", "/v1/me", by=member), "campaigns.id")
    credits = await walk.call("get", "/v1/me/credits", by=member)
    (boosted,) = [credit for credit in credits["items"] if credit["campaign"] == ID]
    assert (boosted["rule"], boosted["boost"]) == ("review", "reviews")
    assert boosted["source_key"] == f"review:p+{ID}"
    report = await walk.call("get", f"{ONE}/report", of=SPRING)
    assert (report["points_granted"], report["credits"], report["members"]) == (20, 1, 1)


async def try_out(walk: Walk, member: Caller) -> None:
    """Look before the leap: a dry run, a simulation and backtests."""
    document = simple("walk-trial")
    asked: dict[str, Any] = {
        "program": PROGRAM,
        "document": document,
        "activity": REVIEW | {"product_id": "q", "review_id": "s"},
    }
    for who in ({"member_id": member.member_id}, {"facts": {"country": "ES"}}):
        tried = await walk.call("post", f"{CAMPAIGNS}/dry-run", asked | who)
        assert values(tried, "credits.points") == [20, 20]
        assert {"walk-trial"} <= set(values(tried, "trace.campaign"))
    steps = [{"at": "2026-11-22T10:00:00", "do": REVIEW}]
    asked = {"program": PROGRAM, "documents": [document], "country": "ES", "steps": steps}
    statement = await walk.call("post", f"{CAMPAIGNS}/simulate", asked)
    assert values(statement, "steps.credits.points") == [20, 20]
    now = advance(walk.api.services, timedelta(seconds=1))
    window = {"from": (now - timedelta(days=1)).isoformat(), "until": now.isoformat()}
    started = await walk.call("post", BACKTESTS, {"document": document} | window)
    assert (await walk.api.operator.get(BACKTEST.format_map(started))).json()["state"] == "running"
    await work(walk.api.services)
    done = await walk.call("get", BACKTEST, of=started)
    assert (done["state"], done["progress"]) == ("done", 1)
    assert (done["result"]["difference_points"], done["result"]["gaining"]) == (20, 1)
    cancelled = await walk.call("post", BACKTESTS, {"document": document} | window)
    assert (await walk.call("delete", BACKTEST, of=cancelled))["state"] == "cancelled"
    await walk.call("get", BACKTESTS)
    await grant(walk, member, document, started)


async def grant(walk: Walk, member: Caller, document: dict[str, Any], started: dict[str, str]) -> None:
    """Approve the document that was tried, and grant what it would have paid."""
    api = walk.api
    path = f"{BACKTEST}/grant".format_map(started)
    problem(await api.operator.post(path), 409, "not_approved")
    assert (await api.operator.post(CAMPAIGNS, document)).status_code == 201
    for caller, action in ((api.operator, "submit"), (api.approver, "approve")):
        assert (await caller.post(f"{CAMPAIGNS}/{document['id']}/{action}")).status_code == 200
    for _ in range(2):
        await walk.call("post", f"{BACKTEST}/grant", of=started)
    await work(api.services)
    credits = (await member.get("/v1/me/credits")).json()["items"]
    granted = [credit for credit in credits if credit["campaign"] == document["id"]]
    assert [(credit["rule"], credit["points"]) for credit in granted] == [("adjustment", 20)]


async def test_a_document_can_have_every_field_of_the_contract(walk: Walk) -> None:
    api = walk.api
    csv = {"content_type": "text/csv"}
    listed = await api.operator.put(SEGMENT.format(segment_id="loyal") + f"?program={PROGRAM}", b"x\n", **csv)
    assert listed.status_code == 200, listed.text
    others = {"audience": {"first_order": True}, "offers": [{"reward": "coupon_5", "points": 400}]}
    documents = [
        boosting("boosting"),
        engaging("engaging"),
        simple("others", **others),
    ]
    for sent in documents:
        path = f"{CAMPAIGNS}/{sent['id']}"
        made = await api.operator.post(CAMPAIGNS, sent)
        assert made.status_code == 201, made.text
        assert (await api.operator.get(path)).json()["document"] == sent
        assert (await api.operator.post(f"{path}/submit")).json() == {"state": "submitted", "version": 1}
        assert (await api.approver.post(f"{path}/approve")).json() == {"state": "running", "version": 1}
    tiers = {"countries": ["GB"], "tiers": ["gold"]}
    refused = await api.operator.post(CAMPAIGNS, simple("tiers", audience=tiers))
    assert fields(problem(refused, 422, "invalid_document")) == ["audience.tiers[0]"], "there is none"


async def test_each_promised_refusal_is_given(walk: Walk) -> None:
    api = walk.api
    path = f"{CAMPAIGNS}/refused"
    sent = simple(path.rpartition("/")[2])
    wrong = sent | {"until": "2026-11-01T00:00:00", "boosts": [{"id": "x", "rules": ["x"]}], "extra": 1}
    errors = problem(await api.operator.post(CAMPAIGNS, wrong), 422, "invalid_document")["errors"]
    assert len(errors) >= 3
    assert all(error["field"] and error["message"] for error in errors)
    step = {"at": "2026-11-22T10:00:00", "do": REVIEW, "earns": [{"rule": "review", "points": 1}]}
    failing = [{"title": "One point", "country": "ES", "steps": [step]}]
    tag = (await api.operator.post(CAMPAIGNS, sent | {"examples": failing})).headers["etag"]
    problem(await api.operator.post(CAMPAIGNS, sent), 409, "exists")
    problem(await api.operator.post(f"{path}/duplicate", {"new_id": sent["id"]}), 409, "exists")
    problem(await api.operator.post(f"{path}/submit"), 422, "example_failed")
    problem(await api.operator.put(path, sent), 428, "if_match_required")
    assert (await api.operator.put(path, sent, if_match=tag)).status_code == 200
    late = problem(
        await api.operator.put(path, sent | {"until": "2026-12-24T00:00:00"}, if_match=tag),
        412,
        "changed_meanwhile",
    )
    assert late["difference"] == [
        {"field": "until", "yours": "2026-12-24T00:00:00", "theirs": "2026-12-01T12:00:00"}
    ]
    for action, body in (("reject", {"reason": "r"}), ("approve", None), ("pause", None), ("resume", None)):
        assert (
            problem(await api.operator.post(f"{path}/{action}", body), 409, "wrong_state")["state"] == "draft"
        )
    assert (await api.operator.post(f"{path}/submit")).status_code == 200
    assert problem(await api.operator.post(f"{path}/submit"), 409, "wrong_state")["state"] == "submitted"
    problem(await api.operator.post(f"{path}/approve"), 403, "four_eyes")
    assert (await api.operator.post(f"{path}/end")).json()["state"] == "ended"
    assert problem(await api.operator.post(f"{path}/end"), 409, "wrong_state")["state"] == "ended"
    tag = (await api.operator.get(path)).headers["etag"]
    assert problem(await api.operator.put(path, sent, if_match=tag), 409, "wrong_state")["state"] == "ended"


@pytest.mark.parametrize("word", STATE_WORDS)
async def test_the_list_takes_every_word_for_a_state(api: Calling, word: str) -> None:
    found = await api.operator.get(
        f"{CAMPAIGNS}?state={word}&from=2026-11-01T00:00:00&until=2027-01-01T00:00:00"
    )
    assert found.status_code == 200, found.text


async def test_a_wrong_word_for_a_state_is_named(api: Calling) -> None:
    refused = problem(await api.operator.get(f"{CAMPAIGNS}?state=open"), 400, "invalid_request")
    assert fields(refused) == ["state"]


async def test_the_promised_presets_are_there_as_drafts(api: Calling) -> None:
    presets = {"double-points": PROGRAM, "members-week-2022": PROGRAM, "rewardmi": "in-mi-tokens"}
    for id_, program in presets.items():
        shown = await api.operator.get(f"{CAMPAIGNS}/{id_}?program={program}")
        assert (shown.status_code, shown.json()["state"]) == (200, "draft"), id_
