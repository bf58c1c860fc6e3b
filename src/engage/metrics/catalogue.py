"""All metrics of engage: their names, meanings and labels. docs/operations.md has a row for each.

Every process has all of them; those of another part have no samples. No label is the id of a member, or a
text that somebody wrote: a label is a program, campaign, rule or reward, or a name of the code.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from engage.metrics.numbers import LATENCY_S, OTHER, Counter, Family, Gauge, Histogram, Observed

LAG_S: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
SIZES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)

# Credits that become active later than this after their due time break the promise of their program. A missed
# doorbell alone does not: the sweep comes every five seconds.
PROMISED_WITHIN_S: Final = 10.0

# A doorbell rings at the next quarter of a second.
DOORBELL_WITHIN_S: Final = 1.0

# The classes of status.
_CLASSES: Final = (OTHER, "1xx", "2xx", "3xx", "4xx", "5xx")


class ProcessNumbers:
    """Every process."""

    def __init__(self) -> None:
        self.process_info = Gauge(
            "engage_process_info",
            "The release of a process and the version of its tables; always 1.",
            ("part", "version", "schema"),
        )
        self.loop_state = Gauge(
            "engage_loop_state",
            "Background loops: 0 for one that works, 1 for one that fails, 2 for one that is stuck.",
            ("loop",),
        )
        self.loop_failures = Counter(
            "engage_loop_failures", "Turns of background loops that failed.", ("loop",)
        )
        self.secret_reads = Counter(
            "engage_secret_reads",
            "New values of a secret that were read from its file, by setting.",
            ("setting",),
        )
        self.event_loop_lag = Gauge(
            "engage_event_loop_lag_seconds",
            "The longest that a timer of the event loop was late in the last quarter of a minute.",
        )
        self.clock_skew = Gauge(
            "engage_clock_skew_seconds", "How far the machine's clock is ahead of PostgreSQL's."
        )
        self.loop_age = Gauge(
            "engage_loop_age_seconds",
            "Time since the last good turn of a background loop, such as the refresh of a cache.",
            ("loop",),
        )
        self.connections = Gauge(
            "engage_database_connections", "Connections of the process's pool to PostgreSQL.", ("state",)
        )
        self.operations_requests = Counter(
            "engage_operations_requests",
            "Requests to the operations port, by what was answered.",
            ("answer",),
        )


class ApiNumbers:
    """Requests of the API."""

    def __init__(self) -> None:
        self.requests = Counter(
            "engage_requests",
            "Answered requests, by operation and class of status.",
            ("operation", "status"),
            most=2_000,
        )
        self.request_seconds = Histogram(
            "engage_request_seconds", "Time from a request to its answer.", ("operation",), most=300
        )
        self.refusals = Counter("engage_refusals", "Answers with a problem document, by code.", ("code",))
        self.batch_size = Histogram(
            "engage_batch_size", "Requests that were decided together.", ("flow",), bounds=SIZES
        )

        self._operations: dict[str, Operation] = {}

    def operation(self, name: str) -> "Operation":
        """Return the numbers of an operation."""
        found = self._operations.get(name)
        if found is None:
            found = self._operations[name] = Operation(self.request_seconds.series(name))
        return found

    def read(self) -> None:
        """Take over what was counted by operation."""
        for name, operation in self._operations.items():
            for number, count in enumerate(operation.classes):
                if count:
                    self.requests.reached(count, name, _CLASSES[number])


class Operation:
    """The answers of an operation: what is counted for each request is counted here, in plain numbers."""

    __slots__ = ("classes", "observed")

    def __init__(self, observed: Observed) -> None:
        self.observed = observed
        self.classes = [0] * len(_CLASSES)

    def answered(self, status: int, seconds: float) -> None:
        """Count an answered request."""
        observed = self.observed
        observed.counts[bisect_left(LATENCY_S, seconds)] += 1
        observed.sum += seconds
        self.classes[status // 100] += 1


class LedgerNumbers:
    """Activities, credits, and what follows from a commit."""

    def __init__(self) -> None:
        self.taps = Counter(
            "engage_taps",
            "Fuel taps: accepted, repeated, or the code of the refusal.",
            ("program", "outcome"),
        )
        self.activities = Counter(
            "engage_activities",
            "All activities: accepted, repeated or refused.",
            ("program", "activity", "outcome"),
        )
        self.credits_accepted = Counter(
            "engage_credits_accepted",
            "Credits that were accepted, by rule or kind of definition.",
            ("program", "rule"),
        )
        self.points_accepted = Counter(
            "engage_points_accepted", "Points of these credits.", ("program", "rule")
        )
        self.credits_settled = Counter("engage_credits_settled", "Credits that became active.", ("program",))
        self.settlement_lag = Histogram(
            "engage_settlement_lag_seconds",
            "Time from the due time of a member's first credit in a batch to the activation of all of them.",
            ("program",),
            bounds=LAG_S,
        )
        self.promise_breaches = Counter(
            "engage_promise_breaches",
            "Credits that became active more than ten seconds after their due time.",
            ("program",),
        )
        self.doorbell_rings = Counter("engage_doorbell_rings", "Settlements that were requested for a time.")
        self.doorbell_misses = Counter(
            "engage_doorbell_missed_credits",
            "Credits that the sweep found more than a second after their due time: no doorbell had announced"
            " them, or no worker had come.",
            ("program",),
        )
        self.after_commit_failures = Counter(
            "engage_after_commit_failures",
            "Steps after a commit that failed and were left to sweeps.",
            ("step",),
        )
        self.after_commit_waiting = Gauge(
            "engage_after_commit_waiting", "Balance changes that wait for their publication."
        )
        self.gate_calls = Counter("engage_gate_calls", "Calls of Valkey's functions.", ("call",))
        self.gate_loads = Counter(
            "engage_gate_members_loaded", "Members whose records were loaded from PostgreSQL into the gate."
        )
        self.gate_installs = Counter(
            "engage_gate_installs", "Times that the gate's functions were loaded into Valkey."
        )

    def recorded(self, outcomes: Mapping[tuple[str, str, str], int]) -> None:
        """Count recorded activities, by program, activity and outcome."""
        for (program_id, activity, outcome), count in outcomes.items():
            if activity == "fuel_tap":
                self.taps.add(program_id, outcome, by=count)
            answered = outcome if outcome in ("accepted", "repeated") else "refused"
            self.activities.add(program_id, activity, answered, by=count)

    def accepted(self, credits: Iterable[tuple[str, str, int]]) -> None:
        """Count accepted credits, from the program, the rule and the points of each."""
        sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for program_id, rule_id, points in credits:
            sum_ = sums[program_id, rule_id]
            sum_[0] += 1
            sum_[1] += points
        for (program_id, rule_id), (number, total) in sums.items():
            # Of a definition, such as `quiz:<id>`, the kind: operators make many.
            rule = rule_id.partition(":")[0]
            self.credits_accepted.add(program_id, rule, by=number)
            self.points_accepted.add(program_id, rule, by=total)

    def settled(self, lags: Iterable[tuple[str, float, int]], *, swept: bool) -> None:
        """Count credits that became active, from the program, the lag and the number of each member's."""
        by_program: dict[str, list[tuple[float, int]]] = {}
        for program_id, lag_s, count in lags:
            by_program.setdefault(program_id, []).append((lag_s, count))
        for program_id, of_program in by_program.items():
            self.credits_settled.add(program_id, by=sum(count for _, count in of_program))
            self.settlement_lag.observe_all(of_program, program_id)
            worst = max(of_program)[0]
            self.promise_breaches.add(program_id, by=_later(of_program, worst, PROMISED_WITHIN_S))
            if swept:
                self.doorbell_misses.add(program_id, by=_later(of_program, worst, DOORBELL_WITHIN_S))


def _later(lags: Iterable[tuple[float, int]], worst: float, limit: float) -> int:
    """Count the credits whose lag is above a limit."""
    return sum(count for lag_s, count in lags if lag_s > limit) if worst > limit else 0


class FeedNumbers:
    """Sockets of the feed."""

    def __init__(self) -> None:
        self.sockets = Gauge("engage_feed_sockets", "Open sockets, with and without a member.")
        self.members = Gauge("engage_feed_members", "Members with an open socket.")
        self.connections = Counter("engage_feed_connections", "Sockets that were opened.")
        self.pushes = Counter("engage_feed_pushes", "Messages about changed balances.")
        self.held_back = Counter(
            "engage_feed_held_back",
            "Changes that a socket was not sent, because its client is slow or has a newer state.",
        )
        self.closed = Counter("engage_feed_closed", "Sockets that the feed closed.", ("code", "reason"))
        self.resumes = Counter("engage_feed_resumes", "Clients that resumed after a gap.")
        self.full = Counter("engage_feed_full", "Connections that were refused for want of a place.")
        self.subscriptions = Counter(
            "engage_feed_subscriptions", "Connections for topics: one a server, and one after each loss."
        )


class WorkerNumbers:
    """Jobs of workers."""

    def __init__(self) -> None:
        self.jobs = Counter("engage_jobs", "Jobs of workers, by how they ended.", ("work", "outcome"))
        self.job_seconds = Histogram("engage_job_seconds", "Time that jobs of workers took.", ("work",))
        self.work_done = Counter("engage_work_done", "Rows that jobs of workers have done.", ("work",))


class DatabaseNumbers:
    """Gauges of the servers, which each worker reads every ten seconds."""

    def __init__(self) -> None:
        self.pending_credits = Gauge(
            "engage_pending_credits",
            "Pending credits with a due time, counted up to 10,000; above, an estimate.",
        )
        self.overdue_credits = Gauge(
            "engage_overdue_credits",
            "Credits whose due time passed five seconds ago, of the oldest 10,000.",
            ("program",),
        )
        self.overdue_points = Gauge("engage_overdue_points", "Points of these credits.", ("program",))
        self.overdue_age = Gauge("engage_overdue_age_seconds", "Time since the oldest due time of these.")
        self.outbox_rows = Gauge(
            "engage_outbox_rows", "Committed changes that may be unpublished, counted up to 10,000."
        )
        self.outbox_age = Gauge("engage_outbox_age_seconds", "Age of the oldest of these rows.")
        self.reactions_backlog = Gauge(
            "engage_reactions_backlog", "Changes of facts that wait for reactions, counted up to 10,000."
        )
        self.reactions_age = Gauge("engage_reactions_age_seconds", "How long the oldest of them is due.")
        self.payouts = Gauge("engage_payouts", "Withdrawals that are not closed, up to 10,000.", ("state",))
        self.payout_age = Gauge(
            "engage_payout_age_seconds", "How long the next look at a payout is overdue, of the oldest one."
        )
        self.budget_used = Gauge(
            "engage_budget_used_ratio",
            "Used share of the budgets of campaigns: points or count.",
            ("program", "campaign", "of"),
        )
        self.stock_left = Gauge(
            "engage_reward_stock_left", "Pieces that are left of limited rewards.", ("program", "reward")
        )
        self.oldest_transaction = Gauge(
            "engage_database_oldest_transaction_seconds",
            "Age of the oldest open transaction of the database.",
        )
        self.server_connections = Gauge(
            "engage_database_server_connections",
            "Connections to the database, of all its clients.",
            ("state",),
        )
        self.queue_jobs = Gauge("engage_queue_jobs", "Jobs in arq's queue, those of later times too.")
        self.valkey_memory = Gauge("engage_valkey_memory_bytes", "Memory of a Valkey server.", ("server",))


class Metrics:
    """The numbers of one process."""

    def __init__(self) -> None:
        self.process = ProcessNumbers()
        self.api = ApiNumbers()
        self.ledger = LedgerNumbers()
        self.feed = FeedNumbers()
        self.worker = WorkerNumbers()
        self.database = DatabaseNumbers()
        self._readings: list[Callable[[], None]] = []

    def families(self) -> Iterator[Family]:
        """Yield all metrics, in the order of this catalogue."""
        for group in (self.process, self.api, self.ledger, self.feed, self.worker, self.database):
            yield from (each for each in vars(group).values() if isinstance(each, Family))

    def on_read(self, reading: Callable[[], None]) -> None:
        """Call `reading` before the metrics are read: it sets what is known elsewhere in the process."""
        self._readings.append(reading)

    def read(self) -> None:
        self.api.read()
        for reading in self._readings:
            reading()
