"""The worker's jobs, their times and their limits."""

import os
import socket
from typing import Any

from arq import cron, func
from arq.worker import Worker

from engage.flows.scheduled.due_work import DUE_WORK
from engage.runtime.services import Services
from engage.settings import Settings
from engage.signals.doorbell import (
    EXPIRE_JOB,
    QUEUE,
    SETTLE_JOB,
    WORKER_HEALTH_PREFIX,
    pack,
    queue_settings,
    unpack,
)
from workers import jobs

# Short: a killed worker's job runs again only ten seconds after this.
JOB_TIMEOUT_S = 30
POLL_S = 0.05
HEALTH_S = 2
SWEEP_SECONDS = set(range(0, 60, 5))
CONNECT_ATTEMPTS = 60


def make_worker(settings: Settings, services: Services) -> Worker:
    """A worker with open services. Call it in the running event loop."""
    context: dict[str, Any] = {"services": services}
    return Worker(
        functions=[func(jobs.settle, name=SETTLE_JOB), func(jobs.expire, name=EXPIRE_JOB)],
        cron_jobs=[
            *(
                cron(jobs.sweep(work), name=f"sweep_{work.name}", second=SWEEP_SECONDS, run_at_startup=True)
                for work in DUE_WORK
            ),
            cron(jobs.publish_outbox, second=SWEEP_SECONDS, run_at_startup=True),
            cron(jobs.delete_old_responses, minute={17}, second=0),
            # Several times: each run continues where the last one ended.
            cron(jobs.reconcile_payouts, hour={3}, minute={7, 17, 27, 37, 47, 57}, second=0),
        ],
        redis_settings=queue_settings(settings.queue_url, connect_attempts=CONNECT_ATTEMPTS),
        queue_name=QUEUE,
        ctx=context,
        job_timeout=JOB_TIMEOUT_S,
        keep_result=0,
        poll_delay=POLL_S,
        max_tries=3,
        health_check_interval=HEALTH_S,
        health_check_key=f"{WORKER_HEALTH_PREFIX}{socket.gethostname()}:{os.getpid()}",
        job_serializer=pack,
        job_deserializer=unpack,
        handle_signals=False,
        log_results=False,
    )
