"""Declarations in the CUDA sources, read from their text."""

from __future__ import annotations

import re

from runner.fused import compiled

MEMBERS = re.compile(r"\*?\s*(\w+)(?:\[[^\]]*\])?\s*[,;]")


def members(struct: str, header: str) -> list[str]:
    """Returns the names of a struct's members, in order."""
    text = re.sub(r"//.*", "", (compiled.SOURCES / header).read_text())
    body = re.search(rf"struct {struct} {{(.*?)}};", text, re.DOTALL)
    assert body is not None
    return MEMBERS.findall(body[1])


def enumerators(enum: str, header: str) -> list[str]:
    """Returns the names of an enum's values, in order."""
    body = re.search(rf"enum {enum} {{\s*(.*?)\s*}};", (compiled.SOURCES / header).read_text(), re.DOTALL)
    assert body is not None
    return [name.strip() for name in body[1].split(",")]
