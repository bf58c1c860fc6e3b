"""API2 and API5: credentials open what they are for, and nothing else."""

from datetime import timedelta
from typing import Any

import jwt
import pytest

from engage.api.app import app_of
from engage.domain.rewards.coupon_codes import CODE_BITS
from engage.flows.operations.keys import create_key
from engage.tokens.signing import sign
from tests.api.calling import PROGRAM, Caller, Calling, problem
from tests.console.routes import console_routes
from tests.security.operations import operations

NEEDED = ["member", "shop", "operator", "approver"]


@pytest.mark.parametrize("needed", NEEDED)
async def test_no_operation_opens_to_credentials_of_another_kind(api: Calling, needed: str) -> None:
    member = await api.joined()
    found = [each for each in operations() if each.needed == needed]
    assert found
    keys = {"shop": api.shop, "operator": api.operator, "approver": api.approver}
    for each in found:
        others = {"nobody": api.nobody, "nonsense": Caller(api.client, "Bearer nonsense")}
        if needed == "member":
            others |= keys
        else:
            others |= {"member": member}
        for name, caller in others.items():
            answer = await caller.request(each.method, each.address, {})
            assert answer.status_code == 401, (each.id, name, answer.text)
            assert answer.json()["code"] == "unauthorized"


async def test_no_page_of_the_console_opens_to_tokens_or_keys(api: Calling) -> None:
    member = await api.joined()
    closed = [
        route for route in console_routes(app_of(api.api)) if route.needed not in ("everybody", "public")
    ]
    assert len(closed) > 50
    for caller in (member, api.shop, api.operator, api.approver):
        secret = caller._headers["authorization"].removeprefix("Bearer ")
        for route in closed:
            answer = await api.client.request(
                route.method,
                route.address,
                headers=caller._headers | {"cookie": f"engage_session={secret}"},
                data={"form_token": secret} if route.method == "POST" else None,
            )
            assert answer.status_code == 303, (route.path, answer.text)
            assert answer.headers["location"].startswith("/console/sign-in"), route.path


async def test_a_key_in_an_address_or_a_cookie_opens_nothing(api: Calling) -> None:
    """Addresses are in logs and histories."""
    token = sign(api.secrets, PROGRAM, (await api.joined()).member_id, timedelta(minutes=5))
    for secret, path in ((token, "/v1/me"), (api.secrets.admin_key, "/v1/admin/programs")):
        for name in ("access_token", "token", "key", "api_key", "authorization"):
            problem_or_mistake = await api.client.get(path, params={name: secret})
            assert problem_or_mistake.status_code in (400, 401), problem_or_mistake.text
            assert (await api.client.get(path, headers={"cookie": f"{name}={secret}"})).status_code == 401
        assert (await api.client.get(path, headers={"x-api-key": secret})).status_code == 401


def tokens(api: Calling, member_id: str) -> dict[str, str]:
    """Make tokens that somebody without our key could make, and some of a provider that are not for us."""
    good = sign(api.secrets, PROGRAM, member_id, timedelta(minutes=5))
    claims: dict[str, Any] = jwt.decode(good, options={"verify_signature": False})
    key = jwt.PyJWK(dict(api.secrets.signing_key))
    kid = api.secrets.signing_key["kid"]
    public = {name: value for name, value in api.secrets.signing_key.items() if name != "d"}
    own = jwt.PyJWK.from_dict(_own_key(kid))

    def ours(**changed: Any) -> str:
        return jwt.encode(claims | changed, key, key.algorithm_name, headers={"kid": kid})

    def theirs(headers: dict[str, Any]) -> str:
        return jwt.encode(claims, own, "EdDSA", headers={"kid": kid} | headers)

    head, body, signature = good.split(".")
    other_body = ours(sub="somebody-else").split(".")[1]
    return {
        "none": jwt.encode(claims, "", "none", headers={"kid": kid}),
        "no signature": f"{head}.{body}.",
        "body of another": f"{head}.{other_body}.{signature}",
        "hs256 with the public key": jwt.encode(claims, public["x"], "HS256", headers={"kid": kid}),
        "own key": theirs({}),
        "own key in the header": theirs({"jwk": _public(_own_key(kid))}),
        "own key at an address": theirs({"jku": "https://evil.example/jwks.json"}),
        "own certificate": theirs({"x5u": "https://evil.example/c.pem", "x5c": ["MIIB"]}),
        "kid of a file": theirs({"kid": "../../../../dev/null"}),
        "kid of a statement": theirs({"kid": "' OR 1=1 --"}),
        "critical extension": theirs({"crit": ["b64"], "b64": False}),
        "expired": ours(iat=claims["iat"] - 600, exp=claims["iat"] - 300),
        "for ever": ours(exp=claims["iat"] + 10 * 365 * 86_400),
        "of the future": ours(iat=claims["iat"] + 3_600, exp=claims["iat"] + 3_700),
        "not valid yet": ours(nbf=claims["iat"] + 3_600),
        "another audience": ours(aud="another"),
        "another issuer": ours(iss="another"),
        "another program": ours(program="no-such-program"),
        "nobody": ours(sub="nobody-has-this-id"),
    }


_OWN: dict[str, str] = {}


def _own_key(kid: str) -> dict[str, str]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from jwt.algorithms import OKPAlgorithm

    if not _OWN:
        _OWN.update(OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate(), as_dict=True))
    return _OWN | {"kid": kid, "alg": "EdDSA"}


def _public(key: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in key.items() if name != "d"}


async def test_no_forged_or_foreign_token_opens_anything(api: Calling) -> None:
    member = await api.joined()
    assert (await member.get("/v1/me")).status_code == 200
    for name, token in tokens(api, member.member_id).items():
        caller = Caller(api.client, f"Bearer {token}")
        for answer in (await caller.get("/v1/me"), await caller.post("/v1/fuel/taps")):
            # A refusal of an unknown kind would say more than that the token is bad.
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), name
            problem(answer, 401, "unauthorized")


async def test_what_opens_by_being_known_cannot_be_guessed(api: Calling) -> None:
    """32 random bytes are 43 characters. An F-code is typed by people: 100 bits, and the shop's key asks."""
    member = await api.joined()
    tickets = {(await member.post("/v1/feed/tickets")).json()["ticket"] for _ in range(3)}
    keys = {await create_key(api.services.db, name="k", scopes=["shop"], programs=[]) for _ in range(3)}
    assert len(tickets) == len(keys) == 3
    assert all(len(ticket) >= 43 for ticket in tickets)
    assert all(len(key.split("_", 2)[2]) >= 43 for key in keys)
    assert CODE_BITS >= 100
