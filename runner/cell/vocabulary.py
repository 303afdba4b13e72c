"""The project's words. Those for quants, kernels and runtimes are the names of the registry's files."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from runner.errors import BadValue, NotAvailable, UnknownName

AUTO = "auto"
PLANNED = ("fused",)
"""Names of kernels and runtimes to come: "not available in this version" until there is a file of that name."""
CACHES = ("dynamic", "static", "engine")
ATTENTIONS = ("sdpa", "flash-attn", "engine")
DTYPES = ("bf16", "fp16", "fp32")
PROTOCOLS = ("paper", "tail")
MODERN, PAPER = "modern", "paper"
STACKS = (MODERN, PAPER)
CPU, CUDA = "cpu", "cuda"  # kinds of devices
SYNTHETIC_ID = "synthetic-v1"
HERE, CONTAINER = "here", "container"
PLACES = (HERE, CONTAINER)

PLAIN_TOKEN = re.compile(r"[A-Za-z0-9._:,/+@=~-]*")


def plain_token(field: str, value: str) -> str:
    """The value itself, when it is one plain token; raises BadValue when it holds anything a shell could act on."""
    if value and PLAIN_TOKEN.fullmatch(value):
        return value
    raise BadValue(f"{field}={value!r}: only letters, digits and . _ : , / + @ = ~ - are allowed in a value")


def suggestion(value: str, allowed: Iterable[str]) -> str:
    """`; did you mean X?` for the nearest allowed word, or nothing when none is near."""
    near = difflib.get_close_matches(value.lower(), tuple(allowed), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def known(field: str, value: str, words: Iterable[str]) -> str:
    """The value, when it is one of the words; raises UnknownName with the nearest match otherwise."""
    allowed = tuple(words)
    if value in allowed:
        return value
    raise UnknownName(f"unknown {field} {value!r}{suggestion(value, allowed)} (allowed: {', '.join(allowed)})")


def available(field: str, value: str, words: Iterable[str], built: Iterable[str]) -> str:
    """The value, when it is built; raises NotAvailable for a word of the project that is not, UnknownName otherwise."""
    present = tuple(built)
    known(field, value, dict.fromkeys((*words, *present)))
    if value in present:
        return value
    raise NotAvailable(f"{field}={value} is not available in this version (available: {', '.join(present)})")
