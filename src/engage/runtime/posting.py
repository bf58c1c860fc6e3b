"""Transactions that change balances. Their changes are published once, after the commit.

Each change is also a row of the outbox, written in the transaction: when the process dies between the commit
and the publication, the sweep publishes it.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.account import Account
from engage.domain.earning.unit import POINTS
from engage.domain.keys import MemberKey
from engage.gate.claims import SlotRequest
from engage.ledger import accept as ledger
from engage.ledger.accept import CreditToAccept
from engage.ledger.accounts import Accounts, post
from engage.ledger.balances import OutboxRow
from engage.runtime.boosts import Boosted, Granted, boost_credits
from engage.runtime.budgets import give_back
from engage.runtime.database import one_statement, transaction
from engage.runtime.ids import new_id
from engage.runtime.services import Services
from engage.store import member_changes
from engage.store.protection.held import HeldCredit, add_held

# The cause of a change that was only made because points had expired when the account was opened.
EXPIRED = "expired"


class Posting:
    """An open transaction, and what follows its commit: balance changes with their causes, due times
    to ring for, and confirmations for the gate. `reacting` are the programs in which something follows from
    the facts of a member (`engage.runtime.reactions`). `boosted` are the credits that were accepted beside
    others, by the id of the one that they are beside; `exhausted` are credits that the budgets of their
    campaigns could not pay, with the campaign.
    """

    def __init__(
        self, services: Services, conn: AsyncConnection, cause: str, *, reacting: Collection[str] = ()
    ) -> None:
        self.conn = conn
        self._services = services
        self._clock = services.clock
        self._cause = cause
        self._reacting = reacting
        self.boosted: Boosted = {}
        self.exhausted: dict[UUID, str] = {}
        self._changed: set[MemberKey] = set()
        self.reacts = False
        self.rows: list[OutboxRow] = []
        self.due: list[datetime] = []
        self.confirmed: list[tuple[SlotRequest, int]] = []
        self.accepted: list[tuple[str, str, int]] = []  # Program, rule and points of each credit.

    async def post(self, accounts: Accounts, *, causes: Mapping[MemberKey, str] | None = None) -> None:
        """Posts the movements of accounts. `causes` are by account, in place of the cause of this posting: an
        account without one has only had points that expired.
        """
        if causes is None:
            await post(self.conn, accounts, self.outbox_row())
            return
        by_cause: dict[str, dict[MemberKey, Account]] = {}
        for key, account in accounts.by_key.items():
            by_cause.setdefault(causes.get(key, EXPIRED), {})[key] = account
        for cause, by_key in by_cause.items():
            await post(self.conn, Accounts(by_key, {}), self.outbox_row(cause))

    async def accept(
        self,
        accepting: Sequence[CreditToAccept],
        *,
        now: datetime,
        boosts: bool = True,
        reserved: Collection[UUID] = (),
    ) -> frozenset[UUID]:
        """Inserts new pending credits, and rings when they are due; the ids of those that were inserted.

        With `boosts`, those that boosts add are inserted too (`boosted`), and what campaigns pay is taken
        from their budgets, unless it was `reserved` before; whoever reserves gives back. Without `boosts`,
        both was decided in this transaction before. Raises Unavailable, and NeedsTransaction in a posting of
        one statement.
        """
        accepting = [self._of_campaign(row) for row in accepting]
        if boosts:
            found = await boost_credits(
                self._services, self.conn, accepting, now=now, changed=self._changed, reserved=reserved
            )
        else:
            found = Granted({}, {}, {row.id for row in accepting if self._is_limited(row)})
        wanted = [*accepting, *(row for rows in found.boosted.values() for row in rows)]
        gone = found.exhausted
        accepting = [row for row in wanted if row.id not in gone and row.with_id not in gone]
        accepted = await ledger.accept(
            self.conn,
            accepting,
            self.outbox_row("pending"),
            now=now,
            ahead=self._clock.ahead,
            reacting=self._reacting,
            decision_of=self._services.shared_decisions.number_of,
        )
        if self._reacting:
            self.reacts |= any(row.id in accepted and row.program_id in self._reacting for row in accepting)
        self.ring_at(row.credit.due_at for row in accepting if row.id in accepted)
        self.accepted += [
            (row.program_id, row.credit.rule_id, row.credit.points) for row in accepting if row.id in accepted
        ]
        for base, rows in found.boosted.items():
            self.boosted[base] = [row for row in rows if row.id in accepted]
        self.exhausted |= gone
        await self._hold([row for row in accepting if row.id in accepted], found.boosted)
        refused = [
            ((row.program_id, row.credit.campaign), row.credit.points)
            for row in wanted
            if row.id in found.limited
            and row.id not in accepted
            and row.id not in gone
            and row.id not in reserved
            and row.credit.campaign is not None
        ]
        if refused:
            await give_back(self.conn, refused, now=now)
        return accepted

    async def _hold(self, rows: Sequence[CreditToAccept], boosted: Boosted) -> None:
        """Note the credits that are held for review, with those beside them."""
        of = {row.id: row.suspicion for row in rows if row.suspicion is not None}
        if not of:
            return
        for base, beside in boosted.items():
            if base in of:
                of |= {row.id: of[base] for row in beside}
        held = [
            HeldCredit(
                row.program_id,
                row.member_id,
                row.id,
                suspicion.id,
                int(suspicion.hold.total_seconds()),
            )
            for row in rows
            if (suspicion := of.get(row.id)) is not None
        ]
        await add_held(self.conn, held)

    def _is_limited(self, row: CreditToAccept) -> bool:
        """True if a campaign pays a credit from its budget."""
        budgeted = self._services.campaigns.of(row.program_id).budgeted
        return row.credit.unit == POINTS and row.credit.campaign in budgeted

    def _of_campaign(self, row: CreditToAccept) -> CreditToAccept:
        """The credit with the campaign whose definition pays it."""
        if ":" not in row.credit.rule_id:
            return row  # An earning rule's.
        named = self._services.campaigns.named(row.program_id, row.credit)
        return row if named is row.credit else replace(row, credit=named)

    def outbox_row(self, cause: str | None = None) -> OutboxRow:
        """A row for one set-based statement of the ledger, which writes it and fills its changes."""
        row = OutboxRow(new_id(), cause or self._cause, self._clock.wall())
        self.rows.append(row)
        return row

    def ring_at(self, times: Iterable[datetime | None]) -> None:
        """Rings the doorbell at these times; None is never."""
        self.due.extend(at for at in times if at is not None)

    def note_changes(self, members: Iterable[MemberKey]) -> None:
        """Note that facts of members change in this transaction, in another way than by new credits."""
        self._changed.update(key for key in members if key[0] in self._reacting)

    async def write_changes(self) -> None:
        """Write the members whose facts change, in this transaction."""
        if self._changed:
            await member_changes.add(self.conn, sorted(self._changed), now=self._clock.now())
            self.reacts = True

    def confirm(self, request: SlotRequest, number: int) -> None:
        """Confirms a grant to the gate: the database has accepted its credit."""
        self.confirmed.append((request, number))


@asynccontextmanager
async def open_posting(
    services: Services, *, cause: str, autocommit: bool = False, direct: bool = False
) -> AsyncIterator[Posting]:
    """Opens a transaction; commits it at the end of the block, then publishes. Returns without waiting for
    the publication. When anything is raised, rolls back and publishes nothing.

    `autocommit` is for a block of one statement: it saves the round trips of BEGIN and COMMIT. `direct` is
    that of `transaction`. Raises Unavailable, AccountClosed.
    """
    connection = one_statement(services.db) if autocommit else transaction(services.db, direct=direct)
    async with connection as conn:
        reacting = services.definitions.reacting_programs()
        posting = Posting(services, conn, cause, reacting=reacting)
        yield posting
        await posting.write_changes()
    if posting.accepted:
        services.metrics.ledger.accepted(posting.accepted)
    services.post_commit.add(
        posting.rows, due=posting.due, confirmed=posting.confirmed, reacts=posting.reacts
    )
