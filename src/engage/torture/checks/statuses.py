"""Answers are those of the contract."""

from collections.abc import Iterator
from typing import Any, Final

from engage.torture.checks.broken import Broken
from engage.torture.checks.evidence import Evidence
from engage.torture.checks.exchanges import Exchange

FIVE_XX: Final = "no 5xx but 503 with Retry-After"
DOCUMENTED: Final = "each answer is one that the OpenAPI documents"

PROBLEM_FIELDS: Final = {"type", "title", "status", "detail", "code", "trace_id"}


def no_server_errors(evidence: Evidence) -> Iterator[Broken]:
    for exchange in evidence.exchanges:
        answered = exchange.answered
        if answered is None or answered.status < 500:
            continue
        if answered.status != 503 or not answered.headers.get("retry-after", "").isdigit():
            yield Broken(FIVE_XX, (exchange.id,), f"{exchange.sent.path}: {answered.status} {answered.body}")


def answers_are_documented(evidence: Evidence) -> Iterator[Broken]:
    """The status, and the code of a refusal, are documented for the operation."""
    documented = _documented(evidence.contract)
    for exchange in evidence.exchanges:
        if exchange.answered is not None and (text := _difference(exchange, documented)):
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
