"""`engage draw`: check the certificate of a draw with nothing but the file."""

from pathlib import Path

import rich_click as click

from engage.decoding.malformed import Malformed
from engage.domain.draws.certificate import DrawCertificate, differences, faults
from engage.domain.draws.reading import CERTIFICATE_BYTES, read_certificate

_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


@click.group()
def draw() -> None:
    """Prize draws that anyone can check."""


@draw.command()
@click.argument("file", type=_FILE)
@click.option(
    "--frozen",
    type=_FILE,
    help="A copy of the certificate from before the round. The root was public then if both agree.",
)
@click.pass_context
def verify(ctx: click.Context, file: Path, frozen: Path | None) -> None:
    """Check the certificate of a draw: the list's root, the beacon's signature, the winners.

    Needs neither a database nor a network. FILE is what `GET /v1/draws/{id}/certificate` answered; `-` is the
    standard input. The exit status is 0 if the winners are proved, and 1 with what is wrong if they are not.
    """
    certificate = _read(ctx, file)
    found = faults(certificate)
    if frozen is not None:
        found += differences(certificate, _read(ctx, frozen))
    if found:
        click.echo(f"draw {certificate.draw_id} of {certificate.program} is not proved:")
        for fault in found:
            click.echo(f"  {fault}")
        ctx.exit(1)
    _show(certificate)
    if frozen is not None:
        click.echo("everything but the signature and the winners is as in the copy of before the round")


def _read(ctx: click.Context, file: Path) -> DrawCertificate:
    with click.open_file(str(file), "rb") as opened:
        text = opened.read(CERTIFICATE_BYTES + 1)
    try:
        return read_certificate(text)
    except Malformed as mistake:
        click.echo(f"{file}: not a certificate of a draw: {mistake}")
        ctx.exit(1)


def _show(certificate: DrawCertificate) -> None:
    drawn = certificate.round
    click.echo(f"winners: {', '.join(map(str, certificate.winners or []))}")
    click.echo(
        f"draw {certificate.draw_id} of {certificate.program}: {len(certificate.entries):,} entries, "
        f"{certificate.prizes:,} prizes of {certificate.points:,} points"
    )
    click.echo(f"root {certificate.root}, said to be published at {certificate.published_at.isoformat()}")
    click.echo(f"round {drawn.number} of {certificate.beacon}, emitted at {drawn.at.isoformat()}")
    if certificate.is_of_sandbox:
        click.echo(
            "WARNING: the beacon is the sandbox's. Whoever has its data folder knows its rounds before their"
            " time, so this proves nothing about a real draw."
        )
