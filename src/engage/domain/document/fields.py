"""The base of all structs in documents, and the types of their fields."""

from typing import Annotated

from msgspec import Meta, Struct

from engage.domain.activity import ONE_LINE

# A $ alone lets a newline through at the end, so the patterns rule that out.
ProgramId = Annotated[
    str,
    Meta(
        max_length=32,
        pattern=r"^[a-z][a-z0-9-]*(?!\n)$",
        description="a name of small letters, digits and -, at most 32, beginning with a letter",
    ),
]
VersionName = Annotated[
    str,
    Meta(
        max_length=32,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(?!\n)$",
        description="a name of letters, digits and . _ -, at most 32, such as 2022 or 2022-autumn",
    ),
]
RuleId = Annotated[
    str,
    Meta(
        max_length=48,
        pattern=r"^[a-z][a-z0-9_]*(?!\n)$",
        description="a name of small letters, digits and _, at most 48, beginning with a letter",
    ),
]
Title = Annotated[
    str,
    Meta(max_length=200, pattern=ONE_LINE, description="one line of text, at most 200 long"),
]
Country = Annotated[
    str,
    Meta(pattern=r"^[A-Z]{2}(?!\n)$", description="a country's two letters (ISO 3166-1), such as ES"),
]
Currency = Annotated[
    str,
    Meta(pattern=r"^[A-Z]{3}(?!\n)$", description="a currency's three letters (ISO 4217), such as EUR"),
]
Points = Annotated[int, Meta(ge=1, le=1_000_000)]


class DocumentStruct(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every struct in a document. An unknown field is a problem, not ignored."""
