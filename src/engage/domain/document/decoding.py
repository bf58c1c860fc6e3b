"""Whether a decoded TOML value has the shape of a type, and every place where it has not.

msgspec stops at the first wrong field. A marketer wants them all, so this walks the same types and asks
msgspec about the leaves; it knows only the kinds of types that `engage.domain.program.program` is made of.
"""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import FieldInfo

from engage.domain.document.errors import Problem, join, nearest, one_of, shown

_PLAIN = {
    str: "text",
    bool: "true or false",
    date: "a date, such as 2022-09-01",
    datetime: "a date and time, such as 2022-09-01T10:00:00",
    time: "a local time, such as 12:00:00",
    timedelta: "a duration (ISO 8601), such as PT5M",
    dict: "a table",
}


def problems(value: object, kind: Any, path: str = "") -> list[Problem]:
    """Every place in `value` that is not of the type `kind`; none means that msgspec converts it."""
    inside = list(_inside(value, kind, path))
    if inside or _fits(value, kind):
        return inside
    return [Problem(path or "the document", expected(kind), shown(value))]


def _fits(value: object, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _inside(value: object, kind: Any, path: str) -> Iterator[Problem]:
    """The problems of the parts of a list or table. None where the value is neither, or of another type."""
    base, _ = _bare(kind)
    match value:
        case list() if get_origin(base) is list:
            (item_kind,) = get_args(base)
            for index, item in enumerate(value):
                yield from problems(item, item_kind, f"{path}[{index}]")
        case dict() if get_origin(base) is dict:
            key_kind, item_kind = get_args(base)
            for key, item in value.items():
                if not _fits(key, key_kind):
                    yield Problem(join(path, key), expected(key_kind), shown(key))
                yield from problems(item, item_kind, join(path, key))
        case dict():
            structs = _structs(base)
            if structs:
                yield from _table(value, structs, path)


def _table(table: dict[str, Any], structs: list[type[Struct]], path: str) -> Iterator[Problem]:
    """The problems of a table that has to be one of these structs, told apart by their tag."""
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
            yield Problem(join(path, name), one_of(known), "a field that is not known" + nearest(name, known))
    for name, field in fields.items():
        if name in table:
            yield from problems(table[name], field.type, join(path, name))
        elif _required(field):
            yield Problem(join(path, name), expected(field.type), "nothing")


def _required(field: FieldInfo) -> bool:
    return field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT


def expected(kind: Any) -> str:
    """A type in words: what its description says, or else what it is."""
    base, metas = _bare(kind)
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
    if not structs and len(_arms(base)) > 1:
        return " or ".join(expected(arm) for arm in _arms(base))
    if len(structs) > 1:
        return f"a table with {structs[0].__struct_config__.tag_field}"
    if structs:
        return "a table with " + ", ".join(f.encode_name for f in msgspec.structs.fields(structs[0]))
    longest = next((meta.max_length for meta in metas if meta.max_length), None)
    return _PLAIN[base] + (f" of 1 to {longest} characters" if longest else "")


def _bare(kind: Any) -> tuple[Any, list[Meta]]:
    """The type without `Annotated` and `| None`, and what was annotated. TOML has no null."""
    metas: list[Meta] = []
    while True:
        if get_origin(kind) is Annotated:
            kind, *found = get_args(kind)
            metas = [*metas, *found]
            continue
        arms = [arm for arm in _arms(kind) if arm is not NoneType]
        if len(arms) != 1 or arms[0] is kind:
            return kind, metas
        kind = arms[0]


def _arms(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _structs(base: Any) -> list[type[Struct]]:
    return [arm for arm in _arms(base) if isinstance(arm, type) and issubclass(arm, Struct)]
