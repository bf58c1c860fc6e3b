"""A fake OpenID Connect provider on this machine: it signs whatever a test sets."""

import asyncio
import re
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from tests.support.tcp import HOST, tcp_server

CLIENT = "engage"


class IdentityProvider:
    """`claims` are added to those of each ID token; one that is None is left out. `signing_key` signs it, and
    `keys` are published.
    """

    def __init__(self) -> None:
        self.url = ""
        self.key = RSAKey.generate_key(2048, {"kid": "k1", "use": "sig", "alg": "RS256"})
        self.keys: list[RSAKey | ECKey] = [self.key]
        self.signing_key: RSAKey | ECKey = self.key
        self.claims: dict[str, Any] = {}
        self.tokens_status = 200
        self.secrets: set[str] | None = None  # Without them every client secret is right.
        self.endpoints: dict[str, str] = {}  # Instead of those that are here.
        self.asked: dict[str, list[str]] = {}  # The query of the last authorization request.
        self.exchanged: dict[str, list[str]] = {}  # The form of the last token request.

    def answer_to(self, address: str, email: str, *, now: int) -> str:
        """Sign somebody in, as a person at the provider's page would; the query of the redirect."""
        self.asked = parse_qs(urlsplit(address).query)
        claims = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": "42",
            "iat": now,
            "exp": now + 60,
            "nonce": self.asked["nonce"][0],
            "email": email,
            "email_verified": True,
        } | self.claims
        kept = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.signing_key.alg or "RS256", "kid": self.signing_key.kid}
        self.id_token = jwt.encode(header, kept, self.signing_key)
        return f"code=c-1&state={self.asked['state'][0]}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        length = next(
            (
                int(line.split(":")[1])
                for line in head.splitlines()
                if line.lower().startswith("content-length")
            ),
            0,
        )
        body = (await reader.readexactly(length)).decode()
        status, answer = 200, self._answer(path)
        if path == "/token":
            self.exchanged = parse_qs(body)
            status = self.tokens_status if self._knows(head) else 401
        encoded = msgspec.json.encode(answer)
        writer.write(
            f"HTTP/1.1 {status} .\r\nContent-Length: {len(encoded)}\r\nConnection: close\r\n\r\n".encode()
        )
        writer.write(encoded)
        writer.write_eof()
        await reader.read()  # The client closes the connection.

    def _knows(self, head: str) -> bool:
        sent = re.search(r"(?im)^authorization: basic (\S+)", head)
        name, _, secret = b64decode(sent[1]).decode().partition(":") if sent else ("", "", "")
        return self.secrets is None or (name == CLIENT and secret in self.secrets)

    def _answer(self, path: str) -> Any:
        match path:
            case "/.well-known/openid-configuration":
                return {
                    "issuer": self.url,
                    "authorization_endpoint": f"{self.url}/authorize",
                    "token_endpoint": f"{self.url}/token",
                    "jwks_uri": f"{self.url}/keys",
                } | self.endpoints
            case "/keys":
                return {"keys": [key.as_dict(private=False) for key in self.keys]}
            case _:
                return {"id_token": self.id_token, "access_token": "a", "token_type": "Bearer"}


@asynccontextmanager
async def identity_provider() -> AsyncIterator[IdentityProvider]:
    provider = IdentityProvider()
    async with tcp_server(provider.serve) as port:
        provider.url = f"http://{HOST}:{port}"
        yield provider
