"""Validate a decoded TOML value against a type and collect every mismatch.

msgspec stops at the first one; the author of a document wants all. So this walks the same types and asks
msgspec about single values. It supports the kinds of types that documents are made of.
"""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import FieldInfo

from engage.domain.document.errors import Problem, join, nearest, one_of, shown

_DESCRIPTIONS = {
    str: "text",
    bool: "true or false",
    date: "a date, such as 2022-09-01",
    datetime: "a date and time, such as 2022-09-01T10:00:00",
    time: "a local time, such as 12:00:00",
    timedelta: "a duration (ISO 8601), such as PT5M",
    dict: "a table",
}


def mismatches(value: object, type_: Any, path: str = "") -> list[Problem]:
    """Every place in `value` that does not match a type. Without any, msgspec converts it."""
    nested = list(_nested(value, type_, path))
    if nested or _converts(value, type_):
        return nested
    return [Problem(path or "the document", expected(type_), shown(value))]


def _converts(value: object, type_: Any) -> bool:
    try:
        msgspec.convert(value, type_)
    except msgspec.ValidationError:
        return False
    return True


def _nested(value: object, type_: Any, path: str) -> Iterator[Problem]:
    """The mismatches inside a list or table; none where the value or its type is neither."""
    base, _ = _unwrap(type_)
    match value:
        case list() if get_origin(base) is list:
            (item_type,) = get_args(base)
            for index, item in enumerate(value):
                yield from mismatches(item, item_type, f"{path}[{index}]")
        case dict() if get_origin(base) is dict:
            key_type, item_type = get_args(base)
            for key, item in value.items():
                if not _converts(key, key_type):
                    yield Problem(join(path, key), expected(key_type), shown(key))
                yield from mismatches(item, item_type, join(path, key))
        case dict():
            structs = _structs(base)
            if structs:
                yield from _table(value, structs, path)


def _table(table: dict[str, Any], structs: list[type[Struct]], path: str) -> Iterator[Problem]:
    """The mismatches of a table with one of these structs, which its tag selects."""
    config = structs[0].__struct_config__
    tag_field = config.tag_field
    if tag_field is None:
        yield from _fields(table, structs[0], path, tag_field)
        return
    by_tag = {str(struct.__struct_config__.tag): struct for struct in structs}
    tag = table.get(tag_field)
    if isinstance(tag, str) and tag in by_tag:
        yield from _fields(table, by_tag[tag], path, tag_field)
    else:
        hint = nearest(tag, by_tag) if isinstance(tag, str) else ""
        yield Problem(join(path, tag_field), one_of(by_tag), shown(tag) + hint)


def _fields(
    table: dict[str, Any], struct: type[Struct], path: str, tag_field: str | None
) -> Iterator[Problem]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    known = [name for name in (tag_field, *fields) if name is not None]
    for name in table:
        if name not in known:
            yield Problem(join(path, name), one_of(known), "an unknown field" + nearest(name, known))
    for name, field in fields.items():
        if name in table:
            yield from mismatches(table[name], field.type, join(path, name))
        elif _required(field):
            yield Problem(join(path, name), expected(field.type), "nothing")


def _required(field: FieldInfo) -> bool:
    return field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT


def expected(type_: Any) -> str:
    """Describe a type: by its own description, if it has one."""
    base, metas = _unwrap(type_)
    for meta in metas:
        if meta.description:
            return meta.description
    if base is int:
        low = next((meta.ge for meta in metas if meta.ge is not None), None)
        high = next((meta.le for meta in metas if meta.le is not None), None)
        return "a whole number" + (f" from {low} to {high}" if low is not None else "")
    if get_origin(base) is Literal:
        return one_of(sorted(get_args(base)))
    if get_origin(base) is list:
        return "a list of at least one" if any(meta.min_length for meta in metas) else "a list"
    if get_origin(base) is dict:
        return "a table of at least one" if any(meta.min_length for meta in metas) else "a table"
    structs = _structs(base)
    if not structs and len(_members(base)) > 1:
        return " or ".join(expected(member) for member in _members(base))
    if len(structs) > 1:
        return f"a table with {structs[0].__struct_config__.tag_field}"
    if structs:
        return "a table with " + ", ".join(f.encode_name for f in msgspec.structs.fields(structs[0]))
    longest = next((meta.max_length for meta in metas if meta.max_length), None)
    return _DESCRIPTIONS[base] + (f" of 1 to {longest} characters" if longest else "")


def _unwrap(type_: Any) -> tuple[Any, list[Meta]]:
    """A type without `Annotated` and `| None`, and its annotations. TOML has no null."""
    metas: list[Meta] = []
    while True:
        if get_origin(type_) is Annotated:
            type_, *found = get_args(type_)
            metas = [*metas, *found]
            continue
        members = [member for member in _members(type_) if member is not NoneType]
        if len(members) != 1 or members[0] is type_:
            return type_, metas
        type_ = members[0]


def _members(type_: Any) -> tuple[Any, ...]:
    return get_args(type_) if get_origin(type_) in (Union, UnionType) else (type_,)


def _structs(base: Any) -> list[type[Struct]]:
    return [member for member in _members(base) if isinstance(member, type) and issubclass(member, Struct)]
