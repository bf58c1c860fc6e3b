"""The certificate of a draw: a document from which anyone can check the winners, with nothing else."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from engage.domain.draws.beacon import QUICKNET, SANDBOX, SCHEME, Chain, is_signed, sandbox_chain
from engage.domain.draws.commitment import ALGORITHM, Digest, ListedEntry, Terms, root_of
from engage.domain.draws.drawing import named_round, winners_of

Count = Annotated[int, Meta(ge=0, le=1 << 53)]
Instant = Annotated[datetime, Meta(tz=True)]

# No draw is later, so that sums of times stay times.
LATEST_YEAR = 2200
LONGEST_WAIT_S = 366 * 86_400


class CertifiedRound(Struct, frozen=True, forbid_unknown_fields=True):
    """The round that decides, and when it is emitted. `signature` is null until it is."""

    number: Count
    at: Instant
    signature: str | None


class CertifiedChain(Struct, frozen=True, forbid_unknown_fields=True):
    """The beacon's public parameters: `genesis` is the time of its round 1, in seconds since 1970."""

    hash: Digest
    scheme: str
    public_key: str
    period_s: Count
    genesis: Count


class DrawCertificate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen draw. `winners` is null until it is drawn; `prizes` is how many win at most.

    `published_at` is when the list was frozen and the root published. Of `version` are the draw's terms.
    """

    program: str
    draw_id: str
    version: str
    algorithm: str
    closes_at: Instant
    round_after_s: Count
    prizes: Count
    points: Count
    entries: list[ListedEntry]
    root: Digest
    published_at: Instant
    round: CertifiedRound
    beacon: str
    chain: CertifiedChain
    winners: list[int] | None

    @property
    def is_of_sandbox(self) -> bool:
        return self.beacon == SANDBOX


def certified(chain: Chain) -> CertifiedChain:
    return CertifiedChain(chain.hash, SCHEME, chain.public_key, chain.period_s, chain.genesis)


def terms_of(certificate: DrawCertificate) -> Terms:
    """The terms that the root is over."""
    return Terms(
        algorithm=certificate.algorithm,
        program=certificate.program,
        draw_id=certificate.draw_id,
        version=certificate.version,
        closes_at=certificate.closes_at,
        round_after_s=certificate.round_after_s,
        prizes=certificate.prizes,
        points=certificate.points,
        entries=len(certificate.entries),
        published_at=certificate.published_at,
        beacon=certificate.beacon,
        chain=certificate.chain.hash,
        round=certificate.round.number,
    )


def faults(certificate: DrawCertificate) -> list[str]:
    """All that is wrong with a certificate, in words; nothing where its winners are proved."""
    if certificate.algorithm != ALGORITHM:
        return [f"algorithm: {certificate.algorithm!r} is not known here, only {ALGORITHM}"]
    found = [*_entries(certificate), *_chain(certificate), *_times(certificate)]
    return found or [*_root(certificate), *_round(certificate), *_winners(certificate)]


def differences(certificate: DrawCertificate, copy: DrawCertificate) -> list[str]:
    """The fields in which a certificate differs from a copy that somebody kept before the round."""
    now, before = _as_frozen(certificate), _as_frozen(copy)
    return [
        f"{name}: not as in the copy of before the round"
        for name in DrawCertificate.__struct_fields__
        if getattr(now, name) != getattr(before, name)
    ]


def _as_frozen(certificate: DrawCertificate) -> DrawCertificate:
    return replace(certificate, round=replace(certificate.round, signature=None), winners=None)


def _entries(certificate: DrawCertificate) -> Iterator[str]:
    numbers = [entry.number for entry in certificate.entries]
    if not numbers:
        yield "entries: a draw without entries has no winners"
    if numbers != sorted(set(numbers)):
        yield "entries: the numbers do not rise from entry to entry"
    if len({entry.hash for entry in certificate.entries}) < len(numbers):
        yield "entries: two of them have the same hash"


def _chain(certificate: DrawCertificate) -> Iterator[str]:
    chain = _chain_of(certificate)
    if certificate.beacon != chain.beacon:
        yield f"beacon: {certificate.beacon!r} is not known here, only {QUICKNET.beacon} and {SANDBOX}"
    elif certificate.chain != certified(chain):
        yield f"chain: these are not the parameters of the beacon {certificate.beacon}"


def _times(certificate: DrawCertificate) -> Iterator[str]:
    times = (certificate.closes_at, certificate.published_at)
    if max(at.year for at in times) > LATEST_YEAR or certificate.round_after_s > LONGEST_WAIT_S:
        yield "closes_at, published_at, round_after_s: such a time is not possible"
    elif certificate.published_at < certificate.closes_at:
        yield "published_at: the list was frozen before the draw closed"


def _chain_of(certificate: DrawCertificate) -> Chain:
    """The chain that the certificate names: the pinned one, or the sandbox's, which has any key."""
    if certificate.is_of_sandbox:
        try:
            bytes.fromhex(certificate.chain.public_key)
        except ValueError:
            return QUICKNET
        return sandbox_chain(certificate.chain.public_key)
    return QUICKNET


def _root(certificate: DrawCertificate) -> Iterator[str]:
    found = root_of(terms_of(certificate), certificate.entries)
    if found != certificate.root:
        yield f"root: the terms and the entries have the root {found}"


def _round(certificate: DrawCertificate) -> Iterator[str]:
    chain, number = _chain_of(certificate), certificate.round.number
    named = named_round(
        chain,
        closes_at=certificate.closes_at,
        round_after=timedelta(seconds=certificate.round_after_s),
        published_at=certificate.published_at,
    )
    if number != named:
        yield f"round.number: the first round later than the closing and round_after_s is {named}"
    if certificate.round.at != chain.time_of(named):
        yield f"round.at: round {named} is emitted at {chain.time_of(named).isoformat()}"
    if certificate.round.signature is None:
        yield f"round.signature: the draw waits for round {named}, at {chain.time_of(named).isoformat()}"
    elif not is_signed(chain, number, certificate.round.signature):
        yield f"round.signature: it is not the beacon's signature of round {number}"


def _winners(certificate: DrawCertificate) -> Iterator[str]:
    signature = certificate.round.signature
    if signature is None:
        if certificate.winners is not None:
            yield "winners: there are none before the round"
        return
    try:
        numbers = [entry.number for entry in certificate.entries]
        found = winners_of(certificate.root, signature, numbers, certificate.prizes)
    except ValueError:
        return  # The signature is no hexadecimal text, and that is said already.
    if certificate.winners != found:
        yield f"winners: root and signature give {found}"
