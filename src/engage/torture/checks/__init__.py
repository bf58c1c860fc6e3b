"""Judge an installation from outside, by what its clients were answered."""

from msgspec import Struct

from engage.torture.endpoints import Endpoints
from engage.torture.record import Answered, Record

EXPECTED_5XX = 503


class Broken(Struct, frozen=True):
    """A promise that was not kept. `story_ids`: the requests that show it."""

    promise: str
    story_ids: tuple[int, ...]
    text: str


async def check(endpoints: Endpoints, record: Record) -> list[Broken]:
    """Return the promises that were broken. The members have stopped, and all that was due is done."""
    return list(_server_errors(record))


def _server_errors(record: Record) -> list[Broken]:
    return [
        Broken("no 5xx but 503 with Retry-After", (line.sent_id,), f"{line.status}: {line.body}")
        for line in record.lines
        if isinstance(line, Answered)
        and line.status >= 500
        and not (line.status == EXPECTED_5XX and "retry-after" in line.headers)
    ]
