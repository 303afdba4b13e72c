"""`python -m analysis floor --records DIR --format md|json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from analysis import floor as floor_table
from analysis import sessions
from runner.errors import BadRecord, DecodeFloorError


@click.group()
def main() -> None:
    """Tables from records."""


@main.command()
@click.option("--records", type=click.Path(path_type=Path), default=Path("experiments/records"), show_default=True)
@click.option("--format", "form", type=click.Choice(["md", "json"]), default="md", show_default=True)
@click.option("--all", "every_code", is_flag=True, help="also the sessions of older code, in rows of their own")
def floor(records: Path, form: str, every_code: bool) -> None:
    """How far each cell is from its memory floor. Records that `runner verify` rejects are named and left out."""
    found, rejected = sessions.read_folder(records)
    table = floor_table.rows(found, every_code)
    click.echo(json.dumps(table, indent=1) if form == "json" else floor_table.markdown(table), nl=form == "json")
    for line in rejected:
        click.echo(f"left out {line}", err=True)
    if rejected:
        raise BadRecord(f"{len(rejected)} of {len(found) + len(rejected)} records are left out of the table")


if __name__ == "__main__":
    try:
        main()
    except DecodeFloorError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
