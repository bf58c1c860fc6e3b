"""Computed segments: members who meet conditions, by the facts at the time of an activity."""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from engage.domain.campaigns.audience import Facts, outside_of
from engage.domain.campaigns.definition import Audience
from engage.domain.document.fields import DocumentStruct
from engage.domain.document.texts import Texts

Conditions = Mapping[str, Audience]  # By the id of the segment.


class SegmentDocument(DocumentStruct, frozen=True, kw_only=True):
    """A segment that is `computed` by conditions. Without them, the title of a list."""

    title: Texts | None = None
    computed: Audience | None = None


class SegmentConditions(Struct, frozen=True):
    """The conditions of a version of a segment, in force `since` an instant; None where it is a list."""

    segment_id: str
    since: datetime
    computed: Audience | None


class SegmentIndex:
    """The versions of the segments of a program that are computed, or once were."""

    def __init__(self, versions: Iterable[SegmentConditions] = ()) -> None:
        self._newest_first: dict[str, list[SegmentConditions]] = {}
        for version in sorted(versions, key=lambda version: version.since, reverse=True):
            self._newest_first.setdefault(version.segment_id, []).append(version)
        self._changes = sorted(
            version.since for versions in self._newest_first.values() for version in versions
        )

    def epoch(self, at: datetime) -> int:
        """The number of the time between two changes of conditions, in which the same are in force."""
        return bisect_right(self._changes, at)

    def conditions(self, segment_ids: Collection[str], at: datetime) -> Conditions:
        """The conditions in force at an instant, of those of these segments that are computed then."""
        if not self._newest_first:
            return {}
        found = {id_: self._at(id_, at) for id_ in segment_ids if id_ in self._newest_first}
        return {id_: audience for id_, audience in found.items() if audience is not None}

    def _at(self, segment_id: str, at: datetime) -> Audience | None:
        versions = self._newest_first[segment_id]
        return next((version.computed for version in versions if version.since <= at), None)


NO_SEGMENTS = SegmentIndex()


def computed_segments(conditions: Conditions, facts: Facts, at: datetime) -> frozenset[str]:
    """Those of these segments whose conditions a member meets. Their shares of members are their own."""
    return frozenset(
        id_
        for id_, audience in conditions.items()
        if outside_of(audience, facts, at, owner=f"segment:{id_}") is None
    )
