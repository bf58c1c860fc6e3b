"""Rounds of drand quicknet as they were published, and draws made of them."""

from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec.structs import replace

from engage.domain.draws.beacon import QUICKNET
from engage.domain.draws.certificate import CertifiedRound, DrawCertificate, certified, terms_of
from engage.domain.draws.commitment import ALGORITHM, ListedEntry, entry_hash, root_of
from engage.domain.draws.drawing import winners_of

# Number and signature: of the documentation of the HTTP API, of drand-verify, and of drand's Python bindings.
PUBLISHED: Final = {
    42: "95a9f9f5b231b7714de1553105d8ffdf3dcda24cfdb1e689319bccf79a9c8ce430a91b811fbfaf763900bc998b5d686a",
    123: "b75c69d0b72a5d906e854e808ba7e2accb1542ac355ae486d591aa9d43765482e26cd02df835d3546d23c4b13e0dfc92",
    657413: (
        "b713718a38ae728dfd477991af2822e08d2f305e47718cef9f7848ce4050e7be41076862b98fad56e91a6b85b89cd97b"
    ),
}

ROUND: Final = 657413
CLOSES_AT: Final = QUICKNET.time_of(ROUND) - timedelta(seconds=61)


def listed(count: int, *, draw_id: str = "rewardmi") -> list[ListedEntry]:
    """Entries with numbers that leave gaps, as those of members who were erased do."""
    return [
        ListedEntry(
            number,
            entry_hash(
                program="in-mi-tokens",
                draw_id=draw_id,
                number=number,
                member_id=f"m-{number}",
                salt=f"{number:064x}",
            ),
        )
        for number in range(1, 2 * count, 2)
    ]


def certificate(
    count: int = 5, *, prizes: int = 2, closes_at: datetime = CLOSES_AT, late: timedelta = timedelta()
) -> DrawCertificate:
    """A draw that ROUND decided."""
    entries = listed(count)
    unsigned = DrawCertificate(
        program="in-mi-tokens",
        draw_id="rewardmi",
        version="2017",
        algorithm=ALGORITHM,
        closes_at=closes_at.astimezone(UTC),
        round_after_s=60,
        prizes=prizes,
        points=500,
        entries=entries,
        root="",
        published_at=closes_at + late,
        round=CertifiedRound(ROUND, QUICKNET.time_of(ROUND), PUBLISHED[ROUND]),
        beacon=QUICKNET.beacon,
        chain=certified(QUICKNET),
        winners=None,
    )
    return sign(unsigned)


def sign(unsigned: DrawCertificate) -> DrawCertificate:
    """The certificate with the root of its content, and the winners that follow."""
    root = root_of(terms_of(unsigned), unsigned.entries)
    signature = unsigned.round.signature
    assert signature is not None
    numbers = [entry.number for entry in unsigned.entries]
    return replace(unsigned, root=root, winners=winners_of(root, signature, numbers, unsigned.prizes))
