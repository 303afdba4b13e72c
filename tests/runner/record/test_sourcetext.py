"""The essence of a source: the same under every Python, left by an edit of words, changed by an edit of code."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runner.record import sourcetext

ROOT = Path(__file__).parents[3]

SOURCE = '''"""A module."""  # first

from __future__ import annotations

import os
from runner.cell import floors, vocabulary
from collections.abc import (
    Iterator,  # named
)
import runner.errors

LIMIT = 0.5  # a comment
"""An attribute's words, über two
lines."""


class Kept:
    """Says what it is."""

    text = """two\x20\x20

    # no comment
"""

    def half(self, size: int) -> str:
        """Returns half."""
        return f"{size / 2:>{size}} # {'é'}"   # é
'''
ESSENCE = '''from __future__ import annotations
import os
from collections.abc import (
    Iterator,
)
LIMIT = 0.5
class Kept:
    text = """two\x20\x20

    # no comment
"""
    def half(self, size: int) -> str:
        return f"{size / 2:>{size}} # {'é'}"
'''


def test_words_blank_lines_and_own_imports_are_cut_and_strings_stay():
    assert sourcetext.essence(SOURCE) == ESSENCE


LEAVE = {
    "another docstring": ("Returns half.", "Returns the half of a size."),
    "no docstring": ('        """Returns half."""\n', ""),
    "another comment": ("# a comment", "# 0.5 was measured"),
    "a comment on a line of its own": ("LIMIT =", "# half\nLIMIT ="),
    "blank lines": ("\n\n\nclass", "\n\n\n\n\nclass"),
    "trailing space": ("LIMIT = 0.5", "LIMIT = 0.5  "),
    "another system's line ends": ("\n", "\r\n"),
    "a module of the project that moved": ("from runner.cell import floors", "from runner.bytes import floors"),
}
CHANGE = {
    "an operator": ("size / 2", "size * 2"),
    "a number": ("0.5", "0.6"),
    "a name": ("LIMIT", "LIMITS"),
    "space inside a string": ("two  \n", "two\n"),
    "a blank line inside a string": ("two  \n\n", "two  \n"),
    "what looks like a comment inside a string": ("# no comment", "# one"),
    "a nested string": ("'é'", "'e'"),
    "an import of another package": ("import os", "import sys"),
    "indentation": ("LIMIT = 0.5", "if True:\n    LIMIT = 0.5"),
}


@pytest.mark.parametrize("edit", LEAVE.values(), ids=LEAVE)
def test_an_edit_of_words_or_places_leaves_it(edit):
    assert SOURCE.replace(*edit) != SOURCE
    assert sourcetext.essence(SOURCE.replace(*edit)) == ESSENCE


@pytest.mark.parametrize("edit", CHANGE.values(), ids=CHANGE)
def test_an_edit_of_code_changes_it(edit):
    assert SOURCE.replace(*edit) != SOURCE
    assert sourcetext.essence(SOURCE.replace(*edit)) != ESSENCE


def test_a_module_of_words_alone_decides_nothing():
    assert sourcetext.essence('"""Words."""\n\n# more\nfrom runner import errors\n') == ""


PRINT = """
import hashlib, importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("sourcetext", "runner/record/sourcetext.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
found = sorted(pathlib.Path("runner").rglob("*.py"))
print([hashlib.sha256(module.essence(path.read_text()).encode()).hexdigest() for path in found])
"""


def interpreters() -> list[str]:
    """Returns this Python and each other that can run the project, as far as any is installed."""
    names = [shutil.which(f"python3.{minor}") for minor in (11, 12)]
    runs = [name for name in names if name and subprocess.run([name, "-c", ""], capture_output=True).returncode == 0]
    return [sys.executable, *runs]


@pytest.mark.slow
def test_the_essence_of_all_modules_is_the_same_under_every_python_here():
    outputs = {
        subprocess.run([name, "-c", PRINT], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in interpreters()
    }
    assert len(outputs) == 1
