"""A child program that publishes balance changes of many members in Valkey, as settlements do."""

from msgspec import Struct

from engage.bench.clients.pacing import OpenPacer, Pacer, PortOpen
from engage.bench.setup.child_program import answer_requests
from engage.bench.setup.constants import member_id
from engage.clock import MachineClock
from engage.connections.cluster import open_servers
from engage.signals.changes import Change
from engage.signals.topics import Topics

CHANGES_PER_BATCH = 1_000  # As many as a settlement publishes at a time.


class Publish(Struct, frozen=True, tag=True):
    """Publish a change of each member `<prefix>0` to `<prefix><members - 1>`, once a round."""

    topics_url: str
    program_id: str
    prefix: str
    members: int
    rounds: int


class Published(Struct, frozen=True):
    changes: int


class FeedPublisher:
    def __init__(self) -> None:
        self._seq = 0
        self._pacer = Pacer()

    async def handle(self, request: OpenPacer | Publish) -> Struct:
        match request:
            case OpenPacer():
                self._pacer = await Pacer().__aenter__()
                return PortOpen(self._pacer.port)
            case Publish():
                topics = Topics(open_servers(request.topics_url), MachineClock())
                try:
                    return await self._publish(request, topics)
                finally:
                    await topics.close()

    async def _publish(self, request: Publish, topics: Topics) -> Published:
        members = [member_id(request.prefix, n) for n in range(request.members)]
        for _ in range(request.rounds):
            await self._pacer.wait()
            self._seq += 1
            for first in range(0, len(members), CHANGES_PER_BATCH):
                batch = members[first : first + CHANGES_PER_BATCH]
                await topics.publish([change(request.program_id, member, self._seq) for member in batch])
        return Published(request.rounds * len(members))


def change(program_id: str, member: str, seq: int) -> Change:
    return Change(program_id, member, 1_000 + seq, 2, 0, 0, seq, "active")


if __name__ == "__main__":
    answer_requests(OpenPacer | Publish, FeedPublisher().handle)
