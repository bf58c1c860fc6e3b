"""Reports of the liability and of past balances, over HTTP."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest

from engage.flows.scheduled.settle import settle_due
from tests.api.calling import PROGRAM, Caller, Calling, fields, problem
from tests.support.clock import DAY, NOON, advance

LIABILITY = "/v1/admin/reports/liability"


@pytest.fixture(scope="module")
async def api_with_history(api: Calling) -> Calling:
    """An API with two members: one registered at NOON and tapped a day later, one is in Great Britain."""
    member, _ = await joined(api, "fin-1"), await joined(api, "fin-2", country="GB")
    await settle_due(api.services, now=advance(api.services, DAY))
    assert (await member.post("/v1/fuel/taps")).status_code == 202
    await settle_due(api.services, now=advance(api.services, timedelta(hours=1)))
    assert (await member.post("/v1/shares", {"kind": "link", "product_id": "band"})).status_code == 202
    return api


async def joined(api: Calling, member_id: str, **fields: str) -> Caller:
    joining = {"member_id": member_id, "program": PROGRAM, "country": "ES", "person_ref": member_id} | fields
    answer = await api.shop.post("/v1/shop/members", joining)
    assert answer.status_code == 201, answer.text
    return api.member_of(PROGRAM, member_id)


async def liability(api: Calling, query: str = "") -> dict[str, Any]:
    """Read the report; return its figures in EUR."""
    answer = await api.operator.get(f"{LIABILITY}?program={PROGRAM}{query}")
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    return next((item for item in report["items"] if item["currency"] == "EUR"), {}) | {
        "at": report["at"],
        "from": report["from"],
    }


def moved(item: dict[str, Any]) -> dict[str, int]:
    return {line["kind"]: line["points"] for line in item["movements"] if line["points"]}


async def test_the_liability_is_reported_by_currency_and_expiry(api_with_history: Calling) -> None:
    report = await liability(api_with_history)
    assert (report["outstanding"], report["active"], report["held"], report["pending"]) == (52, 52, 0, 10)
    assert report["worth"] == {"amount": 52, "currency": "EUR"}
    assert {bucket["bucket"]: bucket["points"] for bucket in report["expiring"]}["181_to_365_days"] == 52
    assert (report["at"], report["from"]) == ("2026-11-22T13:00:00Z", None)
    assert moved(report) == {"issued": 52}
    assert report["reconciled"] is True


async def test_a_past_instant_is_reported_as_it_was(api_with_history: Calling) -> None:
    joined = await liability(api_with_history, "&at=2026-11-21")
    assert (joined["at"], joined["outstanding"], joined["pending"]) == ("2026-11-21T23:59:59.999999Z", 0, 50)
    tapped = await liability(api_with_history, "&at=2026-11-22T12:00:00Z")
    assert (tapped["outstanding"], tapped["pending"]) == (50, 2)
    offset = await liability(api_with_history, "&at=2026-11-22T13:00:00%2B01:00")
    assert (offset["at"], offset["outstanding"]) == ("2026-11-22T12:00:00Z", 50)


async def test_the_movements_of_a_period_lead_from_its_start_to_its_end(api_with_history: Calling) -> None:
    report = await liability(api_with_history, "&from=2026-11-22T13:00:00Z")
    assert (report["before"], moved(report), report["outstanding"]) == (50, {"issued": 2}, 52)
    report = await liability(api_with_history, "&from=2026-11-22&at=2026-11-22T12:30:00Z")
    assert (report["from"], report["before"], moved(report)) == ("2026-11-22T00:00:00Z", 0, {"issued": 50})


@pytest.mark.parametrize(
    ("query", "accept", "is_csv"),
    [
        ("", "text/csv", True),
        ("", "application/json, text/csv;q=0.5", False),
        ("?format=csv", "application/json", True),
        ("?format=json", "text/csv", False),
        ("", "*/*", False),
    ],
)
async def test_the_report_can_be_read_as_csv(
    api_with_history: Calling, query: str, accept: str, is_csv: bool
) -> None:
    answer = await api_with_history.operator.get(f"{LIABILITY}{query}", accept=accept)
    assert answer.headers["content-type"].startswith("text/csv") == is_csv
    if is_csv:
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        euros = {(row["part"], row["item"]): row for row in rows if row["currency"] == "EUR"}
        assert euros["outstanding", "all"]["points"] == "52"
        assert euros["outstanding", "all"]["worth"] == "0.52"
        assert euros["period", "issued"]["points"] == "52"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("at=2026-11-22T13:00:00.1Z", "at"),
        ("at=2026-11-22", "at"),
        ("at=yesterday", "at"),
        ("at=2026-11-22T12:00:00", "at"),
        ("at=9999-12-31", "at"),
        ("from=2026-11-23", "from"),
        ("from=2026-02-30", "from"),
        ("from=0001-01-01", "from"),
        ("at=0001-01-01T00:00:00%2B23:00", "at"),
        ("from=" + "2" * 50, "from"),
        ("format=pdf", "format"),
        ("until=2026-11-22", "until"),
    ],
)
async def test_an_instant_that_is_not_past_is_refused(
    api_with_history: Calling, query: str, field: str
) -> None:
    document = problem(await api_with_history.operator.get(f"{LIABILITY}?{query}"), 400, "invalid_request")
    assert fields(document) == [field]


async def test_only_operators_read_reports(api_with_history: Calling) -> None:
    problem(await api_with_history.shop.get(LIABILITY), 403, "forbidden")
    problem(await api_with_history.nobody.get(LIABILITY), 401, "unauthorized")
    problem(await api_with_history.shop.get("/v1/admin/members/fin-1/balance"), 403, "forbidden")


async def test_an_unknown_program_is_reported(api_with_history: Calling) -> None:
    for path in (LIABILITY, "/v1/admin/members/fin-1/balance"):
        problem(await api_with_history.operator.get(f"{path}?program=nowhere"), 404, "unknown_program")


async def test_a_past_balance_is_reported(api_with_history: Calling) -> None:
    def balance(answer: Any) -> tuple[int, int]:
        report = answer.json()
        assert (report["program"], report["member_id"]) == (PROGRAM, "fin-1")
        return report["balance"]["active"], report["balance"]["pending"]

    path = "/v1/admin/members/fin-1/balance"
    assert balance(await api_with_history.operator.get(path)) == (52, 10)
    assert balance(await api_with_history.operator.get(f"{path}?at=2026-11-21")) == (0, 50)
    assert balance(await api_with_history.operator.get(f"{path}?at={NOON:%Y-%m-%d}T11:59:59Z")) == (0, 0)
    problem(await api_with_history.operator.get("/v1/admin/members/nobody/balance"), 404, "unknown_member")
    problem(await api_with_history.operator.get("/v1/admin/members/no%00body/balance"), 404, "unknown_member")
    await joined(api_with_history, "fin-1", program="bf-mi-points", country="BF")
    document = problem(await api_with_history.operator.get(path), 400, "invalid_request")
    assert fields(document) == ["program"]
    assert balance(await api_with_history.operator.get(f"{path}?program={PROGRAM}")) == (52, 10)
