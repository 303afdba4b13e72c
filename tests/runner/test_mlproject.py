"""MLproject, the command lines and the request have the same fields."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from analysis import cli as analysis
from runner.ab import arms
from runner.commands import measuring, studying
from runner.commands import options as request_options
from runner.plan.request import Request
from tests.support.makefile import recipe

ROOT = Path(__file__).resolve().parents[2]
REQUEST = [field.name for field in fields(Request)]
COMMANDS: Mapping[str, click.Command] = {
    "main": measuring.cell,
    "cell": measuring.cell,
    "ab": measuring.ab,
    "study": studying.study,
    "tables": analysis.main.commands["tables"],
    "choose": analysis.main.commands["choose"],
}
SESSION = {"spool", "share_host", "timeout"}
OF_THE_TERMINAL = {
    "main": {*SESSION, "sessions", "explain_gate", "json"},
    "cell": {*SESSION, "sessions", "explain_gate", "json"},
    "ab": SESSION,
    "study": {*SESSION, "dry_run", "redo", "retry_failed"},
    "tables": {"records", "store", "out"},
    "choose": {"records", "store", "figure"},
}
"""Options that `mlflow run` does without: a run is one session or one A/B, and its store is MLflow's."""
ARGUMENTS = {"study": {"file"}}
"""Parameters that are no options, but arguments of the command."""


ENTRIES: dict[str, Any] = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))["entry_points"]
DEFAULTS = {
    name: {each: declared.get("default") for each, declared in entry["parameters"].items()}
    for name, entry in ENTRIES.items()
}


def options(command: click.Command) -> dict[str, click.Option]:
    """Returns the options that a command receives, by their names on the command line."""
    found = (one for one in command.params if isinstance(one, click.Option) and one.expose_value)
    return {one.opts[0].removeprefix("--").replace("-", "_"): one for one in found}


def test_every_field_of_the_request_has_a_help_text() -> None:
    assert list(request_options.REQUEST_HELP) == REQUEST


@pytest.mark.parametrize("name", ["cell", "ab"])
def test_every_field_of_the_request_is_an_option(name: str) -> None:
    assert [option for option in options(COMMANDS[name]) if option in REQUEST] == REQUEST


@pytest.mark.slow
def test_mlflow_reads_the_same() -> None:
    """Its parser takes YAML's merge keys, too."""
    from mlflow.projects import _project_spec

    found = _project_spec.load_project(str(ROOT))._entry_points
    for name, entry in found.items():
        assert {each: parameter.default for each, parameter in entry.parameters.items()} == DEFAULTS[name]
        assert entry.command == ENTRIES[name]["command"]
    assert set(found) == set(ENTRIES)


def test_every_entry_point_is_a_command() -> None:
    assert set(ENTRIES) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_entry_point_takes_what_its_command_takes(name: str) -> None:
    assert set(DEFAULTS[name]) - ARGUMENTS.get(name, set()) == set(options(COMMANDS[name])) - OF_THE_TERMINAL[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_an_entry_point_hands_on_each_parameter_once(name: str) -> None:
    found = re.findall(r"(?:--([a-z-]+) )?\{([a-z_]+)\}", ENTRIES[name]["command"])
    handed_on = [(option.replace("-", "_"), parameter) for option, parameter in found]
    arguments = ARGUMENTS.get(name, set())
    assert sorted(handed_on) == sorted(("" if each in arguments else each, each) for each in DEFAULTS[name])


@pytest.mark.parametrize("name", ["cell", "ab"])
def test_the_defaults_of_an_entry_point_are_a_request(name: str) -> None:
    defaults = {field: DEFAULTS[name][field] for field in REQUEST}
    Request(**defaults)


def test_an_ab_may_differ_in_any_of_its_fields() -> None:
    """`-P field=weights` is refused where weights has a value of its own."""
    taken = {field: DEFAULTS["ab"][field] for field in arms.FIELDS}
    assert set(taken.values()) == {"auto"}


@pytest.mark.parametrize("name", ["ab", "study", "tables", "choose"])
def test_what_is_no_field_of_the_request_has_the_default_of_its_option(name: str) -> None:
    known = options(COMMANDS[name])
    in_request = set(REQUEST) - ({"gpu", "model", "ctx"} if name == "choose" else set())
    skipped = {*in_request, *ARGUMENTS.get(name, set())}
    others = {each: default for each, default in DEFAULTS[name].items() if each not in skipped}
    assert others == {each: _written(known[each].default) for each in others}


def _written(default: object) -> str:
    """Returns a default as one parameter, also that of an option that may be repeated."""
    return ",".join(default) if isinstance(default, list) else str(default)


STEP = """#!/bin/sh
echo "$DECODE_FLOOR_PARENT_PID $@" >> {log}
[ "$2 $3" = "runner cell" ] && exit {code}
exit 0
"""
"""A program in the place of `python` that notes how it is called."""


@pytest.mark.parametrize("code", [0, 23])
def test_a_comparison_follows_a_measurement_that_succeeded_and_leaves_its_exit_code(tmp_path: Path, code: int) -> None:
    (tmp_path / "python").write_text(STEP.format(log=tmp_path / "log", code=code))
    (tmp_path / "python").chmod(0o700)
    values = {**DEFAULTS["cell"], "ctx": "64"}
    command = f"{ENTRIES['cell']['command'].format(**values)} --sessions 2"  # as MLflow appends `-P sessions=2`
    done = subprocess.run(
        ["bash", "-c", command], env={**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"}, check=False, timeout=60
    )
    assert done.returncode == code
    first, *second = (tmp_path / "log").read_text().splitlines()
    parent, _, arguments = first.partition(" -m runner cell ")
    assert parent == str(os.getpid())
    assert arguments.startswith("--gpu auto --model auto --ctx 64 ")
    assert arguments.endswith(" --sessions 2")
    assert second == ([f"{parent} -m analysis compare --after-cell -- {arguments}"] if code == 0 else [])


def test_make_cell_compares_what_it_has_measured() -> None:
    first, second = recipe("cell", "ARGS=--ctx 64")[-2:]
    assert first.endswith(" python -m runner cell --ctx 64")
    assert second.endswith(" python -m analysis compare --after-cell -- --ctx 64")


def test_make_server_passes_port_and_data_as_one_word_each() -> None:
    words = shlex.split(recipe("server", "PORT=50 00", "DATA=a folder", "ARGS=--workers 1")[-1])
    assert words[-7:] == ["server", "--port", "50 00", "--data", "a folder", "--workers", "1"]


@pytest.mark.parametrize("port", ["", "50 00"])
def test_make_ui_passes_any_port_as_one_word(port: str) -> None:
    assert shlex.split(recipe("ui", f"PORT={port}")[-1])[-2:] == ["--port", port]
