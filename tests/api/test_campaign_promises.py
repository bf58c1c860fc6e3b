"""The running API keeps the contract of campaigns: a walk through all of its calls, fields, codes and states.

Each answer has the fields that `tests.support.campaign_promises` lists for its call.
"""

from collections.abc import AsyncIterator
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
async def api(installed: Settings, unhurried: None) -> AsyncIterator[Calling]:
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

    async def call(
        self, method: str, path: str, body: Any = None, *, as_: Caller | None = None, **names: str
    ) -> Any:
        return (await self.response(method, path, body, as_=as_, **names)).json()

    async def response(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        as_: Caller | None = None,
        query: str = "",
        headers: dict[str, str] | None = None,
        **names: str,
    ) -> httpx.Response:
        answer = await self.send(method, path, body, as_=as_, query=query, headers=headers, **names)
        status, promised = PROMISED[method, path]
        assert answer.status_code == status, answer.text
        lacking = [field for field in promised if not values(answer.json(), field)]
        assert lacking == [], (method, path, answer.text)
        self.done.add((method, path))
        return answer

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        as_: Caller | None = None,
        query: str = "",
        headers: dict[str, str] | None = None,
        **names: str,
    ) -> httpx.Response:
        caller = as_ or self.api.operator
        target = path.format_map(names) + query
        match method:
            case "get":
                return await caller.get(target)
            case "delete":
                return await caller.delete(target)
            case "put":
                return await caller.put(target, body, **(headers or {}))
            case _:
                return await caller.post(target, body, **(headers or {}))


@pytest.fixture
def walk(api: Calling) -> Walk:
    return Walk(api)


async def test_each_promised_call_answers_with_its_fields(walk: Walk) -> None:
    api, spring = walk.api, {"campaign_id": "walk"}
    id_ = spring["campaign_id"]
    # Of a fixed name, so that this is none of the one percent.
    await api.joined(member_id="walker")
    member = api.member_of(PROGRAM, "walker")
    csv = f"member_id\n{member.member_id}\nnobody\n".encode()
    headers = {"content_type": "text/csv"}
    await walk.response(
        "put", SEGMENT, csv, query=f"?program={PROGRAM}", headers=headers, segment_id="walkers"
    )
    await walk.call("get", "/v1/admin/segments")
    advance(api.services, timedelta(minutes=1))

    audience = {"segments": ["walkers"]}
    sent = simple(id_, audience=audience, holdout_percent=1, budget={"points": 1_000})
    made = await walk.response("post", CAMPAIGNS, sent)
    assert made.json() == {"id": id_, "version": 1, "state": "draft"}
    shown = await walk.response("get", ONE, **spring)
    assert shown.headers["etag"] == made.headers["etag"]
    await walk.response("put", ONE, sent, headers={"if_match": shown.headers["etag"]}, **spring)
    for method, action, by, body, state in (
        ("post", "submit", api.operator, None, "submitted"),
        ("post", "reject", api.approver, {"reason": "Shorter"}, "draft"),
        ("post", "submit", api.operator, None, "submitted"),
        ("post", "approve", api.approver, None, "running"),
        ("post", "pause", api.operator, None, "paused"),
        ("post", "resume", api.operator, None, "running"),
    ):
        answer = await walk.call(method, f"{ONE}/{action}", body, as_=by, **spring)
        assert answer == {"state": state, "version": 1}
        assert state in values(await walk.call("get", ONE, **spring), "state")
        assert id_ in values(await walk.call("get", CAMPAIGNS), "items.id")
    copy = await walk.call("post", f"{ONE}/duplicate", {"new_id": f"{id_}-copy"}, **spring)
    assert (copy["state"], copy["version"]) == ("draft", 1)

    advance(api.services, timedelta(minutes=1))
    assert (
        await member.post("/v1/reviews", {name: REVIEW[name] for name in ("product_id", "review_id")})
    ).status_code == 202
    home = await walk.call("get", "/v1/me", as_=member)
    assert id_ in values(home, "campaigns.id")
    credits = await walk.call("get", "/v1/me/credits", as_=member)
    (boosted,) = [credit for credit in credits["items"] if credit["campaign"] == id_]
    assert (boosted["rule"], boosted["boost"]) == ("review", "reviews")
    assert boosted["source_key"] == f"review:p+{id_}"
    report = await walk.call("get", f"{ONE}/report", **spring)
    assert (report["points_granted"], report["credits"], report["members"]) == (20, 1, 1)

    assert await walk.call("post", f"{ONE}/end", **spring) == {"state": "ended", "version": 1}
    log = await walk.response("get", LOG, query=f"?subject=campaign:{id_}")
    actions = ["created", "changed", "submitted", "rejected", "submitted", "approved"]
    actions += ["paused", "resumed", "ended"]
    assert values(log.json(), "items.action")[::-1] == actions
    assert "Shorter" in values(log.json(), "items.reason")

    await try_out(walk, member)
    await walk.call("get", "/v1/sandbox", as_=api.nobody)
    assert walk.done == PROMISED.keys()


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
    now = walk.api.services.clock.now()
    window = {"from": (now - timedelta(days=1)).isoformat(), "until": now.isoformat()}
    started = await walk.call("post", BACKTESTS, {"document": document} | window)
    assert (await walk.send("get", BACKTEST, **started)).json()["state"] == "running"
    await work(walk.api.services)
    # A campaign that was in force beside the trial, on the same credit.
    done = await walk.call("get", BACKTEST, **started)
    assert (done["state"], done["progress"]) == ("done", 1)
    cancelled = await walk.call("post", BACKTESTS, {"document": document} | window)
    assert (await walk.call("delete", BACKTEST, **cancelled))["state"] == "cancelled"
    await walk.call("get", BACKTESTS)


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
