"""Read settings from an environment, with every mistake in it."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from stat import S_IROTH, S_IWOTH
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from engage.connections.cluster import SCHEMES
from engage.doctor.observations import KeySetSeen, SettingProblem, SettingsSeen
from engage.settings import (
    FILE_SUFFIX,
    PREFIX,
    SECRETS,
    VARIABLES,
    Settings,
    SettingsError,
    from_environment,
    read_secret,
    values_of,
    variable_of,
)
from engage.tokens.key_sets import KeyFile, KeySetError, fetch_keys

SERVERS: Final = ("database_url", "state_url", "queue_url", "topics_url")

# Read by other parts than the settings.
_OTHERS: Final = {"ENGAGE_DATA"}

_SCHEMES: Final[Mapping[str, tuple[str, ...]]] = {
    "database_url": ("postgresql+asyncpg",),
    "state_url": ("redis", "rediss", "redis+cluster", "rediss+cluster"),
    "queue_url": ("redis", "rediss"),
    "topics_url": ("redis", "rediss", "redis+cluster", "rediss+cluster"),
}


def read_settings(environment: Mapping[str, str]) -> tuple[Settings, SettingsSeen]:
    """Read what can be read; a server whose URL is missing or does not fit has an empty one."""
    good: dict[str, str] = {}
    problems: list[SettingProblem] = []
    for name in VARIABLES:
        variable = variable_of(name)
        file = variable + FILE_SUFFIX
        if name in SECRETS and environment.get(file):
            reason = _reason_of_file(name, environment)
            used = file
        elif variable in environment:
            reason = _reason(name, environment[variable])
            used = variable
        elif name in SERVERS:
            reason, used = "it is not set", variable
        else:
            continue
        if reason is None:
            good[used] = environment[used]
        else:
            problems.append(SettingProblem(used, reason))
    empty = (variable_of(name) for name in SERVERS if variable_of(name) + FILE_SUFFIX not in good)
    settings = from_environment(dict.fromkeys(empty, "") | good)
    return settings, _seen(settings, problems, _unknown(environment))


async def read_key_set(settings: Settings) -> KeySetSeen | None:
    """Read the key set, from where a process would. None without one."""
    source = settings.jwks
    if not source or source.startswith("http://"):
        return None
    try:
        keys = await fetch_keys(source) if source.startswith("https://") else KeyFile(Path(source)).read()
    except KeySetError as error:
        return KeySetSeen(without_password(source), 0, str(error).replace(source, "it"))
    return KeySetSeen(without_password(source), len(keys), "")


def without_password(url: str) -> str:
    """The URL without user, password and query: they can be secrets."""
    parts = urlsplit(url)
    if not parts.netloc:
        return parts.path or url
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def _reason(name: str, value: str) -> str | None:
    """Why a value does not fit, without the value."""
    variable = variable_of(name)
    servers = {variable_of(server): "" for server in SERVERS}
    try:
        from_environment(servers | {variable: value})
    except SettingsError as error:
        return str(error).removeprefix(f"{PREFIX}…: ").replace(value, "…") if value else str(error)
    schemes = _SCHEMES.get(name)
    try:
        scheme = urlsplit(_first(value)).scheme
    except ValueError:
        return "it is no URL"
    # A Cluster in the wrong place is a finding of its own.
    if schemes and scheme not in (
        *schemes,
        *(() if name == "database_url" else ("redis+cluster", "rediss+cluster")),
    ):
        return f"it should begin with {' or '.join(f'{each}://' for each in schemes)}"
    return None


def _reason_of_file(name: str, environment: Mapping[str, str]) -> str | None:
    if variable_of(name) in environment:
        return f"{variable_of(name)} is set too"
    try:
        return _reason(name, read_secret(Path(environment[variable_of(name) + FILE_SUFFIX])))
    except SettingsError as error:
        return str(error)


def _first(secret: str) -> str:
    return next(iter(values_of(secret)), "")


def _unknown(environment: Mapping[str, str]) -> dict[str, str]:
    known = {variable_of(name) for name in VARIABLES} | _OTHERS
    known |= {variable_of(name) + FILE_SUFFIX for name in SECRETS}
    return {
        name: next(iter(get_close_matches(name, known, 1, 0.85)), "")
        for name in sorted(environment)
        if name.startswith(PREFIX) and name not in known
    }


def _seen(settings: Settings, problems: list[SettingProblem], unknown: dict[str, str]) -> SettingsSeen:
    missing: Mapping[str, list[str]] = {
        "momo": _unset(settings, "momo_subscription_key", "momo_user", "momo_key", "momo_environment"),
    }
    sign_in = ("oidc_client_id", "oidc_client_secret", "oidc_redirect_url")
    return SettingsSeen(
        problems=problems,
        unknown=unknown,
        is_sandbox=settings.sandbox is not None,
        api_host=settings.api_host,
        feed_host=settings.feed_host,
        jwks=without_password(settings.jwks),
        jwt_issuer=settings.jwt_issuer,
        jwt_audience=settings.jwt_audience,
        pepper_length=min(map(len, settings.peppers)),
        pepper_characters=min(len(set(pepper)) for pepper in settings.peppers),
        payouts=settings.payouts,
        missing_for_payouts=missing.get(settings.payouts, []),
        missing_for_sign_in=_unset(settings, *sign_in) if settings.has_provider else [],
        feed_url=without_password(settings.feed_url),
        state_url_is_queue=bool(settings.state_url)
        and _server(settings.state_url) == _server(settings.queue_url),
        queue_is_cluster=settings.queue_url.startswith(SCHEMES),
        secrets_of_all=[
            variable_of(name) + FILE_SUFFIX
            for name, path in settings.secret_files.items()
            if path.stat().st_mode & (S_IROTH | S_IWOTH)
        ],
        old_values={
            variable_of(name): len(values) - 1
            for name in SECRETS
            if name != "pepper" and len(values := values_of(getattr(settings, name))) > 1
        },
    )


def _unset(settings: Settings, *names: str) -> list[str]:
    values: dict[str, Any] = msgspec.structs.asdict(settings)
    return [variable_of(name) for name in names if not values[name]]


def _server(url: str) -> str:
    return urlsplit(_first(url)).netloc.rpartition("@")[2]
