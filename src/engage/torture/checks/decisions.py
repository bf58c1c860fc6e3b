"""Decisions are the same after Valkey has lost everything, and after `engage rebuild`.

This check acts: it empties Valkey, and lets some members tap.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import httpx
from msgspec import Struct
from redis.asyncio import Redis

from engage.embedded.child_process import engage_command
from engage.torture.checks.broken import Broken
from engage.torture.checks.limits import limits_of
from engage.torture.endpoints import Endpoints
from engage.torture.members.actions import PROGRAM

REBUILD: Final = "a rebuild decides as before"
ASKED: Final = 6
REBUILD_S: Final = 120.0


class Decisions(Struct, frozen=True):
    """The streak and the rests of the limits of a member, from which the next decisions follow."""

    streak: dict[str, Any]
    limits: dict[str, int]
    is_open: bool


async def rebuild_decides_equally(
    endpoints: Endpoints, http: httpx.AsyncClient, members: list[str]
) -> list[Broken]:
    """Compare what members see before and after, and let half of them tap before, half of them after."""
    asked = {member: await _token(http, member) for member in sorted(members)[:ASKED]}
    early = sorted(asked)[::2]
    for member in early:
        await _tap(http, asked[member])
    before = {member: await _decisions(http, token) for member, token in asked.items()}
    found: list[Broken] = []
    for how in (_empty_valkey, _rebuild):
        await how(endpoints)
        after = {member: await _decisions(http, token) for member, token in asked.items()}
        found += differences(before, after)
    for member in asked:
        expected = expected_tap(before[member], has_tapped=member in early)
        status, days = await _tap(http, asked[member])
        if (status, days) != expected:
            text = f"{member}: a tap was answered {status} with day {days}, and {expected} is right"
            found.append(Broken(REBUILD, (), text))
    return found


def differences(before: dict[str, Decisions], after: dict[str, Decisions]) -> Iterator[Broken]:
    for member, decisions in before.items():
        now = after[member]
        if (now.streak, now.limits) != (decisions.streak, decisions.limits):
            yield Broken(REBUILD, (), f"{member}: {decisions} became {now}")


def expected_tap(before: Decisions, *, has_tapped: bool) -> tuple[int, int | None]:
    """(status, day of the streak) of one more tap."""
    if has_tapped:
        return 409, None
    return (202, before.streak["days"] + 1) if before.is_open else (409, None)


async def _decisions(http: httpx.AsyncClient, token: str) -> Decisions:
    answer = await http.get("/v1/me", headers=_headers(token))
    home = answer.raise_for_status().json()
    now = (await http.get("/v1/sandbox")).raise_for_status().json()["now"]
    streak = {name: home["streak"][name] for name in ("days", "best", "next_tap_at")}
    return Decisions(
        streak=streak,
        limits=limits_of(home),
        is_open=home["streak"]["next_tap_at"] <= now,
    )


async def _tap(http: httpx.AsyncClient, token: str) -> tuple[int, int | None]:
    answer = await http.post("/v1/fuel/taps", headers=_headers(token))
    return answer.status_code, answer.json()["streak"]["days"] if answer.status_code == 202 else None


async def _token(http: httpx.AsyncClient, member: str) -> str:
    answer = await http.post("/v1/sandbox/tokens", json={"program": PROGRAM, "member_id": member})
    return str(answer.raise_for_status().json()["token"])


def _headers(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def _empty_valkey(endpoints: Endpoints) -> None:
    async with Redis.from_url(endpoints.environment["ENGAGE_STATE_URL"]) as state:
        await state.flushdb()


async def _rebuild(endpoints: Endpoints) -> None:
    """Raises RuntimeError if `engage rebuild` fails; TimeoutError."""
    program = await asyncio.create_subprocess_exec(
        *engage_command("rebuild"),
        env=endpoints.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(program.communicate(), REBUILD_S)
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    if program.returncode:
        raise RuntimeError(f"engage rebuild failed: {output.decode()[-2_000:]}")
