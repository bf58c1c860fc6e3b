"""The country-specific part of a program: time zone and currency."""

from typing import Annotated

from msgspec import Meta

from engage.domain.document.fields import Currency, DocumentStruct


class Market(DocumentStruct, frozen=True):
    """What a country has of its own. The zone is that of its members' days and months."""

    zone: Annotated[str, Meta(description="an IANA time zone, such as Europe/Madrid")]
    currency: Currency
