"""YAML files that people edit: a mapping of names, or an error of one line with the place."""

from __future__ import annotations

import re
import reprlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import Resolver
from yaml.scanner import Scanner

from runner import failures
from runner.errors import BadValue
from runner.files import plainfile

NUMBERS = {
    "tag:yaml.org,2002:int": r"[-+]?(0x[0-9a-fA-F]+|[0-9][0-9_]*)",
    "tag:yaml.org,2002:float": r"[-+]?(([0-9][0-9_]*)?\.[0-9]+|[0-9][0-9_]*\.?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)"
    r"|\.(nan|NaN|NAN)",
}
LONGEST_NUMBER = 1000
"""Digits of a whole number. Python writes a number of more than 4300 digits in no message."""
# raised by PyYAML's constructors for a value that does not match its tag or form
NO_SUCH_VALUE = (ValueError, LookupError, AttributeError, ArithmeticError)
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict = 2, 4, 4


if TYPE_CHECKING or not yaml.__with_libyaml__:

    class Events(Reader, Scanner, Parser):
        """PyYAML's own parser."""

        def __init__(self, stream: bytes) -> None:
            Reader.__init__(self, stream)
            Scanner.__init__(self)
            Parser.__init__(self)

else:
    from yaml._yaml import CParser as Events  # libyaml's, five times as fast


class _Twice(Exception):
    """A name that occurs twice in one mapping. PyYAML would use the last value."""


class Loader(Composer, Events, SafeConstructor, Resolver):
    """A loader with the numbers of YAML 1.2: 1e-5 is a number, 012 is twelve, and 1:30 is text."""

    def __init__(self, stream: bytes) -> None:
        Events.__init__(self, stream)  # bytes: the parser detects the encoding
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Returns the composed mapping. Raises _Twice for a repeated name.

        This runs before `<<` is merged, whose names the mapping may override.
        """
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                if (key.tag, key.value) in lines:
                    first = lines[key.tag, key.value]
                    raise _Twice(f"{key.value!r} occurs twice, in lines {first} and {line}: keep one of them")
                lines[key.tag, key.value] = line
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merges `<<` into the mapping, each name once. PyYAML keeps every copy, so that merges of merges could fill
        the memory."""
        super().flatten_mapping(node)
        node.value = [*{_identity(key): (key, value) for key, value in node.value}.values()]

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Returns the value. Raises ConstructorError also for a value that does not match its form, such as
        2026-02-30."""
        try:
            return super().construct_object(node, deep)
        except NO_SUCH_VALUE as error:
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(None, None, f"no such {kind} ({error})", node.start_mark) from error


def _identity(key: yaml.Node) -> tuple[str, str] | int:
    return (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)


def _whole_number(_loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = node.value.replace("_", "")
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"more than {LONGEST_NUMBER} digits")
    return int(text, 16 if "0x" in text else 10)


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in NUMBERS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in NUMBERS.items():
    Loader.add_implicit_resolver(_tag, re.compile(f"({_pattern})$"), list("-+.0123456789"))
Loader.add_constructor("tag:yaml.org,2002:int", _whole_number)


def read(path: Path, remedy: str = "") -> dict[str, Any]:
    """Returns the mapping of names in the file.

    Raises BadValue if it cannot be read (`remedy` ends that message), is no such mapping, or repeats a name.
    """
    data = load(path, Loader, remedy)
    if not isinstance(data, dict):
        raise BadValue(f"{path.name}: must be a mapping of names to entries")
    for key in data:
        if not isinstance(key, str):
            raise BadValue(f"{path.name}: the name {yaml_text(key)} is not text to YAML: write it in quotes")
    return data


def load(
    path: Path,
    loader: type[Loader],
    remedy: str = "",
    at_most: int = plainfile.MAXIMUM_BYTES,
    kind: str = "any such file",
) -> Any:
    """Returns the value of the whole file, as this loader makes it.

    Raises BadValue if the file cannot be read (`remedy` ends that message), has more than `at_most` bytes, is no YAML,
    or repeats a name. `kind` names the kind of file.
    """
    try:
        return loader(plainfile.read(path, at_most, kind)).get_single_data()
    except OSError as error:
        problem = f"cannot be read ({failures.reason(error)}): {failures.remedy(error)}{remedy}"
        raise BadValue(f"{path}: {problem}") from error
    except yaml.YAMLError as error:
        raise BadValue(f"{path}: not YAML ({_problem(error)}): correct it there") from error
    except RecursionError as error:
        raise BadValue(
            f"{path}: its brackets or lists are nested too deeply, which no entry needs: remove some"
        ) from error
    except _Twice as error:
        raise BadValue(f"{path.name}: {error}") from error


def yaml_text(value: Any) -> str:
    """Returns a value as YAML writes it, shortened if long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return _SHORT.repr(value)


def _problem(error: yaml.YAMLError) -> str:
    """Returns PyYAML's message and the position, without its name of the text."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    if isinstance(error, yaml.reader.ReaderError):
        return f"position {error.position}: {error.reason}"
    return str(error)
