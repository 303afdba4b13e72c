"""Damage of files: bytes lost, changed or added, and values of JSON that are replaced, removed or doubled."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from hypothesis import strategies as st

Place = tuple[str | int, ...]
"""Keys and indices that lead to a value of a JSON document."""

WEIRD_NUMBERS = st.sampled_from([0, -1, 2**63, -(2**64), 10**400, 1e308, 5e-324, float("inf"), float("nan"), -0.0])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WEIRD_NUMBERS | st.text(max_size=20)
NO_JSON = (
    "+1",
    "01",
    ".5",
    "0x1",
    "1_000",
    "True",
    "'a'",
    "[1,]",
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\x01"',
)
"""Values that are none, or that no file can have."""
TOKENS = (
    "NaN",
    "-Infinity",
    "-0",
    "1e999",
    "-1e999",
    "1e-9999",
    "9" * 4000,
    "9" * 5000,
    "1" + "0" * 308,
    "0." + "1" * 5000,
    '"\\u0000"',
)
DEPTHS = (50, 900, 5_000, 100_000)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def places(document: Any, place: Place = ()) -> Iterator[Place]:
    """Yields the place of every value of a document, the document's own excepted."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield (*place, key)
        yield from places(value, (*place, key))


def value_at(document: Any, place: Place) -> Any:
    """Returns the value at a place."""
    for key in place:
        document = document[key]
    return document


def replaced(document: Any, place: Place, value: Any) -> Any:
    """Returns a copy of the document with another value at the place."""
    changed = copy.deepcopy(document)
    value_at(changed, place[:-1])[place[-1]] = value
    return changed


def without(document: Any, place: Place) -> Any:
    """Returns a copy of the document without the value at the place."""
    changed = copy.deepcopy(document)
    del value_at(changed, place[:-1])[place[-1]]
    return changed


class Text(NamedTuple):
    """A damaged text, and whether any reader must refuse it."""

    content: bytes
    is_refused: bool


def damaged_texts(document: dict[str, Any]) -> st.SearchStrategy[Text]:
    """Returns texts of a JSON document as no `json.dumps` writes them: values that are none or that are extreme, deep
    nesting, names that occur twice, and other encodings."""
    place = st.sampled_from(list(places(document)))
    written = place.flatmap(lambda at: _tokens().map(lambda token: Text(_written(document, at, token[0]), token[1])))
    names = st.sampled_from([at for at in places(document) if isinstance(at[-1], str)])
    twice = st.tuples(names, SCALARS).map(lambda pair: Text(_twice(document, *pair), True))
    text = json.dumps({**document, "é": 1}, ensure_ascii=False)
    encodings = ("utf-16", "utf-16-le", "utf-32", "latin-1", "utf-7")
    encoded = st.sampled_from(encodings).map(lambda encoding: Text(text.encode(encoding), encoding != "utf-7"))
    return written | twice | encoded


def _tokens() -> st.SearchStrategy[tuple[str, bool]]:
    nested = st.tuples(st.sampled_from(DEPTHS), st.sampled_from(["[]", "{}"])).map(
        lambda pair: "[" * pair[0] + "]" * pair[0] if pair[1] == "[]" else '{"a":' * pair[0] + "1" + "}" * pair[0]
    )
    broken = st.sampled_from(NO_JSON).map(lambda token: (token, True))
    return broken | (st.sampled_from(TOKENS) | nested).map(lambda token: (token, False))


def _written(document: Any, place: Place, token: str) -> bytes:
    mark = "\ue000here\ue000"
    return json.dumps(replaced(document, place, mark), ensure_ascii=False).replace(f'"{mark}"', token).encode()


def _twice(document: Any, place: Place, value: Any) -> bytes:
    """Returns a text in which the name of a place occurs twice in its object."""
    name, parent = place[-1], value_at(document, place[:-1])
    mark = "\ue000second\ue000"
    text = json.dumps(replaced(document, place, {mark: parent[name]}))
    return text.replace(
        f"{json.dumps({mark: parent[name]})}", f"{json.dumps(parent[name])}, {json.dumps(name)}: {json.dumps(value)}"
    ).encode()


HOSTILE_YAML = (
    *(
        ".inf",
        ".nan",
        "-0",
        "1e999",
        "0x" + "f" * 5000,
        "9" * 5000,
        "0o17",
        "1_000",
        "1:30",
        "~",
        "''",
        "*x",
        "&x [*x]",
    ),
    *(
        "!!binary aGk=",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "!!pairs [a: 1]",
        "!!timestamp 2026-02-30",
        "2026-01-01",
        "!foo 3",
    ),
    *(
        "!!python/object:os.system x",
        "!!int x",
        "!!float x",
        "!!bool 5",
        "!!str [a]",
        "!!map a",
        "!!seq a",
        "!!merge a",
    ),
    *(
        '"\\0"',
        '"\\n"',
        "'\n\n  a'",
        "|\n  a",
        "[" * 5000,
        "{" * 5000,
        "[[[[]]]]",
        "{<<: 1}",
        "{<<: [[a]]}",
        "{? [a] : b}",
    ),
    *(
        "a: b: c",
        "- a",
        "@a",
        "`a",
        "%a",
        "\t",
        "# a",
        "--- a",
        "... a",
        "<<",
        "=",
        "&a &b c",
        "!<x> a",
        "\ufeff",
        "\x85",
    ),
)
"""Values of YAML that are none, of another kind than they look, or without end."""
BOMBS = (
    "a: &a [x, x, x]\n"
    + "".join(f"a{i}: &a{i} [{', '.join(['*a' + (str(i - 1) if i else '')] * 9)}]\n" for i in range(30)),
    "a: &a {x: 1}\n"
    + "".join(
        f"a{i}: &a{i} {{<<: [{', '.join(['*a' + (str(i - 1) if i else '')] * 9)}], y{i}: 1}}\n" for i in range(30)
    ),
    "&a\n<<: *a\n",
    "a: &a {<<: [*a, *a]}\n",
    "".join(f"{' ' * depth}a:\n" for depth in range(1000)),
)
"""Aliases of aliases, merges of merges, and structures that contain themselves."""


def damaged_yaml(text: str) -> st.SearchStrategy[bytes]:
    """Returns copies of a YAML file with a value replaced by a hostile one, or with a bomb."""
    lines = text.splitlines(keepends=True)
    at = st.sampled_from([number for number, line in enumerate(lines) if ":" in line and line.lstrip()[:1] != "#"])

    def hostile(number: int, value: str) -> str:
        changed = f"{lines[number].partition(':')[0]}: {value}\n"
        return "".join([*lines[:number], changed, *lines[number + 1 :]])

    replaced_value = st.tuples(at, st.sampled_from(HOSTILE_YAML) | st.text(max_size=20)).map(
        lambda pair: hostile(*pair)
    )
    bombed = st.tuples(st.sampled_from(BOMBS), st.booleans()).map(lambda pair: pair[0] + (text if pair[1] else ""))
    return (replaced_value | bombed).map(lambda changed: changed.encode("utf-8", "surrogatepass"))


def damaged_documents(document: Any) -> st.SearchStrategy[Any]:
    """Returns copies of a JSON document with one value replaced or removed."""
    place = st.sampled_from(list(places(document)))
    return place.flatmap(
        lambda at: st.just(without(document, at)) | VALUES.map(lambda value: replaced(document, at, value))
    )


def damaged_bytes(content: bytes) -> st.SearchStrategy[bytes]:
    """Returns the content with bytes lost, changed, added or doubled, and text that never was such a file."""
    at = st.integers(0, len(content))
    lost = at.map(lambda end: content[:end])
    changed = st.tuples(at, st.binary(min_size=1, max_size=8)).map(
        lambda pair: content[: pair[0]] + pair[1] + content[pair[0] + len(pair[1]) :]
    )
    added = st.tuples(at, st.binary(max_size=40)).map(lambda pair: content[: pair[0]] + pair[1] + content[pair[0] :])
    doubled = st.tuples(at, at).map(lambda pair: content[: max(pair)] + content[min(pair) :])
    nested = st.integers(1, 20_000).map(lambda depth: b"[" * depth)
    return lost | changed | added | doubled | nested | st.binary(max_size=200) | st.text(max_size=200).map(str.encode)


def as_json(document: Any) -> bytes:
    """Returns the text of a document; numbers that JSON lacks are written as Python does."""
    return json.dumps(document).encode()
