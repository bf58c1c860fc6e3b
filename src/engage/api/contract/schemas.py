"""JSON Schemas of the contract's types: those of msgspec, made more exact."""

import inspect
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec.inspect import DateTimeType, Field, StructType, Type, UnionType, multi_type_info

from engage.api.http.problems import FieldError, Problem
from engage.api.http.traces import TraceLine
from engage.domain.activity import AnyActivity
from engage.domain.document.difference import Difference
from engage.domain.earning.credit import Why
from engage.domain.earning.trace import TraceStep
from engage.domain.refusals import Code, Fact, UseCase, codes_of
from engage.flows.shop.events import AnyEvent
from engage.ledger.credits import Credit

Schema = dict[str, Any]

REF: Final = "#/components/schemas/{name}"

# In Python's patterns `$` also matches before a final newline, in those of JSON Schema it does not.
PYTHON_END: Final = r"(?!\n)$"

# Unions with a name in the contract.
NAMED: Final[dict[str, Any]] = {"Event": AnyEvent, "Activity": AnyActivity}


class Schemas:
    """The schemas of types, given by `of`, and of the structs that they contain (`components`)."""

    def __init__(self, types: Iterable[Any]) -> None:
        all_types = {repr(kind): kind for kind in (Problem, FieldError, Difference, Why, TraceLine, *types)}
        wanted = [*all_types.values(), *NAMED.values()]
        made, self.components = msgspec.json.schema_components(wanted, ref_template=REF)
        _add_time_formats(self.components, wanted)
        unions = dict(zip(NAMED, [_tidy(union, {}) for union in made[len(all_types) :]], strict=True))
        self._of: dict[str, Schema] = {
            name: _tidy(schema, unions) for name, schema in zip(all_types, made, strict=False)
        }
        self.components |= {name: _tidy(schema, unions) for name, schema in self.components.items()} | unions
        self.components[Credit.__name__]["properties"]["why"] = ref(Why)
        self.components[Why.__name__]["properties"]["trace"]["items"] = ref(TraceLine)
        del self.components[TraceStep.__name__]
        self.components[Why.__name__]["properties"]["text"] = {
            "type": "string",
            "description": "One or two sentences in the language of `Accept-Language`, with local dates.",
        }
        self.components[Why.__name__]["required"].append("text")
        # Opening balances and adjustments have no activity.
        self.components[Why.__name__]["required"].remove("activity")
        self.components[Problem.__name__]["properties"] |= _facts()
        if refused := self.components.get("RefusedEvent"):
            codes = ", ".join(sorted(codes_of(UseCase.TAKE_EVENT)))
            refused["properties"]["code"]["description"] = f"One of {codes}."

    def of(self, kind: Any) -> Schema:
        return self._of[repr(kind)]


def ref(kind: type) -> Schema:
    return {"$ref": REF.format(name=kind.__name__)}


def _tidy(schema: Any, unions: dict[str, Schema]) -> Any:
    """Return a shorter schema with the same meaning."""
    match schema:
        case dict():
            tidied = {key: _tidied(key, value, unions) for key, value in schema.items() if value != []}
            if "discriminator" in tidied:
                tidied["oneOf"] = tidied.pop("anyOf")
            named = next((name for name, union in unions.items() if union == tidied), None)
            return _nullable(tidied) if named is None else {"$ref": REF.format(name=named)}
        case list():
            return [_tidy(item, unions) for item in schema]
        case _:
            return schema


def _tidied(key: str, value: Any, unions: dict[str, Schema]) -> Any:
    match key, value:
        case "description", str():
            return inspect.cleandoc(value)
        case "pattern", str():
            return value.replace(PYTHON_END, "$")
        case _:
            return _tidy(value, unions)


def _nullable(schema: Schema) -> Schema:
    """Write `type: [string, "null"]` instead of `anyOf`."""
    match schema:
        case {"anyOf": [{"type": str(kind)} as simple, {"type": "null"}], **rest}:
            return {**simple, "type": [kind, "null"], **rest}
        case _:
            return schema


def _add_time_formats(components: dict[str, Schema], types: list[Any]) -> None:
    """Add the format of times in answers, which msgspec leaves out."""
    for struct in _structs(multi_type_info(types)):
        properties = components.get(struct.cls.__name__, {}).get("properties", {})
        for field in struct.fields:
            schema = properties.get(field.encode_name, {})
            if _is_time(field):
                for variant in (schema, *schema.get("anyOf", ())):
                    if variant.get("type") == "string":
                        variant["format"] = "date-time"


def _is_time(field: Field) -> bool:
    kinds = field.type.types if isinstance(field.type, UnionType) else (field.type,)
    return any(isinstance(kind, DateTimeType) for kind in kinds)


def _structs(types: Iterable[Type]) -> Iterator[StructType]:
    """Yield the structs that these types contain, each once."""
    seen: set[type] = set()
    waiting: list[Any] = list(types)
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, StructType):
            if kind.cls not in seen:
                seen.add(kind.cls)
                yield kind
                waiting += [field.type for field in kind.fields]
        elif isinstance(kind, UnionType):
            waiting += kind.types
        elif isinstance(kind, msgspec.inspect.Metadata):
            waiting.append(kind.type)
        elif isinstance(kind, msgspec.inspect.CollectionType):
            waiting.append(kind.item_type)


def _facts() -> Schema:
    """The members of a problem beside those that all problems have."""
    facts: Schema = {}
    for code in Code:
        for name, fact in code.facts.items():
            if name not in facts or fact.nullable:  # It may be null for one code and not for another.
                facts[name] = _fact(fact)
    return dict(sorted(facts.items()))


def _fact(fact: Fact) -> Schema:
    schema = _fact_type(fact)
    return schema | {"type": [schema["type"], "null"]} if fact.nullable else schema


def _fact_type(fact: Fact) -> Schema:
    match fact.example:
        case datetime():
            return {"type": "string", "format": "date-time"}
        case int():
            return {"type": "integer"}
        case [{"yours": _}, *_]:
            return {"type": "array", "items": ref(Difference)}
        case [dict(), *_]:
            return {"type": "array", "items": ref(FieldError)}
        case list():
            return {"type": "array", "items": {"type": "string"}}
        case _:
            return {"type": "string"}
