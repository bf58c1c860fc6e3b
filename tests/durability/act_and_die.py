"""Runs the API, which kills itself as an action on a campaign commits: `python -m … before|after|never`."""

import os
import signal
import sys
from datetime import timedelta
from typing import Any

from engage.api.campaign_actions import admin
from engage.api.run import run
from engage.flows.campaigns import act as act_module
from engage.runtime import idempotency
from engage.settings import from_environment

_act, _keep = act_module.act, idempotency.keep


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def act_and_die(*arguments: Any, **named: Any) -> Any:
    """Everything is committed, and nothing answered."""
    await _act(*arguments, **named)
    die()


async def keep_and_die(*arguments: Any, **named: Any) -> None:
    """Everything is written, and nothing committed."""
    await _keep(*arguments, **named)
    die()


if __name__ == "__main__":
    # However slow the machine is.
    vars(act_module).update(COMMITS_WITHIN=timedelta(minutes=1))
    match sys.argv[1]:
        case "before":
            vars(act_module).update(keep=keep_and_die)
        case "after":
            vars(admin).update(act=act_and_die)
    run(from_environment())
