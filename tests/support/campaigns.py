"""Campaigns for tests: documents, and actions of operators as they are stored."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import text

from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.lifecycle import ActionKind, effective_at
from engage.domain.identity import Operator
from engage.flows.campaigns.budgets import set_budget
from engage.runtime.database import transaction
from engage.runtime.services import Services
from tests.support.tiers import PROGRAM

_VERSION = text("""
INSERT INTO campaign_versions (program_id, campaign_id, version, revision, document, authors, author_ids,
                               approved)
VALUES (:program, :id, :version, 1, CAST(:document AS jsonb), '{marketing}', '{marketing}', true)
""")
_ACTION = text("""
INSERT INTO campaign_actions (program_id, campaign_id, number, kind, version, at, effective_at, operator)
SELECT :program, :id, 1 + count(*), :kind, :version, :at, :effective_at, 'marketing'
FROM campaign_actions WHERE program_id = :program AND campaign_id = :id
""")


def document(id_: str = "double", **fields: Any) -> dict[str, Any]:
    """A campaign of the year 2026, in which the clock of the tests stands."""
    return {
        "id": id_,
        "program": PROGRAM,
        "title": {"en": id_},
        "from": "2026-01-01T00:00:00",
        "until": "2027-01-01T00:00:00",
    } | fields


def boost(*rules: str, id_: str = "more", **fields: Any) -> dict[str, Any]:
    return {"id": id_, "rules": rules} | fields


def operator(name: str) -> Operator:
    return Operator(f"key of {name}", name)


async def approve(
    services: Services, campaign: Mapping[str, Any], *, version: int = 1, at: datetime | None = None
) -> None:
    """Approve a version. Without `at` it was a day ago, and the process knows of it."""
    values = {"program": campaign["program"], "id": campaign["id"], "version": version}
    async with transaction(services.db) as conn:
        await conn.execute(_VERSION, values | {"document": json.dumps(campaign)})
        await set_budget(conn, msgspec.convert(campaign, Campaign))
    await act_on(services, campaign, "approved", version=version, at=at)


async def act_on(
    services: Services,
    campaign: Mapping[str, Any],
    kind: ActionKind,
    *,
    version: int = 1,
    at: datetime | None = None,
) -> datetime:
    """Store an action; the instant at which it is effective. Without `at` it was a day ago."""
    when = at or services.clock.now() - timedelta(days=1)
    effective = effective_at(when)
    values = {"program": campaign["program"], "id": campaign["id"], "version": version, "kind": kind}
    async with transaction(services.db) as conn:
        await conn.execute(_ACTION, values | {"at": when, "effective_at": effective})
    if at is None:
        await services.campaigns.refresh(services.db)
    return effective
