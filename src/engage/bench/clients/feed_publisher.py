"""Publishes changes of many members through Valkey's topics, as settlements do. A hand."""

from msgspec import Struct
from redis.asyncio import Redis

from engage.bench.clients.pacing import Pace
from engage.bench.setup.child_program import obey
from engage.bench.setup.constants import member_id
from engage.clock import Clock
from engage.signals.topics import Change, Topics

CHANGES_PER_BATCH = 1_000  # As many as a settlement tells at a time.


class Prepare(Struct, frozen=True, tag=True):
    """Listen for the clients' pace."""


class Publish(Struct, frozen=True, tag=True):
    """So many rounds; in each, a change of every member `<prefix>0` to `<prefix>members`."""

    topics_url: str
    program_id: str
    prefix: str
    members: int
    rounds: int


class Prepared(Struct, frozen=True):
    pace_port: int


class Published(Struct, frozen=True):
    changes: int


class Publisher:
    def __init__(self) -> None:
        self._seq = 0
        self._pace = Pace()

    async def act(self, order: Prepare | Publish) -> Struct:
        match order:
            case Prepare():
                self._pace = await Pace().__aenter__()
                return Prepared(self._pace.port)
            case Publish():
                async with Redis.from_url(order.topics_url) as client:
                    return await self._publish(order, Topics(client, Clock()))

    async def _publish(self, order: Publish, topics: Topics) -> Published:
        members = [member_id(order.prefix, n) for n in range(order.members)]
        for _ in range(order.rounds):
            await self._pace.turn()
            self._seq += 1
            for first in range(0, len(members), CHANGES_PER_BATCH):
                await topics.publish(
                    [
                        change(order.program_id, m, self._seq)
                        for m in members[first : first + CHANGES_PER_BATCH]
                    ]
                )
        return Published(order.rounds * len(members))


def change(program_id: str, member: str, seq: int) -> Change:
    return Change(program_id, member, 1_000 + seq, 2, 0, 0, seq, "active")


if __name__ == "__main__":
    obey(Prepare | Publish, Publisher().act)
