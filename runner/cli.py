"""The command line: runs one command and raises its errors. `__main__` turns them into one line."""

from __future__ import annotations

from collections.abc import Sequence

import click

from runner import __version__
from runner.commands import diagnosing, listings, measuring, recordfiles
from runner.commands.measuring import Start
from runner.errors import Usage


def run(arguments: Sequence[str], start: Start) -> None:
    """Runs one command. Raises the errors of the family, or SystemExit with the exit code."""
    try:
        code = program.main(list(arguments), "python -m runner", standalone_mode=False, obj=start)
    except click.ClickException as error:
        raise Usage(f"{error.format_message()} (see `python -m runner --help`)") from error
    raise SystemExit(code or 0)


@click.group(context_settings={"max_content_width": 110})
@click.version_option(__version__, prog_name="decode-floor")
def program() -> None:
    """Measures batch-1 LLM decode against its memory floor."""


for command in (
    *(measuring.cell, measuring.ab),
    *(recordfiles.import_command, recordfiles.ui, recordfiles.verify),
    *(listings.list_gpus, listings.list_models, diagnosing.doctor),
):
    program.add_command(command)
