"""The tables of the front page and of the pages in docs/ are what their commands print."""

import shlex
import sys

import pytest

from tests.pages import fill
from tests.support.commands import command

PAGES = (
    *("README.md", "docs/results.md", "docs/paper.md"),
    *("docs/prediction.md", "docs/choose.md", "docs/faults.md", "docs/fused.md"),
)
COMMANDS = [(page, command) for page in PAGES for command in fill.blocks((fill.ROOT / page).read_text("utf-8"))]
PAGE = """before

<!-- $ python -c "print('| a |')" -->
old
<!-- end -->

after
"""


@pytest.mark.slow
@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_block_is_what_its_command_prints(page, line):
    committed = fill.blocks((fill.ROOT / page).read_text("utf-8"))[line]
    assert committed == fill.content(line, printed(line)), "run: make results"


def printed(line):
    """The output of a command, in this process if it is one of `analysis`."""
    program, module, *arguments = shlex.split(line)[:1] + shlex.split(line)[2:]
    if (program, module) != ("python", "analysis"):
        return fill.output(line)
    done = command(*arguments)
    assert done.returncode == 0
    assert all(note.startswith("note: ") for note in done.stderr.splitlines())
    return done.stdout


def test_no_page_with_a_block_is_left_out():
    pages = [fill.ROOT / "README.md", *(fill.ROOT / "docs").glob("*.md")]
    assert {path.relative_to(fill.ROOT).as_posix() for path in pages if fill.blocks(path.read_text("utf-8"))} == {
        *PAGES
    }


def test_the_pages_have_a_block_for_every_table():
    tables = {command.split()[3] for page, command in COMMANDS if page == "docs/results.md"}
    assert tables == {"floor", "graphs", "quant", "budget", "paper"}
    assert {command.split()[3] for page, command in COMMANDS if page == "docs/paper.md"} == {"claims", "differences"}
    assert [command for page, command in COMMANDS if page == "README.md"] == ["python -m tests.pages.headline"]


@pytest.mark.medium
def test_a_block_is_replaced_and_all_else_stays():
    command = "python -c \"print('| a |')\""
    assert fill.blocks(PAGE) == {command: "old\n"}
    filled = fill.filled(PAGE)
    assert fill.blocks(filled) == {command: f"\n`{command}` prints:\n\n| a |\n\n"}
    assert filled.startswith("before\n\n<!-- $ python")
    assert filled.endswith("<!-- end -->\n\nafter\n")
    assert fill.filled(filled) == filled


@pytest.mark.medium
def test_a_command_that_fails_writes_no_page():
    with pytest.raises(fill.subprocess.CalledProcessError):
        fill.filled(f"<!-- $ {sys.executable} -c 1/0 -->\n<!-- end -->\n")
