"""The member or the operator that credentials are for, and where a request comes from."""

from msgspec import Struct


class Identity(Struct, frozen=True, array_like=True):
    """The member of a token, the time at which it ends (seconds of wall time), and the thumbprint of the key
    that signed it. What is opened with a token ends with it and with its key.

    `device` is a keyed hash of the device that the token names, empty where it names none. `attested`: the
    identity provider says that the device is what it claims to be.
    """

    program_id: str
    member_id: str
    expires_at: int
    key: str
    device: bytes = b""
    attested: bool = False


class Origin(Struct, frozen=True):
    """The device and the network that a member's request comes from, as keyed hashes. `device` and `attested`
    are those of the token; `device` is empty where it names none. `network` is that of the client's address.
    """

    device: bytes
    attested: bool
    network: bytes


class Operator(Struct, frozen=True):
    """Somebody who works on campaigns. Their name is for others to read; one `id` is one pair of eyes."""

    id: str
    name: str
