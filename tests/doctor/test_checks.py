"""Every check finds what it is for, says it in a sentence, and says what to do."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from engage.doctor.check import Finding
from engage.doctor.diagnosis import CHECKS, diagnose
from engage.doctor.observations import (
    Absence,
    AccessSeen,
    CampaignsSeen,
    DeadRows,
    DiskSeen,
    KeySetSeen,
    LongTransaction,
    MachineSeen,
    Observations,
    PostgresSeen,
    ProcessesSeen,
    ProcessSeen,
    ProgramsSeen,
    SettingProblem,
    SettingsSeen,
    ValkeySeen,
    WorkSeen,
)

NONE = timedelta()
HOUR = timedelta(hours=1)
SETTINGS = SettingsSeen(
    problems=[],
    unknown={},
    is_sandbox=False,
    api_host="0.0.0.0",  # Not a sandbox.
    feed_host="::",
    jwks="https://id.example/keys",
    jwt_issuer="https://id.example/",
    jwt_audience="points",
    pepper_length=64,
    pepper_characters=16,
    payouts="momo",
    missing_for_payouts=[],
    missing_for_sign_in=[],
    feed_url="wss://feed.example/",
    state_url_is_queue=False,
    queue_is_cluster=False,
    secrets_of_all=[],
    old_values={},
)
POSTGRES = PostgresSeen(
    version="18.0",
    answer_ms=0.3,
    is_standby=False,
    write_error="",
    tables="0042",
    newest="0042",
    is_migrating=False,
    settings={"fsync": "on", "synchronous_commit": "on", "autovacuum": "on", "log_timezone": "Etc/UTC"},
    connections=20,
    most_connections=97,
    pooled=40,
    long_transactions=[LongTransaction(7, timedelta(minutes=2), "active", "engage")],
    prepared_transactions=0,
    oldest_xid_age=1_000_000,
    most_xid_age=200_000_000,
    dead_rows=[DeadRows("balances", 100_000, 1_000_000)],
    inactive_slots=[],
    invalid_indexes=[],
    waits_for_standby=False,
    skew=timedelta(milliseconds=200),
)
STATE = ValkeySeen(
    role="state",
    version="9.1.0",
    too_old="",
    answer_ms=0.2,
    is_cluster=False,
    cluster_state="",
    is_replica=False,
    write_error="",
    eviction_policy="noeviction",
    has_aof=False,
    aof_fails=False,
    used_bytes=100,
    most_bytes=1_000,
    libraries={"engage": True, "engage_boards": True},
)
QUEUE = replace(STATE, role="queue", has_aof=True, libraries={})
TOPICS = replace(STATE, role="topics", libraries={})
PROCESSES = ProcessesSeen(
    {
        "api": [ProcessSeen("a:1", [], "1 (tables 0042)")],
        "feed": [ProcessSeen("a:2", [], "1 (tables 0042)")],
        "worker": [ProcessSeen("a:3", [], "1 (tables 0042)")],
    },
    [],
)
WORK = WorkSeen(
    overdue_credits=3,
    oldest_overdue=timedelta(seconds=5),
    outbox_rows=3,
    oldest_outbox=timedelta(seconds=5),
    unknown_payouts=1,
    oldest_unknown=HOUR,
    late_payouts=0,
    changes=10,
    oldest_change=timedelta(seconds=5),
    failing_changes=0,
    backtests=1,
    oldest_backtest=HOUR,
)
PROGRAMS = ProgramsSeen({}, ["fuel"], [], {})
CAMPAIGNS = CampaignsSeen([], {}, [])
ACCESS = AccessSeen(
    operators=1, without_second_factor=[], keys=1, old_keys={}, unbound_keys=[], is_sandbox=False
)
MACHINE = MachineSeen(
    is_sandbox=False, descriptors=100_000, somaxconn=4_096, disks=[DiskSeen("/d", 2**40, 2**41)]
)
HEALTHY = Observations(
    settings=SETTINGS,
    key_set=KeySetSeen("https://id.example/keys", 2, ""),
    absences=[],
    postgres=POSTGRES,
    valkeys=[STATE, QUEUE, TOPICS],
    processes=PROCESSES,
    work=WORK,
    programs=PROGRAMS,
    campaigns=CAMPAIGNS,
    access=ACCESS,
    machine=MACHINE,
)


def with_problems(process: str, *problems: str, release: str = "1 (tables 0042)") -> ProcessesSeen:
    return ProcessesSeen(
        {**PROCESSES.alive, process: [ProcessSeen("b:9", list(problems), release)]},  # type: ignore[dict-item]
        [],
    )


def off(name: str) -> dict[str, Any]:
    return {"postgres": replace(POSTGRES, settings={**POSTGRES.settings, name: "off"})}


def valkeys(**changes: Any) -> dict[str, Any]:
    return {"valkeys": [replace(STATE, **changes), QUEUE, TOPICS]}


def queue(**changes: Any) -> dict[str, Any]:
    return {"valkeys": [STATE, replace(QUEUE, **changes), TOPICS]}


def postgres(**changes: Any) -> dict[str, Any]:
    return {"postgres": replace(POSTGRES, **changes)}


def settings(**changes: Any) -> dict[str, Any]:
    return {"settings": replace(SETTINGS, **changes)}


def work(**changes: Any) -> dict[str, Any]:
    return {"work": replace(WORK, **changes)}


# A broken observation for each check, and a part of the sentence.
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "not_running": ({"folder_not_running": "/d"}, "/d does not run"),
    "disk_full": ({"machine": replace(MACHINE, disks=[DiskSeen("/d", 2**20, 2**40)])}, "1.0 MiB left"),
    "disk_nearly_full": ({"machine": replace(MACHINE, disks=[DiskSeen("/d", 2**31, 2**40)])}, "2.0 GiB left"),
    "few_descriptors": ({"machine": replace(MACHINE, descriptors=1_024)}, "1,024 files"),
    "short_backlog": ({"machine": replace(MACHINE, somaxconn=128)}, "lets 128 connections wait"),
    "setting_does_not_fit": (
        settings(problems=[SettingProblem("ENGAGE_API_PORT", "Expected `int`")]),
        "ENGAGE_API_PORT does not fit",
    ),
    "setting_unknown": (settings(unknown={"ENGAGE_PEPER": "ENGAGE_PEPPER"}), "ENGAGE_PEPER is set"),
    "pepper_short": (settings(pepper_length=3), "fewer than 16"),
    "pepper_guessable": (settings(pepper_characters=2), "can be guessed"),
    "sandbox_open": (settings(is_sandbox=True, feed_host="127.0.0.1"), "ENGAGE_API_HOST opens it"),
    "tokens_of_anybody": (settings(jwt_issuer="engage", jwt_audience="engage"), "are the defaults"),
    "key_set_missing": (settings(jwks=""), "No key set"),
    "key_set_plain": (settings(jwks="http://id.example/keys"), "without encryption"),
    "payouts_incomplete": (settings(missing_for_payouts=["ENGAGE_MOMO_KEY"]), "ENGAGE_MOMO_KEY is not set"),
    "sign_in_incomplete": (
        settings(missing_for_sign_in=["ENGAGE_OIDC_CLIENT_ID"]),
        "ENGAGE_OIDC_CLIENT_ID is not set",
    ),
    "feed_url_of_this_machine": (settings(feed_url="ws://127.0.0.1:8081/"), "127.0.0.1"),
    "shared_valkey": (settings(state_url_is_queue=True), "share a server"),
    "cluster_not_possible": (settings(queue_is_cluster=True), "ENGAGE_QUEUE_URL names a Cluster"),
    "secret_of_all": (settings(secrets_of_all=["ENGAGE_PEPPER_FILE"]), "file of ENGAGE_PEPPER_FILE"),
    "secret_rotates": (settings(old_values={"ENGAGE_MOMO_KEY": 1}), "ENGAGE_MOMO_KEY has 1 old"),
    "key_set_unreadable": ({"key_set": KeySetSeen("/keys", 0, "gone")}, "/keys cannot be read: gone"),
    "postgres_standby": (postgres(is_standby=True), "is a standby"),
    "postgres_waits_for_standby": (postgres(waits_for_standby=True), "waits for a synchronous standby"),
    "postgres_refuses_writes": (postgres(write_error="no space left"), "no space left"),
    "tables_migrating": (postgres(is_migrating=True), "are being migrated"),
    "tables_missing": (postgres(tables=None), "no tables"),
    "tables_older": (postgres(tables="0041"), "version 0041"),
    "tables_newer": (postgres(tables="0043"), "version 0043"),
    "fsync_off": (off("fsync"), "fsync is off"),
    "full_page_writes_off": (off("full_page_writes"), "full pages"),
    "synchronous_commit_off": (off("synchronous_commit"), "synchronous_commit is off"),
    "autovacuum_off": (off("autovacuum"), "Autovacuum is off"),
    "transaction_ids_run_out": (postgres(oldest_xid_age=1_500_000_000), "1,500,000,000"),
    "connections_run_out": (postgres(connections=96), "97 connections 1 are free"),
    "connections_too_few": (postgres(pooled=200), "200 connections"),
    "transaction_long": (
        postgres(long_transactions=[LongTransaction(7, HOUR, "idle in transaction", "psql")]),
        "psql (pid 7, idle in transaction) is open for 1 hour",
    ),
    "transactions_prepared": (postgres(prepared_transactions=2), "2 prepared"),
    "table_bloated": (postgres(dead_rows=[DeadRows("balances", 900_000, 100_000)]), "900,000 dead"),
    "slot_inactive": (postgres(inactive_slots=["standby_1"]), "standby_1"),
    "index_invalid": (postgres(invalid_indexes=["credits_due"]), "credits_due"),
    "clock_far_off": (postgres(skew=HOUR), "1 hour ahead of"),
    "clock_off": (postgres(skew=-timedelta(seconds=3)), "3 seconds behind"),
    "postgres_logs_values": (
        postgres(settings={**POSTGRES.settings, "log_error_verbosity": "verbose"}),
        "log_error_verbosity",
    ),
    "postgres_slow": (postgres(answer_ms=40.2), "40 ms"),
    "postgres_zone": (
        postgres(settings={**POSTGRES.settings, "log_timezone": "Asia/Kolkata"}),
        "Asia/Kolkata",
    ),
    "server_away": ({"absences": [Absence("PostgreSQL", "refused")]}, "PostgreSQL does not answer: refused"),
    "valkey_too_old": (valkeys(too_old="Valkey 7.2 is too old"), "Valkey 7.2"),
    "valkey_replica": (queue(is_replica=True), "of the queue is a replica"),
    "valkey_refuses_writes": (valkeys(write_error="MISCONF"), "MISCONF"),
    "valkey_is_cluster": (queue(is_cluster=True), "of the queue is a Cluster"),
    "cluster_down": (valkeys(is_cluster=True, cluster_state="fail"), "fail"),
    "queue_evicts": (queue(eviction_policy="allkeys-lru"), "allkeys-lru"),
    "state_evicts": (valkeys(eviction_policy="allkeys-random"), "allkeys-random"),
    "queue_forgets": (queue(has_aof=False), "no append-only file"),
    "aof_fails": (queue(aof_fails=True), "cannot write"),
    "valkey_full": (valkeys(used_bytes=950), "95 %"),
    "library_missing": (valkeys(libraries={"engage": None}), "engage is not"),
    "library_other": (valkeys(libraries={"engage": False}), "another release"),
    "valkey_slow": (valkeys(answer_ms=25.0), "25 ms"),
    "process_missing": (
        {"processes": ProcessesSeen({**PROCESSES.alive, "worker": []}, ["settlement"])},
        "No `engage worker` runs",
    ),
    "loop_fails": ({"processes": with_problems("feed", "programs")}, "`programs` of feed b:9"),
    "process_clock_far_off": ({"processes": with_problems("api", "clock_far_off")}, "api b:9"),
    "process_clock_off": ({"processes": with_problems("api", "clock_off")}, "api b:9"),
    "secret_not_read": ({"processes": with_problems("worker", "secrets")}, "by worker b:9"),
    "releases_differ": ({"processes": with_problems("api", release="2 (tables 0043)")}, "2 (tables 0043)"),
    "work_not_done": ({"processes": ProcessesSeen(PROCESSES.alive, ["settlement"])}, "settlement"),
    "credits_overdue": (work(oldest_overdue=HOUR), "the oldest for 1 hour"),
    "outbox_old": (work(oldest_outbox=HOUR), "1 hour"),
    "payouts_unknown": (work(oldest_unknown=timedelta(days=3)), "3 days"),
    "payouts_late": (work(late_payouts=4), "4 withdrawals"),
    "reactions_late": (work(oldest_change=HOUR), "1 hour"),
    "reactions_fail": (work(failing_changes=2), "2 changes"),
    "backtests_stuck": (work(oldest_backtest=timedelta(days=1)), "1 day"),
    "program_unreadable": (
        {"programs": replace(PROGRAMS, unreadable={"fuel 2": "line 3"})},
        "fuel 2: line 3",
    ),
    "no_program": ({"programs": replace(PROGRAMS, in_force=[])}, "No program"),
    "program_not_begun": ({"programs": replace(PROGRAMS, not_in_force=["later"])}, "later"),
    "version_begins": ({"programs": replace(PROGRAMS, beginning={"fuel 2": "2027-01-01"})}, "2027-01-01"),
    "budget_ended": ({"campaigns": replace(CAMPAIGNS, without_budget=["fuel/may"])}, "fuel/may"),
    "campaign_never_paid": ({"campaigns": replace(CAMPAIGNS, never_paid={"fuel/may": 4})}, "4 days"),
    "campaign_ends": ({"campaigns": replace(CAMPAIGNS, ending=["fuel/may"])}, "fuel/may"),
    "no_operator": ({"access": replace(ACCESS, operators=0)}, "No operator"),
    "no_second_factor": ({"access": replace(ACCESS, without_second_factor=["a@b.example"])}, "a@b.example"),
    "no_key": ({"access": replace(ACCESS, keys=0)}, "No API key"),
    "key_old": ({"access": replace(ACCESS, old_keys={"shop": 400})}, "400 days"),
    "key_for_all_programs": ({"access": replace(ACCESS, unbound_keys=["shop"])}, "shop"),
}


def findings(**changes: Any) -> list[Finding]:
    return diagnose(replace(HEALTHY, **changes)).findings


def test_a_healthy_installation_has_nothing_to_do() -> None:
    assert diagnose(HEALTHY).findings == []


def test_every_check_is_broken_here() -> None:
    assert set(BROKEN) == {check.name for check in CHECKS}
    assert len(CHECKS) == len({check.name for check in CHECKS})


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_said_with_what_to_do(name: str) -> None:
    changes, part = BROKEN[name]
    found = [finding for finding in findings(**changes) if finding.check == name]
    assert len(found) == 1
    assert part in found[0].sentence
    assert not found[0].sentence[0].islower()
    assert found[0].sentence.endswith(".")
    assert len(found[0].remedy) > len("Nothing")


@pytest.mark.parametrize("name", BROKEN)
def test_nothing_else_is_said_of_it(name: str) -> None:
    changes, _ = BROKEN[name]
    assert [finding.check for finding in findings(**changes)] == [name]


def test_the_worst_comes_first() -> None:
    found = findings(**BROKEN["no_key"][0], **BROKEN["transaction_long"][0], **BROKEN["loop_fails"][0])
    assert found[0].severity == "error"
    order = ["error", "warning", "notice"]
    assert [order.index(each.severity) for each in found] == sorted(order.index(f.severity) for f in found)


def test_what_was_not_observed_is_listed_and_the_rest_is_checked() -> None:
    without = replace(HEALTHY, postgres=None, work=None, **BROKEN["queue_evicts"][0])
    diagnosis = diagnose(without)
    assert [finding.check for finding in diagnosis.findings] == ["queue_evicts"]
    assert {"fsync_off", "credits_overdue"} <= set(diagnosis.not_checked)
    assert diagnosis.checked + len(diagnosis.not_checked) == len(CHECKS)


def test_a_diagnosis_is_json() -> None:
    document = msgspec.json.decode(msgspec.json.encode(diagnose(replace(HEALTHY, **off("fsync")))))
    assert document["findings"][0].keys() == {"check", "severity", "sentence", "remedy"}


@pytest.mark.parametrize("server", [STATE, TOPICS])
def test_state_and_topics_may_be_clusters(server: ValkeySeen) -> None:
    cluster = replace(server, is_cluster=True, cluster_state="ok")
    assert findings(valkeys=[cluster, QUEUE]) == []
