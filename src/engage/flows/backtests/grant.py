"""Note that the gains of a backtest are to be granted: once, and after an approval of the document.

Workers then give them (`engage.flows.backtests.give`).
"""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.identity import Operator
from engage.domain.program.versions import four_eyes
from engage.domain.refusals import Code, Refusal
from engage.flows.backtests.clean import KEPT
from engage.flows.campaigns.campaign import document_of, subject_of
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store import audit_log
from engage.store.audit_log import AuditEntry
from engage.store.backtests import jobs
from engage.store.backtests.jobs import Backtest
from engage.store.campaigns.actions import read_actions
from engage.store.campaigns.versions import StoredVersion, read_versions

# Well before gains are deleted.
GRANTABLE: Final = KEPT - timedelta(days=1)


async def grant_backtest(services: Services, id_: UUID, *, operator: Operator) -> None:
    """Note that the gains of a backtest are to be granted. Repeating it changes nothing.

    Raises Refusal not_found; wrong_state for one that is not done; not_approved without an approved version
    of the document that was tried; four_eyes where the operator alone started the backtest and approved that
    version; granted_already where another backtest of the campaign was granted for some of the window;
    Unavailable.
    """
    async with transaction(services.db) as conn:
        # Of two grants at once the second one sees the first.
        await jobs.lock_all(conn)
        now = services.clock.now()
        found = await jobs.find(conn, id_)
        if found is None or (found.ended_at is not None and found.ended_at < now - GRANTABLE):
            raise Refusal(Code.NOT_FOUND)
        if found.granted_at is not None:
            return
        if found.state != "done":
            raise Refusal(Code.WRONG_STATE, state=found.state)
        approved = await _approved(conn, found)
        if not approved:
            raise Refusal(Code.NOT_APPROVED, campaign=found.campaign_id)
        alone = found.operator == operator.name and all(each.is_by(operator) for each in approved)
        if alone and four_eyes(services.programs.versions(found.program_id), now):
            raise Refusal(Code.FOUR_EYES)
        other = await jobs.read_granted_overlap(conn, found)
        if other is not None:
            raise Refusal(Code.GRANTED_ALREADY, backtest_id=str(other))
        await jobs.write(conn, found, granted_at=now, granted_by=operator.name)
        await audit_log.write(conn, _entry(found, now, operator.name))


class Approved(Struct, frozen=True):
    """A version of the document that was tried, and who approved it."""

    version: StoredVersion
    approver: str

    def is_by(self, operator: Operator) -> bool:
        """Tell whether this operator may be who approved it. Authors are not: somebody else did."""
        return self.approver == operator.name and operator.id not in self.version.author_ids


async def _approved(conn: AsyncConnection, backtest: Backtest) -> list[Approved]:
    key = backtest.program_id, backtest.campaign_id
    tried = {
        version.version: version
        for version in await read_versions(conn, key)
        if version.approved and document_of(version) == backtest.campaign
    }
    return [
        Approved(tried[action.version], action.operator)
        for action in await read_actions(conn, key)
        if action.kind == "approved" and action.version in tried
    ]


def _entry(backtest: Backtest, now: datetime, operator: str) -> AuditEntry:
    return AuditEntry(
        at=now,
        program_id=backtest.program_id,
        operator=operator,
        subject=subject_of((backtest.program_id, backtest.campaign_id)),
        action="granted",
        after={
            "backtest": str(backtest.id),
            "from": backtest.from_at,
            "until": backtest.until_at,
            "points": (backtest.result or {}).get("grantable_points"),
        },
    )
