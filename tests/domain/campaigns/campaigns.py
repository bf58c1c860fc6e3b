"""Campaign documents for tests, in the words of TOML."""

from typing import Any

import msgspec
from msgspec.structs import replace

from engage.domain.campaigns.definition import Campaign
from engage.domain.program.parse import toml_table

WEEK = """\
id = "week"
program = "eu-mi-points"
title = { en = "A week" }
from = 2022-09-21T00:00:00
until = 2022-09-26T00:00:00
"""


def campaign(text: str = "", **changes: Any) -> Campaign:
    """A campaign of `eu-mi-points` in a week of September 2022, with these lines and fields."""
    table = toml_table(WEEK + text, source="campaign.toml") | changes
    return msgspec.convert(table, Campaign)


def club_campaign(id_: str = "c", **fields: Any) -> Campaign:
    """A campaign of the program of tiers in 2026."""
    table = {
        "id": id_,
        "program": "club",
        "title": {"en": "C"},
        "from": "2026-01-01T00:00:00",
        "until": "2027-01-01T00:00:00",
    }
    return replace(msgspec.convert(table, Campaign), **fields)
