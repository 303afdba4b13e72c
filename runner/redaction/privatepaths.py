"""Private folders, removed from texts that others will read: a record, a tag, a line of output.

`redact` removes homes and names in general. Only the command knows the folders of weights, spool and caches.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

WEIGHTS, SPOOL, CACHE = "<weights>", "<spool>", "<cache>"
CACHE_VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME")
FIELDS = ("weights", "a", "b")  # in messages as `weights=PATH`, where the path may be a plain word

Hidden = tuple[tuple[str, str], ...]
"""Pairs of a text and the marker that replaces it."""


def folder(path: str, marker: str) -> Hidden:
    """Returns the path in all spellings of messages, with the files that its links lead to.

    Folders of the hub's cache and of git-annex consist of links.
    """
    typed = os.path.expanduser(path).rstrip("/")
    absolute = {os.path.abspath(typed), os.path.realpath(typed), *_link_targets(typed)}
    spellings = {path.rstrip("/"), typed, *absolute}
    anywhere = {text for spelling in spellings if "/" in spelling for text in _encodings(spelling)}
    fields = {f"{name}={path}": f"{name}={marker}" for name in FIELDS}
    return (*((text, marker) for text in anywhere), *fields.items())


def caches() -> Hidden:
    """Returns the caches that the environment names."""
    paths = [value for name in CACHE_VARIABLES if (value := os.environ.get(name))]
    return tuple(pair for path in paths for pair in folder(path, CACHE))


def without(text: str, hidden: Iterable[tuple[str, str]]) -> str:
    """Returns the text with markers in place of these paths, longest first."""
    for path, marker in sorted(hidden, key=lambda pair: -len(pair[0])):
        text = text.replace(path, marker)
    return text


def _link_targets(path: str) -> Iterator[str]:
    with suppress(OSError):
        yield from (os.path.realpath(file) for file in Path(path).iterdir() if file.is_symlink())


def _encodings(path: str) -> set[str]:
    return {path, quote(path, errors="surrogateescape"), json.dumps(path)[1:-1]}
