"""Checks of the settings and of the key set."""

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from engage.doctor.check import Check, Facts
from engage.doctor.observations import KeySetSeen, SettingsSeen
from engage.settings import PEPPER_LENGTH

FEWEST_CHARACTERS = 8


def _do_not_fit(seen: SettingsSeen) -> Iterator[Facts]:
    for problem in seen.problems:
        yield {"variable": problem.variable, "reason": problem.reason}


def _unknown(seen: SettingsSeen) -> Iterator[Facts]:
    for variable, similar in seen.unknown.items():
        yield {"variable": variable, "similar": f"rename it to {similar}" if similar else "remove it"}


def _pepper_short(seen: SettingsSeen) -> Iterator[Facts]:
    if seen.pepper_length < PEPPER_LENGTH:
        yield {"fewest": PEPPER_LENGTH}


def _pepper_guessable(seen: SettingsSeen) -> Iterator[Facts]:
    if seen.pepper_length >= PEPPER_LENGTH and seen.pepper_characters < FEWEST_CHARACTERS:
        yield {}


def _sandbox_open(seen: SettingsSeen) -> Iterator[Facts]:
    if seen.is_sandbox:
        for variable, host in (("ENGAGE_API_HOST", seen.api_host), ("ENGAGE_FEED_HOST", seen.feed_host)):
            if not is_loopback(host):
                yield {"variable": variable, "host": host}


def _sandbox_tokens(seen: SettingsSeen) -> Iterator[Facts]:
    if not seen.is_sandbox and seen.jwt_issuer == "engage" and seen.jwt_audience == "engage":
        yield {}


def _no_key_set(seen: SettingsSeen) -> Iterator[Facts]:
    if not seen.jwks:
        yield {}


def _plain_key_set(seen: SettingsSeen) -> Iterator[Facts]:
    if seen.jwks.startswith("http://"):
        yield {}


def _payouts(seen: SettingsSeen) -> Iterator[Facts]:
    for variable in seen.missing_for_payouts:
        yield {"variable": variable, "provider": seen.payouts}


def _sign_in(seen: SettingsSeen) -> Iterator[Facts]:
    for variable in seen.missing_for_sign_in:
        yield {"variable": variable}


def _feed_url(seen: SettingsSeen) -> Iterator[Facts]:
    host = urlsplit(seen.feed_url).hostname or ""
    if not seen.is_sandbox and is_loopback(host):
        yield {"host": host}


def _shared_server(seen: SettingsSeen) -> Iterator[Facts]:
    if not seen.is_sandbox and seen.state_url_is_queue:
        yield {}


def _queue_cluster(seen: SettingsSeen) -> Iterator[Facts]:
    if seen.queue_is_cluster:
        yield {"variable": "ENGAGE_QUEUE_URL", "why": "arq, the queue's library, cannot use one"}


def _secrets_of_all(seen: SettingsSeen) -> Iterator[Facts]:
    for variable in seen.secrets_of_all:
        yield {"variable": variable}


def _old_values(seen: SettingsSeen) -> Iterator[Facts]:
    for variable, count in seen.old_values.items():
        yield {"variable": variable, "count": count}


def _unreadable(seen: KeySetSeen) -> Iterator[Facts]:
    if seen.error:
        yield {"source": seen.source, "error": seen.error}


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


CHECKS = (
    Check(
        "setting_does_not_fit",
        "settings",
        "error",
        "{variable} does not fit: {reason}.",
        "Set {variable} in the environment of each process, and restart them.",
        _do_not_fit,
    ),
    Check(
        "setting_unknown",
        "settings",
        "warning",
        "{variable} is set, and no setting has this name.",
        "It changes nothing: {similar}.",
        _unknown,
    ),
    Check(
        "pepper_short",
        "settings",
        "error",
        "The pepper that person references are hashed with has fewer than {fewest} characters.",
        "Set ENGAGE_PEPPER to the one that this installation has always had. Only a new installation gets a "
        "new one: openssl rand -hex 32.",
        _pepper_short,
    ),
    Check(
        "pepper_guessable",
        "settings",
        "warning",
        "The pepper that person references are hashed with repeats a few characters and can be guessed.",
        "Persons that were hashed with it are recognised by it alone, so do not change it without a plan. "
        "A new installation should have a random one: openssl rand -hex 32.",
        _pepper_guessable,
    ),
    Check(
        "sandbox_open",
        "settings",
        "error",
        "This is a sandbox, in which anybody can sign tokens, and {variable} opens it to the network at "
        "{host}.",
        "Set {variable} to 127.0.0.1, or install engage without a sandbox (unset ENGAGE_SANDBOX).",
        _sandbox_open,
    ),
    Check(
        "tokens_of_anybody",
        "settings",
        "notice",
        "Issuer and audience of members' tokens are the defaults, `engage`.",
        "Set ENGAGE_JWT_ISSUER and ENGAGE_JWT_AUDIENCE to what your identity provider writes into its "
        "tokens. All other tokens are refused.",
        _sandbox_tokens,
    ),
    Check(
        "key_set_missing",
        "settings",
        "error",
        "No key set is named, so no member's token can be verified.",
        "Set ENGAGE_JWKS to the https URL of your identity provider's key set, or to a file with it.",
        _no_key_set,
    ),
    Check(
        "key_set_plain",
        "settings",
        "error",
        "The key set is fetched without encryption, so anybody on the way can add a key of their own.",
        "Set ENGAGE_JWKS to an https URL.",
        _plain_key_set,
    ),
    Check(
        "payouts_incomplete",
        "settings",
        "error",
        "Payouts go through {provider}, and {variable} is not set.",
        "Set {variable}, or unset ENGAGE_PAYOUTS: withdrawals are then refused instead of failing.",
        _payouts,
    ),
    Check(
        "sign_in_incomplete",
        "settings",
        "error",
        "Operators should sign in with an OpenID Connect provider, and {variable} is not set.",
        "Set {variable}, or unset ENGAGE_OIDC_ISSUER.",
        _sign_in,
    ),
    Check(
        "feed_url_of_this_machine",
        "settings",
        "warning",
        "ENGAGE_FEED_URL sends apps to {host}, which is the phone itself to them.",
        "Set ENGAGE_FEED_URL to the wss URL at which apps reach the feed.",
        _feed_url,
    ),
    Check(
        "shared_valkey",
        "settings",
        "notice",
        "The gate's state and the queue share a server.",
        "It works. Under load give the queue a Valkey of its own: it is written to disk, and the state "
        "need not be.",
        _shared_server,
    ),
    Check(
        "cluster_not_possible",
        "settings",
        "error",
        "{variable} names a Cluster, and {why}.",
        "Let {variable} name a single server. Only ENGAGE_STATE_URL and ENGAGE_TOPICS_URL may be Clusters.",
        _queue_cluster,
    ),
    Check(
        "secret_of_all",
        "settings",
        "warning",
        "Every user of this machine can read or change the secret in the file of {variable}.",
        "Give it to the user of the processes alone: chmod 600.",
        _secrets_of_all,
    ),
    Check(
        "secret_rotates",
        "settings",
        "notice",
        "{variable} has {count} old values below the first.",
        "Fine while it is rotated. When the other side accepts the first one, take the others out "
        "(docs/security.md, Rotate a key).",
        _old_values,
    ),
    Check(
        "key_set_unreadable",
        "key_set",
        "error",
        "The key set {source} cannot be read: {error}.",
        "Members' tokens are refused as soon as a process starts without it. See that this machine reaches "
        "it, and that it has a signing key with a kid for EdDSA (Ed25519) or ES256 (P-256).",
        _unreadable,
    ),
)
