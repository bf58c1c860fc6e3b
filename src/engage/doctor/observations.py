"""Observations of an installation. None of it holds a secret, and all of it is plain values."""

from datetime import timedelta
from typing import Literal

from msgspec import Struct

Role = Literal["state", "queue", "topics"]
Process = Literal["api", "feed", "worker"]


class SettingProblem(Struct, frozen=True):
    """A variable that does not fit, and why, without its value."""

    variable: str
    reason: str


class SettingsSeen(Struct, frozen=True, kw_only=True):
    problems: list[SettingProblem]
    unknown: dict[str, str]  # Variables that are no settings, and the setting with a similar name, or "".
    is_sandbox: bool
    api_host: str
    feed_host: str
    jwks: str
    jwt_issuer: str
    jwt_audience: str
    pepper_length: int
    pepper_characters: int  # Different ones.
    payouts: str
    missing_for_payouts: list[str]
    missing_for_sign_in: list[str]
    feed_url: str
    state_url_is_queue: bool  # They share a server.
    queue_is_cluster: bool
    secrets_of_all: list[str]  # Files of secrets that every user of the machine may read or write.
    old_values: dict[str, int]  # Secrets with values below the first, but for the pepper, and how many.


class KeySetSeen(Struct, frozen=True):
    """The key set that verifies members' tokens. `error` where it cannot be read."""

    source: str
    keys: int
    error: str


class Absence(Struct, frozen=True):
    """A server without an answer, and the reason."""

    server: str
    reason: str


class LongTransaction(Struct, frozen=True):
    pid: int
    age: timedelta
    state: str
    application: str


class DeadRows(Struct, frozen=True):
    table: str
    dead: int
    live: int


class PostgresSeen(Struct, frozen=True, kw_only=True):
    """The server, by its settings and statistics. `write_error` where a write was refused."""

    version: str
    answer_ms: float
    is_standby: bool
    write_error: str
    tables: str | None  # The version of the tables.
    newest: str  # The version that this release works on.
    is_migrating: bool
    settings: dict[str, str]
    connections: int
    most_connections: int
    pooled: int  # Connections that the processes may open together.
    long_transactions: list[LongTransaction]
    prepared_transactions: int
    oldest_xid_age: int
    most_xid_age: int
    dead_rows: list[DeadRows]
    inactive_slots: list[str]
    invalid_indexes: list[str]
    waits_for_standby: bool  # A commit waits for a synchronous standby, and there is none.
    skew: timedelta  # How far the clock of this machine is ahead of the server's.


class ValkeySeen(Struct, frozen=True, kw_only=True):
    role: Role
    version: str
    too_old: str  # Why the version does not do.
    answer_ms: float
    is_cluster: bool
    cluster_state: str
    is_replica: bool
    write_error: str
    eviction_policy: str
    has_aof: bool
    aof_fails: bool
    used_bytes: int
    most_bytes: int  # 0: no limit.
    libraries: dict[str, bool | None]  # Function libraries: of this release, of another one, or missing.


class ProcessSeen(Struct, frozen=True):
    id: str
    problems: list[str]
    release: str


class ProcessesSeen(Struct, frozen=True):
    """The heartbeats, and kinds of due work that no worker has looked for in half a minute."""

    alive: dict[Process, list[ProcessSeen]]
    undone: list[str]


class WorkSeen(Struct, frozen=True, kw_only=True):
    """Work that waits in PostgreSQL: counts, and the age of the oldest."""

    overdue_credits: int
    oldest_overdue: timedelta
    outbox_rows: int
    oldest_outbox: timedelta
    unknown_payouts: int
    oldest_unknown: timedelta
    late_payouts: int
    changes: int
    oldest_change: timedelta
    failing_changes: int
    backtests: int
    oldest_backtest: timedelta


class ProgramsSeen(Struct, frozen=True):
    """Published programs. `unreadable` maps a program and version to the mistake."""

    unreadable: dict[str, str]
    in_force: list[str]
    not_in_force: list[str]
    beginning: dict[str, str]  # Versions that begin within a week, and their first day.


class CampaignsSeen(Struct, frozen=True):
    """Running campaigns, as program/campaign."""

    without_budget: list[str]
    never_paid: dict[str, int]  # With the days since they began.
    ending: list[str]  # Within a day.


class AccessSeen(Struct, frozen=True):
    """Operators and keys. Names only."""

    operators: int
    without_second_factor: list[str]
    keys: int
    old_keys: dict[str, int]  # With their age in days.
    unbound_keys: list[str]
    is_sandbox: bool


class DiskSeen(Struct, frozen=True):
    path: str
    free_bytes: int
    total_bytes: int


class MachineSeen(Struct, frozen=True, kw_only=True):
    is_sandbox: bool
    descriptors: int  # The hard limit; 0: none.
    somaxconn: int  # 0: unknown.
    disks: list[DiskSeen]


class Observations(Struct, frozen=True, kw_only=True):
    """Each is None where it could not be made."""

    folder_not_running: str | None = None
    settings: SettingsSeen | None = None
    key_set: KeySetSeen | None = None
    absences: list[Absence]
    postgres: PostgresSeen | None = None
    valkeys: list[ValkeySeen] | None = None
    processes: ProcessesSeen | None = None
    work: WorkSeen | None = None
    programs: ProgramsSeen | None = None
    campaigns: CampaignsSeen | None = None
    access: AccessSeen | None = None
    machine: MachineSeen | None = None
