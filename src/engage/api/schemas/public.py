"""Anyone reads the JSON Schemas of documents: editors and tools, without a key."""

from functools import cache
from typing import Any, Final

from litestar import Controller, Request, get

from engage.api.http.answers import Answer
from engage.api.http.bodies import check_query
from engage.api.http.etags import tagged_answer
from engage.api.http.operation import contract
from engage.api.http.rate_limits import open_to_everybody
from engage.domain.campaigns import parse as campaigns
from engage.domain.program import parse as programs

# A release changes them, and nothing else does.
CACHED: Final = ((b"cache-control", b"public, max-age=300"),)


class SchemaController(Controller):
    path = "/v1/schemas"
    tags = ("Schemas",)
    security = ({},)
    guards = (open_to_everybody,)

    @get(
        "/program.json",
        operation_id="getProgramSchema",
        summary="Get the JSON Schema of programs",
        response_description="A JSON Schema, draft 7.",
        opt=contract(etag=True),
    )
    async def program(self, request: Request[Any, Any, Any]) -> Answer[dict[str, Any]]:
        """Of program documents, in TOML or JSON."""
        check_query(request)
        return tagged_answer(request.scope, _program(), cached=CACHED)

    @get(
        "/campaign.json",
        operation_id="getCampaignSchema",
        summary="Get the JSON Schema of campaigns",
        response_description="A JSON Schema, draft 7.",
        opt=contract(etag=True),
    )
    async def campaign(self, request: Request[Any, Any, Any]) -> Answer[dict[str, Any]]:
        """Of the documents of campaigns, in TOML or JSON."""
        check_query(request)
        return tagged_answer(request.scope, _campaign(), cached=CACHED)


@cache
def _program() -> dict[str, Any]:
    return programs.schema()


@cache
def _campaign() -> dict[str, Any]:
    return campaigns.schema()
