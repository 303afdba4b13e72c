"""Messages name options that exist: each text in the code that names one, checked against the commands that can print
it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cache

import click
import pytest

from analysis import cli as analysis
from analysis import registry
from runner import cli as runner
from tests.support.callgraph import UNKNOWN, Source

PROGRAMS = {"runner": runner.program, "analysis": analysis.main}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
COMMAND = re.compile(r"(?:python -m (?P<program>runner|analysis) )?(?P<command>[a-z][a-z-]*)\b")
OWNED = re.compile(r" of `(?P<owner>[^`]+)`")
"""Follows an option that is another command's, as in `--store of `python -m analysis``."""
OF_OTHERS = {
    "--allowed-hosts": "mlflow server",
    "--artifacts-destination": "mlflow server",
    "--default-artifact-root": "mlflow server",
    "--no-serve-artifacts": "mlflow server",
    "--serve-artifacts": "mlflow server",
    "--experiment-name": "mlflow run",
    "--resources": "ray start",
}
"""Options of other programs that sentences name → the program."""
IF_GIVEN = {
    "--figure": "said of the file that the option names",
    "--host": "said of the address that the option names",
}
"""Options that texts name which only follow from them → why no command without the option prints these."""
ELSEWHERE = {
    "analysis.tables._trace._named": "in the Markdown of a table's command, which has --format, and not in the report",
}
"""Texts that a command reaches and never prints → where they are printed."""


@cache
def commands() -> dict[tuple[str, str], click.Command]:
    """The commands by program and name."""
    found = {}
    for program, group in PROGRAMS.items():
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            found[program, name] = command
    return found


@cache
def options(program: str, command: str) -> frozenset[str]:
    own = (option for parameter in commands()[program, command].params for option in parameter.opts)
    return frozenset((*own, "--help", "--version"))


def start(program: str, command: str) -> list[str]:
    """The functions and tables that a command begins with."""
    callback = inspect.unwrap(commands()[program, command].callback)  # type: ignore[arg-type]  # each has one
    tables = [f"analysis.tables.{table.name}.TABLE" for table in registry.tables()]
    own = [name for name in tables if name == f"analysis.tables.{command}.TABLE"]
    every = tables if command in ("report", "figures", "tables") else []
    doctor = ["runner.doctor.__main__.main"] if command == "doctor" else []
    return [f"{callback.__module__}.{callback.__qualname__.partition('.')[0]}", *own, *every, *doctor]


@pytest.fixture(scope="module")
def source() -> Source:
    return Source("runner", "analysis")


def named(text: str) -> Iterator[tuple[str, str | None]]:
    """Yields the options that a text names, each with the command that it names them of."""
    if len(text.split()) <= 2:  # an argument, no sentence
        return
    for match in OPTION.finditer(text):
        before = text[: match.start()]
        quoted = before.rpartition("`")[2] if before.count("`") % 2 else ""
        command = re.search(r"python -m (?:runner|analysis) [^:;,(]*$", before)
        owned = OWNED.match(text, match.end())
        if quoted.strip(f"{UNKNOWN} "):
            yield match.group(), quoted
        elif command is not None:
            yield match.group(), command.group()
        elif owned is not None:
            yield match.group(), owned["owner"]
        elif not before.endswith(f"{UNKNOWN} "):  # it belongs to what only a run knows
            yield match.group(), None


def of_named(option: str, owner: str) -> bool:
    """Whether the command that a text names has the option; another program is not asked."""
    if program := re.fullmatch(r"python -m (runner|analysis)", owner.strip()):
        return any(option in options(*key) for key in commands() if key[0] == program[1])
    match = COMMAND.match(owner)
    if match is None:
        return True
    asked = [key for key in commands() if key[1] == match["command"] and match["program"] in (None, key[0])]
    return (not asked and match["program"] is None) or any(option in options(*key) for key in asked)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("name another folder with --records", [("--records", None)]),
        ("`python -m runner cell --energy` measures it", [("--energy", "python -m runner cell ")]),
        ("run python -m runner cell --energy now", [("--energy", "python -m runner cell ")]),
        ("MLFLOW_TRACKING_URI (or --store of `python -m analysis`)", [("--store", "python -m analysis")]),
        (f"continue with: {UNKNOWN} --commit", []),
        ("--protocol tail", []),
    ],
)
def test_an_option_is_of_the_command_that_the_text_names(text: str, found: list[tuple[str, str | None]]) -> None:
    assert list(named(text)) == found


@pytest.mark.parametrize(
    ("option", "owner", "has"),
    [
        ("--spool", "python -m runner cell ", True),
        ("--store", "python -m runner cell ", False),
        ("--price", "choose ", True),
        ("--store", "python -m analysis", True),
        ("--spool", "python -m runner nothing ", False),
        ("--run-id", "mlflow runs restore ", True),
    ],
)
def test_the_command_that_a_text_names_is_asked(option: str, owner: str, has: bool) -> None:
    assert of_named(option, owner) == has


@pytest.mark.slow
def test_a_text_that_names_a_command_names_an_option_of_it(source: Source) -> None:
    wrong = {
        (piece.full_name, option, owner)
        for piece in source.pieces.values()
        for text in source.texts(piece)
        for option, owner in named(text)
        if owner is not None and not of_named(option, owner)
    }
    assert wrong == set()


@pytest.mark.slow
@pytest.mark.parametrize(("program", "command"), commands())
def test_a_command_prints_no_option_that_it_does_not_have(source: Source, program: str, command: str) -> None:
    known = {*options(program, command), *OF_OTHERS, *IF_GIVEN}
    wrong = {
        (piece.full_name, option, text)
        for piece in source.reached(start(program, command)).values()
        for text in source.texts(piece)
        for option, owner in named(text)
        if owner is None and option not in known and piece.full_name not in ELSEWHERE
    }
    assert wrong == set()
