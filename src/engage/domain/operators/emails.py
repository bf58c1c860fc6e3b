"""E-mail addresses of operators. Whoever creates an operator has verified the address."""

import re
from typing import Final

_EMAIL: Final = re.compile(r"[^@\s<>\"]{1,64}@[^@\s<>\"]{1,189}")


def normal_email(text: str) -> str | None:
    """Return an address as it is stored; None for what is none."""
    email = text.strip().lower()
    return email if _EMAIL.fullmatch(email) and email.isprintable() else None
