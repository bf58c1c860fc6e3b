"""Rate limits: how much a caller may ask for, in all processes together.

A process decides by itself, without a round trip, by what it knows: what it let through, and what Valkey last
said of all processes. Every REPORT_S it reports what it let through, and learns what others did. So of each
caller everything is charged, and over any time T

    let through  <=  quota * T / window  +  processes * quota

for the first quota may be used at each process before they know of each other. Without Valkey each process
holds the limits alone.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog
from msgspec import Struct

from engage.domain.refusals import Unavailable
from engage.gate.limits import Limits
from engage.settings import Settings, SettingsError

REPORT_S: Final = 0.1
CALLERS_PER_CALL: Final = 1_000
FORGET_EVERY: Final = 10  # Reports.
ROUNDING_S: Final = 1e-9

log = structlog.get_logger()


class Policy(Struct, frozen=True):
    """A quota that is whole again after a window of seconds. A quota of 0 is no limit."""

    name: str
    quota: int
    window_s: float


class Standing(Struct, frozen=True):
    """A caller under a policy: in how many seconds the quota is whole again. The request may be repeated
    after `wait_s`, if that is not 0.
    """

    policy: Policy
    whole_in_s: float
    wait_s: float = 0.0

    @property
    def remaining(self) -> int:
        """The rest of the quota."""
        policy = self.policy
        left = int((policy.window_s - self.whole_in_s) / policy.window_s * policy.quota + 1e-6)
        return left if left > 0 else 0


class Charge(Struct, frozen=True):
    policy: Policy
    caller: str
    units: int = 1


class RateLimits:
    """The limits of a process."""

    def __init__(self, limits: Limits, settings: Settings, now: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._now = now
        self.member = _policy("member", settings.limit_member)
        self.device = _policy("device", settings.limit_device)
        self.key = _policy("key", settings.limit_key)
        self.network = _policy("network", settings.limit_network)
        self.connections = _policy("connections", settings.limit_connections)
        self._whole_at: dict[str, float] = {}  # By caller, as is the next. Monotonic seconds.
        self._unreported: dict[str, float] = {}  # Seconds.
        self._reports = 0
        self._is_away = False

    def charge(self, charges: Iterable[Charge]) -> Sequence[Standing]:
        """Charge all, if all have enough left, or else none. Standings that refuse come alone."""
        now, known = self._now(), self._whole_at
        standings, changes, refuses = [], [], False
        for charge in charges:
            policy = charge.policy
            if not policy.quota:
                continue
            window_s = policy.window_s
            caller = f"{policy.name}:{charge.caller}"
            cost_s = charge.units * window_s / policy.quota
            used_s = cost_s
            whole_at = known.get(caller)
            if whole_at is not None and whole_at > now:
                used_s += whole_at - now
            # What needs more than a quota may begin with a whole one.
            wait_s = used_s - (window_s if window_s > cost_s else cost_s)
            if wait_s > ROUNDING_S:
                refuses = True
                standings.append(Standing(policy, used_s - cost_s, wait_s))
            else:
                standings.append(Standing(policy, used_s))
                changes.append((caller, now + used_s, cost_s))
        if refuses:
            return [standing for standing in standings if standing.wait_s]
        unreported = self._unreported
        for caller, at, cost_s in changes:
            known[caller] = at
            unreported[caller] = unreported.get(caller, 0.0) + cost_s
        return standings

    def wait_of_network(self, policy: Policy, network: bytes | None) -> int:
        """Charge a network; return how many seconds to wait. 0 if it is let through, or is a private one."""
        return 0 if network is None else retry_after_s(self.charge([Charge(policy, network.hex())]))

    async def report(self) -> None:
        """Report what was let through since the last report, and learn what other processes let through."""
        reported, self._unreported = self._unreported, {}
        callers = list(reported)
        try:
            for begin in range(0, len(callers), CALLERS_PER_CALL):
                await self._report(reported, callers[begin : begin + CALLERS_PER_CALL])
            self._is_away = False
        except Unavailable:
            if not self._is_away:
                log.warning("rate limits are held by each process alone")
            self._is_away = True
        self._reports += 1
        if self._reports % FORGET_EVERY == 0:
            now = self._now()
            self._whole_at = {caller: at for caller, at in self._whole_at.items() if at > now}

    async def _report(self, reported: dict[str, float], callers: Sequence[str]) -> None:
        # From before the call: the way of the answer must not count as use.
        now = self._now()
        left = await self._limits.charge([(caller, round(reported[caller] * 1e6)) for caller in callers])
        for caller, us in zip(callers, left, strict=True):
            known = now + us / 1e6 + self._unreported.get(caller, 0.0)
            if known > self._whole_at.get(caller, 0.0):
                self._whole_at[caller] = known


def retry_after_s(standings: Sequence[Standing]) -> int:
    """Return how many whole seconds to wait; 0 where nothing refuses."""
    return math.ceil(max((standing.wait_s for standing in standings), default=0.0))


def _policy(name: str, text: str) -> Policy:
    """Read `120/30`: a quota of 120 that is whole again after 30 seconds. Raises SettingsError."""
    if not text:
        return Policy(name, 0, 1.0)
    quota, _, window = text.partition("/")
    try:
        policy = Policy(name, int(quota), float(window))
    except ValueError:
        policy = Policy(name, 0, 0.0)
    if policy.quota < 1 or not 0 < policy.window_s <= 86_400:
        raise SettingsError(f"ENGAGE_LIMIT_{name.upper()}: {text!r} is no quota and window, such as 120/30")
    return policy
