"""The rewards of programs as operators see them, with what is left of each."""

from collections.abc import Sequence

from msgspec import Struct

from engage.domain.program.program import Program
from engage.domain.program.versions import newest_by_country
from engage.domain.rewards.definition import AnyReward
from engage.flows.programs.read import versions_in_force
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.rewards.stock import read_stock


class StockedReward(Struct, frozen=True, kw_only=True):
    """A reward of a version. `countries` are those in which it is in force now; `issued` and `left` are null
    where there is no limit.
    """

    program: str
    version: str
    countries: list[str]
    reward: AnyReward
    issued: int | None
    left: int | None


async def list_rewards(services: Services, programs: Sequence[str]) -> list[StockedReward]:
    """The rewards of the versions in force, and of the newest ones. Raises Unavailable."""
    found: list[StockedReward] = []
    async with transaction(services.db) as conn:
        for program_id in programs:
            in_force = versions_in_force(services, program_id)
            published = services.programs.get(program_id)
            names = {*in_force.values(), *(version.version for version in newest_by_country(published))}
            versions = [version for version in published if version.version in names]
            scarce = {each.id for version in versions for each in version.rewards if each.stock is not None}
            issued = await read_stock(conn, program_id, scarce) if scarce else {}
            for version in versions:
                countries = sorted(country for country, name in in_force.items() if name == version.version)
                found += [
                    _stocked(version, each, countries, issued.get((program_id, each.id), 0))
                    for each in version.rewards
                ]
    return found


def _stocked(version: Program, reward: AnyReward, countries: list[str], issued: int) -> StockedReward:
    return StockedReward(
        program=version.id,
        version=version.version,
        countries=countries,
        reward=reward,
        issued=None if reward.stock is None else issued,
        left=None if reward.stock is None else max(reward.stock - issued, 0),
    )
