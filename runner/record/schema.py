"""The JSON Schema of a record, made from its types: `python -m runner.record.schema > docs/record.schema.json`.

Sections are written out where they are used, without references. `if`, `then` and `else` distinguish measured records
from others. No program of this project reads the file: `record.read` checks records by the same types.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from runner.cell.fieldtypes import WithOrWithout, without_absent
from runner.cell.jsonform import hints, is_left_out_at_default, name_of
from runner.record.sections.head import MEASURED
from runner.record.sessionrecord import FailedRecord, MeasuredRecord, SessionRecord

Schema = dict[str, Any]
LINE = 120
WORDS: Mapping[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
WHEN_MEASURED: Schema = {"properties": {"outcome": {"properties": {"status": {"const": MEASURED}}}}}


@cache
def schema() -> Schema:
    """Returns the JSON Schema of a record."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "record.schema.json",
        "title": "Record of one session",
        **_conditional(SessionRecord, WHEN_MEASURED, MeasuredRecord, FailedRecord),
    }


def text() -> str:
    """Returns the content of docs/record.schema.json."""
    return laid_out(schema()) + "\n"


def laid_out(value: Any, indent: str = "") -> str:
    """Returns indented JSON text. An object is a single line if it fits or contains no other object."""
    line = json.dumps(value, ensure_ascii=False)
    is_nested = isinstance(value, dict) and any(isinstance(item, dict) for item in value.values())
    if not is_nested or len(indent) + len(line) <= LINE:
        return line
    inner = indent + "  "
    items = (f"{inner}{json.dumps(name)}: {laid_out(item, inner)}" for name, item in value.items())
    return "{\n" + ",\n".join(items) + f"\n{indent}}}"


def _object(kind: type) -> Schema:
    properties = {}
    for field in fields(kind):
        field_schema = _type(hints(kind)[field.name])
        description = docstrings(kind).get(field.name)
        properties[name_of(field.name)] = _described(field_schema, description)
    return {
        "type": "object",
        "description": _description(inspect.getdoc(kind) or ""),
        "properties": properties,
        "required": [name_of(field.name) for field in fields(kind) if _is_required(field, kind)],
        "additionalProperties": False,
    }


def _described(schema: Schema, description: str | None) -> Schema:
    if not description:
        return schema
    return {"type": schema["type"], "description": description, **_without_keys(schema, "type", "description")}


def _without_keys(schema: Schema, *names: str) -> Schema:
    return {name: value for name, value in schema.items() if name not in names}


def _is_required(field: Field[Any], kind: type) -> bool:
    return not (_may_be_absent(hints(kind)[field.name]) or is_left_out_at_default(field))


def _may_be_absent(hint: Any) -> bool:
    return get_origin(hint) is Annotated and without_absent(get_args(hint)[0]) != get_args(hint)[0]


def _type(hint: Any) -> Schema:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _limited(inner[0], inner[1:])
    if origin in (Union, UnionType):
        return _nullable(without_absent(hint))
    if origin is tuple:
        return {"type": "array", "items": _type(inner[0])}
    if origin is dict:
        return {"type": "object"} | ({} if inner[1] is Any else {"additionalProperties": _type(inner[1])})
    return {"type": WORDS[hint]} if hint in WORDS else _object(hint)


def _limited(hint: Any, limits: tuple[Any, ...]) -> Schema:
    for limit in limits:
        if isinstance(limit, WithOrWithout):
            return _conditional(limit.common, {"required": [limit.name]}, limit.with_it, limit.without)
    limited = _type(hint)
    for limit in limits:
        limited |= limit.keywords
    return limited


def _nullable(hint: Any) -> Schema:
    """Returns the schema of `T | None`, or of a plain T."""
    if get_origin(hint) not in (Union, UnionType):
        return _type(hint)
    (kind,) = (each for each in get_args(hint) if each is not NoneType)
    plain = _type(kind)
    words = {"enum": [*plain["enum"], None]} if "enum" in plain else {}
    return plain | {"type": [plain["type"], "null"]} | words


def _conditional(common: type, condition: Schema, then: type, otherwise: type) -> Schema:
    """Returns the schema of an object of kind `then` if it meets the condition, of kind `otherwise` if not. `common` is
    their common base class."""
    base, kinds = _object(common), (_object(then), _object(otherwise))
    properties = _merged(base, *kinds)["properties"]
    narrowed = [{**_narrowing(base, kind)} for kind in kinds]
    return {**base, "properties": properties, "if": condition, "then": narrowed[0], "else": narrowed[1]}


def _merged(*objects: Schema) -> Schema:
    """Returns the first object with the properties of all objects."""
    merged: Schema = {}
    for name in dict.fromkeys(name for schema in objects for name in schema["properties"]):
        variants = [schema["properties"][name] for schema in objects if name in schema["properties"]]
        merged[name] = _merged(*variants) if "properties" in variants[0] else variants[0]
    return {**objects[0], "properties": merged}


def _narrowing(base: Schema, kind: Schema) -> Schema:
    """Returns the constraints of `kind` that `base` lacks."""
    narrowed: Schema = {name: value for name, value in kind.items() if name not in ("description", "properties", *base)}
    if required := [name for name in kind.get("required", ()) if name not in base["required"]]:
        narrowed["required"] = required
    of_base = base.get("properties", {})
    shared = {name: schema for name, schema in kind.get("properties", {}).items() if name in of_base}
    inner = {name: _narrowing(of_base[name], schema) for name, schema in shared.items()}
    if properties := {name: schema for name, schema in inner.items() if schema}:
        narrowed["properties"] = properties
    return narrowed


@cache
def docstrings(kind: type) -> Mapping[str, str]:
    """Returns field name → docstring of a dataclass and its base classes."""
    found: dict[str, str] = {}
    for owner in reversed([base for base in kind.__mro__ if is_dataclass(base)]):
        found.update(_field_docstrings(owner))
    return found


def _field_docstrings(kind: type) -> Iterator[tuple[str, str]]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            yield ast.unparse(field.target), _description(str(text.value.value))


def _description(docstring: str) -> str:
    return " ".join(docstring.split()).removesuffix(".")


if __name__ == "__main__":
    print(text(), end="")
