"""The project's vocabulary. The names of quants, kernels and runtimes are the names of the registry's files."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable

from runner.errors import BadValue, NotAvailable, UnknownName

AUTO = "auto"
DYNAMIC = "dynamic"
CACHES = (DYNAMIC, "static", "engine")
ATTENTIONS = ("sdpa", "flash-attn", "engine")
DTYPES = ("bf16", "fp16", "fp32")
DEFAULT_PROTOCOL = "paper"
TAILS = ("tail", "tail-long")
PROTOCOLS = (DEFAULT_PROTOCOL, *TAILS)
MODERN, PAPER = "modern", "paper"
STACKS = (MODERN, PAPER)
ON, OFF = "on", "off"
SWITCH = (ON, OFF)
CPU, CUDA = "cpu", "cuda"  # kinds of devices
SYNTHETIC_ID = "synthetic-v1"
HERE, CONTAINER = "here", "container"
PLACES = (HERE, CONTAINER)

PLAIN_TOKEN = re.compile(r"[A-Za-z0-9._:,/+@=~-]*")


def plain_token(field: str, value: str) -> str:
    """Returns the value. Raises BadValue if it is empty or contains a character that a shell could act on."""
    if not value:
        raise BadValue(f"{field}={value!r} is empty: give it a value, or leave it out")
    if PLAIN_TOKEN.fullmatch(value):
        return value
    raise BadValue(f"{field}={value!r}: only letters, digits and . _ : , / + @ = ~ - are allowed in a value")


def nearest(value: str, allowed: Iterable[str]) -> str | None:
    """Returns the nearest allowed word, or the first that begins with the value; None if there is none."""
    words, written = tuple(allowed), value.lower()
    begun = (word for word in words if len(written) > 1 and word.startswith(written))
    return next(iter((*difflib.get_close_matches(written, words, n=1), *begun)), None)


def suggestion(value: str, allowed: Iterable[str]) -> str:
    """Returns `; did you mean X?` for the nearest allowed word, an empty text if there is none."""
    near = nearest(value, allowed)
    return f"; did you mean {near}?" if near else ""


def checked_name(field: str, value: str, words: Iterable[str]) -> str:
    """Returns the value. Raises UnknownName, with the nearest match, if it is not one of the words."""
    allowed = tuple(words)
    if value in allowed:
        return value
    raise UnknownName(f"unknown {field} {value!r}{suggestion(value, allowed)} (allowed: {', '.join(allowed)})")


def checked_available(field: str, value: str, words: Collection[str], built: Iterable[str]) -> str:
    """Returns the value. Raises NotAvailable for one of `words` that is not in `built`, UnknownName for any other.

    An unknown name gets only names that are accepted: `auto`, and those in `built`.
    """
    present = tuple(built)
    if value in words and value not in present:
        raise NotAvailable(f"{field}={value} is not available in this version (available: {', '.join(present)})")
    return checked_name(field, value, (AUTO, *present))
