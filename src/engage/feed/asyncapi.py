"""The feed's contract, generated from its messages: `python -m engage.feed.asyncapi > openapi/feed.yaml`."""

import sys
from typing import Any, Final

import msgspec
import yaml

from engage.domain.accounts.balance import Balance
from engage.feed import messages
from engage.feed.messages import Auth, BalanceChanged, Resume, Snapshot
from engage.feed.session import POLICY, RESTARTING, TRY_LATER, UNAUTHORIZED
from engage.signals.topics import TICKET_TTL_S

_DESCRIPTION: Final = f"""\
Pushes a member's balance whenever it changes.

Connect with `Authorization: Bearer <JWT>`, or without and send `auth` first, with a ticket of
`POST /v1/feed/tickets`: browsers cannot set the header. A ticket is good once, for {TICKET_TTL_S} s.

The server answers with a `snapshot` and then sends a `balance` for each change. A slow client gets the newest
state only: `seq` may jump forward and never goes back on one connection.

A client that comes back may send `resume`, with the highest `seq` it has seen, as its first message after
authentication. The answer is a `balance` of the state now, with the cause `resume`, also when nothing was
missed; or a `snapshot`, when the client is ahead of the server. When the resume arrives before the snapshot
has been sent, its answer takes the snapshot's place.

A `snapshot` replaces what a client knows; a `balance` does when its `seq` is not lower. The feed is a hint:
the truth is `GET /v1/me`.
"""

_CLOSE_CODES: Final = {
    UNAUTHORIZED: "No or bad credentials, or no such member. Get new credentials before coming back.",
    RESTARTING: "The feed restarts. Come back at once, after a short random wait.",
    TRY_LATER: "Too slow a reader, or a part that the feed needs is away. Come back later.",
    POLICY: "A message that was not expected, or too many connections of one member: the oldest makes room.",
}

_EXAMPLE: Final = Balance(active=64, pending=2, held=0, debt=0, seq=17)

_MESSAGES: Final[dict[str, tuple[type[msgspec.Struct], str, bytes]]] = {
    "snapshot": (Snapshot, "The balance as it is", messages.snapshot(_EXAMPLE)),
    "balance": (BalanceChanged, "The balance has changed", messages.balance_changed(_EXAMPLE, "pending")),
    "auth": (Auth, "Credentials", msgspec.json.encode(Auth("w3sOQ8Cq…"))),
    "resume": (Resume, "What did I miss?", msgspec.json.encode(Resume(15))),
}


def document() -> dict[str, Any]:
    """The AsyncAPI 3.1 document."""
    _, schemas = msgspec.json.schema_components(
        [kind for kind, _, _ in _MESSAGES.values()], ref_template="#/components/schemas/{name}"
    )
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
                "description": "As `engage up` runs it; `GET /v1/sandbox` tells the address as `feed_url`.",
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
            "push": _operation("send", "Tell a member's balance", "snapshot", "balance"),
            "authenticate": _operation("receive", "Say who you are", "auth"),
            "resume": _operation("receive", "Go on where you were", "resume"),
        },
        "components": {
            "messages": {name: _message(name) for name in _MESSAGES},
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def render() -> str:
    """The document as it is committed."""
    return yaml.dump(
        document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=False
    )


def _operation(action: str, summary: str, *names: str) -> dict[str, Any]:
    """`action` is the server's: what it sends, what it receives."""
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


class _Dumper(yaml.SafeDumper):
    """Long texts as blocks; everything said where it stands, without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)

if __name__ == "__main__":
    sys.stdout.write(render())
