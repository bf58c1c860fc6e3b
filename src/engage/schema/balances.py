"""A balance for each member: the sum of their entries, and what is pending.

Tables of the ledger do not reference members by foreign key: every activity would lock its member's row.
`engage audit` looks for rows without a member instead.
"""

from sqlalchemy import BigInteger, Boolean, Column, Identity, Index, PrimaryKeyConstraint, Table

from engage.domain.accounts.balance import MOST_BALANCE
from engage.schema.columns import check, member_key, metadata, required
from engage.schema.member_rows import Keep, member_rows

# The account of a member who was merged or erased is closed: it has no points and takes none. A process that
# does not know yet that the member is closed learns it from this constraint.
CLOSED_CHECK = "balances_closed_check"

# No account can have so many points that a later sum overflows, such as the one of a settlement, which
# would then fail for a thousand members.
LIMIT_CHECK = "balances_limit_check"


def account_of(program_id: str, member_id: str) -> str:
    """The account of a member, whose key these expressions are: one value, so that an index of the ledger is
    read in its order.
    """
    return f"(SELECT account FROM balances WHERE program_id = {program_id} AND member_id = {member_id})"  # noqa: S608


balances = Table(
    "balances",
    metadata,
    *member_key(),
    required("active", BigInteger, "0"),
    required("pending", BigInteger, "0"),
    required("held", BigInteger, "0"),
    required("debt", BigInteger, "0"),
    required("version", BigInteger, "0"),
    required("closed", Boolean, "false"),
    # Credits and entries name their member by this number, which never changes.
    Column("account", BigInteger, Identity(always=True), nullable=False),
    PrimaryKeyConstraint("program_id", "member_id"),
    Index("balances_account", "account", unique=True),
    check("balances_active_check", "active >= 0"),
    check("balances_pending_check", "pending >= 0"),
    check("balances_held_check", "held >= 0"),
    check("balances_debt_check", "debt >= 0"),
    check(CLOSED_CHECK, "NOT closed OR active + pending + held + debt = 0"),
    check(LIMIT_CHECK, f"active + pending + held <= {MOST_BALANCE}"),
    postgresql_with={"fillfactor": 70},
    info=member_rows(
        merge=Keep("Postings have emptied it, and its account is closed."),
        erase=Keep("Postings have emptied it, and its account is closed."),
        join=True,
    ),
)
