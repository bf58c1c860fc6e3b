"""The addresses and keys of a running installation, for the simulated members and the checks."""

from msgspec import Struct


class Endpoints(Struct, frozen=True, kw_only=True):
    """`apis`: base URLs of APIs that serve the same installation. `database_url` leads to PostgreSQL
    directly, past the proxies, for the checks. `environment`: that of `engage` on the command line.
    """

    apis: tuple[str, ...]
    feed_url: str
    shop_key: str
    admin_key: str
    approver_key: str
    database_url: str
    programs: tuple[str, ...]
    environment: dict[str, str] = {}
