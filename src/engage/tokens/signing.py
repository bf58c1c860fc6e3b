"""Sign tokens as an identity provider would, with the sandbox's own key."""

from datetime import timedelta
from functools import lru_cache
from typing import Final

import jwt

from engage.clock import machine_time
from engage.sandbox_secrets import SandboxSecrets

SANDBOX_LIFETIME: Final = timedelta(hours=24)


def sign(
    secrets: SandboxSecrets,
    program_id: str,
    member_id: str,
    lifetime: timedelta,
    *,
    issuer: str = "engage",
    audience: str = "engage",
    device: str | None = None,
    attested: bool = False,
) -> str:
    """Return a token of a member, good from now on for `lifetime` by the machine's clock. It may name the
    member's `device`, which is `attested` where the provider knows what it is.
    """
    issued_at = int(machine_time().timestamp())
    claims: dict[str, object] = {
        "iss": issuer,
        "aud": audience,
        "sub": member_id,
        "program": program_id,
        "iat": issued_at,
        "exp": issued_at + int(lifetime.total_seconds()),
    }
    if device is not None:
        claims |= {"device": device, "device_attested": attested}
    key = _signing_key(tuple(sorted(secrets.signing_key.items())))
    return jwt.encode(claims, key, key.algorithm_name, headers={"kid": secrets.signing_key["kid"]})


@lru_cache(4)
def _signing_key(members: tuple[tuple[str, str], ...]) -> jwt.PyJWK:
    return jwt.PyJWK(dict(members))
