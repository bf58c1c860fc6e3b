"""Judge an installation from outside, by what its clients were answered."""

import asyncio
from contextlib import suppress
from typing import Final

import httpx

from engage.torture.checks.books import read_books
from engage.torture.checks.broken import Broken
from engage.torture.checks.decisions import rebuild_decides_equally
from engage.torture.checks.evidence import Evidence
from engage.torture.checks.promises import judge
from engage.torture.endpoints import Endpoints
from engage.torture.members.actions import PROGRAM
from engage.torture.record import Record

__all__ = ["Broken", "check"]

SETTLING: Final = "PT10M"
LIMIT_S: Final = 60.0
PAUSE_S: Final = 0.5


async def check(endpoints: Endpoints, record: Record) -> list[Broken]:
    """Return the promises that were broken. The members have stopped. Time passes first, so that all is done
    that falls due, and that the last requests have left to do.
    """
    async with httpx.AsyncClient(base_url=endpoints.apis[0], timeout=LIMIT_S) as http:
        await _settle(http)
        contract = (await http.get("/openapi.json")).raise_for_status().json()
        evidence = Evidence(record.lines, await read_books(endpoints.database_url, PROGRAM), contract)
        members = [
            row.member_id for row in evidence.books.members if row.member_id not in evidence.books.closed
        ]
        return judge(evidence) + await rebuild_decides_equally(endpoints, http, members)


async def _settle(http: httpx.AsyncClient) -> None:
    """Let time pass, so that all that is due is done. Raises TimeoutError if no answer says so."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            with suppress(httpx.HTTPError):
                advanced = await http.post("/v1/sandbox/clock", json={"advance": SETTLING})
                if advanced.is_success:
                    return
            await asyncio.sleep(PAUSE_S)
