"""Values of a YAML file with their lines, for errors that name file, line and key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import yaml

from runner.errors import BadValue, DecodeFloorError
from runner.files import yamlfile

MOST_VALUES = 250_000
"""Values of a file. A few aliases of aliases stand for more than any memory has."""


class Lined(NamedTuple):
    """A value, and the line of its name in a mapping or of itself in a list, from 1."""

    value: Any
    line: int


class _WithLines(yamlfile.Loader):
    """A loader whose mappings and lists have Lined members. Aliases share one value."""

    def construct_lined_map(self, node: yaml.Node) -> Iterator[dict[Any, Lined]]:
        """Yields the mapping, which is filled afterwards, as PyYAML's constructors do it."""
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(None, None, "expected a mapping", node.start_mark)
        members: dict[Any, Lined] = {}
        yield members
        self.flatten_mapping(node)
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a name must be text", key.start_mark)
            members[self.construct_object(key)] = Lined(self.construct_object(value), key.start_mark.line + 1)

    def construct_lined_list(self, node: yaml.Node) -> Iterator[list[Lined]]:
        """Yields the list, which is filled afterwards."""
        if not isinstance(node, yaml.SequenceNode):
            raise yaml.constructor.ConstructorError(None, None, "expected a list", node.start_mark)
        items: list[Lined] = []
        yield items
        items.extend(Lined(self.construct_object(item), item.start_mark.line + 1) for item in node.value)

    yaml_constructors: ClassVar = {
        **yamlfile.Loader.yaml_constructors,
        "tag:yaml.org,2002:map": construct_lined_map,
        **dict.fromkeys((f"tag:yaml.org,2002:{kind}" for kind in ("seq", "omap", "pairs")), construct_lined_list),
    }


@dataclass(frozen=True)
class Node:
    """A value of a YAML file, and where it is. The path of the whole file's value is empty."""

    file: str
    line: int
    path: str
    value: Any

    @property
    def place(self) -> str:
        """Returns the place for messages: `floor.yaml:7: matrix.gpu`."""
        position = f"{self.file}:{self.line}"
        return f"{position}: {self.path}" if self.path else position

    def error(self, problem: str, kind: type[DecodeFloorError] = BadValue) -> DecodeFloorError:
        """Returns an error with the place and the problem."""
        return kind(f"{self.place}: {problem}")

    def members(self) -> dict[str, Node]:
        """Returns the members of a mapping. Raises BadValue if the value is no mapping of names."""
        if not isinstance(self.value, dict):
            raise self.error(f"{self.text} is not a mapping of names to values: write one")
        return {self._name(key, member): self._member(key, member) for key, member in self.value.items()}

    def _name(self, key: Any, member: Lined) -> str:
        if isinstance(key, str):
            return key
        raise Node(self.file, member.line, self.path, key).error(
            f"the name {yamlfile.yaml_text(key)} is not text to YAML: write it in quotes"
        )

    def _member(self, name: str, member: Lined) -> Node:
        return Node(self.file, member.line, f"{self.path}.{name}" if self.path else name, member.value)

    def items(self) -> list[Node]:
        """Returns the items of a list. Raises BadValue if the value is no list."""
        if not isinstance(self.value, list):
            raise self.error(f"{self.text} is not a list: write one, with a hyphen before each item")
        return [
            Node(self.file, item.line, f"{self.path}[{index}]", item.value) for index, item in enumerate(self.value)
        ]

    @property
    def text(self) -> str:
        """Returns the value as YAML writes it; a mapping or list is only named."""
        if isinstance(self.value, dict | list):
            return "a mapping" if isinstance(self.value, dict) else "a list"
        return yamlfile.yaml_text(self.value)


def read(path: Path, at_most: int, kind: str) -> Node:
    """Returns the value of the whole file. `kind` names the kind of file.

    Raises BadValue if the file cannot be read, has more than `at_most` bytes, is no YAML, or has more than MOST_VALUES.
    """
    file = Node(path.name, 1, "", yamlfile.load(path, _WithLines, at_most=at_most, kind=kind))
    if _count(file.value, {}) > MOST_VALUES:
        raise BadValue(
            f"{path.name}: has more than {MOST_VALUES} values, with those of anchors written out: divide it, or use "
            "fewer aliases"
        )
    return file


def _count(value: Any, counted: dict[int, int]) -> int:
    """Returns the number of values with aliases written out. `counted` has those of mappings and lists by id.

    A value that contains itself has too many.
    """
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in counted:
        counted[id(value)] = MOST_VALUES
        total = 1
        for member in value.values() if isinstance(value, dict) else value:
            total += _count(member.value, counted)
        counted[id(value)] = total
    return counted[id(value)]
