"""Ciphers made from the installation's pepper."""

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from engage.settings import Settings


def cipher(settings: Settings, purpose: bytes) -> MultiFernet:
    """Return a cipher with keys of its own for each purpose: it encrypts with that of the first pepper, and
    decrypts with all.
    """
    return MultiFernet([_cipher_of(pepper, purpose) for pepper in settings.peppers])


def is_outdated(settings: Settings, purpose: bytes, encrypted: bytes) -> bool:
    """Return whether something was not encrypted with the first pepper."""
    try:
        _cipher_of(settings.peppers[0], purpose).decrypt(encrypted)
    except InvalidToken:
        return True
    return False


def _cipher_of(pepper: str, purpose: bytes) -> Fernet:
    key = hmac.digest(pepper.encode(), purpose, hashlib.sha256)
    return Fernet(base64.urlsafe_b64encode(key))
