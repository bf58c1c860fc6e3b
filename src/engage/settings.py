"""Settings of a process, read once from its environment."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

PREFIX = "ENGAGE_"
FILE_SUFFIX = "_FILE"
PEPPER_LENGTH = 16
SECRET_BYTES = 64 * 1024

SERVER_URLS = ("database_url", "reports_database_url", "state_url", "queue_url", "topics_url")

# Settings that are secret. Each may have several values, a line each: the first is used, and the others are
# accepted, or tried where the first is refused. Each may be in a file instead, ENGAGE_<SETTING>_FILE, which
# is read again while the process runs (`engage.live_settings`).
SECRETS = (
    *SERVER_URLS,
    "pepper",
    "momo_subscription_key",
    "momo_user",
    "momo_key",
    "oidc_client_secret",
)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Each field but the last is the environment variable ENGAGE_<FIELD>."""

    database_url: str  # postgresql+asyncpg://…; may name several hosts (docs/availability.md).
    # A standby for reports and the audit, which may be so many seconds behind; without one, the database.
    reports_database_url: str = ""
    reports_max_age_s: int = 60
    # Valkey of the gate; may be a Cluster: redis+cluster://host:port,host:port, with any of its nodes.
    state_url: str
    queue_url: str  # Valkey of arq: standalone, AOF, noeviction.
    topics_url: str  # Valkey of the feed's pub/sub and tickets; may be a Cluster, too.
    api_host: str = "127.0.0.1"
    api_port: int = 8080
    feed_host: str = "127.0.0.1"
    feed_port: int = 8081
    feed_url: str = "ws://127.0.0.1:8081/"  # As clients reach it.
    # The port of this process for Prometheus and probes; without a number there is none. Each process has its
    # own. Nothing on it is secret or personal, and nobody has to sign in: keep it within your network.
    operations_host: str = "127.0.0.1"
    operations_port: int = 0
    jwks: str = ""  # Path or https URL of the key set that signs members' tokens.
    # A set at a URL is fetched again when it is this old: a key that was taken out of it is refused then.
    jwks_max_age_s: Annotated[int, Meta(ge=1)] = 600
    jwt_issuer: str = "engage"
    jwt_audience: str = "engage"
    jwt_max_age_s: int = 900  # Longest life of a member's token.
    # Networks of the proxies in front of us, such as 10.0.0.0/8,fd00::/8. They alone may say for whom they
    # ask, in this header, which they have to write or extend in each request.
    trusted_proxies: str = ""
    forwarded_header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    # Rate limits: a quota, and the seconds in which an empty one is whole again. Empty: no limit. An event of
    # the shop counts as a request. Of networks count requests without good credentials, sign-ins, and the
    # connections to the feed; no limit is for private networks, where proxies and servers of our own are.
    limit_member: str = "120/30"
    limit_device: str = "240/30"
    limit_key: str = "200000/10"
    limit_network: str = "600/60"
    limit_connections: str = "2000/20"
    pepper: str = ""  # Secret that person references are hashed with; `require_pepper`.
    sandbox: Path | None = None  # The sandbox's secrets; set only by `engage up`.
    payouts: Literal["", "sandbox", "momo"] = ""  # The payout provider; a sandbox has one of its own.
    momo_url: str = "https://sandbox.momodeveloper.mtn.com"
    momo_environment: str = "sandbox"  # X-Target-Environment, such as mtnbenin.
    momo_subscription_key: str = ""
    momo_user: str = ""  # The API user; momo_key is its secret.
    momo_key: str = ""
    # The OpenID Connect provider with which operators may sign in to the console; none without an issuer.
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = ""
    oidc_redirect_url: str = ""  # https://<the console's host>/console/provider/answer
    # Relays of drand's quicknet, asked in turn. Whatever they answer is verified.
    drand_urls: str = (
        "https://api.drand.sh,https://api2.drand.sh,https://api3.drand.sh,https://drand.cloudflare.com"
    )
    liveness_file: Path | None = None  # Touched each second while the process works.
    # Where traces go (OTLP over HTTP), such as http://127.0.0.1:4318/v1/traces; none without it. It needs the
    # extra engage[tracing].
    traces_url: str = ""
    traces_ratio: float = 0.01  # The part of requests that is traced.
    log_level: str = "info"
    log_format: str = "json"  # or "console"
    secret_files: dict[str, Path] = {}  # By setting: the files that secrets were read from.

    @property
    def peppers(self) -> tuple[str, ...]:
        """The pepper to hash with, and the earlier ones, with which persons are still recognised."""
        return values_of(self.pepper) or ("",)

    @property
    def has_provider(self) -> bool:
        """True if operators may sign in with an OpenID Connect provider."""
        return bool(self.oidc_issuer)


VARIABLES = tuple(name for name in Settings.__struct_fields__ if name != "secret_files")


class SettingsError(ValueError):
    """The environment does not fit; the message names the variable and the reason."""


def variable_of(name: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + name.upper()


def values_of(text: str) -> tuple[str, ...]:
    """Return the values of a secret, in the order of its lines."""
    return tuple(value for line in text.split("\n") if (value := line.rstrip("\r")).strip())


def names_a_database(environment: Mapping[str, str]) -> bool:
    """True if an environment names an installation by its database, as a value or as a file."""
    variable = variable_of("database_url")
    return variable in environment or bool(environment.get(variable + FILE_SUFFIX))


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """Raises SettingsError."""
    found, files = _read(os.environ if environment is None else environment, VARIABLES)
    missing = [
        variable_of(name)
        for name in ("database_url", "state_url", "queue_url", "topics_url")
        if name not in found
    ]
    if missing:
        raise SettingsError(f"not set: {', '.join(missing)}")
    return _settings(found, files)


def with_environment(
    settings: Settings, *, fixed: Collection[str], environment: Mapping[str, str] | None = None
) -> Settings:
    """Return settings with all those that the environment has, but for the `fixed`. Raises SettingsError."""
    others = [name for name in VARIABLES if name not in fixed]
    found, files = _read(os.environ if environment is None else environment, others)
    own_files = {name: path for name, path in settings.secret_files.items() if name not in found}
    own = {name: getattr(settings, name) for name in VARIABLES}
    return _settings(own | found, own_files | files)


def _read(env: Mapping[str, str], names: Sequence[str]) -> tuple[dict[str, str], dict[str, Path]]:
    """Return the values of settings that an environment has, and the files of secrets among them."""
    found = {name: env[variable_of(name)] for name in names if variable_of(name) in env}
    paths = {name: env.get(variable_of(name) + FILE_SUFFIX) for name in SECRETS if name in names}
    # Absolute, for a child process may begin in another folder.
    files = {name: Path(path).absolute() for name, path in paths.items() if path}
    both = [variable_of(name) for name in files if name in found]
    if both:
        raise SettingsError(f"set twice, as a value and as a file: {', '.join(both)}")
    for name, path in files.items():
        try:
            found[name] = read_secret(path)
        except SettingsError as error:
            raise SettingsError(f"{variable_of(name)}{FILE_SUFFIX}: {error}") from error
    return found, files


def _settings(values: Mapping[str, object], files: dict[str, Path]) -> Settings:
    try:
        settings = msgspec.convert(values, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{PREFIX}…: {error}") from error
    # Secrets are sent to these.
    for name in ("momo_url", "oidc_issuer"):
        url = getattr(settings, name)
        if url and not is_confidential(url):
            raise SettingsError(f"{PREFIX}{name.upper()}: {url} is not an https URL")
    return msgspec.structs.replace(settings, secret_files=files)


def read_secret(path: Path) -> str:
    """Read a secret of one or more lines. Raises SettingsError, which does not quote it."""
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > SECRET_BYTES:
        raise SettingsError(f"{path} has more than {SECRET_BYTES} bytes")
    try:
        values = values_of(content.decode())
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8") from None
    if not values:
        raise SettingsError(f"{path} is empty")
    return "\n".join(values)


def is_confidential(url: str) -> bool:
    """Return whether nobody else can listen: over https, or on this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme == "http":
        return parts.hostname in ("localhost", "127.0.0.1", "::1")
    return parts.scheme == "https" and bool(parts.hostname)


def require_pepper(settings: Settings) -> None:
    """Raises SettingsError where persons would be hashed with a secret that anybody can guess."""
    if min(map(len, settings.peppers)) < PEPPER_LENGTH:
        raise SettingsError(
            f"ENGAGE_PEPPER has fewer than {PEPPER_LENGTH} characters: it is a random secret that person "
            "references are hashed with (openssl rand -hex 32); keep it, for without it nobody is recognised"
        )


def to_environment(settings: Settings) -> dict[str, str]:
    """The environment variables of these settings, for child processes."""
    files = settings.secret_files
    values = ((name, getattr(settings, name)) for name in VARIABLES if name not in files)
    return {variable_of(name): str(value) for name, value in values if value is not None} | {
        variable_of(name) + FILE_SUFFIX: str(path) for name, path in files.items()
    }


def _path(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(kind)
