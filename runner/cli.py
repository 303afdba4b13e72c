"""The command line: its commands, and the start that they receive."""

from __future__ import annotations

from collections.abc import Sequence

import click

from runner import program as programs
from runner.commands import benching, diagnosing, listings, measuring, recordfiles, serving, studying
from runner.commands.start import Start
from runner.program import Program


def run(arguments: Sequence[str], start: Start) -> int:
    """Runs one command, as `program.run` does."""
    return programs.run(program, "python -m runner", arguments, start)


@click.group(cls=Program)
def program() -> None:
    """Measures batch-1 LLM decode against its memory floor."""


for command in (
    *(measuring.cell, measuring.ab, studying.study, benching.bench),
    *(recordfiles.import_command, recordfiles.verify, serving.ui, serving.server),
    *(listings.list_gpus, listings.list_models, diagnosing.doctor),
):
    program.add_command(command)
