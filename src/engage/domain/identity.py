"""The member or the operator that credentials are for."""

from msgspec import Struct


class Identity(Struct, frozen=True, array_like=True):
    """The member of a token, the time at which it ends (seconds of wall time), and the thumbprint of the key
    that signed it. What is opened with a token ends with it and with its key.
    """

    program_id: str
    member_id: str
    expires_at: int
    key: str


class Operator(Struct, frozen=True):
    """Somebody who works on campaigns. Their name is for others to read; one `id` is one pair of eyes."""

    id: str
    name: str
