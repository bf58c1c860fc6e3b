"""Pages load everything from this server, and nothing inline."""

import asyncio
import re
import threading

import pytest
import yaml
from litestar import Litestar, get

from engage.api.contract import openapi
from engage.api.site import PAGES, RENDERER, reference
from engage.domain.refusals import Code
from tests.api.calling import Calling, client_of, problem

GUARD_S = 20.0  # Against hanging, not a tested limit.


async def test_the_reference_and_its_renderer_come_from_this_server(api: Calling) -> None:
    page = await api.nobody.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    scripts = re.findall(r'<script src="([^"]+)"', page.text)
    assert scripts == [f"/docs/{RENDERER}", "/docs/reference.js"]
    for script in scripts:
        served = await api.nobody.get(script)
        assert served.headers["content-type"] == "text/javascript; charset=utf-8"
        assert len(served.content) > 100


async def test_the_renderer_is_served_to_clients_without_gzip(api: Calling) -> None:
    compressed = await api.nobody.get(f"/docs/{RENDERER}")
    plain = await api.nobody.get(f"/docs/{RENDERER}", accept_encoding="identity")
    assert compressed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert plain.content == compressed.content  # httpx has decompressed it.


async def test_the_contract_is_served_in_both_forms(api: Calling) -> None:
    as_yaml = await api.nobody.get("/openapi.yaml")
    assert as_yaml.text.splitlines()[1] == "openapi: 3.1.0"
    as_json = await api.nobody.get("/openapi.json")
    assert as_json.headers["content-type"].endswith("openapi+json")
    assert yaml.load(as_yaml.content, yaml.CSafeLoader) == as_json.json()


async def test_every_type_of_problem_leads_to_a_page(api: Calling) -> None:
    for code in Code:
        page = await api.nobody.get(f"/problems/{code}", accept_language="it")
        assert page.status_code == 200
        assert 'lang="it"' in page.text
        assert code in page.text
    problem(await api.nobody.get("/problems/none"), 404, "not_found")


async def test_the_demo_page_is_served_with_all_its_files(api: Calling) -> None:
    index = await api.nobody.get("/")
    assert "<title>engage demo store</title>" in index.text
    for file in PAGES.iterdir():
        served = await api.nobody.get(f"/demo/{file.name}")
        assert served.content == file.read_bytes()
    assert (await api.nobody.get("/demo/app.js")).headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize("path", ["/", "/docs", "/problems/not_found", "/demo/app.js", "/docs/problem.css"])
async def test_a_page_may_load_nothing_from_elsewhere(api: Calling, path: str) -> None:
    page = await api.nobody.get(path)
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    # Scalar styles the reference by script. Inline scripts are allowed nowhere.
    assert ("unsafe-inline" in policy) == (path == "/docs")
    assert "script-src" not in policy
    assert "unsafe-eval" not in policy
    assert "frame-ancestors 'none'" in policy
    if page.headers["content-type"].startswith("text/html"):
        assert re.findall(r"<script(?![^>]*src=)|\son\w+=|<style|\sstyle=", page.text) == []
        assert re.findall(r'(?:src|href)="(?:https?:)?//', page.text) == []


async def test_an_unchanged_page_is_answered_with_304(api: Calling) -> None:
    for path in ("/", "/docs", "/demo/app.js"):
        tag = (await api.nobody.get(path)).headers["etag"]
        again = await api.nobody.get(path, if_none_match=tag)
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/demo/none.js",
        "/demo/..",
        "/demo/..%2fapp.py",
        "/demo/%2e%2e%2fapp.py",
        "/docs/reference.html",
        "/docs/..%2fapp.py",
    ],
)
async def test_no_other_file_can_be_read(api: Calling, path: str) -> None:
    answer = await api.nobody.get(path)
    assert answer.status_code in (404, 200)
    assert "import" not in answer.text or answer.headers["content-type"].startswith("text/html")
    if answer.status_code == 404:
        problem(answer, 404, "not_found")


async def test_no_request_waits_for_the_contract_to_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making it takes seconds of a processor, and writing it as YAML a part of one."""
    answered = threading.Event()
    written: list[bool] = []

    def as_yaml(_made: object) -> str:
        written.append(answered.wait(GUARD_S))
        return "openapi: 3.1.0"

    def document(_controllers: object) -> dict[str, str]:
        raise AssertionError("the contract is made for a request")

    @get("/other")
    async def other() -> None:
        return None

    monkeypatch.setattr(openapi, "document", document)
    monkeypatch.setattr(openapi, "as_yaml", as_yaml)
    app = Litestar([reference(sandbox=False), other], logging_config=None, openapi_config=None)
    async with client_of(app) as client:
        asked = [asyncio.create_task(client.get("/openapi.yaml")) for _ in range(2)]
        await asyncio.sleep(0)
        assert (await client.get("/openapi.json")).status_code == 200
        assert (await client.get("/other")).status_code == 200
        answered.set()
        assert [answer.status_code for answer in await asyncio.gather(*asked)] == [200] * 2
    assert written == [True], "it is written once, and others are answered meanwhile"
