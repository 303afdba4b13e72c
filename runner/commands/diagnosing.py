"""The command `doctor`."""

from __future__ import annotations

import click

from runner.cell.vocabulary import AUTO
from runner.commands.options import REQUEST_HELP, json_option
from runner.doctor import examination


@click.command()
@click.option("--gpu", default=AUTO, show_default=True, help=REQUEST_HELP["gpu"])
@json_option
def doctor(gpu: str, as_json: bool) -> int:
    """Examines whether a cell can be measured here, and says what `cell` would do. The exit code is 0 if a measurement
    would be valid. Before there is an environment: python3 -m runner.doctor"""
    report = examination.examine(gpu)
    click.echo(report.text(as_json))
    return report.exit_code
