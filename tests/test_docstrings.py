"""The English of docstrings, as far as a program can check it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [path for room in ("runner", "analysis", "images") for path in sorted((ROOT / room).rglob("*.py"))]
OPENERS = {"Of", "What", "Whom", "Those", "Where", "Which", "Who", "Whoever", "Whatever"}
VERB = re.compile(r"[A-Z][a-z]+(?:s|es)\b")
NO_VERBS = {"This", "Its", "Does", "Is", "Has", "As", "Bytes", "Tests", "Lines", "Seconds"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def docstrings(*kinds: type[ast.AST]) -> Iterator[tuple[str, str]]:
    """Yields the place and the text of each docstring of these kinds of nodes."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, kinds) and (text := ast.get_docstring(node)):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", text


@pytest.mark.medium
def test_a_functions_docstring_begins_with_a_verb_in_the_third_person() -> None:
    wrong = [
        f"{place}: {text.splitlines()[0]}"
        for place, text in docstrings(ast.FunctionDef, ast.AsyncFunctionDef)
        if not VERB.match(text) or text.split()[0] in NO_VERBS
    ]
    assert wrong == []


@pytest.mark.medium
def test_no_sentence_opens_with_a_word_that_leans_on_another() -> None:
    wrong = [
        f"{place}: {sentence}"
        for place, text in docstrings(ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        for sentence in re.split(r"(?<=[.!?])\s+", text)
        if sentence.split() and sentence.split()[0].strip("`,") in OPENERS
    ]
    assert wrong == []
