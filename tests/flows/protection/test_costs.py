"""The costs of protection: nothing where no rule looks, and one statement where one does."""

from redis.asyncio import Redis

from engage.domain.identity import Origin
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.record import record
from engage.flows.members.register import MemberRegistration, register_member
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.programs import services_with
from tests.support.protection import PROGRAM, TAP, document, origin
from tests.support.statements import sent_statements

PLAIN = "plain"

# The driver looks types up once for each connection, whichever the pool gives.
OF_DRIVER = ("'jit'", "typeinfo_tree")


async def functions_called(valkey: Redis) -> int:
    """The calls of Functions so far: all that the gate does."""
    stats = await valkey.info("commandstats")
    return int(stats.get("cmdstat_fcall", {"calls": 0})["calls"])


async def cost_of_tap(
    services: Services, valkey: Redis, member: str, program: str, where: Origin | None
) -> tuple[list[str], int]:
    """The statements, and the calls of Valkey, of the first tap of a member who has just joined."""
    await register_member(services, MemberRegistration(member_id=member, program=program, country="ES"))
    await services.post_commit.drain()
    before = await functions_called(valkey)
    activity = MemberActivity(program, member, TAP, services.clock.now(), origin=where)
    with sent_statements(services.db) as sent:
        (answer,) = await record(services, [activity])
    assert isinstance(answer, RecordedActivity), answer
    await services.post_commit.drain()
    statements = [each for each in sent if not any(part in each for part in OF_DRIVER)]
    return statements, await functions_called(valkey) - before


async def test_a_tap_costs_one_statement_where_a_rule_looks_and_nothing_elsewhere(
    settings: Settings, valkey: Redis
) -> None:
    plain = document("").replace(f'id = "{PROGRAM}"', f'id = "{PLAIN}"', 1)
    async with services_with(settings, document(), plain) as services:
        for program in (PLAIN, PROGRAM):  # A decision that many share is stored when it is made again.
            for n, where in enumerate((None, None, origin())):
                await cost_of_tap(services, valkey, f"first-{n}", program, where)
        usual, calls = await cost_of_tap(services, valkey, "m-1", PLAIN, origin())
        nowhere = await cost_of_tap(services, valkey, "m-1", PROGRAM, None)
        assert (len(nowhere[0]), nowhere[1]) == (len(usual), calls), "a rule without a device to look at"
        somewhere, calls_somewhere = await cost_of_tap(services, valkey, "m-2", PROGRAM, origin())
        more = [each for each in somewhere if each not in usual]
        assert (len(more), len(somewhere)) == (1, len(usual) + 1), [each[:80] for each in somewhere]
        assert "INSERT INTO velocity_places" in more[0]
        assert calls_somewhere == calls
