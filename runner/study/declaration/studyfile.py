"""Reads a study file. Each error names file, line and key."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from runner.cell.catalogue import NAME
from runner.cell.vocabulary import AUTO
from runner.errors import BadPair, BadValue
from runner.files import yamlnode
from runner.files.yamlnode import Node
from runner.plan.request import Request
from runner.study.declaration import armsfield, choices, expansion
from runner.study.declaration.expansion import Part
from runner.study.declaration.keys import (
    INTERLEAVED,
    KEYS,
    LONGEST_NAME,
    MOST_SESSIONS,
    ORDERS,
    SESSIONS,
    SESSIONS_OF_AN_ARM,
)
from runner.study.declared import Arms, Entry, Study

MOST_BYTES = 2**20
ROUND = re.compile(r"\.[0-9]+")
"""End of the name under which a study is measured again."""
Keys = Mapping[str, Node]


def read_all(paths: Sequence[Path]) -> list[Study]:
    """Returns the studies that the files declare. Raises the errors of `read`, and BadValue for two of one name: they
    would share their state in the spool."""
    studies = [read(path) for path in paths]
    for name, count in Counter(study.name for study in studies).items():
        if count > 1:
            raise BadValue(f"{count} of these files declare a study {name}: give each the key name, or name one file")
    return studies


def read(path: Path) -> Study:
    """Returns the study that the file declares.

    Raises UnknownName for an unknown key, field or name, BadPair for parts that contradict each other, and BadValue for
    anything else that is wrong.
    """
    file = yamlnode.read(path, MOST_BYTES, "any study file")
    keys = _keys(file)
    matrix = Part.read(keys["matrix"]) if "matrix" in keys else None
    include, exclude = (_parts(keys.get(name)) for name in ("include", "exclude"))
    if matrix is None and not include:
        raise file.error("measures nothing: add a matrix, a mapping such as `matrix: {gpu: auto, ctx: [2048, 16384]}`")
    if matrix is None and exclude:
        raise keys["exclude"].error("there is no matrix to leave cells out of: remove exclude", BadPair)
    arms = armsfield.read(keys["arms"], [*([matrix] if matrix else []), *include]) if "arms" in keys else None
    name = _name(keys.get("name"), path)
    shared = {"study": name, "protocol": _protocol(keys.get("protocol"))}
    return Study(
        name=name,
        sessions=_sessions(keys.get("sessions"), arms),
        extension=_extension(keys.get("extension"), arms),
        entries=tuple(_entries(expansion.expanded(matrix, include, exclude), shared, arms)),
        interleaved=_is_interleaved(keys.get("order"), arms),
    )


def _keys(file: Node) -> Keys:
    keys = file.members()
    for name, node in keys.items():
        if name in choices.FIELDS:
            raise node.error(f"a field of the matrix: write it there, as `matrix: {{{name}: …}}`", BadValue)
        if name not in KEYS:
            raise choices.unknown_key(node, name, tuple(KEYS))
    if "description" in keys and not isinstance(keys["description"].value, str):
        raise keys["description"].error(f"{keys['description'].text} is not text: write some, or leave it out")
    return keys


def _parts(node: Node | None) -> list[Part]:
    if node is None:
        return []
    parts = [Part.read(item) for item in node.items()]
    if not parts:
        raise node.error("an empty list: add an item, or leave the key out")
    return parts


def _name(node: Node | None, path: Path) -> str:
    """Returns the study's name. It appears in commands, tags and file names."""
    name = path.stem if node is None else node.value
    problem = _problem_of_name(name)
    if problem is None:
        return str(name)
    if node is None:
        raise BadValue(f"{path.name}: the study has the file's name, {name!r}: {problem}, or add the key name")
    raise node.error(f"{node.text} is no name of a study: {problem}")


def _problem_of_name(name: object) -> str | None:
    """Returns what is wrong with a name and what to do; None for a good name."""
    if not isinstance(name, str):
        return "write text, in quotes"
    if not NAME.fullmatch(name) or name == AUTO:
        return "use letters, digits and . _ + = ~ -, and begin with a letter or digit"
    if ROUND.fullmatch(name[name.rfind(".") :]):
        return "do not end it with a point and digits, which mark a repeated study"
    return f"use at most {LONGEST_NAME} characters" if len(name) > LONGEST_NAME else None


def _protocol(node: Node | None) -> str:
    return AUTO if node is None else choices.checked_value("protocol", node)


def _sessions(node: Node | None, arms: Arms | None) -> int:
    if node is None:
        return SESSIONS if arms is None else SESSIONS_OF_AN_ARM
    return _count(node, 1)


def _extension(node: Node | None, arms: Arms | None) -> int:
    if node is None:
        return 0
    if arms is None:
        raise node.error("without arms there is no interval to make narrower: add arms, or remove extension", BadPair)
    return _count(node, 0)


def _is_interleaved(node: Node | None, arms: Arms | None) -> bool:
    if node is None:
        return False
    if node.value not in ORDERS:
        raise node.error(f"{node.text} is no order of sessions: write {' or '.join(ORDERS)}")
    if arms is not None:
        raise node.error("the sessions of arms always alternate: remove order", BadPair)
    return bool(node.value == INTERLEAVED)


def _count(node: Node, least: int) -> int:
    if type(node.value) is not int or not least <= node.value <= MOST_SESSIONS:
        raise node.error(f"{node.text} is not a whole number from {least} to {MOST_SESSIONS}: write one")
    return node.value


def _entries(
    cells: Sequence[tuple[Mapping[str, str], Node]], shared: Mapping[str, str], arms: Arms | None
) -> Iterator[Entry]:
    for cell_fields, node in cells:
        yield Entry(Request(**shared, **cell_fields), arms, node.place)
