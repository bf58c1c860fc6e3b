"""Ciphers made from the installation's pepper."""

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet

from engage.settings import Settings


def cipher(settings: Settings, purpose: bytes) -> Fernet:
    """Return a cipher with a key of its own for each purpose."""
    key = hmac.digest(settings.pepper.encode(), purpose, hashlib.sha256)
    return Fernet(base64.urlsafe_b64encode(key))
