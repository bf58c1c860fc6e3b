"""Read the operations ports of all parts at once. A part that is away is part of the answer."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus

import httpx
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from engage.decoding.json_text import decode_json
from engage.decoding.malformed import Malformed
from engage.runtime.operations import METRICS, READY, Ready, ready_decoder

TIMEOUT_S = 2.0
AWAY = "away"

Labels = Mapping[str, str]
Samples = Mapping[str, Sequence[tuple[Labels, float]]]


class Address(Struct, frozen=True):
    """The operations port of a part. `name` is empty until the part has said what it is."""

    host: str
    port: int
    name: str = ""

    @property
    def text(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class PartReading(Struct, frozen=True):
    """A part at an instant: `up`, `down` or `away`, with its problems and samples."""

    address: Address
    state: str
    problems: Sequence[str] = ()
    samples: Samples = {}

    @property
    def name(self) -> str:
        info = self.samples.get("engage_process_info", ())
        return info[0][0]["part"] if info else self.address.name or "?"


class Reading(Struct, frozen=True):
    """All parts at an instant of the monotonic clock."""

    at_s: float
    parts: Sequence[PartReading]

    def samples(self, name: str) -> Iterable[tuple[Labels, float]]:
        """Yield the samples of a metric, of all parts."""
        for part in self.parts:
            yield from part.samples.get(name, ())


async def read(addresses: Sequence[Address]) -> Reading:
    """Read all parts."""
    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
        parts = await asyncio.gather(*(_read(client, address) for address in addresses))
    return Reading(asyncio.get_running_loop().time(), parts)


async def _read(client: httpx.AsyncClient, address: Address) -> PartReading:
    state, samples = await asyncio.gather(_read_state(client, address), _read_samples(client, address))
    if samples is None:
        return PartReading(address, AWAY)
    return PartReading(address, state.status, _problems(state), samples)


async def _read_state(client: httpx.AsyncClient, address: Address) -> Ready:
    """Read the readiness, which asks servers: where they are slow, it is late, and the metrics are not."""
    try:
        answer = await client.get(f"http://{address.text}{READY}")
        if answer.status_code in (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE):
            return decode_json(answer.content, ready_decoder)
    except (httpx.HTTPError, httpx.InvalidURL, Malformed):
        pass
    return Ready("down", problems=["no answer about its readiness"])


async def _read_samples(client: httpx.AsyncClient, address: Address) -> Samples | None:
    try:
        answer = await client.get(f"http://{address.text}{METRICS}")
        return _samples(answer.raise_for_status().text)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None


def _problems(state: Ready) -> list[str]:
    down = [f"{part} is down" for part, sign in state.parts.items() if sign != "up"]
    return [*down, *state.problems]


def _samples(text: str) -> dict[str, list[tuple[Labels, float]]]:
    """Raises ValueError for a text that is not Prometheus'."""
    found: dict[str, list[tuple[Labels, float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found
