"""A prize draw in a document, and the post that an entry can need."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from msgspec import Meta

from engage.domain.activity import ONE_LINE
from engage.domain.calendar import instant
from engage.domain.definitions.definition import Definition, Moment, last_instant
from engage.domain.document.fields import DocumentStruct, Points
from engage.domain.earning.due import USUAL, After, NextDay

MOST_WINNERS = 10_000
MOST_MENTIONS = 50

Visibility = Literal["public", "friends", "private"]


class Post(DocumentStruct, frozen=True, kw_only=True):
    """A post on a social network as the app reports it."""

    text: Annotated[str, Meta(max_length=5_000)]
    visibility: Visibility
    url: (
        Annotated[
            str,
            Meta(min_length=1, max_length=2_000, pattern=ONE_LINE, description="the address of the post"),
        ]
        | None
    ) = None


class Conditions(DocumentStruct, frozen=True, kw_only=True):
    """The conditions that the post of an entry has to fulfil: a hashtag (capitals do not matter), so many
    distinct mentions, everybody as readers.
    """

    hashtag: (
        Annotated[
            str,
            Meta(
                max_length=100,
                pattern=r"^#\w+(?!\n)$",
                description="a hashtag, written with #, such as #rewardmi",
            ),
        ]
        | None
    ) = None
    mentions: Annotated[int, Meta(ge=1, le=MOST_MENTIONS)] | None = None
    public: bool = False


class Draw(Definition, frozen=True, kw_only=True):
    """Members enter from `opens_at` until `closes_at`. The winners follow from the list of entries and from
    the first round of the beacon that is later than `closes_at` plus `round_after`.
    """

    opens_at: Moment
    closes_at: Moment
    round_after: Annotated[timedelta, Meta(description="a duration (ISO 8601), such as PT1M")] = timedelta(
        minutes=1
    )
    winners: Annotated[int, Meta(ge=1, le=MOST_WINNERS)]
    points: Points
    one_entry_per: Literal["member"] = "member"
    conditions: Conditions | None = None
    due: After | NextDay = USUAL

    def opened_at(self, zone: str) -> datetime:
        """The instant at which it opens for members of a zone."""
        return instant(self.opens_at, zone)

    def closed_at(self, zones: list[str]) -> datetime:
        """The instant at which it closes, for all members of the program at once: with a local time, when
        that has come in the last of the program's zones.
        """
        return last_instant(self.closes_at, zones)
