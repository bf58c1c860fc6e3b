"""Judge an installation from outside, by what its clients were answered."""

import asyncio
from typing import Final

from engage.torture.asking import advance, open_client
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


async def check(endpoints: Endpoints, record: Record) -> list[Broken]:
    """Return the promises that were broken. The members have stopped. Time passes first, so that all is done
    that falls due, and that the last requests have left to do. Raises HTTPError, and TimeoutError.
    """
    async with open_client(record, "checks", base_url=endpoints.apis[0], timeout_s=LIMIT_S) as http:
        async with asyncio.timeout(LIMIT_S):
            await advance(http, SETTLING)
        contract = (await http.get("/openapi.json")).raise_for_status().json()
        evidence = Evidence(record.lines, await read_books(endpoints.database_url, PROGRAM), contract)
        members = [
            row.member_id for row in evidence.books.members if row.member_id not in evidence.books.closed
        ]
        return judge(evidence) + await rebuild_decides_equally(endpoints, http, members)
