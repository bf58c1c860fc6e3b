"""The second factor: time-based one-time passwords (TOTP, RFC 6238), whose secret is stored encrypted."""

import hmac
import re
from datetime import datetime
from typing import Final

import pyotp
from cryptography.fernet import InvalidToken

from engage.flows.operators.encryption import cipher, is_outdated
from engage.settings import Settings

STEP_S: Final = 30

_PURPOSE: Final = b"engage second factor"

_SECRET: Final = re.compile(r"[A-Z2-7]{32}")

# Phones' clocks differ a little: the code of the step before and after counts too.
STEPS_OFF: Final = (0, -1, 1)


def new_secret() -> str:
    """Make a secret, in base32, for an authenticator app."""
    return pyotp.random_base32()


def is_secret(text: str) -> bool:
    """Return whether a text may be one of these secrets."""
    return bool(_SECRET.fullmatch(text))


def provisioning_uri(secret: str, email: str) -> str:
    """The address that an authenticator app reads from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name="engage")


def step_of(secret: str, code: str, now: datetime, *, after: int | None) -> int | None:
    """Return the time step that a code is right for, later than the step `after`; None for a wrong code."""
    totp = pyotp.TOTP(secret)
    current = int(now.timestamp()) // STEP_S
    steps = (current + off for off in STEPS_OFF)
    right = [step for step in steps if hmac.compare_digest(totp.at(step * STEP_S), code)]
    return next((step for step in right if after is None or step > after), None)


def encrypted(settings: Settings, secret: str) -> bytes:
    return cipher(settings, _PURPOSE).encrypt(secret.encode())


def renewed(settings: Settings, secret: str, stored: bytes) -> bytes:
    """Return what is stored, encrypted anew if it was encrypted with an earlier pepper."""
    return encrypted(settings, secret) if is_outdated(settings, _PURPOSE, stored) else stored


def decrypted(settings: Settings, stored: bytes) -> str | None:
    """Decrypt a secret; None where it was encrypted with a pepper that is known no more."""
    try:
        return cipher(settings, _PURPOSE).decrypt(stored).decode()
    except InvalidToken:
        return None
