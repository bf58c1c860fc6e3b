"""Rate limits: a process decides alone, and all processes together charge everything."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from redis.asyncio import Redis

from engage.gate.client import Gate, open_gate
from engage.runtime.rate_limits import Charge, RateLimits, Standing, retry_after_s
from engage.settings import Settings, SettingsError
from tests.support.valkey import own_valkey

QUOTA, WINDOW_S = 10, 5
SETTINGS = Settings(
    database_url="", state_url="", queue_url="", topics_url="", limit_member=f"{QUOTA}/{WINDOW_S}"
)


class Time:
    """Monotonic seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def gate(servers: Settings, valkey: Redis) -> AsyncIterator[Gate]:
    opened = open_gate(servers.state_url)
    yield opened
    await opened.close()


@pytest.fixture
def time() -> Time:
    return Time()


def process(gate: Gate, time: Time, settings: Settings = SETTINGS) -> RateLimits:
    return RateLimits(gate.limits, settings, now=time)


def ask(limits: RateLimits, caller: str = "ana", units: int = 1) -> Standing:
    (standing,) = limits.charge([Charge(limits.member, caller, units)])
    return standing


def let_through(limits: RateLimits, tries: int) -> int:
    return sum(ask(limits).wait_s == 0 for _ in range(tries))


def test_a_quota_is_used_and_comes_back(gate: Gate, time: Time) -> None:
    limits = process(gate, time)
    assert [ask(limits).remaining for _ in range(QUOTA)] == [*range(QUOTA - 1, -1, -1)]
    refused = ask(limits)
    assert (refused.remaining, retry_after_s([refused])) == (0, 1)
    assert ask(limits, "bea").wait_s == 0
    time.now += WINDOW_S / QUOTA
    assert let_through(limits, 3) == 1
    time.now += WINDOW_S
    assert let_through(limits, 2 * QUOTA) == QUOTA


def test_a_refused_request_is_not_charged(gate: Gate, time: Time) -> None:
    limits = process(gate, time)
    let_through(limits, 1_000)
    time.now += WINDOW_S
    assert ask(limits).remaining == QUOTA - 1


def test_all_limits_are_charged_or_none(gate: Gate, time: Time) -> None:
    limits = process(gate, time, replace(SETTINGS, limit_device="2/1"))
    both = [Charge(limits.member, "ana"), Charge(limits.device, "phone")]
    assert [len(limits.charge(both)) for _ in range(2)] == [2, 2]
    (refused,) = limits.charge(both)
    assert refused.policy.name == "device"
    assert ask(limits).remaining == QUOTA - 3


def test_what_needs_more_than_a_quota_may_begin_with_a_whole_one(gate: Gate, time: Time) -> None:
    limits = process(gate, time)
    assert ask(limits, units=3 * QUOTA).wait_s == 0
    assert retry_after_s([ask(limits)]) == 2 * WINDOW_S + 1
    time.now += 3 * WINDOW_S
    assert ask(limits).wait_s == 0
    assert ask(limits, units=3 * QUOTA).wait_s > 0


def test_without_a_quota_there_is_no_limit(gate: Gate, time: Time) -> None:
    limits = process(gate, time, replace(SETTINGS, limit_member=""))
    assert limits.charge([Charge(limits.member, "ana")] * 1_000) == []


async def test_processes_learn_of_each_other(gate: Gate, time: Time) -> None:
    one, other = process(gate, time), process(gate, time)
    assert let_through(one, QUOTA) == QUOTA
    await one.report()
    assert ask(other).remaining == QUOTA - 1  # It does not know yet.
    await other.report()
    assert ask(other).wait_s > 0


async def test_over_time_processes_let_through_what_one_may(gate: Gate, time: Time) -> None:
    """The server's clock stands still for these, so the time is that of a real wait."""
    loop = asyncio.get_running_loop()
    settings = replace(SETTINGS, limit_member="20/0.5")
    processes = [RateLimits(gate.limits, settings) for _ in range(3)]
    begun, through = loop.time(), 0
    while (lasted := loop.time() - begun) < 2.0:
        for limits in processes:
            through += let_through(limits, 50)
            await limits.report()
        await asyncio.sleep(0)
    assert 0.9 * 40 * 2.0 - 20 <= through <= 40 * (lasted + 0.1) + 3 * 20


async def test_callers_in_debt_are_known_after_an_emptied_valkey(
    gate: Gate, time: Time, valkey: Redis
) -> None:
    limits = process(gate, time)
    let_through(limits, QUOTA)
    await limits.report()
    await valkey.flushall()
    await valkey.execute_command("FUNCTION FLUSH")  # type: ignore[no-untyped-call]
    ask(limits, "bea")
    await limits.report()
    assert ask(limits).wait_s > 0


async def test_without_valkey_each_process_holds_the_limits_alone(
    time: Time, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with own_valkey(tmp_path_factory.mktemp("valkey")) as server:
        gate = open_gate(f"redis://127.0.0.1:{server.port}/0")
        limits = process(gate, time)
        await server.kill()
        assert let_through(limits, 2 * QUOTA) == QUOTA
        await limits.report()
        assert let_through(limits, QUOTA) == 0
        time.now += WINDOW_S
        assert ask(limits).remaining == QUOTA - 1
        await gate.close()


async def test_nobody_is_kept_in_memory_whose_quota_is_whole(gate: Gate, time: Time) -> None:
    limits = process(gate, time)
    for number in range(1_500):
        ask(limits, f"m{number}")
    await limits.report()
    time.now += WINDOW_S
    for _ in range(10):
        await limits.report()
    assert limits._whole_at == {}


async def test_a_caller_costs_valkey_nothing_after_a_window(gate: Gate, time: Time, valkey: Redis) -> None:
    limits = process(gate, time)
    ask(limits)
    await limits.report()
    (key,) = [key async for key in valkey.scan_iter(match="engage:limit:*")]
    assert 0 < await valkey.pttl(key) <= 1_000 * WINDOW_S / QUOTA + 1


@pytest.mark.parametrize("text", ["120", "0/30", "-1/30", "120/0", "120/x", "x/30", "120/nan", "120/90000"])
def test_what_is_no_limit_ends_the_start(gate: Gate, text: str) -> None:
    with pytest.raises(SettingsError, match="ENGAGE_LIMIT_KEY"):
        RateLimits(gate.limits, replace(SETTINGS, limit_key=text))


@given(steps=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 30)), max_size=60))
def test_no_order_of_requests_gets_more_than_its_share(steps: list[tuple[float, int]]) -> None:
    time = Time()
    limits = RateLimits(None, SETTINGS, now=time)  # type: ignore[arg-type]  # It reports to nobody.
    begun, through = time.now, 0
    for pause_s, tries in steps:
        time.now += pause_s
        through += let_through(limits, tries)
        assert through <= QUOTA * (time.now - begun) / WINDOW_S + QUOTA + 1e-6
