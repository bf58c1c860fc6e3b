"""Checks of PostgreSQL."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from engage.clock import MAX_SKEW, REPORTED_SKEW
from engage.doctor.check import Check, Facts
from engage.doctor.observations import PostgresSeen
from engage.doctor.words import age_text

SLOW_MS: Final = 10.0
LONG: Final = timedelta(minutes=5)
CONNECTIONS_LEFT: Final = 10
DEAD_ROWS: Final = 200_000
DEAD_SHARE: Final = 0.4
# A third of the way to the age at which the server refuses writes.
XID_AGE: Final = 700_000_000


def _slow(seen: PostgresSeen) -> Iterator[Facts]:
    if seen.answer_ms > SLOW_MS:
        yield {"ms": f"{seen.answer_ms:.0f}"}


def _standby(seen: PostgresSeen) -> Iterator[Facts]:
    if seen.is_standby:
        yield {}


def _refuses_writes(seen: PostgresSeen) -> Iterator[Facts]:
    if seen.write_error and not seen.is_standby and not seen.waits_for_standby:
        yield {"reason": seen.write_error}


def _waits_for_standby(seen: PostgresSeen) -> Iterator[Facts]:
    if seen.waits_for_standby:
        yield {}


def _migrating(seen: PostgresSeen) -> Iterator[Facts]:
    if seen.is_migrating:
        yield {}


def _no_tables(seen: PostgresSeen) -> Iterator[Facts]:
    if seen.tables is None and not seen.is_migrating:
        yield {}


def _older_tables(seen: PostgresSeen) -> Iterator[Facts]:
    if seen.tables is not None and seen.tables < seen.newest and not seen.is_migrating:
        yield {"tables": seen.tables, "newest": seen.newest}


def _newer_tables(seen: PostgresSeen) -> Iterator[Facts]:
    if seen.tables is not None and seen.tables > seen.newest:
        yield {"tables": seen.tables, "newest": seen.newest}


def _is_off(name: str) -> Callable[[PostgresSeen], Iterator[Facts]]:
    def find(seen: PostgresSeen) -> Iterator[Facts]:
        if seen.settings.get(name) == "off":
            yield {"name": name}

    return find


def _few_connections(seen: PostgresSeen) -> Iterator[Facts]:
    left = seen.most_connections - seen.connections
    if left < CONNECTIONS_LEFT:
        yield {"left": left, "most": seen.most_connections}


def _small_limit(seen: PostgresSeen) -> Iterator[Facts]:
    if seen.pooled > seen.most_connections:
        yield {"pooled": seen.pooled, "most": seen.most_connections, "enough": seen.pooled + CONNECTIONS_LEFT}


def _long(seen: PostgresSeen) -> Iterator[Facts]:
    for each in seen.long_transactions:
        if each.age >= LONG:
            name = each.application or "unnamed"
            yield {"pid": each.pid, "age": age_text(each.age), "state": each.state, "application": name}


def _prepared(seen: PostgresSeen) -> Iterator[Facts]:
    if seen.prepared_transactions:
        yield {"count": seen.prepared_transactions}


def _old(seen: PostgresSeen) -> Iterator[Facts]:
    if seen.oldest_xid_age > XID_AGE:
        yield {"age": f"{seen.oldest_xid_age:,}", "most": f"{seen.most_xid_age:,}"}


def _bloated(seen: PostgresSeen) -> Iterator[Facts]:
    for table in seen.dead_rows:
        if table.dead > DEAD_ROWS and table.dead > DEAD_SHARE * (table.dead + table.live):
            yield {"table": table.table, "dead": f"{table.dead:,}", "live": f"{table.live:,}"}


def _slots(seen: PostgresSeen) -> Iterator[Facts]:
    for name in seen.inactive_slots:
        yield {"name": name}


def _indexes(seen: PostgresSeen) -> Iterator[Facts]:
    for name in seen.invalid_indexes:
        yield {"name": name}


def _skew(seen: PostgresSeen) -> Iterator[Facts]:
    if REPORTED_SKEW < abs(seen.skew) <= MAX_SKEW:
        yield _of_skew(seen)


def _far_skew(seen: PostgresSeen) -> Iterator[Facts]:
    if abs(seen.skew) > MAX_SKEW:
        yield _of_skew(seen)


def _of_skew(seen: PostgresSeen) -> Facts:
    way = "ahead of" if seen.skew > timedelta() else "behind"
    return {"skew": age_text(abs(seen.skew)), "way": way}


def _zone(seen: PostgresSeen) -> Iterator[Facts]:
    zone = seen.settings.get("log_timezone", "")
    if zone and zone.removeprefix("Etc/") not in ("UTC", "GMT", "UCT", "Universal", "Zulu"):
        yield {"zone": zone}


def _logs_values(seen: PostgresSeen) -> Iterator[Facts]:
    found = seen.settings
    if found.get("log_error_verbosity", "terse") != "terse":
        yield {"setting": "log_error_verbosity", "value": "terse"}
    if found.get("log_parameter_max_length_on_error", "0") != "0":
        yield {"setting": "log_parameter_max_length_on_error", "value": "0"}
    if found.get("log_statement", "none") in ("all", "mod"):
        yield {"setting": "log_statement", "value": "ddl"}


CHECKS = (
    Check(
        "postgres_standby",
        "postgres",
        "error",
        "PostgreSQL is a standby: it can be read, and nothing can be stored.",
        "Promote it, or let ENGAGE_DATABASE_URL name the primary. With several hosts in the URL, "
        "target_session_attrs=read-write finds the primary by itself.",
        _standby,
    ),
    Check(
        "postgres_waits_for_standby",
        "postgres",
        "error",
        "Every commit waits for a synchronous standby, and none is connected.",
        "Bring the standby back, or take it out of synchronous_standby_names (ALTER SYSTEM, "
        "pg_reload_conf()).",
        _waits_for_standby,
    ),
    Check(
        "postgres_refuses_writes",
        "postgres",
        "error",
        "PostgreSQL answers, and refuses to store anything: {reason}.",
        "Free its disk if it is full, and see its log. If it was made read-only, set "
        "default_transaction_read_only to off.",
        _refuses_writes,
    ),
    Check(
        "tables_migrating",
        "postgres",
        "warning",
        "The tables are being migrated. Processes wait for the end of it.",
        "Wait. If no `engage migrate` runs any more, end its connection: the lock goes with it.",
        _migrating,
    ),
    Check(
        "tables_missing",
        "postgres",
        "error",
        "The database has no tables of engage.",
        "Run `engage migrate`. If there should be tables, ENGAGE_DATABASE_URL names another database.",
        _no_tables,
    ),
    Check(
        "tables_older",
        "postgres",
        "error",
        "The tables have version {tables}, and this release works on {newest}.",
        "Run `engage migrate` of this release. Processes of the older release stop working then: upgrade "
        "them too.",
        _older_tables,
    ),
    Check(
        "tables_newer",
        "postgres",
        "error",
        "A newer release has changed the tables to version {tables}; this one works on {newest}.",
        "Upgrade engage on this machine. Tables are not changed back.",
        _newer_tables,
    ),
    Check(
        "fsync_off",
        "postgres",
        "error",
        "PostgreSQL does not wait for its disk (fsync is off): a power cut can destroy every point.",
        "ALTER SYSTEM RESET fsync; SELECT pg_reload_conf();",
        _is_off("fsync"),
    ),
    Check(
        "full_page_writes_off",
        "postgres",
        "error",
        "PostgreSQL does not write full pages: a power cut can destroy tables.",
        "ALTER SYSTEM RESET full_page_writes; SELECT pg_reload_conf();",
        _is_off("full_page_writes"),
    ),
    Check(
        "synchronous_commit_off",
        "postgres",
        "error",
        "PostgreSQL answers before a commit is on disk (synchronous_commit is off): points that members were "
        "promised can be lost.",
        "ALTER SYSTEM RESET synchronous_commit; SELECT pg_reload_conf(); and look for it in ALTER ROLE and "
        "ALTER DATABASE.",
        _is_off("synchronous_commit"),
    ),
    Check(
        "autovacuum_off",
        "postgres",
        "error",
        "Autovacuum is off: tables grow, statements become slow, and one day no writes are possible.",
        "ALTER SYSTEM RESET autovacuum; SELECT pg_reload_conf();",
        _is_off("autovacuum"),
    ),
    Check(
        "transaction_ids_run_out",
        "postgres",
        "error",
        "The oldest row is {age} transactions old; at two thousand million PostgreSQL refuses writes.",
        "Run `vacuumdb --all --freeze` in a quiet hour, and find out what keeps autovacuum from its work: "
        "long transactions, prepared ones, replication slots. (It should begin at {most}.)",
        _old,
    ),
    Check(
        "connections_run_out",
        "postgres",
        "error",
        "Of PostgreSQL's {most} connections {left} are free.",
        "Raise max_connections, or run fewer processes, or put a pooler before the server.",
        _few_connections,
    ),
    Check(
        "connections_too_few",
        "postgres",
        "warning",
        "The processes that run may open {pooled} connections, and PostgreSQL takes {most}.",
        "Raise max_connections to {enough} or more.",
        _small_limit,
    ),
    Check(
        "transaction_long",
        "postgres",
        "warning",
        "A transaction of {application} (pid {pid}, {state}) is open for {age}: dead rows stay, and tables "
        "grow.",
        "See what it is: SELECT * FROM pg_stat_activity WHERE pid = {pid}. End it: "
        "SELECT pg_terminate_backend({pid}).",
        _long,
    ),
    Check(
        "transactions_prepared",
        "postgres",
        "warning",
        "{count} prepared transactions hold locks. engage prepares none.",
        "See pg_prepared_xacts, and COMMIT PREPARED or ROLLBACK PREPARED each.",
        _prepared,
    ),
    Check(
        "table_bloated",
        "postgres",
        "warning",
        "The table {table} has {dead} dead rows beside {live} live ones.",
        "Let autovacuum keep up (autovacuum_vacuum_cost_limit), and run VACUUM {table} once. Long "
        "transactions keep rows from being removed.",
        _bloated,
    ),
    Check(
        "slot_inactive",
        "postgres",
        "warning",
        "Nobody reads the replication slot {name}: PostgreSQL keeps its log for it until the disk is full.",
        "Bring its reader back, or SELECT pg_drop_replication_slot('{name}').",
        _slots,
    ),
    Check(
        "index_invalid",
        "postgres",
        "warning",
        "The index {name} was not built to its end, so no statement can use it.",
        "REINDEX INDEX CONCURRENTLY {name}",
        _indexes,
    ),
    Check(
        "clock_far_off",
        "postgres",
        "error",
        "The clock of this machine is {skew} {way} PostgreSQL's. Past a minute, processes stop working.",
        "Let both machines follow a time server (chrony, systemd-timesyncd).",
        _far_skew,
    ),
    Check(
        "clock_off",
        "postgres",
        "warning",
        "The clock of this machine is {skew} {way} PostgreSQL's.",
        "Let both machines follow a time server (chrony, systemd-timesyncd).",
        _skew,
    ),
    Check(
        "postgres_logs_values",
        "postgres",
        "notice",
        "PostgreSQL writes values of rows into its log ({setting}): numbers and names of members.",
        "ALTER SYSTEM SET {setting} = '{value}'; SELECT pg_reload_conf();",
        _logs_values,
    ),
    Check(
        "postgres_slow",
        "postgres",
        "warning",
        "PostgreSQL takes {ms} ms for an empty statement. A tap waits for several.",
        "Run it near the processes, in the same zone, and look for a busy processor.",
        _slow,
    ),
    Check(
        "postgres_zone",
        "postgres",
        "notice",
        "PostgreSQL writes its log in the zone {zone}; engage writes all times in UTC.",
        "ALTER SYSTEM SET log_timezone = 'UTC'; SELECT pg_reload_conf();",
        _zone,
    ),
)
