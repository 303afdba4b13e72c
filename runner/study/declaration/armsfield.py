"""The arms of a study file: two mappings that set one field to different values, or two empty ones."""

from __future__ import annotations

from collections.abc import Iterable

from runner.ab.arms import FIELDS, NAMES
from runner.cell.vocabulary import AUTO
from runner.counts import listed
from runner.errors import BadPair
from runner.files.yamlnode import Node
from runner.plan.request import NONE
from runner.study.declaration import choices
from runner.study.declaration.expansion import Part
from runner.study.declared import Arms

Values = dict[str, tuple[str, Node]]


def read(node: Node, parts: Iterable[Part]) -> Arms:
    """Returns the arms. `parts` are the matrix and the mappings of `include`.

    Raises BadPair if the arms do not differ in exactly one field that an A/B may have, or if one of `parts` sets that
    field; and the errors of a field's value.
    """
    a, b = (choices.single_values(member) for member in _both(node))
    if not a and not b:
        return Arms(NONE, AUTO, AUTO)
    field = _field(node, a, b)
    for part in parts:
        if field in part.fields:
            other = part.fields[field].node
            raise other.error(f"the arms set this field ({node.place}): leave it out here", BadPair)
    return Arms(field, a[field][0], b[field][0])


def _both(node: Node) -> tuple[Node, Node]:
    members = node.members()
    for name, member in members.items():
        if name not in NAMES:
            raise choices.unknown_key(member, name, NAMES)
    for name in NAMES:
        if name not in members:
            raise node.error(f"arm {name} is missing: add it; a: {{}} and b: {{}} compare a cell with itself")
    return members["a"], members["b"]


def _field(node: Node, a: Values, b: Values) -> str:
    """Returns the field in which the arms differ."""
    names = [*dict.fromkeys((*a, *b))]
    if len(names) > 1:
        raise node.error(
            f"the arms set {listed(names, 'and')}: let them differ in one field, and write the others in the matrix",
            BadPair,
        )
    (field,) = names
    for arm, values in zip(NAMES, (a, b), strict=True):
        if field not in values:
            raise node.error(f"arm {arm} does not set {field}: give it a value in both arms", BadPair)
    _check_values(field, a[field], b[field])
    return field


def _check_values(field: str, a: tuple[str, Node], b: tuple[str, Node]) -> None:
    place = a[1]
    if field == "gpu":
        raise place.error("both arms run on the same card: to compare GPUs, write them in the matrix", BadPair)
    if field not in FIELDS:
        raise place.error(f"the arms cannot differ in {field} (allowed: {', '.join(FIELDS)})", BadPair)
    for value, where in (a, b):
        if value == AUTO:
            raise where.error("an arm needs a value of its own, not auto: name it", BadPair)
    if a[0] == b[0]:
        raise b[1].error(f"both arms set {a[0]}: change one; a: {{}} and b: {{}} compare a cell with itself", BadPair)
