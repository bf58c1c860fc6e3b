"""Documents as they are written by hand: without the fields that have their default."""

from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo


def compact(document: Struct, *, keep: tuple[type, ...] = ()) -> dict[str, Any]:
    """The JSON of a document, which means the same as the struct, with no null in it. With `keep`, values of
    these types stay as they are, such as the times that TOML has.
    """
    config = document.__struct_config__
    shown: dict[str, Any] = {} if config.tag_field is None else {config.tag_field: config.tag}
    for field in msgspec.structs.fields(document):
        value = getattr(document, field.name)
        if value is not None and not _is_default(field, value):
            shown[field.encode_name] = _compact(value, keep)
    return shown


def _compact(value: Any, keep: tuple[type, ...]) -> Any:
    match value:
        case Struct():
            return compact(value, keep=keep)
        case list():
            return [_compact(item, keep) for item in value]
        case dict():
            return {name: _compact(item, keep) for name, item in value.items()}
        case _:
            return msgspec.to_builtins(value, builtin_types=keep)


def _is_default(field: FieldInfo, value: Any) -> bool:
    if field.default_factory is not NODEFAULT:
        return bool(value == field.default_factory())
    return field.default is not NODEFAULT and bool(value == field.default)
