"""Read the operations ports of all parts at once. A part that is away is part of the answer."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

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
    base = f"http://{address.text}"
    try:
        ready, metrics = await asyncio.gather(client.get(base + READY), client.get(base + METRICS))
        state = decode_json(ready.content, ready_decoder)
        samples = _samples(metrics.raise_for_status().text)
    except (httpx.HTTPError, httpx.InvalidURL, Malformed, ValueError):
        return PartReading(address, AWAY)
    return PartReading(address, state.status, _problems(state), samples)


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
