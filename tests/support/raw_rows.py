"""Tests write credits, entries and lots as raw rows, which the program only reads: triggers of the views.

Installed in the databases of tests. A row that is written keeps what it says: where two rows are equal, both
are stored. A member without a balance gets one. A lot is columns of its credit, so it is added to a credit
that exists and has none, and its credit cannot become another.
"""

from sqlalchemy import Table

from engage.schema.credits import credits, stored_credits
from engage.schema.entries import entries, stored_entries

_ACCOUNT_OF = """
CREATE FUNCTION account_of(program text, member text, known bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE found_account bigint;
BEGIN
    SELECT account INTO found_account FROM balances WHERE (program_id, member_id) = (program, member);
    IF found_account IS NULL AND member IS NOT NULL THEN
        INSERT INTO balances (program_id, member_id) VALUES (program, member)
        RETURNING account INTO found_account;
    END IF;
    RETURN coalesce(found_account, known);
END $$
"""

_TRIGGER = """
CREATE FUNCTION write_{view}() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE changed bigint;
BEGIN
    IF TG_OP = 'DELETE' THEN
        {delete};
        RETURN OLD;
    END IF;
    NEW.account := account_of(NEW.program_id, NEW.member_id, NEW.account);
    IF TG_OP = 'INSERT' THEN
        {insert};
    ELSE
        {update};
    END IF;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed = 0 THEN
        RAISE EXCEPTION '% of %: no such row, or it has a lot already', TG_OP, TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER write_{view} INSTEAD OF INSERT OR UPDATE OR DELETE ON {view}
    FOR EACH ROW EXECUTE FUNCTION write_{view}()
"""


def _of_table(view: Table, stored: Table, *key: str, **values: str) -> str:
    """The triggers of a view whose rows are those of a table. `values` are expressions of `NEW` for columns
    that are stored in another way.
    """
    columns = {column.name: f"NEW.{column.name}" for column in view.c if column.name in stored.c} | values
    own = " AND ".join(f"{column} = OLD.{column}" for column in key)
    assignments = ", ".join(
        f"{column} = {value}" for column, value in (columns | _KEPT.get(view, {})).items()
    )
    return _TRIGGER.format(
        view=view.name,
        delete=f"DELETE FROM {stored.name} WHERE {own}",
        insert=f"INSERT INTO {stored.name} ({', '.join(columns)}) VALUES ({', '.join(columns.values())})",
        update=f"UPDATE {stored.name} SET {assignments} WHERE {own}",
    )


# A credit whose decision is as it was goes on naming it.
_DECIDED_AS_BEFORE = (
    "decision IS NOT NULL AND (NEW.why, NEW.program_version) IS NOT DISTINCT FROM (OLD.why,"
    " OLD.program_version)"
)
_KEPT = {
    credits: {
        "decision": f"CASE WHEN {_DECIDED_AS_BEFORE} THEN decision END",
        "why": f"CASE WHEN NOT ({_DECIDED_AS_BEFORE}) THEN NEW.why END",
        "program_version": f"CASE WHEN NOT ({_DECIDED_AS_BEFORE}) THEN NEW.program_version END",
    }
}

# A lot that ends never is one of a credit that ends never.
_LOT = """UPDATE stored_credits SET
    remaining = NEW.remaining, lot_seq = NEW.entry_seq, expired = nullif(NEW.expired, 0),
    lot_points = nullif(NEW.points, points), active_at = NEW.active_at,
    expires_at = CASE WHEN NEW.expires_at IS NOT NULL THEN expires_at END,
    lot_ends_at = nullif(NEW.expires_at, expires_at)"""

_LOTS = _TRIGGER.format(
    view="lots",
    delete="""UPDATE stored_credits
        SET remaining = NULL, lot_seq = NULL, expired = NULL, lot_points = NULL, lot_ends_at = NULL
        WHERE account = OLD.account AND id = OLD.credit_id""",
    insert=f"{_LOT} WHERE account = NEW.account AND id = NEW.credit_id AND remaining IS NULL",
    update=f"{_LOT} WHERE account = OLD.account AND id = OLD.credit_id"
    " AND account = NEW.account AND id = NEW.credit_id",
)

STATEMENTS = (
    _ACCOUNT_OF,
    _of_table(
        credits,
        stored_credits,
        *("account", "id"),
        unit="nullif(NEW.unit, 'points')",
        taken_back="nullif(NEW.taken_back, 0)",
    ),
    _of_table(
        entries,
        stored_entries,
        *("account", "seq"),
        kind="nullif(NEW.kind, 'earning')",
        house_account="nullif(NEW.house_account, 'issued')",
        active_delta="coalesce(NEW.active_delta, 0)",
        house_delta="coalesce(NEW.house_delta, 0)",
        held_delta="nullif(NEW.held_delta, 0)",
        debt_delta="nullif(NEW.debt_delta, 0)",
    ),
    _LOTS,
)

REMOVE = "DROP FUNCTION write_credits, write_entries, write_lots, account_of CASCADE"
