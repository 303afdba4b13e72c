"""The common part of both command lines, with every command of both."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from analysis import cli as analysis
from runner import __version__, program
from runner.cli import program as runner_program
from runner.errors import MissingPackage, Usage
from runner.program import Program
from tests.support.processes import environment

PROGRAMS = {"runner": runner_program, "analysis": analysis.main}
COMMANDS = [(name, command) for name, each in PROGRAMS.items() for command in each.list_commands(click.Context(each))]


def output(called: Program, *arguments: str) -> str:
    """Returns what a command line prints that ends well."""
    done = CliRunner().invoke(called, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_version_is_printed(name: str) -> None:
    assert output(PROGRAMS[name], "--version") == f"decode-floor, version {__version__}\n"


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_every_command_prints_the_version_whatever_else_it_needs(name: str, command: str) -> None:
    assert output(PROGRAMS[name], command, "--version") == f"decode-floor, version {__version__}\n"


@pytest.mark.parametrize("name", PROGRAMS)
def test_without_arguments_the_help_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for arguments in ([], ["-h"], ["--help"]):
        assert program.run(PROGRAMS[name], f"python -m {name}", arguments) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0].startswith(f"Usage: python -m {name} [OPTIONS] COMMAND")
    assert len({*texts}) == 1


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_every_command_has_a_short_and_a_long_help_option(name: str, command: str) -> None:
    short = output(PROGRAMS[name], command, "-h")
    assert short == output(PROGRAMS[name], command, "--help")
    assert "-h, --help" in short


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_a_command_that_was_called_alone_keeps_its_short_help_option(name: str, command: str) -> None:
    """Click keeps the help option of the first call, and `-h` of `mlflow ui` is another option."""
    alone = PROGRAMS[name].get_command(click.Context(PROGRAMS[name]), command)
    assert alone is not None
    assert CliRunner().invoke(alone, ["--help"]).exit_code == 0
    assert "-h, --help" in output(PROGRAMS[name], command, "-h")


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_the_line_of_a_command_is_its_whole_first_sentence(name: str, command: str) -> None:
    """Click would cut it at the width, and at a dot inside a sentence."""
    listed = " ".join(output(PROGRAMS[name], "-h").partition("Commands:")[2].split())
    whole = " ".join(output(PROGRAMS[name], command, "-h").partition("\n\n")[2].partition("Options:")[0].split())
    line = re.search(rf"(?:^|\. ){command} (.*?\.)(?= [a-z-]+ [A-Z]|$)", listed)
    assert line is not None, listed
    assert whole.startswith(line[1])
    assert line[1].count("`") % 2 == line[1].count("(") - line[1].count(")") == 0


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("runner", ["cel"], "unknown command 'cel'; did you mean cell? (allowed: ab, bench, cell, "),
        ("analysis", ["flor"], "unknown command 'flor'; did you mean floor? (allowed: ab, budget, "),
        ("runner", ["import"], "missing argument 'FOLDER' (see `python -m runner import --help`)"),
        ("runner", ["cell", "--gpu"], "option '--gpu' requires an argument (see `python -m runner cell --help`)"),
        ("runner", ["gpus", "x"], "got unexpected extra argument (x) (see `python -m runner gpus --help`)"),
        (
            "runner",
            ["gpus", "--jsn"],
            "unknown option '--jsn'; did you mean --json? (see `python -m runner gpus --help`)",
        ),
        ("runner", ["gpus", "--where", "x"], "unknown option '--where', which ab and cell have (see `"),
        ("runner", ["cell", "--hlp"], "unknown option '--hlp'; did you mean --help? (see `"),
        ("runner", ["models", "--zzz"], "unknown option '--zzz' (see `python -m runner models --help`)"),
        ("runner", ["--jsn"], "unknown option '--jsn' (see `python -m runner --help`)"),
        ("analysis", ["floor", "--commit"], "unknown option '--commit', which ab has (see `"),
        (
            "analysis",
            ["floor", "--format", "x"],
            "invalid value for '--format': 'x' is not one of 'auto', 'text', 'md', 'csv', 'json' (see `",
        ),
        ("analysis", ["--nonsense"], "(see `python -m analysis --help`)"),
    ],
)
def test_a_command_line_that_cannot_be_parsed_is_one_error_with_its_help(
    name: str, arguments: list[str], said: str
) -> None:
    with pytest.raises(Usage) as caught:
        program.run(PROGRAMS[name], f"python -m {name}", arguments)
    assert said in str(caught.value)
    assert caught.value.exit_code == 2


MODULE = """
import click

@click.command()
def hello():
    "Says hello."
    click.echo("hello")
"""


@pytest.fixture
def greeter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """A program with a command in a module of its own, and another that lacks a package."""
    (tmp_path / "greeting.py").write_text(MODULE)
    (tmp_path / "lacking.py").write_text("import a_package_that_is_not_there")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "greeting", raising=False)
    return Program("greeter", places={"hello": "greeting:hello", "lost": "lacking:lost"})


def test_a_command_is_imported_when_it_is_asked_for(greeter: Program) -> None:
    assert greeter.list_commands(click.Context(greeter)) == ["hello", "lost"]
    assert "greeting" not in sys.modules
    assert output(greeter, "hello") == "hello\n"
    assert output(greeter, "hello", "--version") == f"decode-floor, version {__version__}\n"
    assert "lacking" not in sys.modules


def test_a_command_that_lacks_a_package_says_so(greeter: Program) -> None:
    with pytest.raises(MissingPackage, match="lacks the package a_package_that_is_not_there"):
        program.run(greeter, "greeter", ["lost"])


@pytest.mark.medium
def test_a_command_of_the_runner_imports_no_other_commands_module(tmp_path: Path) -> None:
    code = "import sys; from runner import cli; cli.run(['gpus', '--help'], None); print(*sys.modules, file=sys.stderr)"
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment(), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    modules = {name for name in found.stderr.split() if name.startswith("runner.commands.")}
    assert "runner.commands.listings" in modules
    assert not modules & {f"runner.commands.{name}" for name in ("measuring", "studying", "benching", "recordfiles")}
