"""Every flag is declared once, with its meaning."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.record import flags

ROOT = Path(__file__).parents[3]
SOURCES = [path for room in ("runner", "analysis") for path in sorted((ROOT / room).rglob("*.py"))]
SETTERS = ("runner/record/judgement.py", "runner/checkpoints/checkpoint.py")
"""Modules with a function `flags` that has a dictionary of flags and conditions."""
DECLARED = {flag.name for flag in flags.FLAGS}
OWN_NAMES = {name for name, value in vars(flags).items() if isinstance(value, str) and value in DECLARED}


def conditions(path: Path) -> Iterator[str]:
    """Yields the flags that a module's function `flags` may set."""
    (function,) = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name == "flags"
    ]
    for keys in (node.keys for node in ast.walk(function) if isinstance(node, ast.Dict)):
        for key in keys:
            assert isinstance(key, ast.Constant | ast.Name)
            yield str(key.value) if isinstance(key, ast.Constant) else str(getattr(flags, key.id))


@pytest.mark.parametrize("setter", SETTERS)
def test_every_flag_that_a_session_may_get_is_declared(setter: str) -> None:
    found = set(conditions(ROOT / setter))
    assert found
    assert found <= DECLARED


@pytest.mark.medium
def test_every_flag_of_a_committed_record_is_declared() -> None:
    texts = [path.read_text() for path in (ROOT / "experiments" / "records").rglob("*.json") if path.name != "ab.json"]
    assert texts
    assert {flag for text in texts for flag in json.loads(text).get("flags", ())} <= DECLARED


@pytest.mark.medium
def test_the_words_are_spelled_in_one_module_alone() -> None:
    """A constant elsewhere could be a flag that nobody declared, or a second spelling."""
    for path in SOURCES:
        if path.name == "flags.py":
            continue
        assigned = {
            target.id
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.Assign)
            for each in node.targets
            for target in ast.walk(each)
            if isinstance(target, ast.Name)
        }
        assert not assigned & (OWN_NAMES - {"CONVERTED"}), path  # a word of the gate, too


def test_the_documents_list_is_the_declared_one() -> None:
    assert (ROOT / "docs" / "flags.md").read_text(encoding="utf-8").endswith("\n\n" + flags.markdown())


def test_each_flag_stands_once_in_order_with_a_meaning_and_an_origin() -> None:
    names = [flag.name for flag in flags.FLAGS]
    assert names == sorted(set(names))
    assert all(flag.meaning and flag.set_when for flag in flags.FLAGS)
    assert flags.GIVEN_FLAGS == ("converted", "other-tree", "shared-card", "shared-host", "unpinned", "untried-kernel")
