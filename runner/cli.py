"""The command line: its commands, and the start that they receive."""

from __future__ import annotations

from collections.abc import Sequence

import click

from runner import program as programs
from runner.commands.start import Start
from runner.program import Program

PLACES = {
    "ab": "runner.commands.measuring:ab",
    "bench": "runner.commands.benching:bench",
    "cell": "runner.commands.measuring:cell",
    "doctor": "runner.commands.diagnosing:doctor",
    "gpus": "runner.commands.listings:list_gpus",
    "import": "runner.commands.recordfiles:import_command",
    "models": "runner.commands.listings:list_models",
    "server": "runner.commands.serving:server",
    "study": "runner.commands.studying:study",
    "ui": "runner.commands.serving:ui",
    "verify": "runner.commands.recordfiles:verify",
}
"""Command → its module and function."""


def run(arguments: Sequence[str], start: Start) -> int:
    """Runs one command, as `program.run` does."""
    return programs.run(program, "python -m runner", arguments, start)


@click.group(cls=Program, places=PLACES)
def program() -> None:
    """Measures batch-1 LLM decode against its memory floor."""
