"""Takes folders that only their owner knows out of a text that others will read: a record, a tag, a kept line.

`redact` takes out homes and names wherever they stand. Only the command knows where weights, spool and caches lie.
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
FIELDS = ("weights", "a", "b")  # of a message, `weights=PATH`: before them a path may be one plain word

Hidden = tuple[tuple[str, str], ...]
"""Pairs of what may stand in a text and the marker that takes its place."""


def folder(path: str, marker: str) -> Hidden:
    """The path as it was typed, and in every way that a message may write it; with the files that links in it lead to,
    for a folder of weights in the hub's cache or of git-annex is made of links."""
    typed = os.path.expanduser(path).rstrip("/")
    whole = {os.path.abspath(typed), os.path.realpath(typed), *_linked(typed)}
    spelled = {path.rstrip("/"), typed, *whole}
    anywhere = {text for each in spelled if "/" in each for text in _written(each)}
    fields = {f"{name}={path}": f"{name}={marker}" for name in FIELDS}
    return (*((text, marker) for text in anywhere), *fields.items())


def caches() -> Hidden:
    """The caches that the environment names."""
    named = [value for name in CACHE_VARIABLES if (value := os.environ.get(name))]
    return tuple(pair for each in named for pair in folder(each, CACHE))


def without(text: str, hidden: Iterable[tuple[str, str]]) -> str:
    """The text with markers in place of these paths, the longest first."""
    for path, marker in sorted(hidden, key=lambda pair: -len(pair[0])):
        text = text.replace(path, marker)
    return text


def _linked(path: str) -> Iterator[str]:
    with suppress(OSError):
        yield from (os.path.realpath(file) for file in Path(path).iterdir() if file.is_symlink())


def _written(path: str) -> set[str]:
    return {path, quote(path, errors="surrogateescape"), json.dumps(path)[1:-1]}
