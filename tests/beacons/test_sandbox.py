"""The sandbox's beacon signs as drand does, with its folder's key, and never before the time."""

from datetime import timedelta

from engage.beacons.sandbox import SandboxBeacon
from engage.domain.draws.beacon import QUICKNET, is_signed
from engage.runtime.beacon import open_beacon
from engage.settings import Settings

ROUND = 34_000_000


async def test_its_rounds_are_verified_like_those_of_drand(servers: Settings) -> None:
    beacon = open_beacon(servers)
    assert beacon.chain.beacon == "sandbox"
    assert beacon.chain.hash != QUICKNET.hash
    signature = await beacon.signature(ROUND, at=QUICKNET.time_of(ROUND))
    assert signature is not None
    assert is_signed(beacon.chain, ROUND, signature)
    assert not is_signed(QUICKNET, ROUND, signature)
    # Another process with the same folder, or after a restart.
    assert await open_beacon(servers).signature(ROUND, at=QUICKNET.time_of(ROUND + 9)) == signature


async def test_no_round_comes_before_its_time() -> None:
    beacon = SandboxBeacon("a secret")
    assert await beacon.signature(ROUND, at=QUICKNET.time_of(ROUND) - timedelta(microseconds=1)) is None
    assert await beacon.signature(0, at=QUICKNET.time_of(ROUND)) is None


def test_each_folder_has_a_key_of_its_own() -> None:
    keys = {SandboxBeacon(secret).chain.public_key for secret in ("a secret", "a secret ", "another")}
    assert len(keys) == 3
