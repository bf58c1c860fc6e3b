"""Dry runs and simulations of campaigns over HTTP."""

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import text

from engage.flows.campaigns import simulate as simulation
from engage.schema.columns import metadata
from engage.settings import Settings
from tests.api.calling import PROGRAM, Caller, Calling, calling, fields, problem
from tests.support.clock import NOON, StoppedClock, advance

CAMPAIGNS = "/v1/admin/campaigns"
DRY_RUN = f"{CAMPAIGNS}/dry-run"
SIMULATE = f"{CAMPAIGNS}/simulate"
_numbers = count(1)


def document(**changes: Any) -> dict[str, Any]:
    """Twice the points for purchases and reviews, for ten days from NOON. Tests share the database: Italy is
    for the one that counts what really happens.
    """
    return {
        "id": f"autumn-{next(_numbers)}",
        "program": PROGRAM,
        "title": {"en": "Autumn"},
        "from": "2026-11-21T13:00:00",
        "until": "2026-12-01T12:00:00",
        "zone": "Europe/Madrid",
        "audience": {"countries": ["ES", "FR", "GB"]},
        "boosts": [{"id": "double", "rules": ["purchase", "review"], "multiply": 2}],
    } | changes


PATHS = {"fuel_tap": "/v1/fuel/taps", "share": "/v1/shares", "review": "/v1/reviews"}
REVIEW = {"activity": "review", "product_id": "band", "review_id": "r"}
SPAIN = {"country": "ES"}
STEP = {"at": "2026-12-01T00:00:00", "do": REVIEW}
LONG_AGO = "1019-01-01T00:00:00Z"


@pytest.fixture
async def api(installed: Settings) -> AsyncIterator[Calling]:
    """An open API whose clock stands at NOON."""
    async with calling(installed, StoppedClock(NOON)) as opened:
        yield opened


async def dry_run(api: Calling, **body: Any) -> dict[str, Any]:
    done = await api.operator.post(DRY_RUN, {"program": PROGRAM} | body)
    assert done.status_code == 200, done.text
    answer: dict[str, Any] = done.json()
    return answer


async def simulate(api: Calling, *steps: dict[str, Any], **body: Any) -> dict[str, Any]:
    sent = {"program": PROGRAM, "country": "ES", "steps": list(steps)} | body
    done = await api.operator.post(SIMULATE, sent)
    assert done.status_code == 200, done.text
    answer: dict[str, Any] = done.json()
    return answer


async def written(api: Calling, **changes: Any) -> str:
    """The id of a new draft."""
    sent = document(**changes)
    made = await api.operator.post(CAMPAIGNS, sent)
    assert made.status_code == 201, made.text
    return str(sent["id"])


async def running(api: Calling, **changes: Any) -> str:
    """The id of a campaign that is in force a moment from now on."""
    id_ = await written(api, **changes)
    assert (await api.operator.post(f"{CAMPAIGNS}/{id_}/submit")).status_code == 200
    assert (await api.approver.post(f"{CAMPAIGNS}/{id_}/approve")).status_code == 200
    advance(api.services, timedelta(seconds=2))
    return id_


def reasons(answer: dict[str, Any]) -> list[tuple[str, str, bool, str]]:
    return [(one["campaign"], one["part"], one["applied"], one["reason"]) for one in answer["trace"]]


async def test_a_document_is_tried_on_somebody_made_up(api: Calling) -> None:
    draft = document()
    tried = await dry_run(api, document=draft, facts=SPAIN, activity=REVIEW)
    assert tried["at"] == "2026-11-21T12:00:00Z"
    assert tried["version"] == "2022"
    assert tried["refused"] is None
    assert tried["credits"] == [
        {
            "rule": "review",
            "points": 20,
            "unit": "points",
            "due_at": "2026-11-21T12:05:00Z",
            "expires_at": "2027-11-21T12:05:00Z",
            "source_key": "review:band",
        },
        {
            "rule": "review",
            "points": 20,
            "unit": "points",
            "due_at": "2026-11-21T12:05:00Z",
            "expires_at": "2027-11-21T12:05:00Z",
            "source_key": f"review:band+{draft['id']}",
            "campaign": draft["id"],
            "boost": "double",
        },
    ]
    assert tried["trace"] == [
        {
            "campaign": draft["id"],
            "version": None,
            "part": "double",
            "applied": True,
            "reason": "applied",
            "rule": "review",
            "facts": {"points": 20, "wanted": 20},
        }
    ]
    assert tried["facts"] == {
        "country": "ES",
        "zone": "Europe/Madrid",
        "joined_at": "2026-11-21T12:00:00Z",
        "tiers": [],
        "segments": [],
        "last_order_at": None,
    }


async def test_the_time_is_local_to_the_member_unless_it_has_an_offset(api: Calling) -> None:
    draft = document(zone="member")
    for at, country, applied in [
        ("2026-11-21T12:59:59", "ES", False),
        ("2026-11-21T13:00:00", "ES", True),
        ("2026-11-21T13:00:00", "GB", True),
        ("2026-11-21T12:00:00Z", "ES", True),
        ("2026-11-21T12:00:00Z", "GB", False),
    ]:
        tried = await dry_run(api, document=draft, facts={"country": country}, activity=REVIEW, at=at)
        assert [one["applied"] for one in tried["trace"]] == [applied], (at, country)


async def test_stored_campaigns_say_why_they_give_nothing(api: Calling) -> None:
    paused, other = await running(api), await running(api, boosts=[_boost("fuel")])
    french = await running(api, audience={"countries": ["FR"]})
    later = await written(api, **{"from": "2026-11-25T00:00:00"})
    draft = await written(api)
    assert (await api.operator.post(f"{CAMPAIGNS}/{paused}/pause")).status_code == 200
    advance(api.services, timedelta(seconds=2))
    ids = [paused, other, french, later, draft]
    tried = await dry_run(api, campaign_ids=ids, facts=SPAIN, activity=REVIEW)
    assert reasons(tried) == [
        (paused, "campaign", False, "paused"),
        (other, "boost_fuel", False, "rule"),
        (french, "audience", False, "country"),
        (later, "campaign", False, "not_in_force"),
        (draft, "double", True, "applied"),
    ]
    assert tried["trace"][3]["facts"]["from"] == "2026-11-24T23:00:00Z"
    assert [credit.get("campaign") for credit in tried["credits"]] == [None, draft]


def _boost(rule: str) -> dict[str, Any]:
    return {"id": f"boost_{rule}", "rules": [rule], "multiply": 2}


async def test_a_campaign_is_tried_as_it_was_in_force_at_the_time(api: Calling) -> None:
    id_ = await running(api)
    before = (api.services.clock.now() - timedelta(hours=1)).isoformat()
    now = await dry_run(api, campaign_ids=[id_], facts=SPAIN, activity=REVIEW)
    assert reasons(now) == [(id_, "double", True, "applied")]
    assert now["trace"][0]["version"] == 1
    earlier = await dry_run(api, campaign_ids=[id_], facts=SPAIN, activity=REVIEW, at=before)
    assert reasons(earlier) == [(id_, "campaign", False, "not_in_force")]


async def test_without_campaigns_all_that_are_published_are_looked_at(api: Calling) -> None:
    first, second = await running(api), await running(api, boosts=[_boost("fuel")])
    draft, later = await written(api), await running(api, **{"from": "2026-11-25T00:00:00"})
    tried = await dry_run(api, facts=SPAIN, activity=REVIEW)
    looked_at = {campaign: (part, reason) for campaign, part, _, reason in reasons(tried)}
    assert looked_at[first] == ("double", "applied")
    assert looked_at[second] == ("boost_fuel", "rule")
    assert looked_at.keys().isdisjoint({draft, later})


async def test_a_draft_takes_the_place_of_the_stored_campaign(api: Calling) -> None:
    id_, other = await running(api), await running(api)
    changed = document(id=id_, boosts=[{"id": "triple", "rules": ["review"], "multiply": 3}])
    tried = await dry_run(api, document=changed, campaign_ids=[id_, other], facts=SPAIN, activity=REVIEW)
    assert reasons(tried) == [(id_, "triple", True, "applied"), (other, "double", True, "applied")]
    assert [credit["points"] for credit in tried["credits"]] == [20, 40, 20]


async def test_a_draft_is_tried_with_all_that_are_published(api: Calling) -> None:
    id_, other, draft = await running(api), await running(api), await written(api)
    changed = document(id=id_, boosts=[{"id": "triple", "rules": ["review"], "multiply": 3}])
    tried = await dry_run(api, document=changed, with_published=True, facts=SPAIN, activity=REVIEW)
    looked_at = {campaign: part for campaign, part, _, _ in reasons(tried)}
    assert (looked_at[id_], looked_at[other]) == ("triple", "double")
    assert draft not in looked_at
    assert [look for look in reasons(tried) if look[0] == id_] == [(id_, "triple", True, "applied")]
    tried = await dry_run(api, campaign_ids=[draft], with_published=True, facts=SPAIN, activity=REVIEW)
    assert {draft, id_, other} <= {campaign for campaign, _, _, _ in reasons(tried)}


async def test_a_dry_run_of_a_member_is_what_then_happens(api: Calling) -> None:
    member = await api.joined(country="IT")
    rules, italy = ["purchase", "review", "fuel", "share_link", "app_sign_in"], {"countries": ["IT"]}
    await running(api, audience=italy, boosts=[{"id": "double", "rules": rules, "multiply": 2}])
    first = {"id": "first", "rules": ["purchase"], "add": 7}
    await running(api, audience=italy | {"first_order": True}, boosts=[first])
    order: dict[str, Any] = {
        "activity": "order",
        "order_id": "o-1",
        "channel": "web",
        "payment": {"method": "card"},
        "currency": "EUR",
        "lines": [{"line_id": "1", "product_id": "band", "paid": 1999}],
    }
    share = {"activity": "share", "kind": "link", "product_id": "band"}
    doing: list[dict[str, Any]] = [
        *(REVIEW, REVIEW, REVIEW | {"review_id": "s"}, REVIEW | {"product_id": "case", "review_id": "t"}),
        *(order, order, order | {"order_id": "o-2"}),
        *(share, share, share, share),
        *(
            {"activity": "fuel_tap"},
            {"activity": "fuel_tap"},
            {"activity": "app_sign_in"},
            {"activity": "app_sign_in"},
        ),
    ]
    outcomes = []
    for activity in doing:
        before = await _all_rows(api)
        tried = await dry_run(api, member_id=member.member_id, activity=activity)
        assert await _all_rows(api) == before, "a dry run writes nothing"
        known = await _credits(api, member)
        refused = await _do(api, member, activity)
        new = await _credits(api, member) - known
        assert _tried(tried) == new, activity
        if activity["activity"] in PATHS:
            assert refused == (tried["refused"] and tried["refused"]["code"]), activity
        outcomes.append((sum(points for _, points, *_ in new), refused))
        advance(api.services, timedelta(minutes=1))
    assert outcomes == [
        *((40, None), (0, "already_rewarded"), (0, "already_rewarded"), (40, None)),
        *((19 + 19 + 7, None), (0, None), (19 + 19, None)),
        *((20, None), (20, None), (20, None), (0, "limit_reached")),
        *((4, None), (0, "already_tapped"), (100, None), (0, None)),
    ]


def _tried(tried: dict[str, Any]) -> set[tuple[Any, ...]]:
    return {
        (one["source_key"], one["points"], one.get("campaign"), one.get("boost"), one["due_at"])
        for one in tried["credits"]
    }


async def _credits(api: Calling, member: Caller) -> set[tuple[Any, ...]]:
    query = "SELECT source_key, points, campaign, boost, due_at FROM credits WHERE member_id = :id"
    async with api.services.db.connect() as conn:
        rows = await conn.execute(text(query), {"id": member.member_id})
        return {
            (*row[:4], None if row.due_at is None else row.due_at.isoformat().replace("+00:00", "Z"))
            for row in rows
        }


async def _do(api: Calling, member: Caller, activity: dict[str, Any]) -> str | None:
    """Do it for good; the code of the refusal, if any."""
    kind = activity["activity"]
    sent = {name: value for name, value in activity.items() if name != "activity"}
    if kind in PATHS:
        answer = await member.post(PATHS[kind], sent or None)
        return None if answer.status_code == 202 else str(answer.json()["code"])
    name = {"order": "order.paid", "app_sign_in": "app.signed_in"}[kind]
    taken = (await api.shop.post("/v1/shop/events", [api.event(name, member, **sent)])).json()
    return next((refused["code"] for refused in taken["refused"]), None)


async def _all_rows(api: Calling) -> list[tuple[Any, ...]]:
    """The rows of each table: their number, and which was written last."""
    tables = " UNION ALL ".join(
        f"SELECT '{table.name}', count(*), max(CAST(CAST(xmin AS text) AS bigint)) FROM {table.name}"
        for table in metadata.sorted_tables
    )
    await api.services.post_commit.drain()
    async with api.services.db.connect() as conn:
        return [tuple(row) for row in await conn.execute(text(tables))]


@pytest.mark.parametrize(
    ("changes", "status", "code", "field"),
    [
        ({"program": "no-program"}, 422, "invalid_document", "program"),
        ({"activity": None}, 400, "invalid_request", "activity"),
        ({"activity": {"activity": "dance"}}, 400, "invalid_request", "activity.activity"),
        ({"facts": None}, 422, "invalid_document", "facts"),
        ({"member_id": "m"}, 422, "invalid_document", "facts"),
        ({"facts": {"country": "BF"}}, 422, "invalid_document", "facts.country"),
        ({"facts": SPAIN | {"tier": "gold"}}, 422, "invalid_document", "facts.tier"),
        (
            {"facts": SPAIN | {"joined_at": "1999-01-01T00:00:00Z"}},
            422,
            "invalid_document",
            "facts.joined_at",
        ),
        ({"facts": SPAIN | {"age": 3}}, 400, "invalid_request", "facts.age"),
        ({"at": "2019-01-01T00:00:00Z"}, 422, "invalid_document", "at"),
        ({"at": "1800-01-01T00:00:00Z"}, 422, "invalid_document", "at"),
        ({"at": "2026-03-29T02:30:00"}, 422, "invalid_document", "at"),
        ({"campaign_ids": ["unknown"]}, 422, "invalid_document", "campaign_ids[0]"),
        ({"document": {"id": "x"}}, 422, "invalid_document", "document.program"),
        ({"document": document(program="bf-mi-points")}, 422, "invalid_document", "document.program"),
        ({"document": document(until="2026-11-20T00:00:00")}, 422, "invalid_document", "document.until"),
        ({"unknown": 1}, 400, "invalid_request", "unknown"),
    ],
)
async def test_mistakes_of_a_dry_run_are_told_at_their_fields(
    api: Calling, changes: dict[str, Any], status: int, code: str, field: str
) -> None:
    sent = {"program": PROGRAM, "facts": SPAIN, "activity": REVIEW} | changes
    sent = {name: value for name, value in sent.items() if value is not None}
    refused = problem(await api.operator.post(DRY_RUN, sent), status, code)
    assert field in fields(refused)


async def test_a_member_has_to_exist_and_the_caller_to_be_an_operator(api: Calling) -> None:
    sent = {"program": PROGRAM, "activity": REVIEW}
    problem(await api.operator.post(DRY_RUN, sent | {"member_id": "nobody"}), 404, "unknown_member")
    for path, body in [
        (DRY_RUN, sent | {"facts": SPAIN}),
        (
            SIMULATE,
            {"program": PROGRAM, "country": "ES", "steps": [{"at": "2026-12-01T00:00:00", "do": REVIEW}]},
        ),
    ]:
        assert (await api.approver.post(path, body)).status_code == 200
        problem(await api.shop.post(path, body), 403, "forbidden")
        problem(await api.nobody.post(path, body), 401, "unauthorized")


async def test_the_statement_of_a_simulated_member_goes_step_by_step(api: Calling) -> None:
    draft = document()
    order = {
        "activity": "order",
        "order_id": "o",
        "channel": "web",
        "payment": {"method": "card"},
        "currency": "EUR",
        "lines": [{"line_id": "1", "product_id": "band", "paid": 50_000}],
    }
    before = await _all_rows(api)
    statement = await simulate(
        api,
        {"at": "2026-11-22T10:00:00", "do": {"activity": "registration"}},
        {"at": "2026-11-22T10:01:00", "do": order},
        {"at": "2026-11-23T10:00:00", "days": 2, "do": {"activity": "fuel_tap"}},
        {"at": "2026-11-24T11:00:00", "do": {"activity": "fuel_tap"}},
        {"at": "2026-11-25T10:00:00", "do": {"activity": "order_delivered", "order_id": "o"}},
        {"at": "2026-11-26T10:00:00", "do": {"activity": "redeem", "reward_id": "coupon_5"}},
        {"at": "2026-11-27T10:00:00", "do": {"activity": "order_returned", "order_id": "o"}},
        documents=[draft],
    )
    assert await _all_rows(api) == before, "a simulation writes nothing"
    assert statement["version"] == "2022"
    assert (statement["points"], statement["points_of_campaigns"]) == (50 + 500 + 500 + 4, {draft["id"]: 500})
    steps = statement["steps"]
    assert [step["step"] for step in steps] == [0, 1, 2, 2, 3, 4, 5, 6]
    assert [step["at"] for step in steps][2:4] == ["2026-11-23T09:00:00Z", "2026-11-24T09:00:00Z"]
    earned = [[(c["rule"], c.get("boost"), c["points"]) for c in step["credits"]] for step in steps]
    assert earned == [
        [("registration", None, 50)],
        [("purchase", None, 500), ("purchase", "double", 500)],
        [("fuel", None, 2)],
        [("fuel", None, 2)],
        *([], [], [], []),
    ]
    assert [credit["waits_for"] for credit in steps[1]["credits"]] == ["delivery", "delivery"]
    assert [step["refused"] and step["refused"]["code"] for step in steps] == [
        *([None] * 4),
        "already_tapped",
        *([None] * 3),
    ]
    balances = [tuple(step["balance"].values()) for step in steps]
    assert balances == [
        (0, 50, 0, 0),
        (0, 1050, 0, 0),
        (50, 1002, 0, 0),
        (52, 1002, 0, 0),
        (54, 1000, 0, 0),
        (1054, 0, 0, 0),
        (554, 0, 0, 0),
        (0, 0, 0, 446),
    ]
    assert steps[6]["results"] == {"gives": "a coupon of 500 until 2027-11-26 10:00:00+01:00"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"program": "no-program"}, "program"),
        ({"country": "BF"}, "country"),
        ({"campaign_ids": ["unknown"]}, "campaign_ids[0]"),
        ({"steps": [STEP | {"at": "2019-01-01T00:00:00"}]}, "steps[0].at"),
        ({"steps": [STEP | {"at": LONG_AGO}]}, "steps[0].at"),
        ({"steps": [STEP | {"days": 1000}] * 2}, "steps"),
        (
            {
                "steps": [
                    {"at": "2026-12-01T00:00:00", "do": REVIEW},
                    {"at": "2026-11-01T00:00:00", "do": REVIEW},
                ]
            },
            "steps[1].at",
        ),
        (
            {"steps": [{"at": "2026-12-01T00:00:00", "do": {"activity": "redeem", "reward_id": "coupon_6"}}]},
            "steps[0].do.reward_id",
        ),
        ({"documents": [document(id="x"), document(id="x")]}, "documents[1].id"),
        (
            {"documents": [document(boosts=[{"id": "x", "rules": [], "multiply": 2}])]},
            "documents[0].boosts[0].rules",
        ),
    ],
)
async def test_mistakes_of_a_simulation_are_told_at_their_fields(
    api: Calling, changes: dict[str, Any], field: str
) -> None:
    sent = {"program": PROGRAM, "country": "ES", "steps": [STEP]}
    refused = problem(await api.operator.post(SIMULATE, sent | changes), 422, "invalid_document")
    assert fields(refused) == [field]


async def test_a_simulation_that_takes_too_long_ends_at_its_step(
    api: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulation, "PLAYED_WITHIN_S", -1.0)
    sent = {"program": PROGRAM, "country": "ES", "steps": [STEP]}
    refused = problem(await api.operator.post(SIMULATE, sent), 422, "invalid_document")
    assert fields(refused) == ["steps[0]"]


async def test_stored_campaigns_are_simulated_with_their_pauses(api: Calling) -> None:
    id_ = await running(api)
    advance(api.services, timedelta(hours=1))
    assert (await api.operator.post(f"{CAMPAIGNS}/{id_}/pause")).status_code == 200
    advance(api.services, timedelta(hours=1))
    assert (await api.operator.post(f"{CAMPAIGNS}/{id_}/resume")).status_code == 200
    times = [NOON + timedelta(minutes=minutes) for minutes in (30, 90, 150)]
    steps = [
        {"at": at.isoformat(), "do": REVIEW | {"product_id": str(n), "review_id": str(n)}}
        for n, at in enumerate(times)
    ]
    statement = await simulate(api, *steps, campaign_ids=[id_])
    assert [len(step["credits"]) for step in statement["steps"]] == [2, 1, 2]
    assert statement["points_of_campaigns"] == {id_: 40}


@pytest.mark.parametrize("name", ["dry-run", "simulate", "backtests"])
async def test_no_campaign_has_the_name_of_a_call(api: Calling, name: str) -> None:
    refused = problem(await api.operator.post(CAMPAIGNS, document(id=name)), 422, "invalid_document")
    assert fields(refused) == ["id"]
    await written(api, id=f"{name}-2")
