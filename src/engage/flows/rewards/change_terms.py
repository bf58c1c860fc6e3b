"""Change the stock of rewards, suspend or resume them, by the next version of their program.

It differs in that alone. Published versions never change, so it begins with the next day at the earliest.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from msgspec import Struct

from engage.domain.document.errors import DocumentError, Problem, shown
from engage.domain.identity import Operator
from engage.domain.program import parse, versions
from engage.domain.program.program import Program
from engage.domain.program.reward_changes import RewardTerms, next_version
from engage.domain.refusals import Code, Refusal
from engage.flows.programs.publish import publish
from engage.runtime.database import one_statement
from engage.runtime.idempotency import Keyed
from engage.runtime.program_cache import PUBLISHED_AHEAD
from engage.runtime.services import Services
from engage.store import programs as store


class PreparedVersion(Struct, frozen=True):
    """A version that is not published: `after` is made from `before`. `published` names the versions of the
    program at that time; `later` are those that begin afterwards, with terms of their own.
    """

    before: Program
    after: Program
    document: str
    published: Sequence[str]
    later: Sequence[Program]


async def prepare_terms(
    services: Services, program_id: str, version: str, terms: Mapping[str, RewardTerms]
) -> PreparedVersion:
    """Prepare the version after `version`. `terms` are by the id of a reward.

    Raises DocumentError for terms that are not possible, or that change nothing; Refusal not_found;
    versions_conflict where newer versions have taken the place of this one everywhere; Unavailable.
    """
    async with one_statement(services.db) as conn:
        stored = [each for each in await store.read_all(conn) if each.program_id == program_id]
    published = [parse.read(each.document, source=each.version) for each in stored]
    number = next((n for n, known in enumerate(published) if known.version == version), None)
    if number is None:
        raise Refusal(Code.NOT_FOUND)
    base = published[number]
    earliest = versions.first_day(base, after=services.clock.now() + PUBLISHED_AHEAD)
    made = next_version(base, stored[number].document, terms, published, earliest=earliest)
    if made is None:
        replaced = Problem("version", "one that newer versions leave in force", shown(version))
        raise Refusal(Code.VERSIONS_CONFLICT, problems=[str(replaced)])
    after = parse.parse(made.document, source=made.program.version)
    assert after == made.program, "the document differs in more than was asked for"
    if after.rewards == base.rewards:
        raise DocumentError(
            after.version, [Problem("rewards", "another stock or suspension", "those of before")]
        )
    later = [
        known
        for known in published
        if known.in_force_from > after.in_force_from and known.countries.keys() & after.countries.keys()
    ]
    return PreparedVersion(base, after, made.document, [known.version for known in published], later)


async def change_terms(
    services: Services,
    program_id: str,
    version: str,
    terms: Mapping[str, RewardTerms],
    *,
    seen: tuple[Sequence[str], date],
    operator: Operator,
    reason: str,
    within: Sequence[str] | None = None,
    keyed: Keyed[tuple[Program, bool]] | None = None,
) -> tuple[Program, bool]:
    """Publish the version that `prepare_terms` shows. `seen` are the published versions and the first day
    that the operator saw. Where these have changed, nothing is published.

    Raises as `prepare_terms` and as `publish`; Refusal versions_conflict also for what has changed.
    """
    prepared = await prepare_terms(services, program_id, version, terms)
    published, first_day = seen
    if prepared.after.in_force_from != first_day:
        moved = Problem("in_force_from", str(prepared.after.in_force_from), str(first_day))
        raise Refusal(Code.VERSIONS_CONFLICT, problems=[str(moved)])
    return await publish(
        services.db,
        prepared.document,
        source=prepared.after.version,
        operator=operator.name,
        clock=services.clock,
        program_id=program_id,
        within=within,
        reason=reason,
        made_after=published,
        keyed=keyed,
    )
