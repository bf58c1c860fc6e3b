"""Campaigns add to what was earned, within their times and budgets."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from engage.torture.checks.books import Credit
from engage.torture.checks.broken import Broken
from engage.torture.checks.evidence import Evidence

CAMPAIGN: Final = "a campaign pays within its time and budget, beside what was earned"


def campaigns_keep_to_their_documents(evidence: Evidence) -> Iterator[Broken]:
    """Each credit of a campaign is beside one that was earned, in the campaign's time; sums are in budget."""
    documents = {each.sent.body["id"]: each.sent.body for each in evidence.of("createCampaign")}
    bases = {(credit.member_id, credit.source_key) for credit in evidence.books.credits}
    paid: defaultdict[str, list[Credit]] = defaultdict(list)
    for credit in evidence.books.credits:
        if credit.campaign is None or not credit.points:
            continue
        paid[credit.campaign].append(credit)
        if credit.member_id in evidence.books.closed:
            continue
        if (credit.member_id, credit.source_key.rpartition("+")[0]) not in bases:
            yield Broken(CAMPAIGN, (), f"{credit.member_id}: {credit.source_key} is beside nothing")
        document = documents.get(credit.campaign)
        if document is None or not _began(document, "from") <= credit.activity_at < _began(document, "until"):
            text = f"{credit.source_key} of {credit.activity_at} is not of the campaign's time"
            yield Broken(CAMPAIGN, (), f"{credit.member_id}: {text}")
    for id_, credits in paid.items():
        yield from _over(id_, documents.get(id_, {}).get("budget", {}), credits, evidence.books.closed)


def _began(document: dict[str, Any], field: str) -> datetime:
    return datetime.fromisoformat(document[field]).replace(tzinfo=UTC)


def _over(id_: str, budget: dict[str, int], credits: list[Credit], closed: set[str]) -> Iterator[Broken]:
    """Compare sums with a budget.

    A survivor of a merger has what both had, in copies under the same ids, and what was active of the merged
    member's stays beside its copy.
    """
    kept = [credit for credit in credits if credit.kept and credit.state != "reversed"]
    granted: defaultdict[UUID, int] = defaultdict(int)
    by_member: defaultdict[str, int] = defaultdict(int)
    for credit in kept:
        granted[credit.id] = max(granted[credit.id], credit.kept)
        if credit.member_id not in closed:
            by_member[credit.member_id] += credit.kept
    sums = {
        "points": sum(granted.values()),
        "count": len(granted),
        "points_per_member": max(by_member.values(), default=0),
    }
    for name, most in budget.items():
        if sums[name] > most:
            yield Broken(CAMPAIGN, (), f"{id_}: {sums[name]} of {name}, and the budget is {most}")
