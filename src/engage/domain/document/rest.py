"""The rest of a value: what is valid of it, without optional fields that do not match.

So all that is wrong with a document is told at once, also what can only be found in a valid one.
"""

from typing import Any, get_args, get_origin

import msgspec
from msgspec import Struct

from engage.domain.document.decoding import Notation, is_required, mismatches, structs_of, unwrap
from engage.domain.document.errors import join


class Rest(Struct, frozen=True):
    """A value that matches its type, and the paths of the fields that it is without."""

    value: object
    left_out: list[str]


def rest_of(value: object, type_: Any, path: str = "", *, notation: Notation) -> Rest | None:
    """None where nothing is left. Items of lists stay where they are: where one cannot be kept, none is."""
    if not mismatches(value, type_, notation=notation, most=1):
        return Rest(value, [])
    base, _ = unwrap(type_)
    structs = structs_of(base)
    rest = None
    if isinstance(value, list) and get_origin(base) is list:
        rest = _of_list(value, get_args(base)[0], path, notation)
    elif isinstance(value, dict) and len(structs) == 1:
        rest = _of_table(value, structs[0], path, notation)
    # A list can be too long, a table without a field that it needs.
    if rest is None or mismatches(rest.value, type_, notation=notation, most=1):
        return None
    return rest


def _of_list(items: list[Any], type_: Any, path: str, notation: Notation) -> Rest | None:
    kept: list[object] = []
    left_out: list[str] = []
    for n, item in enumerate(items):
        found = rest_of(item, type_, f"{path}[{n}]", notation=notation)
        if found is None:
            return None
        kept.append(found.value)
        left_out.extend(found.left_out)
    return Rest(kept, left_out)


def _of_table(table: dict[str, Any], struct: type[Struct], path: str, notation: Notation) -> Rest | None:
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    kept: dict[str, object] = {}
    left_out: list[str] = []
    for name, value in table.items():
        field, place = fields.get(name), join(path, name)
        if field is None and name == struct.__struct_config__.tag_field:
            kept[name] = value
            continue
        found = None if field is None else rest_of(value, field.type, place, notation=notation)
        if found is not None:
            kept[name] = found.value
            left_out.extend(found.left_out)
        elif field is not None and is_required(field):
            return None
        else:
            left_out.append(place)
    return Rest(kept, left_out)
