"""Drive every operation of real processes with marked values, and find none of them in any log."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import yaml
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from engage import sandbox_secrets
from engage.embedded.data_folder import folder_at
from engage.embedded.run_file import read
from tests.support.command_line import connect_to, engage, health, up
from tests.support.eventually import eventually
from tests.support.ports import server_port

ROOT = Path(__file__).parents[2]
READY_S = 120.0
WORD = "Canary7Qx"
PHONE = "4915155501234"
EMAIL = f"{WORD}@member.example"
MARKS = (WORD, PHONE)
AT_ONCE = 8
UUID = "0195f6a0-0000-7000-8000-000000000001"
VALUES = {
    "date-time": "2026-11-21T12:00:00Z",
    "date": "1990-02-03",
    "uuid": UUID,
}


def value_of(schema: dict[str, Any], schemas: dict[str, Any], depth: int = 0) -> Any:
    """A value that a schema may allow, with a mark in each free text."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    for one_of in ("oneOf", "anyOf", "allOf"):
        if one_of in schema and depth < 6:
            return value_of(schema[one_of][0], schemas, depth + 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object" or "properties" in schema:
        if depth > 6:
            return {}
        fields = schema.get("properties", {}).items()
        return {name: value_of(field, schemas, depth + 1) for name, field in fields}
    if kind == "array":
        return [value_of(schema.get("items", {}), schemas, depth + 1)]
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    if kind == "boolean":
        return True
    if schema.get("format") in VALUES:
        return VALUES[schema["format"]]
    return PHONE if "digit" in str(schema) or "phone" in str(schema) else WORD


def requests_of(contract: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], dict[str, str]]]:
    """(method, path, body, query) of every operation, with marks in all of them."""
    schemas = contract["components"]["schemas"]
    for path, operations in contract["paths"].items():
        for method, operation in operations.items():
            if method not in ("get", "post", "put", "patch", "delete"):
                continue
            filled = path
            query = {"mark": WORD}
            for parameter in operation.get("parameters", []):
                schema = parameter.get("schema", {})
                mark = VALUES.get(schema.get("format", ""), WORD)
                if parameter["in"] == "path":
                    filled = filled.replace("{" + parameter["name"] + "}", mark)
                elif parameter["in"] == "query":
                    query[parameter["name"]] = mark
            content = operation.get("requestBody", {}).get("content", {})
            body: Any = next((value_of(each["schema"], schemas) for each in content.values()), {})
            yield method.upper(), filled, body, query


async def drive(base: str, credentials: list[str], contract: dict[str, Any]) -> dict[int, int]:
    """Send every request with every credential; count the statuses."""
    statuses: dict[int, int] = {}
    limit = asyncio.Semaphore(AT_ONCE)

    async def send(client: httpx.AsyncClient, request: Any, credential: str) -> None:
        method, path, body, query = request
        headers = {
            "Authorization": credential,
            "Idempotency-Key": f"{WORD}-{method}",
            "User-Agent": f"{WORD} {EMAIL}",
            "Cookie": f"engage={WORD}",
            "X-Forwarded-For": PHONE,
            "Accept-Language": WORD,
        }
        async with limit:
            answer = await client.request(method, path, params=query, json=body, headers=headers)
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1

    async with httpx.AsyncClient(base_url=base, timeout=60) as client:
        await asyncio.gather(
            *(
                send(client, request, credential)
                for request in requests_of(contract)
                for credential in credentials
                if "/sandbox/clock" not in request[1]
            )
        )
    return statuses


async def say(url: str, header: str) -> None:
    """Send marks to a feed, as credentials and as messages."""
    try:
        async with connect(f"{url}?ticket={WORD}", additional_headers={"Authorization": header}) as socket:
            await socket.send(f'{{"type": "{WORD}", "token": "{WORD}", "phone": "{PHONE}"}}')
            async with asyncio.timeout(2):
                await socket.recv()
    except (WebSocketException, TimeoutError, OSError):
        return


async def test_no_log_of_any_process_holds_anything_of_anybody(tmp_path: Path) -> None:
    contract = yaml.safe_load((ROOT / "openapi" / "engage.yaml").read_text(encoding="utf-8"))
    folder, port, second, feed_port = tmp_path / "there", server_port(), server_port(), server_port()
    async with up(tmp_path, port):
        run = read(folder_at(folder))
        assert run is not None
        environment = run.environment | {
            "ENGAGE_LOG_LEVEL": "debug",
            "ENGAGE_API_PORT": str(second),
            "ENGAGE_FEED_PORT": str(feed_port),
        }
        secrets = sandbox_secrets.read(Path(environment["ENGAGE_SANDBOX"]))
        own = [await engage(name, cwd=tmp_path, **environment) for name in ("api", "feed", "worker")]
        outputs = [asyncio.create_task(process.communicate()) for process in own]
        try:
            await eventually(lambda: health(second) == 200, READY_S)
            base = f"http://127.0.0.1:{second}"
            async with httpx.AsyncClient(base_url=base, timeout=60) as client:
                member = {"country": "ES", "person_ref": f"{WORD}-person", "birth_date": "1990-02-03"}
                path = f"/v1/shop/members/{WORD}"
                shop = {"Authorization": f"Bearer {secrets.shop_key}"}
                await client.put(path, json=member, params={"program": "demo-store"}, headers=shop)
                body = {"program": "demo-store", "country": "ES", "member_id": WORD}
                made = await client.post("/v1/sandbox/tokens", json=body)
                token = str(made.json().get("token", WORD)) if made.status_code < 300 else WORD
            keys = [secrets.shop_key, secrets.admin_key, secrets.approver_key, token, f"{WORD}.{WORD}.{WORD}"]
            credentials = [f"Bearer {key}" for key in keys]
            statuses = await drive(base, credentials, contract)
            assert sum(count for status, count in statuses.items() if status < 300) > 10, statuses
            await say(f"ws://127.0.0.1:{feed_port}/", f"Bearer {WORD}")
            await say(f"ws://127.0.0.1:{feed_port}/", f"Bearer {token}")
            db = await connect_to(folder)
            try:
                # Now every flow meets an error of the database.
                for table in ("outbox", "api_keys_gone", "members", "stored_credits", "idempotency_keys"):
                    if await db.fetchval("SELECT to_regclass($1)", table):
                        await db.execute(f"ALTER TABLE {table} RENAME TO {table}_gone")
                # Bugs are logged with what caused them.
                again = await drive(base, credentials[:4], contract)
                assert again.get(500, 0) > 10, again
            finally:
                await db.close()
        finally:
            for process in own:
                process.send_signal(signal.SIGTERM)
            texts = [(await output)[0].decode(errors="replace") for output in outputs]
    logs = {path.name: path.read_text(errors="replace") for path in (folder / "logs").iterdir()}
    logs |= dict(zip(("own api", "own feed", "own worker"), texts, strict=True))
    assert "asyncpg.exceptions.UndefinedTableError" in logs["own api"], logs["own api"][-2_000:]
    hidden = [*MARKS, *keys[:4], environment["ENGAGE_PEPPER"], secrets.signing_key["d"]]
    for name, text in logs.items():
        for mark in hidden:
            at = text.lower().find(mark.lower())
            assert at < 0, f"{name}: …{text[max(at - 600, 0) : at + 100]}…{os.linesep}"
