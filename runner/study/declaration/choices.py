"""Fields of a request in a study file: a mapping of field → value or list of values, checked and made text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from runner.cell.vocabulary import OFF, ON, suggestion
from runner.counts import listed
from runner.errors import DecodeFloorError, UnknownName
from runner.files.yamlnode import Node
from runner.plan import fieldvalues
from runner.plan.request import Request

OF_THE_STUDY = {
    "study": "the study's name is written at the top of the file, in name",
    "protocol": "a study has one protocol, written at the top of the file",
}
"""Fields of a request that a study sets for all of its cells, each with where."""
FIELDS = tuple(field.name for field in dataclasses.fields(Request) if field.name not in OF_THE_STUDY)
"""Fields that a matrix may have."""


@dataclass(frozen=True)
class Choice:
    """A field, and the values that the file gives it, each with its place."""

    node: Node
    values: Mapping[str, Node]

    @property
    def only_value(self) -> str | None:
        """Returns the value if there is only one."""
        value, *others = self.values
        return None if others else value


Choices: TypeAlias = dict[str, Choice]
"""Field of a request → its values."""


def read(node: Node) -> Choices:
    """Returns the fields of a mapping with one or more values each.

    Raises UnknownName for an unknown field or name, BadValue for any other value that no request can have, for an empty
    list or mapping, and for a value that occurs twice.
    """
    fields = {name: Choice(member, _values(name, member)) for name, member in _fields(node).items()}
    if not fields:
        raise node.error(f"has no fields: add one, such as {listed(FIELDS[:3], 'or')}")
    return fields


def single_values(node: Node) -> dict[str, tuple[str, Node]]:
    """Returns the fields of a mapping with one value each, and their places. Raises as `read`; the mapping may be
    empty."""
    return {name: (checked_value(name, member), member) for name, member in _fields(node).items()}


def _fields(node: Node) -> dict[str, Node]:
    members = node.members()
    for name, member in members.items():
        if name in OF_THE_STUDY:
            raise member.error(f"not a field of the matrix: {OF_THE_STUDY[name]}")
        if name not in FIELDS:
            raise unknown_key(member, name, FIELDS)
    return members


def unknown_key(node: Node, name: str, allowed: tuple[str, ...]) -> DecodeFloorError:
    """Returns the error of a name that is none of those allowed there."""
    return node.error(f"unknown key{suggestion(name, allowed)} (allowed: {', '.join(allowed)})", UnknownName)


def _values(field: str, node: Node) -> dict[str, Node]:
    if not isinstance(node.value, list):
        return {checked_value(field, node): node}
    values: dict[str, Node] = {}
    for item in node.items():
        value = checked_value(field, item)
        if value in values:
            raise node.error(f"{value} occurs twice, in lines {values[value].line} and {item.line}: keep one of them")
        values[value] = item
    if not values:
        raise node.error("an empty list: give it a value, or leave the field out")
    return values


def checked_value(field: str, node: Node) -> str:
    """Returns the value as a request has it: the text, or the digits of a whole number. YAML reads `on` and `off` as
    truth values, which stand for themselves in fields that are on or off."""
    if type(node.value) is bool and field in fieldvalues.SWITCHES:
        return ON if node.value else OFF
    if type(node.value) not in (str, int):
        raise node.error(f"{node.text} is not a value of {field}: {_remedy(node)}")
    text = str(node.value)
    try:
        Request(**{field: text})
        return fieldvalues.checked(field, text)
    except DecodeFloorError as error:
        raise node.error(str(error), type(error)) from error


def _remedy(node: Node) -> str:
    if isinstance(node.value, dict | list):
        return "write text or a whole number"
    return "write auto, or leave the field out" if node.value is None else "write text in quotes, or a whole number"
