"""The campaign that a path names, in the program that a query may name."""

from typing import Annotated

from litestar.params import PathParameter, QueryParameter

from engage.api.http.callers import opened_programs
from engage.api.http.context import Api
from engage.api.http.problems import FieldError, invalid
from engage.flows.campaigns.read import SeveralPrograms, find_campaign
from engage.store.api_keys import ApiKey
from engage.store.campaigns.versions import CampaignKey

CampaignIdParameter = Annotated[str, PathParameter(description="The id of the campaign.")]
ProgramParameter = Annotated[
    str,
    QueryParameter(
        name="program",
        description="The campaign's program. Needed only where several programs have this id.",
        max_length=32,
    ),
]


async def find(api: Api, key: ApiKey, campaign_id: str, program: str) -> CampaignKey:
    """Raises Refusal not_found, other_program, or invalid_request where the program is needed."""
    try:
        return await find_campaign(api.services, opened_programs(api, key, program), campaign_id)
    except SeveralPrograms:
        raise invalid(FieldError("program", "needed: campaigns of several programs have this id")) from None
