"""Function libraries of Valkey, loaded wherever a call finds them missing."""

from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from redis.exceptions import ResponseError

from engage.connections.server_version import ServerTooOld, check_valkey
from engage.connections.servers import Call, Servers
from engage.domain.refusals import Unavailable

log = structlog.get_logger()


class Functions:
    """Calls of servers that have these libraries, or get them when a call needs one."""

    def __init__(self, servers: Servers, libraries: Sequence[str]) -> None:
        self._servers = servers
        self._libraries = libraries
        self.installs = 0

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """The answer to each call, or Unavailable. Raises other errors."""
        answers = await self._servers.run(calls) if calls else []
        lacking = [n for n, answer in enumerate(answers) if _lacks_function(answer)]
        if lacking:
            # An empty or new Valkey: the libraries can be loaded again, as everything here can.
            try:
                await self.install()
            except ServerTooOld:
                raise
            except Unavailable:
                log.info("the libraries are not on every primary, of which some are away")
            for n, answer in zip(lacking, await self._servers.run([calls[n] for n in lacking]), strict=True):
                answers[n] = answer
        for answer in answers:
            if isinstance(answer, Exception) and not isinstance(answer, Unavailable):
                raise answer
        return answers

    async def run_all(self, calls: Iterable[Call]) -> list[Any]:
        """The answers to all calls. Raises Unavailable when there is none to one of them."""
        answers = await self.run(list(calls))
        for answer in answers:
            if isinstance(answer, Unavailable):
                raise answer
        return answers

    async def run_one(self, call: Call) -> Any:
        """The answer to a call. Raises Unavailable."""
        (answer,) = await self.run_all([call])
        return answer

    async def install(self) -> None:
        """Loads the libraries on every primary, replacing older ones. Raises ServerTooOld, Unavailable."""
        for info in await self._servers.on_each("INFO", "server"):
            check_valkey(dict(info))
        for library in self._libraries:
            await self._servers.on_each("FUNCTION LOAD", "REPLACE", library)
        self.installs += 1


def _lacks_function(answer: object) -> bool:
    return isinstance(answer, ResponseError) and "Function not found" in str(answer)
