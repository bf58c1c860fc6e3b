"""Answers are those of the contract."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from engage.torture.checks.broken import Broken
from engage.torture.checks.evidence import Evidence
from engage.torture.checks.exchanges import Exchange

FIVE_XX: Final = "no 5xx but 503 with Retry-After"
DOCUMENTED: Final = "each answer is one that the OpenAPI documents"

PROBLEM_FIELDS: Final = {"type", "title", "status", "detail", "code", "trace_id"}


def no_server_errors(exchanges: Sequence[Exchange]) -> Iterator[Broken]:
    """Of the members' clients, and of torture itself. It stands outside the table of checks, because they
    ask too: it is for the end, and for runs that end before the checks.
    """
    for exchange in exchanges:
        answered = exchange.answered
        if answered is not None and answered.is_server_error:
            text = f"{exchange.sent.path}: {answered.status} {answered.body}"
            if not exchange.sent.operation:
                text = f"{exchange.sent.actor}, {text}"
            yield Broken(FIVE_XX, (exchange.id,), text)


def answers_are_documented(evidence: Evidence) -> Iterator[Broken]:
    """The status, and the code of a refusal, are documented for the operation."""
    documented = _documented(evidence.contract)
    for exchange in evidence.exchanges:
        if not exchange.sent.operation or exchange.answered is None:
            continue
        if text := _difference(exchange, documented):
            yield Broken(DOCUMENTED, (exchange.id,), f"{exchange.sent.operation}: {text}")


def _difference(exchange: Exchange, documented: dict[str, dict[str, set[str]]]) -> str:
    answered, answers = exchange.answered, documented.get(exchange.sent.operation)
    assert answered is not None
    if answers is None:
        return "the OpenAPI has no such operation"
    status = str(answered.status)
    if status not in answers:
        return f"{status} is not documented: {answered.body}"
    if answered.status < 400:
        return ""
    if not answered.headers.get("content-type", "").startswith("application/problem+json"):
        return f"{status} is no problem document: {answered.headers}"
    body: Any = answered.body
    if not isinstance(body, dict) or not body.keys() >= PROBLEM_FIELDS or body["status"] != answered.status:
        return f"a problem document without its fields: {body}"
    return "" if body["code"] in answers[status] else f"{status} {body['code']} is not documented"


def _documented(contract: dict[str, Any]) -> dict[str, dict[str, set[str]]]:
    """Codes of refusals by operation and status."""
    return {
        operation["operationId"]: {
            status: _codes(response) for status, response in operation["responses"].items()
        }
        for path in contract.get("paths", {}).values()
        for operation in path.values()
        if isinstance(operation, dict) and "operationId" in operation
    }


def _codes(response: dict[str, Any]) -> set[str]:
    content = response.get("content", {}).get("application/problem+json", {})
    return set(content.get("examples", ()))
