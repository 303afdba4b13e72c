"""A YAML file that people edit: its mapping of names, or one line that says what is wrong with it and where."""

from __future__ import annotations

import re
import reprlib
from pathlib import Path
from typing import Any

import yaml

from runner import failures
from runner.errors import BadValue
from runner.files import plainfile

NUMBERS = {
    "tag:yaml.org,2002:int": r"[-+]?(0x[0-9a-fA-F]+|[0-9][0-9_]*)",
    "tag:yaml.org,2002:float": r"[-+]?(([0-9][0-9_]*)?\.[0-9]+|[0-9][0-9_]*\.?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)"
    r"|\.(nan|NaN|NAN)",
}
# what PyYAML's own constructors raise for a value that its tag or its look promises and that it is not
NO_SUCH_VALUE = (ValueError, LookupError, AttributeError, ArithmeticError)
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict = 2, 4, 4


class _Twice(Exception):
    """A name that stands twice in one mapping, of which PyYAML would take the last."""


class _Yaml(yaml.SafeLoader):
    """With the numbers of YAML 1.2: 1e-5 is one, 012 is twelve, and 1:30 is text."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """As composed, and so before what `<<` brings in, which names of the mapping's own may replace."""
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                if (key.tag, key.value) in lines:
                    first = lines[key.tag, key.value]
                    raise _Twice(f"{key.value!r} stands twice, in lines {first} and {line}: keep one of them")
                lines[key.tag, key.value] = line
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Raises ConstructorError, too, where the value is not what its tag or its look promises: 2026-02-30."""
        try:
            return super().construct_object(node, deep)
        except NO_SUCH_VALUE as error:
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(None, None, f"no such {kind} ({error})", node.start_mark) from error


def _whole_number(_loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = node.value.replace("_", "")
    return int(text, 16 if "0x" in text else 10)


_Yaml.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in NUMBERS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in NUMBERS.items():
    _Yaml.add_implicit_resolver(_tag, re.compile(f"({_pattern})$"), list("-+.0123456789"))
_Yaml.add_constructor("tag:yaml.org,2002:int", _whole_number)


def read(path: Path, remedy: str = "") -> dict[str, Any]:
    """The mapping of names in the file. Raises BadValue where it cannot be read (`remedy` ends that line), is no such
    mapping, or has a name twice."""
    try:
        data = yaml.load(plainfile.read(path), _Yaml)  # bytes: PyYAML knows the encodings that YAML allows
    except OSError as error:
        what = f"cannot be read ({failures.reason(error)}): {failures.remedy(error)}{remedy}"
        raise BadValue(f"{path}: {what}") from error
    except yaml.YAMLError as error:
        raise BadValue(f"{path}: not YAML ({_said(error)})") from error
    except RecursionError as error:
        raise BadValue(
            f"{path}: its brackets or lists are nested too deeply to be read: no entry needs that"
        ) from error
    except _Twice as error:
        raise BadValue(f"{path.name}: {error}") from error
    if not isinstance(data, dict):
        raise BadValue(f"{path.name}: must be a mapping of names to entries")
    for key in data:
        if not isinstance(key, str):
            raise BadValue(f"{path.name}: the name {shown(key)} is not text to YAML: write it in quotes")
    return data


def shown(value: Any) -> str:
    """A value as YAML writes it, shortened where it is long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return _SHORT.repr(value)


def _said(error: yaml.YAMLError) -> str:
    """PyYAML's own words, and the place, but not what it calls the text that it was given."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    if isinstance(error, yaml.reader.ReaderError):
        return f"position {error.position}: {error.reason}"
    return str(error)
