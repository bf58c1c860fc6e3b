"""The text of one section of a document."""

from collections.abc import Sequence

from msgspec import Struct


class SectionTable(Struct, frozen=True):
    """`number_column` is the index of a column that is aligned to the right."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    number_column: int | None = None


class Description(Struct, frozen=True):
    """Sentences, and a table below the sentences of all sections. Both may be empty."""

    sentences: Sequence[str] = ()
    table: SectionTable | None = None
