"""Damage of files: bytes lost, changed or added, and values of JSON that are replaced, removed or doubled."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Place = tuple[str | int, ...]
"""Keys and indices that lead to a value of a JSON document."""

WEIRD_NUMBERS = st.sampled_from([0, -1, 2**63, -(2**64), 10**400, 1e308, 5e-324, float("inf"), float("nan"), -0.0])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WEIRD_NUMBERS | st.text(max_size=20)
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
