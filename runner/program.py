"""The common part of both command lines, `runner` and `analysis`: help, version, and the style of their errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from runner import __version__
from runner.cell.vocabulary import suggestion
from runner.errors import Interrupted, Usage

NAME = "decode-floor"
WIDTH = 110
WHOLE = 1000
"""Limit of a command's line in the help, in characters: no sentence is cut."""


class Program(click.Group):
    """A group of commands with `-h`, `--help` and `--version`. An unknown command gets the nearest name."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        settings["context_settings"] = {"help_option_names": ["-h", "--help"], "max_content_width": WIDTH}
        super().__init__(*arguments, **settings)
        click.version_option(__version__, prog_name=NAME)(self)

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = arguments[0]
        if self.get_command(context, name) is None and not name.startswith("-"):
            known = self.list_commands(context)
            near = suggestion(name, known)
            raise click.UsageError(f"unknown command {name!r}{near} (allowed: {', '.join(known)})", context)
        return super().resolve_command(context, arguments)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes each command with the whole first sentence of its help."""
        commands = {name: self.get_command(context, name) for name in self.list_commands(context)}
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(WHOLE)) for name, each in commands.items() if each])


def run(program: Program, name: str, arguments: Sequence[str], start: object = None) -> int:
    """Runs one command, or prints the help if there are no arguments. Returns the exit code.

    `name` is how the program is called, `start` the object that its commands receive. Raises the errors of the family,
    with Usage for a command line that cannot be parsed.
    """
    try:
        return program.main([*arguments] or ["--help"], name, standalone_mode=False, obj=start) or 0
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else name
        raise Usage(f"{error.format_message()} (see `{command} --help`)") from error
    except click.ClickException as error:
        raise Usage(error.format_message()) from error
    except click.Abort as error:
        raise Interrupted("stopped by Ctrl-C") from error
