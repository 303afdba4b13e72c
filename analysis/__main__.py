"""`python -m analysis floor --records DIR --format md|json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from analysis import floor as floor_table
from analysis import sessions
from runner.errors import DecodeFloorError


@click.group()
def main() -> None:
    """Tables from records."""


@main.command()
@click.option("--records", type=click.Path(path_type=Path), default=Path("experiments/records"), show_default=True)
@click.option("--format", "form", type=click.Choice(["md", "json"]), default="md", show_default=True)
def floor(records: Path, form: str) -> None:
    """How far each cell is from its memory floor."""
    table = floor_table.rows(sessions.read_folder(records))
    click.echo(json.dumps(table, indent=1) if form == "json" else floor_table.markdown(table), nl=form == "json")


if __name__ == "__main__":
    try:
        main()
    except DecodeFloorError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
