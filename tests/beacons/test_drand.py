"""Rounds come from any relay that has them, and only with the pinned chain's signature."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from engage.beacons import drand
from engage.beacons.drand import ANSWER_BYTES, DrandBeacon
from engage.domain.draws.beacon import QUICKNET
from engage.embedded.ports import free_port
from engage.runtime.beacon import open_beacon
from engage.settings import Settings, SettingsError
from tests.beacons.relays import Relay, round_of, serving
from tests.domain.draws.rounds import PUBLISHED, ROUND

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
SIGNATURE = PUBLISHED[ROUND]
SOUND = round_of(ROUND, SIGNATURE)


async def ask(*relays: Relay) -> str | None:
    async with serving(*relays) as urls:
        beacon = DrandBeacon(urls)
        try:
            return await beacon.signature(ROUND, at=AT)
        finally:
            await beacon.close()


async def test_a_published_round_is_asked_for_in_the_documented_form() -> None:
    relay = Relay(body=SOUND)
    assert await ask(relay) == SIGNATURE
    assert relay.paths == [f"/{QUICKNET.hash}/public/{ROUND}"]


NO_ROUND = [
    ("not emitted yet", Relay(404)),
    ("too early", Relay(425, b"{}")),
    ("broken", Relay(500, b"<html>")),
    ("not JSON", Relay(200, b"<html>")),
    ("another shape", Relay(200, b'{"round":1}')),
    ("nested", Relay(200, b"[" * 5_000)),
    ("too long", Relay(200, SOUND[:-1] + b" " * ANSWER_BYTES + b"}")),
    ("another round", Relay(200, round_of(123, PUBLISHED[123]))),
    ("the signature of another round", Relay(200, round_of(ROUND, PUBLISHED[123]))),
    ("an altered signature", Relay(200, round_of(ROUND, "0" + SIGNATURE[1:]))),
    ("another text of the signature", Relay(200, round_of(ROUND, SIGNATURE.upper()))),
]


@pytest.mark.parametrize("relay", [case[1] for case in NO_ROUND], ids=[case[0] for case in NO_ROUND])
async def test_what_is_not_the_signed_round_is_passed_over(relay: Relay) -> None:
    assert await ask(relay) is None
    assert await ask(relay, Relay(body=SOUND)) == SIGNATURE, "the next relay has it"


async def test_a_relay_that_does_not_answer_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drand, "CALL_S", 0.2)
    assert await ask(Relay(hanging=True), Relay(body=SOUND)) == SIGNATURE
    beacon = DrandBeacon([f"http://127.0.0.1:{free_port('127.0.0.1')}"])
    assert await beacon.signature(ROUND, at=AT) is None
    await beacon.close()


async def test_asking_ends_in_time_however_many_relays_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drand, "ALL_S", 0.3)
    begun = asyncio.get_running_loop().time()
    assert await ask(*(Relay(hanging=True) for _ in range(8))) is None
    assert asyncio.get_running_loop().time() - begun < 3


async def test_the_next_question_begins_with_another_relay() -> None:
    late, sound = Relay(404), Relay(body=SOUND)
    async with serving(late, sound) as urls:
        beacon = DrandBeacon([f"{url}/" for url in urls])
        for _ in range(3):
            assert await beacon.signature(ROUND, at=AT) == SIGNATURE
        await beacon.close()
    assert (len(late.paths), len(sound.paths)) == (1, 3)


def outside_sandbox(servers: Settings, urls: str) -> Settings:
    return msgspec.structs.replace(servers, sandbox=None, drand_urls=urls)


def test_outside_a_sandbox_quicknet_decides(servers: Settings) -> None:
    default = Settings(database_url="", state_url="", queue_url="", topics_url="").drand_urls
    assert open_beacon(outside_sandbox(servers, default)).chain == QUICKNET
    assert len(default.split(",")) > 1


@pytest.mark.parametrize(
    "urls", ["", " , ", "api.drand.sh", "https://api.drand.sh,ftp://x.example", "https://"]
)
def test_relays_are_addresses(servers: Settings, urls: str) -> None:
    with pytest.raises(SettingsError, match="ENGAGE_DRAND_URLS"):
        open_beacon(outside_sandbox(servers, urls))
