"""The country-specific part of a program: time zone and currency."""

from typing import Annotated

from msgspec import Meta

from engage.domain.document.fields import Currency, DocumentStruct


class Market(DocumentStruct, frozen=True):
    """A country of a program. Its zone decides when days and months begin for its members."""

    zone: Annotated[str, Meta(description="an IANA time zone, such as Europe/Madrid")]
    currency: Currency
