"""A record and books of one good member, with which tests begin before they break something."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from engage.torture.checks.books import Books, Credit, Member
from engage.torture.checks.broken import Broken
from engage.torture.checks.evidence import Evidence
from engage.torture.record import Answered, Lost, Record, Sent

MEMBER = "m-1"
BEGAN = datetime(2026, 11, 21, 9, tzinfo=UTC)
CONTRACT = {
    "paths": {
        "/v1/fuel/taps": {
            "post": {
                "operationId": "recordFuelTap",
                "responses": {
                    "202": {},
                    "409": {"content": {"application/problem+json": {"examples": {"already_tapped": {}}}}},
                    "503": {"content": {"application/problem+json": {"examples": {"unavailable": {}}}}},
                },
            }
        },
        "/v1/sandbox": {"get": {"operationId": "getSandbox", "responses": {"200": {}}}},
    }
}
PROBLEM = {
    "type": "/problems/already_tapped",
    "title": "Already tapped",
    "status": 409,
    "detail": "Tomorrow.",
    "code": "already_tapped",
    "trace_id": "1",
}

Check = Callable[[Evidence], Any]


def uuid(number: int) -> UUID:
    return UUID(int=number)


class Written:
    """Writes a record as clients would, a second for each request, and the books beside it."""

    def __init__(self) -> None:
        self.record = Record()
        self.at = 0.0
        self.books = Books(now=BEGAN + timedelta(days=1), members=[member(MEMBER)])
        self.send("getSandbox", "GET", "/v1/sandbox", answer={"now": BEGAN.isoformat()})

    def send(
        self,
        operation: str,
        method: str = "POST",
        path: str = "/",
        *,
        body: Any = None,
        key: str | None = None,
        status: int | None = 200,
        answer: Any = None,
        headers: dict[str, str] | None = None,
        member: str = MEMBER,
    ) -> int:
        """Send a request, and return its id. A status of None is a lost answer."""
        self.at += 1
        sent = Sent(
            id=self.record.new_id(),
            at=self.at,
            member=member,
            method=method,
            path=path,
            body=body,
            idempotency_key=key,
            operation=operation,
        )
        self.record.add(sent)
        if status is None:
            self.record.add(Lost(sent_id=sent.id, at=self.at + 0.5, error="cut"))
        else:
            kind = "application/json" if status < 400 else "application/problem+json"
            self.record.add(
                Answered(
                    sent_id=sent.id,
                    at=self.at + 0.5,
                    status=status,
                    headers={"content-type": kind} | (headers or {}),
                    body=answer,
                )
            )
        return sent.id

    def tap(self, day: int = 21, *, streak: int = 1, status: int | None = 202, **rest: Any) -> Credit:
        """A tap on a day of November, with its credit in the books."""
        credit = tap_credit(day)
        answer = {
            "credits": [{"id": str(credit.id), "rule": "fuel", "points": 5, "due_at": str(credit.due_at)}],
            "streak": {"days": streak},
        }
        self.send("recordFuelTap", path="/v1/fuel/taps", status=status, answer=answer, **rest)
        self.books.credits.append(credit)
        return credit

    def advance(self, to: datetime) -> None:
        self.send("advanceClock", body={"advance": "PT24H"}, answer={"now": to.isoformat()})

    def change(self, row: Any, **fields: Any) -> None:
        """Change a row of the books."""
        for name in Books.__struct_fields__:
            table = getattr(self.books, name)
            if isinstance(table, list) and row in table:
                table[table.index(row)] = replace(row, **fields)
                return
        raise AssertionError(row)

    def evidence(self) -> Evidence:
        return Evidence(self.record.lines, self.books, CONTRACT)

    def found(self, check: Check) -> list[Broken]:
        return list(check(self.evidence()))


def member(member_id: str, country: str = "ES") -> Member:
    return Member(member_id=member_id, country=country, joined_at=BEGAN, merged_into=None, erased_at=None)


def credit_row(
    number: int, rule: str, key: str, at: datetime, activity: dict[str, Any], **rest: Any
) -> Credit:
    due_at = at + timedelta(minutes=5)
    row = Credit(
        member_id=MEMBER,
        id=uuid(number),
        rule_id=rule,
        source_key=key,
        points=5,
        taken_back=0,
        state="active",
        activity_at=at,
        accepted_at=at,
        due_at=due_at,
        active_at=due_at,
        reference=None,
        boost=None,
        campaign=None,
        why={"activity": activity},
    )
    return replace(row, **rest)


def tap_credit(day: int, rule: str = "fuel", number: int | None = None) -> Credit:
    at = BEGAN + timedelta(days=day - 21, minutes=1)
    return credit_row(number or day, rule, f"{rule}:2026-11-{day}", at, {"activity": "fuel_tap"})
