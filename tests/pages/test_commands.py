"""The commands that the pages show: each make target, each subcommand with its options, each MLflow parameter."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache

import pytest
import yaml
from click.testing import CliRunner

from analysis import cli as analysis
from runner import cli as runner
from tests.pages import markdown
from tests.pages.markdown import PAGES, ROOT

IN_PROCESS = {"runner": runner.program, "analysis": analysis.main}
PROGRAMS = (*IN_PROCESS, "runner.doctor")
TARGET = re.compile(r"[a-z][a-z-]*")
PYTHON = re.compile(r"python3? -m ([a-z_.]+)([^\n`|]*)")
MLFLOW = re.compile(r"mlflow run \. -e (\w+)([^\n`&]*)")


def shown() -> str:
    """Returns the code blocks and the code in the prose of all pages, a command per line."""
    lines = []
    for path in PAGES:
        text = markdown.read(path)
        lines += [*markdown.code_lines(text), *markdown.spans(text)]
    return "\n".join(lines)


SHOWN = shown()


def commands() -> set[tuple[str, str, tuple[str, ...]]]:
    """Returns (module, subcommand or empty, options) of each command of ours."""
    found = set()
    for module, rest in PYTHON.findall(SHOWN):
        if module in PROGRAMS:
            words = shlex.split(rest.replace("…", "").partition(" > ")[0])
            subcommand = words[0] if words and not words[0].startswith("-") else ""
            options = tuple(sorted({word.partition("=")[0] for word in words if word.startswith("--")}))
            found.add((module, subcommand, options))
    return found


def make_targets() -> set[str]:
    """Returns the targets of each make command: its words up to a comment, without settings."""
    found: set[str] = set()
    for line in SHOWN.splitlines():
        for command in line.partition("#")[0].split("&&"):
            words = [word for word in command.split() if not re.match(r"[A-Z_]+=", word)]
            found |= set(words[1:]) if words[:1] == ["make"] else set()
    return {word for word in found if TARGET.fullmatch(word)}


@cache
def help_of(module: str, subcommand: str) -> str:
    arguments = [*filter(None, [subcommand]), "--help"]
    if module in IN_PROCESS:
        return CliRunner().invoke(IN_PROCESS[module], arguments, catch_exceptions=False).stdout
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.parametrize(("module", "subcommand", "options"), sorted(commands()))
def test_a_command_has_the_options_that_a_page_gives_it(module, subcommand, options):
    text = help_of(module, subcommand)
    assert [option for option in options if not re.search(rf"(?<!\S){option}\b", text)] == []


def test_a_module_that_a_page_runs_is_there():
    modules = {module.rstrip(".") for module, _ in PYTHON.findall(SHOWN)} - {"pip", "venv"}
    paths = [ROOT.joinpath(*module.split(".")) for module in modules]
    assert [path for path in paths if not (path.with_suffix(".py").exists() or (path / "__main__.py").exists())] == []


def test_a_make_target_that_a_page_names_is_there():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    architectures = {f"image-{path.stem}" for path in (ROOT / "images" / "arch").glob("*.env")} | {"image-cpu"}
    named = make_targets()
    assert {"demo", "cell", "test", "results", "screenshots", "image-ada"} <= named
    assert named - targets - architectures == set()


def test_an_mlflow_parameter_that_a_page_gives_is_declared():
    entries = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))["entry_points"]
    used = MLFLOW.findall(SHOWN)
    assert used
    for entry, rest in used:
        given = re.findall(r"-P (\w+)=", rest)
        assert set(given) <= entries[entry]["parameters"].keys(), (entry, rest)
