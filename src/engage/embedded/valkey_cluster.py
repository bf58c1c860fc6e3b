"""A Valkey Cluster on this machine, from the wheel's program: for tests and benchmarks.

Primaries come first, then a replica for each. A Cluster is formed with the commands that `valkey-cli` sends,
which the wheel does not have.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from engage.embedded.child_process import ChildProcess, start
from engage.embedded.data_folder import folder_at, lock_folder
from engage.embedded.ports import free_port
from engage.embedded.valkey import HOST, Valkey, prepare

SLOTS: Final = 16_384
FORMED_S: Final = 60.0
LOOK_AGAIN_S: Final = 0.05
KEYS_PER_MOVE: Final = 100
MOVE_MS: Final = 5_000

# A primary that is silent for this long is replaced by its replica, which takes about a second more.
NODE_TIMEOUT_MS: Final = 2_000


class Node:
    """A server of the Cluster, which can be killed and started again."""

    def __init__(self, server: Valkey, bus: int) -> None:
        self.port = server.port
        self.bus = bus  # The port on which nodes talk to each other.
        self.name = ""  # Its id in the Cluster.
        self.spec = server.process
        self.running: ChildProcess | None = None

    async def start(self) -> None:
        if self.running is None:
            child = await start(self.spec)
            await child.wait_until_ready()
            self.running = child

    async def kill(self) -> None:
        if self.running is not None:
            self.running.kill()
            await self.running.wait()
            self.running = None

    async def call(self, *command: str | int) -> Any:
        """Send one command to this node. Raises RedisError."""
        async with Redis(host=HOST, port=self.port, decode_responses=True) as client:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]


class Cluster:
    """A running Cluster."""

    def __init__(self, nodes: Sequence[Node], spare: Sequence[Node]) -> None:
        self.nodes = list(nodes)
        self._spare = list(spare)

    @property
    def url(self) -> str:
        """The URL for our clients, with all nodes that it was formed of."""
        return "redis+cluster://" + ",".join(f"{HOST}:{node.port}" for node in self.nodes)

    async def owners(self) -> dict[int, Node]:
        """Return the primary of each slot, as a running node sees it."""
        by_name = {node.name: node for node in self.nodes}
        for node in self.nodes:
            if node.running is None:
                continue
            ranges = await node.call("CLUSTER", "SLOTS")
            return {
                slot: by_name[primary[2]]
                for first, last, primary, *_ in ranges
                for slot in range(first, last + 1)
            }
        raise AssertionError("no node is running")

    async def primary_of(self, slot: int) -> Node:
        return (await self.owners())[slot]

    async def add_node(self) -> Node:
        """Start one more node and let it join, without slots."""
        node = self._spare.pop()
        await node.start()
        node.name = await node.call("CLUSTER", "MYID")
        self.nodes.append(node)
        await node.call("CLUSTER", "MEET", HOST, self.nodes[0].port, self.nodes[0].bus)
        await self.until_agreed()
        return node

    async def move_slot(self, slot: int, to: Node, *, pause_s: float = 0.0) -> None:
        """Move a slot with its keys, some at a time, as `valkey-cli --cluster reshard` does."""
        source = await self.primary_of(slot)
        await to.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.name)
        await source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", to.name)
        while keys := await source.call("CLUSTER", "GETKEYSINSLOT", slot, KEYS_PER_MOVE):
            await source.call("MIGRATE", HOST, to.port, "", 0, MOVE_MS, "REPLACE", "KEYS", *keys)
            await asyncio.sleep(pause_s)
        await asyncio.sleep(pause_s)
        for node in (to, source):
            await node.call("CLUSTER", "SETSLOT", slot, "NODE", to.name)

    async def until_agreed(self) -> None:
        """Wait until all running nodes know each other, and see the Cluster as working."""
        running = [node for node in self.nodes if node.running is not None]
        async with asyncio.timeout(FORMED_S):
            for node in running:
                while not await _sees(node, len(self.nodes)):  # noqa: ASYNC110 — Other processes.
                    await asyncio.sleep(LOOK_AGAIN_S)

    async def until_replicated(self) -> None:
        """Wait until each replica follows its primary."""
        async with asyncio.timeout(FORMED_S):
            for node in self.nodes:
                while node.running is not None and not await _follows(node):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_AGAIN_S)


async def _sees(node: Node, count: int) -> bool:
    info: str = await node.call("CLUSTER", "INFO")
    fields = dict(line.split(":", 1) for line in info.split())
    return fields["cluster_state"] == "ok" and int(fields["cluster_known_nodes"]) == count


async def _follows(node: Node) -> bool:
    role: list[Any] = await node.call("ROLE")
    return bool(role[0] == "master" or role[3] == "connected")


@asynccontextmanager
async def running_cluster(
    path: Path, *, primaries: int = 3, replicas: int = 1, spare: int = 0, durable: bool = False
) -> AsyncIterator[Cluster]:
    """Run a Cluster of so many primaries, each with so many replicas. `spare` nodes can be added later."""
    count = primaries * (1 + replicas)
    async with AsyncExitStack() as stack:
        nodes = []
        for number in range(count + spare):
            folder = folder_at(path / f"node-{number}")
            stack.enter_context(lock_folder(folder))
            node = Node(prepare(folder, durable=durable), free_port(HOST))
            _configure(folder.valkey / "valkey.conf", node.bus)
            stack.push_async_callback(node.kill)
            nodes.append(node)
        cluster = Cluster(nodes[:count], nodes[count:])
        await _form(cluster, primaries)
        yield cluster


def _configure(configuration: Path, bus: int) -> None:
    settings = {
        "cluster-enabled": "yes",
        "cluster-announce-ip": HOST,
        # The default, 10,000 above the port, may be no valid port.
        "cluster-port": bus,
        "cluster-node-timeout": NODE_TIMEOUT_MS,
        # The members of other primaries are served while one is away.
        "cluster-require-full-coverage": "no",
        "cluster-allow-replica-migration": "no",
        "databases": 1,
        "repl-diskless-sync-delay": 0,
    }
    with configuration.open("a") as file:
        file.writelines(f"{name} {value}\n" for name, value in settings.items())


async def _form(cluster: Cluster, primaries: int) -> None:
    nodes = cluster.nodes
    await asyncio.gather(*(node.start() for node in nodes))
    for number, node in enumerate(nodes, start=1):
        node.name = await node.call("CLUSTER", "MYID")
        await node.call("CLUSTER", "SET-CONFIG-EPOCH", number)
    for number in range(primaries):
        first, end = SLOTS * number // primaries, SLOTS * (number + 1) // primaries
        await nodes[number].call("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
    for node in nodes[1:]:
        await node.call("CLUSTER", "MEET", HOST, nodes[0].port, nodes[0].bus)
    await cluster.until_agreed()
    for number, node in enumerate(nodes[primaries:]):
        await _until_done(node, "CLUSTER", "REPLICATE", nodes[number % primaries].name)
    await cluster.until_replicated()
    await cluster.until_agreed()


async def _until_done(node: Node, *command: str | int) -> None:
    """Repeat a command while the node does not know the one that it names."""
    async with asyncio.timeout(FORMED_S):
        while True:
            try:
                await node.call(*command)
            except ResponseError:
                await asyncio.sleep(LOOK_AGAIN_S)
            else:
                return
