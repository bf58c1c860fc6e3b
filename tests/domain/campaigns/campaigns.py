"""Campaign documents for tests, in the words of TOML."""

from typing import Any

import msgspec

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
