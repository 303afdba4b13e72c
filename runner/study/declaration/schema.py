"""The JSON Schema of a study file, for editors: `python -m runner.study.declaration.schema > docs/study.schema.json`.

It describes the form. `studyfile` also checks names, and whether the parts of a file go together. Names of the
catalogue and the registries are examples, which editors complete: a file may use others.
"""

from __future__ import annotations

from typing import Any

from runner.ab import arms
from runner.cell.catalogue import NAME
from runner.cell.vocabulary import AUTO, PLAIN_TOKEN
from runner.hostcondition import condition
from runner.plan import fieldvalues
from runner.record.schema import laid_out
from runner.study.declaration.choices import FIELDS
from runner.study.declaration.keys import (
    BY_CELL,
    KEYS,
    LONGEST_NAME,
    MOST_SESSIONS,
    ORDERS,
    SESSIONS,
    SESSIONS_OF_AN_ARM,
)

Schema = dict[str, Any]
FIXED = ("dtype", "protocol", "stack", "where", *fieldvalues.SWITCHES)
"""Fields whose names no file of the catalogue or the registries adds to."""
TOKEN = {"type": "string", "pattern": f"^{PLAIN_TOKEN.pattern.removesuffix('*')}+$"}
OPTIONS = "^(auto|none|[^:,]+:[^:,]+(,[^:,]+:[^:,]+)*)$"


def schema() -> Schema:
    """Returns the JSON Schema of a study file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "study.schema.json",
        "title": "Study file",
        "type": "object",
        "properties": {name: {"description": KEYS[name], **value} for name, value in _values_of_keys().items()},
        "additionalProperties": False,
        "anyOf": [{"required": ["matrix"]}, {"required": ["include"]}],
        "dependentRequired": {"exclude": ["matrix"], "extension": ["arms"]},
        "$defs": {"fields": _fields(), "arm": _arm(), **{name: _value(name) for name in FIELDS}},
    }


def text() -> str:
    """Returns the content of docs/study.schema.json."""
    return laid_out(schema()) + "\n"


def _values_of_keys() -> dict[str, Schema]:
    """Returns key → schema of its value."""
    items = {"type": "array", "items": {"$ref": "#/$defs/fields"}, "minItems": 1}
    sessions = {"type": "integer", "minimum": 1, "maximum": MOST_SESSIONS}
    return {
        "name": {
            "type": "string",
            "pattern": f"^{NAME.pattern}$",
            "not": {"pattern": rf"^{AUTO}$|\.[0-9]+$"},
            "maxLength": LONGEST_NAME,
        },
        "description": {"type": "string"},
        "sessions": {**sessions, "examples": [SESSIONS, SESSIONS_OF_AN_ARM]},
        "extension": {**sessions, "minimum": 0, "default": 0},
        "order": {"enum": [*ORDERS], "default": BY_CELL},
        "protocol": _value("protocol"),
        "matrix": {"$ref": "#/$defs/fields"},
        "include": items,
        "exclude": items,
        "arms": {
            "type": "object",
            "properties": {name: {"$ref": "#/$defs/arm"} for name in arms.NAMES},
            "required": [*arms.NAMES],
            "additionalProperties": False,
        },
    }


def _fields() -> Schema:
    """Returns the schema of a matrix: each field has a value or a list of values."""
    return {
        "type": "object",
        "properties": {name: _one_or_more(name) for name in FIELDS},
        "minProperties": 1,
        "additionalProperties": False,
    }


def _one_or_more(field: str) -> Schema:
    value = {"$ref": f"#/$defs/{field}"}
    listed = {"type": "array", "items": value, "minItems": 1, "uniqueItems": True}
    return {"description": fieldvalues.DESCRIPTIONS[field], "anyOf": [value, listed]}


def _arm() -> Schema:
    """Returns the schema of an arm: one field with one value, or none."""
    return {
        "type": "object",
        "properties": {name: {"$ref": f"#/$defs/{name}", "not": {"const": AUTO}} for name in arms.FIELDS},
        "maxProperties": 1,
        "additionalProperties": False,
    }


def _value(field: str) -> Schema:
    """Returns the schema of one value of a field."""
    if field in FIXED:
        # YAML reads `on` and `off` as truth values
        truth = (True, False) if field in fieldvalues.SWITCHES else ()
        return {"enum": [AUTO, *fieldvalues.WORDS[field](), *truth]}
    if field in fieldvalues.WORDS:
        return {**TOKEN, "examples": [*fieldvalues.WORDS[field]()]}
    if field in fieldvalues.LEAST:
        number = {"type": "integer", "minimum": fieldvalues.LEAST[field]}
        return {"anyOf": [number, {"type": "string", "pattern": f"^({AUTO}|[0-9]+)$"}]}
    if field == "device":
        return {"anyOf": [{"type": "integer", "minimum": 0}, TOKEN]}
    if field == condition.FIELD:
        return {"type": "string", "pattern": f"^({'|'.join(condition.AS_IT_IS)}|{condition.FORM})$"}
    return {"type": "string", "pattern": OPTIONS} if field == "options" else {"type": "string", "minLength": 1}


if __name__ == "__main__":
    print(text(), end="")
