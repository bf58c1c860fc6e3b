"""Validate a decoded value against a type and collect every mismatch, in words.

msgspec stops at the first one; the author of a document and the caller of the API want all. So this walks the
same types and asks msgspec about single values. It supports the kinds of types that documents and request
bodies are made of.
"""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from itertools import islice
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin
from uuid import UUID

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import FieldInfo

from engage.domain.document.errors import Mismatch, Problem, join, nearest, one_of, shown


class Notation(Struct, frozen=True):
    """The words of a format. `whole` is the path of the whole value, `null` what None is called.

    `tags_required`: a table must name its kind even where there is only one, which msgspec does not ask for.
    """

    whole: str
    table: str
    null: str
    tags_required: bool


TOML: Final = Notation("the document", "a table", "nothing", tags_required=True)
JSON: Final = Notation("$", "an object", "null", tags_required=False)

# What stands for no value: null, and a field that was left out.
_ABSENT: Final = (NoneType, msgspec.UnsetType)

_DESCRIPTIONS = {
    str: "text",
    bool: "true or false",
    float: "a number",
    date: "a date, such as 2022-09-01",
    datetime: "a date and time, such as 2022-09-01T10:00:00",
    time: "a local time, such as 12:00:00",
    timedelta: "a duration (ISO 8601), such as PT5M",
    UUID: "a UUID, such as 019aa3c0-7c1e-7b6a-9d6e-2f1f0f6d3a10",
}
_ZONED = "a time with its zone (RFC 3339), such as 2022-09-01T10:00:00Z"


def mismatches(
    value: object, type_: Any, path: str = "", *, notation: Notation = TOML, most: int | None = None
) -> list[Problem]:
    """The places in `value` that do not match a type, in their order there, `most` at most. Without any,
    msgspec converts it.
    """
    return list(islice(_mismatches(value, type_, path, notation), most))


def _mismatches(value: object, type_: Any, path: str, words: Notation) -> Iterator[Problem]:
    error = _error(value, type_)
    if error is None and not words.tags_required:
        return
    found = False
    for problem in _nested(value, type_, path, words):
        found = True
        yield problem
    if error is not None and not found:
        yield _own(error, value, type_, path or words.whole, words)


def _error(value: object, type_: Any) -> msgspec.ValidationError | None:
    try:
        msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        return error
    return None


def _own(error: msgspec.ValidationError, value: object, type_: Any, path: str, words: Notation) -> Problem:
    """The mismatch of a value whose parts all match."""
    if isinstance(error.__cause__, Mismatch):
        return Problem(path, error.__cause__.expected, error.__cause__.found)
    return Problem(path, expected(type_, words), _shown(value, words))


def _nested(value: object, type_: Any, path: str, words: Notation) -> Iterator[Problem]:
    """The mismatches inside a list or table; none where the value or its type is neither."""
    base, metas = unwrap(type_)
    match value:
        case list() if get_origin(base) is list:
            (item_type,) = get_args(base)
            longest = _least(meta.max_length for meta in metas)
            if longest is not None and len(value) > longest:
                yield Problem(path or words.whole, expected(type_, words), _shown(value, words))
            for index, item in enumerate(value[:longest]):
                yield from _mismatches(item, item_type, f"{path}[{index}]", words)
        case dict() if get_origin(base) is dict:
            key_type, item_type = get_args(base)
            for key, item in value.items():
                if _error(key, key_type) is not None:
                    yield Problem(join(path, key), expected(key_type, words), shown(key))
                yield from _mismatches(item, item_type, join(path, key), words)
        case dict():
            structs = structs_of(base)
            if structs:
                yield from _table(value, structs, path, words)


def _table(
    table: dict[str, Any], structs: list[type[Struct]], path: str, words: Notation
) -> Iterator[Problem]:
    """The mismatches of a table with one of these structs, which its tag selects."""
    tag_field = structs[0].__struct_config__.tag_field
    if tag_field is None:
        yield from _fields(table, structs[0], path, words)
        return
    by_tag = {str(struct.__struct_config__.tag): struct for struct in structs}
    tag = table.get(tag_field)
    if isinstance(tag, str) and tag in by_tag:
        yield from _fields(table, by_tag[tag], path, words)
    elif tag_field in table or len(structs) > 1 or words.tags_required:
        hint = nearest(tag, by_tag) if isinstance(tag, str) else ""
        found = _shown(tag, words) if tag_field in table else "nothing"
        yield Problem(join(path, tag_field), one_of(by_tag), found + hint)
    else:
        yield from _fields(table, structs[0], path, words)


def _fields(table: dict[str, Any], struct: type[Struct], path: str, words: Notation) -> Iterator[Problem]:
    """The mismatches of a table's fields in their order, then the missing ones."""
    config = struct.__struct_config__
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    known = [name for name in (config.tag_field, *fields) if name is not None]
    for name, value in table.items():
        if name in fields:
            yield from _mismatches(value, fields[name].type, join(path, name), words)
        elif name not in known and config.forbid_unknown_fields:
            fields_known = one_of(known) if known else f"{words.table} without fields"
            yield Problem(join(path, name), fields_known, "an unknown field" + nearest(name, known))
    for name, field in fields.items():
        if name not in table and is_required(field):
            yield Problem(join(path, name), expected(field.type, words), "nothing")


def is_required(field: FieldInfo) -> bool:
    """True if a table needs the field."""
    return field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT


def expected(type_: Any, words: Notation = TOML) -> str:
    """Describe a type: by its own description, if it has one."""
    base, metas = unwrap(type_)
    described = next((meta.description for meta in metas if meta.description), None)
    if described is not None:
        return described
    if base is int:
        return "a whole number" + _range(_most(m.ge for m in metas), _least(m.le for m in metas))
    if get_origin(base) is Literal:
        return one_of(sorted(name for name in get_args(base) if name))
    longest, shortest = _least(m.max_length for m in metas), _most(m.min_length for m in metas)
    if get_origin(base) is list:
        return "a list" + _length(shortest, longest, "")
    if get_origin(base) is dict:
        return words.table + _length(shortest, longest, " fields")
    if base is datetime and any(meta.tz for meta in metas):
        return _ZONED
    structs = structs_of(base)
    if structs:
        return f"{words.table} with {_names(structs)}" if _names(structs) else f"{words.table} without fields"
    if len(_members(base)) > 1:
        return " or ".join(expected(member, words) for member in _members(base))
    return _DESCRIPTIONS[base] + _length(shortest, longest, " characters")


def _names(structs: list[type[Struct]]) -> str:
    """The tag that selects one of several structs, or the fields of the only one."""
    if len(structs) > 1:
        return str(structs[0].__struct_config__.tag_field)
    return ", ".join(field.encode_name for field in msgspec.structs.fields(structs[0]))


def _range(low: float | None, high: float | None) -> str:
    match low, high:
        case None, None:
            return ""
        case _, None:
            return f" of {low} or more"
        case None, _:
            return f" of {high} or less"
        case _:
            return f" from {low} to {high}"


def _length(shortest: int | None, longest: int | None, unit: str) -> str:
    match shortest or 0, longest:
        case 0, None:
            return ""
        case 0, _:
            return f" of at most {longest}{unit}"
        case 1, None:
            return " of at least one" + unit.removesuffix("s")
        case _, None:
            return f" of at least {shortest}{unit}"
        case _:
            return f" of {shortest} to {longest}{unit}"


def _least(values: Any) -> Any:
    return min((value for value in values if value is not None), default=None)


def _most(values: Any) -> Any:
    return max((value for value in values if value is not None), default=None)


def _shown(value: object, words: Notation) -> str:
    match value:
        case None:
            return words.null
        case dict():
            return words.table if value else f"{words.table} without fields"
        case _:
            return shown(value)


def unwrap(type_: Any) -> tuple[Any, list[Meta]]:
    """A type without `Annotated`, `| None` and `| UnsetType`, and its annotations."""
    metas: list[Meta] = []
    while True:
        if get_origin(type_) is Annotated:
            type_, *found = get_args(type_)
            metas = [*metas, *found]
            continue
        members = [member for member in _members(type_) if member not in _ABSENT]
        if len(members) != 1 or members[0] is type_:
            return type_, metas
        type_ = members[0]


def _members(type_: Any) -> tuple[Any, ...]:
    return get_args(type_) if get_origin(type_) in (Union, UnionType) else (type_,)


def structs_of(base: Any) -> list[type[Struct]]:
    """The structs that an unwrapped type stands for, which tags tell apart."""
    return [member for member in _members(base) if isinstance(member, type) and issubclass(member, Struct)]
