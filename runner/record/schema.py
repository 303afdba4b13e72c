"""docs/record.schema.json, made from the types of a record: `python -m runner.record.schema > docs/record.schema.json`.

Sections stand where they are used, without references, and a record that was measured differs from one that was not by
if, then and else. No program of this project reads the file: `record.read` reads records by the same types.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from runner.cell.fieldtypes import WithOrWithout, without_absent
from runner.cell.jsonform import hints, name_of
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
        **_either(SessionRecord, WHEN_MEASURED, MeasuredRecord, FailedRecord),
    }


def text() -> str:
    """Returns the file's content."""
    return _laid_out(schema(), "") + "\n"


def _laid_out(value: Any, indent: str) -> str:
    """Returns JSON text in which an object without objects in it is one line, and so is what fits into one."""
    line = json.dumps(value, ensure_ascii=False)
    holds_objects = isinstance(value, dict) and any(isinstance(each, dict) for each in value.values())
    if not holds_objects or len(indent) + len(line) <= LINE:
        return line
    inner = indent + "  "
    items = (f"{inner}{json.dumps(name)}: {_laid_out(item, inner)}" for name, item in value.items())
    return "{\n" + ",\n".join(items) + f"\n{indent}}}"


def _object(kind: type) -> Schema:
    properties = {}
    for field in fields(kind):
        made = _type(hints(kind)[field.name])
        said = _docstrings(kind).get(field.name)
        properties[name_of(field.name)] = _described(made, said)
    return {
        "type": "object",
        "description": _said(inspect.getdoc(kind) or ""),
        "properties": properties,
        "required": [name_of(field.name) for field in fields(kind) if not _may_be_absent(hints(kind)[field.name])],
        "additionalProperties": False,
    }


def _described(made: Schema, said: str | None) -> Schema:
    return {"type": made["type"], "description": said, **_without(made, "type", "description")} if said else made


def _without(made: Schema, *names: str) -> Schema:
    return {name: value for name, value in made.items() if name not in names}


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
            return _either(limit.common, {"required": [limit.name]}, limit.with_it, limit.without)
    made = _type(hint)
    for limit in limits:
        made |= limit.keywords
    return made


def _nullable(hint: Any) -> Schema:
    """Returns the schema of `T | None`, or of a plain T that is left of a union."""
    if get_origin(hint) not in (Union, UnionType):
        return _type(hint)
    (kind,) = (each for each in get_args(hint) if each is not NoneType)
    made = _type(kind)
    words = {"enum": [*made["enum"], None]} if "enum" in made else {}
    return made | {"type": [made["type"], "null"]} | words


def _either(common: type, condition: Schema, then: type, otherwise: type) -> Schema:
    """Returns the schema of what is of one kind under a condition, and else of another; `common` is what both share."""
    base, kinds = _object(common), (_object(then), _object(otherwise))
    properties = _merged(base, *kinds)["properties"]
    narrowed = [{**_narrowing(base, kind)} for kind in kinds]
    return {**base, "properties": properties, "if": condition, "then": narrowed[0], "else": narrowed[1]}


def _merged(*objects: Schema) -> Schema:
    """Returns an object with the properties of them all, and what the first one demands."""
    merged: Schema = {}
    for name in dict.fromkeys(name for each in objects for name in each["properties"]):
        found = [each["properties"][name] for each in objects if name in each["properties"]]
        merged[name] = _merged(*found) if "properties" in found[0] else found[0]
    return {**objects[0], "properties": merged}


def _narrowing(base: Schema, kind: Schema) -> Schema:
    """Returns what `kind` demands beyond `base`."""
    narrowed: Schema = {name: value for name, value in kind.items() if name not in ("description", "properties", *base)}
    if required := [name for name in kind.get("required", ()) if name not in base["required"]]:
        narrowed["required"] = required
    known = base.get("properties", {})
    inner = {name: _narrowing(known[name], made) for name, made in kind.get("properties", {}).items() if name in known}
    if properties := {name: made for name, made in inner.items() if made}:
        narrowed["properties"] = properties
    return narrowed


@cache
def _docstrings(kind: type) -> Mapping[str, str]:
    """Returns the text below each field of a dataclass and of those it is made of."""
    found: dict[str, str] = {}
    for owner in reversed([each for each in kind.__mro__ if is_dataclass(each)]):
        found.update(_below_fields(owner))
    return found


def _below_fields(kind: type) -> Iterator[tuple[str, str]]:
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    for field, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            yield ast.unparse(field.target), _said(str(below.value.value))


def _said(docstring: str) -> str:
    return " ".join(docstring.split()).removesuffix(".")


if __name__ == "__main__":
    print(text(), end="")
