"""The targets of requests: each path has one spelling, and OPTIONS and HEAD are right on all of them."""

import re
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest
from litestar.routes import HTTPRoute

from tests.api.calling import Calling, problem

ID = "019aa3c0-7c1e-7b6a-9d6e-2f1f0f6d3a10"


@pytest.fixture
async def plain(api: Calling) -> AsyncIterator[httpx.AsyncClient]:
    """A client that takes any answer: one to HEAD says that it is a problem, and has no body."""
    transport = httpx.ASGITransport(cast(Any, api.app))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize(
    "path",
    ["//v1/me", "/v1//me", "/v1/me//", "/v1%2Fme", "/v1%2fme", "//", "/v1/me/credits/a%2Fb", "/docs/a%5cb"],
)
async def test_another_spelling_of_a_path_is_not_found(
    api: Calling, plain: httpx.AsyncClient, path: str
) -> None:
    member = await api.joined()
    for method in ("GET", "OPTIONS", "HEAD", "POST"):
        request = plain.build_request(method, "/v1/me", headers=member._headers)
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = await plain.send(request)
        assert answer.status_code == 404, (method, path)
    assert (await member.get("/v1/me")).status_code == 200
    assert (await member.get("/v1/%6de")).status_code == 200


async def test_every_path_names_its_methods(api: Calling, plain: httpx.AsyncClient) -> None:
    methods: dict[str, set[str]] = {}
    for route in api.app.routes:
        assert isinstance(route, HTTPRoute)
        path = re.sub(r"{[^}]*:uuid}", ID, route.path)
        methods.setdefault(re.sub(r"{[^}]*}", "x", path), set()).update(route.methods)
    assert len(methods) > 30
    for path, known in methods.items():
        expected = ", ".join(sorted(known | {"HEAD"} if "GET" in known else known))
        options = await api.client.options(path)
        assert (options.status_code, options.headers["allow"], options.content) == (204, expected, b""), path
        refused = problem(await api.client.request("TRACE", path), 405, "method_not_allowed")
        assert ", ".join(refused["allowed"]) == expected, path
        head = await plain.head(path)
        if "GET" not in known:
            assert (head.status_code, head.headers["allow"]) == (405, expected)
        elif path != "/health/ready":
            read = await plain.get(path)
            assert (head.status_code, head.content) == (read.status_code, b""), path
            assert head.headers["content-type"] == read.headers["content-type"]
    problem(await api.client.options("/v1/nothing"), 404, "not_found")


@pytest.mark.parametrize(
    "weight", ["inf", "-inf", "nan", "1e999", "infinity", "1_0", "٣", "0x1", "", "9" * 5_000], ids=range(10)
)
async def test_a_weight_that_is_none_is_no_error(api: Calling, weight: str) -> None:
    headers = {
        name.encode(): f"{value};q={weight}".encode()
        for name, value in (("accept", "text/csv"), ("accept-language", "de"), ("accept-encoding", "gzip"))
    }
    headers |= {b"authorization": api.operator._headers["authorization"].encode()}
    for path in ("/v1/admin/reports/liability", "/v1/sandbox", "/docs"):
        assert (await api.client.get(path, headers=headers)).status_code == 200, path


async def test_a_report_comes_in_the_form_that_is_accepted(api: Calling) -> None:
    path = "/v1/admin/reports/liability"
    for accept, media in (
        ("text/csv", "text/csv"),
        ("text/csv;q=0.5, application/json", "application/json"),
        ("*/*", "application/json"),
        ("image/png", "application/json"),
    ):
        answer = await api.operator.get(path, accept=accept)
        assert answer.headers["content-type"].startswith(media), accept
