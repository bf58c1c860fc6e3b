"""The feed's contract, generated from its messages: `python -m engage.feed.asyncapi > openapi/feed.yaml`."""

import inspect
import sys
from typing import Any, Final

import msgspec
from websockets.frames import CloseCode

from engage import yaml_text
from engage.domain.accounts.balance import Balance
from engage.feed import messages
from engage.feed.messages import Auth, BalanceChange, Ping, Pong, Resume, Snapshot
from engage.feed.server import KEEPALIVE_S
from engage.feed.session import POLICY, RESTARTING, TRY_LATER, UNAUTHORIZED, Timeouts
from engage.signals.topics import TICKET_TTL_S

_RENEW_S: Final = Timeouts().renew_s

_DESCRIPTION: Final = f"""\
Pushes a member's balance whenever it changes.

Connect with `Authorization: Bearer <JWT>`. Browsers cannot set this header: they connect without it and first
send `auth` with a ticket of `POST /v1/feed/tickets`. A ticket is valid once, for {TICKET_TTL_S} s.

A connection ends with the token that opened it, or that got its ticket: {_RENEW_S:.0f} s after the token's
`exp` the server closes it with 3000. To stay connected, get a ticket with a new token of the same member and
send `auth` again, at any time before that. There is no answer unless it is refused. When the key that signed
the token is withdrawn from the key set, the server closes the connection at once.

The server sends a `snapshot`, then a `balance` for each change. A slow client gets only the newest state:
`seq` may skip numbers and never falls on one connection.

A client that reconnects may send `resume`, with the highest `seq` it has seen, as its first message after
authentication. The answer is a `balance` of the current state with the cause `resume`, even if nothing was
missed; or a `snapshot`, if the client is ahead of the server. A resume that arrives before the snapshot was
sent is answered instead of it.

An authenticated client may send `ping`, and is answered with `pong`. A page that hears nothing for some
seconds knows that its connection is dead: browsers do not tell.

A `snapshot` replaces what a client knows; a `balance` replaces it if its `seq` is not lower. `GET /v1/me` is
authoritative.
"""

_CLOSE_CODES: Final = {
    UNAUTHORIZED: "Missing, invalid or expired credentials, or an unknown member. Reconnect with new "
    "credentials.",
    RESTARTING: "The feed restarts. Reconnect after a short random wait.",
    TRY_LATER: "The client reads too slowly, or a service is unavailable. Reconnect later.",
    POLICY: "An unexpected message, or too many connections of one member: the oldest is closed.",
    CloseCode.MESSAGE_TOO_BIG.value: f"A message of more than {messages.MESSAGE_BYTES} bytes.",
    CloseCode.INTERNAL_ERROR.value: f"No answer to a ping in {KEEPALIVE_S} s, or an error of the server. "
    "Reconnect later.",
}

_EXAMPLE: Final = Balance(active=64, pending=2, held=0, debt=0, seq=17)

_MESSAGES: Final[dict[str, tuple[type[msgspec.Struct], str, bytes]]] = {
    "snapshot": (Snapshot, "The current balance", messages.snapshot(_EXAMPLE)),
    "balance": (BalanceChange, "The balance has changed", messages.balance_changed(_EXAMPLE, "pending")),
    "auth": (Auth, "Credentials", msgspec.json.encode(Auth("w3sOQ8Cq…"))),
    "resume": (Resume, "Resume after a reconnect", msgspec.json.encode(Resume(15))),
    "ping": (Ping, "Ask for an answer", msgspec.json.encode(Ping())),
    "pong": (Pong, "The answer to a ping", messages.PONG),
}


def document() -> dict[str, Any]:
    """Make the AsyncAPI 3.1 document."""
    _, schemas = msgspec.json.schema_components(
        [kind for kind, _, _ in _MESSAGES.values()], ref_template="#/components/schemas/{name}"
    )
    for schema in schemas.values():  # msgspec takes docstrings with their indentation.
        schema["description"] = inspect.cleandoc(schema["description"])
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "engage: the feed",
            "version": "1",
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "sandbox": {
                "host": "127.0.0.1:8081",
                "protocol": "ws",
                "description": "Run by `engage up`. `GET /v1/sandbox` has the address as `feed_url`.",
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            }
        },
        "channels": {
            "feed": {
                "address": "/",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _MESSAGES},
                "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
                "x-close-codes": dict(sorted(_CLOSE_CODES.items())),
            }
        },
        "operations": {
            "push": _operation("send", "Send a member's balance", "snapshot", "balance"),
            "authenticate": _operation("receive", "Authenticate", "auth"),
            "resume": _operation("receive", "Resume", "resume"),
            "ping": _operation("receive", "Ask whether the feed still answers", "ping"),
            "pong": _operation("send", "Answer a ping", "pong"),
        },
        "components": {
            "messages": {name: _message(name) for name in _MESSAGES},
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def render() -> str:
    """Write the document as YAML."""
    return yaml_text.dump(document())


def _operation(action: str, summary: str, *names: str) -> dict[str, Any]:
    """Describe an operation. `action` is the server's: `send` or `receive`."""
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": "#/channels/feed"},
        "messages": [{"$ref": f"#/channels/feed/messages/{name}"} for name in names],
    }


def _message(name: str) -> dict[str, Any]:
    kind, title, example = _MESSAGES[name]
    return {
        "name": name,
        "title": title,
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
        "examples": [{"payload": msgspec.json.decode(example)}],
    }


if __name__ == "__main__":
    sys.stdout.write(render())
