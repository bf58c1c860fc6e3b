"""The log of the API: each request that failed, with the trace id of its answer and the true reason."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt

from engage import sandbox_secrets
from engage.clock import machine_time
from engage.flows.operations.install import install
from engage.settings import Settings
from tests.api.process import ApiProcess, api_process

PROGRAM = "eu-mi-points"


def lines_of(api: ApiProcess) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in api.log().splitlines()]
    assert all(isinstance(line, dict) for line in found)
    return found


def signed(settings: Settings, *, kid: str | None = None, without: str = "", **changed: Any) -> str:
    assert settings.sandbox is not None
    key = sandbox_secrets.read(settings.sandbox).signing_key
    now = int(machine_time().timestamp())
    claims = {
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "sub": "nobody",
        "program": PROGRAM,
        "iat": now,
        "exp": now + 600,
    } | changed
    claims.pop(without, None)
    jwk = jwt.PyJWK(key)
    return jwt.encode(claims, jwk.key, jwk.algorithm_name, headers={"kid": kid or key["kid"]})


def refused_tokens(settings: Settings) -> list[tuple[str, str]]:
    """Tokens with the reasons for which they are refused."""
    now = int(machine_time().timestamp())
    other = signed(settings, sub="another").rpartition(".")[2]
    two_days = int(timedelta(days=2).total_seconds())
    return [
        (signed(settings, iat=now - 900, exp=now - 60), "expired"),
        (signed(settings, exp=now + two_days), "lives longer than 86400 s"),
        (signed(settings, iat=now + 3_600, exp=now + 4_000), "of the future"),
        (signed(settings, iss="elsewhere"), "another issuer"),
        (signed(settings, aud="elsewhere"), "another audience"),
        (signed(settings, without="program"), "malformed: Object missing required field `program`"),
        (signed(settings, kid="other"), "an unknown key"),
        (f"{signed(settings).rpartition('.')[0]}.{other}", "a wrong signature"),
        (signed(settings), "no such member"),
        ("not a token", "malformed: "),
        ("x" * 5_000, "longer than 4096 bytes"),
    ]


async def test_every_failed_request_is_in_the_log_with_its_trace_id_and_never_its_token(
    settings: Settings, tmp_path: Path
) -> None:
    await install(settings)
    async with api_process(settings, tmp_path) as api, httpx.AsyncClient(base_url=api.url) as client:
        tokens = refused_tokens(api.settings)
        expected: dict[str, str] = {}
        for token, reason in tokens:
            answer = await client.post("/v1/fuel/taps", headers={"authorization": f"Bearer {token}"})
            assert answer.status_code == 401, (reason, answer.text)
            expected[answer.json()["trace_id"]] = reason
        key = await client.post("/v1/shop/events", headers={"authorization": "Bearer made-up-key-of-mine"})
        expected[key.json()["trace_id"]] = "no API key of ours, or a revoked one"
        nothing = await client.get("/v1/me")
        expected[nothing.json()["trace_id"]] = "no bearer token"
        parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        missing = await client.get("/v1/nowhere", headers={"traceparent": parent})
        assert missing.status_code == 404
        lines = lines_of(api)
        log = api.log()
    assert lines[0]["event"] == "the API starts"
    refused = {line["trace_id"]: line for line in lines if line["event"] == "credentials were refused"}
    assert refused.keys() == expected.keys()
    for trace_id, reason in expected.items():
        assert refused[trace_id]["reason"].startswith(reason), reason
        assert refused[trace_id]["status"] == 401
    (line,) = (line for line in lines if line.get("code") == "not_found")
    assert line["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (line["operation"], line["level"]) == ("", "info")
    assert "/v1/nowhere" not in log, "a path holds ids"
    for token, _ in tokens:
        assert token not in log
    assert "made-up-key-of-mine" not in log
