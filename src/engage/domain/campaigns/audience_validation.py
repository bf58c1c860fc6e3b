"""Validation of conditions on members beside their program, after the types of their fields."""

from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta

from engage.domain.campaigns.definition import Audience
from engage.domain.campaigns.segments import SegmentDocument
from engage.domain.campaigns.zones import country_zones
from engage.domain.definitions.definition import order_problems
from engage.domain.document.durations import duration_problems
from engage.domain.document.errors import Problem, duplicates, nearest, one_of, shown
from engage.domain.program.program import Program

SHORTEST_ABSENCE, LONGEST_ABSENCE = timedelta(days=1), timedelta(days=3660)


def segment_problems(document: SegmentDocument, programs: Sequence[Program]) -> Iterator[Problem]:
    """All problems of a segment. `programs` are the versions of its program.

    Its conditions name no other segments, so there is no circle of them.
    """
    audience = document.computed
    if audience is None:
        return
    if audience == Audience():
        yield Problem("computed", "at least one condition", "none")
    if audience.segments is not None:
        yield Problem("computed.segments", "no segments among the conditions of a segment", "some")
    yield from country_problems("computed", audience, country_zones(programs))
    yield from condition_problems("computed", audience, programs)


def country_problems(path: str, audience: Audience, known: Collection[str]) -> Iterator[Problem]:
    """The problems of the countries of conditions at a path. `known` are those of the program."""
    countries = audience.countries or []
    yield from duplicates(countries, f"{path}.countries")
    for n, country in enumerate(countries):
        if country not in known:
            hint = " (did you mean GB?)" if country == "UK" and "GB" in known else ""
            expected = f"a country of the program: {one_of(sorted(known))}"
            yield Problem(f"{path}.countries[{n}]", expected, shown(country) + hint)


def condition_problems(path: str, audience: Audience, programs: Sequence[Program]) -> Iterator[Problem]:
    """The problems of all other conditions but segments. `programs` are the versions that decide with it."""
    levels = [level.id for each in programs for group in each.tier_groups for level in group.levels]
    yield from unknown_ids(audience.tiers, f"{path}.tiers", "the id of a level", levels)
    after, before = ("joined_after", audience.joined_after), ("joined_before", audience.joined_before)
    yield from order_problems(path, after, before)
    absence = audience.no_order_for
    yield from duration_problems(f"{path}.no_order_for", absence, SHORTEST_ABSENCE, LONGEST_ABSENCE)
    if audience.first_order and absence is not None:
        yield Problem(f"{path}.no_order_for", "none beside first_order, which says more", "a duration")


def unknown_ids(
    ids: Sequence[str] | None, path: str, expected: str, known: Collection[str]
) -> Iterator[Problem]:
    """The problems of ids that repeat, or that are none of the known ones."""
    yield from duplicates(ids or [], path)
    for n, id_ in enumerate(ids or ()):
        if id_ not in known:
            yield Problem(f"{path}[{n}]", expected, shown(id_) + nearest(id_, known))
