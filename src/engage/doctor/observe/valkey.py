"""Observe the Valkey of each role."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from engage.connections.cluster import first_node
from engage.connections.server_version import ServerTooOld, check_valkey
from engage.connections.valkey import open_client
from engage.doctor.observations import Absence, Role, ValkeySeen
from engage.gate import boards, client
from engage.settings import Settings

DEADLINE_S: Final = 5.0
ANSWERS: Final = 10
KEYS: Final[Mapping[Role, str]] = {
    "state": client.CHECK_KEY,
    "queue": "engage:health:queue",
    "topics": "engage:health:topics",
}
KEY_TTL_S: Final = 5

_LIBRARIES: Final = {"engage": client.LIBRARY, "engage_boards": boards.LIBRARY}


async def observe_valkeys(settings: Settings) -> list[ValkeySeen | Absence]:
    urls: dict[Role, str] = {
        "state": settings.state_url,
        "queue": settings.queue_url,
        "topics": settings.topics_url,
    }
    observing = [_observe_within_deadline(role, url) for role, url in urls.items() if url]
    return list(await asyncio.gather(*observing))


async def _observe_within_deadline(role: Role, url: str) -> ValkeySeen | Absence:
    # Any node of a Cluster says how it is.
    server = open_client(Redis, first_node(url))
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await _observe(server, role)
    except TimeoutError:
        return Absence(f"The Valkey of the {role}", "no answer in time")
    except (RedisError, OSError) as error:
        return Absence(f"The Valkey of the {role}", _reason(error))
    finally:
        await server.aclose()


async def _observe(server: Redis, role: Role) -> ValkeySeen:
    info = dict(await server.info())
    is_cluster = info.get("redis_mode") == "cluster" or info.get("server_mode") == "cluster"
    return ValkeySeen(
        role=role,
        version=str(info.get("valkey_version", "")),
        too_old=_too_old(info),
        answer_ms=await _answer_ms(server),
        is_cluster=is_cluster,
        cluster_state=await _cluster_state(server) if is_cluster else "",
        is_replica=info.get("role") != "master",
        write_error="" if is_cluster else await _write_error(server, role),
        eviction_policy=str(info.get("maxmemory_policy", "noeviction")),
        has_aof=bool(int(info.get("aof_enabled", 0))),
        aof_fails=bool(info.get("aof_enabled")) and info.get("aof_last_write_status", "ok") != "ok",
        used_bytes=int(info.get("used_memory", 0)),
        most_bytes=int(info.get("maxmemory", 0)),
        libraries=await _libraries(server) if role == "state" else {},
    )


def _too_old(info: dict[str, object]) -> str:
    try:
        check_valkey(info)
    except ServerTooOld as error:
        return error.detail
    return ""


async def _answer_ms(server: Redis) -> float:
    """The shortest time of a PING: the way to the server, and not a busy moment."""
    loop, times = asyncio.get_running_loop(), []
    for _ in range(ANSWERS):
        began = loop.time()
        await server.ping()
        times.append(loop.time() - began)
    return min(times) * 1_000


async def _cluster_state(server: Redis) -> str:
    answer: Any = await server.execute_command("CLUSTER INFO")  # type: ignore[no-untyped-call]
    if isinstance(answer, dict):
        return str(answer.get("cluster_state", ""))
    text = answer.decode() if isinstance(answer, bytes) else str(answer)
    pairs = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return pairs.get("cluster_state", "")


async def _write_error(server: Redis, role: Role) -> str:
    """Write the key that readiness writes; the reason for which it was refused."""
    try:
        await server.set(KEYS[role], 1, ex=KEY_TTL_S)
    except ResponseError as error:
        return _reason(error)
    return ""


async def _libraries(server: Redis) -> dict[str, bool | None]:
    """Compare the libraries with those of this release."""
    answer: Any = await server.execute_command("FUNCTION LIST", "WITHCODE")  # type: ignore[no-untyped-call]
    loaded: dict[str, str] = {}
    for entry in answer:
        fields = entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2], strict=True))
        loaded[fields[b"library_name"].decode()] = fields[b"library_code"].decode()
    return {name: loaded[name] == code if name in loaded else None for name, code in _LIBRARIES.items()}


def _reason(error: BaseException) -> str:
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__
