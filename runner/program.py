"""The common part of both command lines, `runner` and `analysis`: help, version, and the style of their errors."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import click

from runner import __version__, failures
from runner.cell.vocabulary import nearest, suggestion
from runner.counts import listed
from runner.errors import Interrupted, Usage
from runner.processes import signals

NAME = "decode-floor"
WIDTH = 110
HELP_OPTIONS = ["-h", "--help"]
WHOLE = 1000
"""Limit of a command's line in the help, in characters: no sentence is cut."""


version_option = click.version_option(__version__, prog_name=NAME)
"""Adds `--version` to a command."""


class Program(click.Group):
    """A group of commands. It and each of its commands have `-h`, `--help` and `--version`. An unknown command gets the
    nearest name.

    `places` has the modules of further commands, as `module:function` by name. A module is imported when its command is
    first asked for, since the modules of all commands take longer than most commands need.
    """

    def __init__(self, *arguments: Any, places: Mapping[str, str] | None = None, **settings: Any) -> None:
        settings["context_settings"] = {"help_option_names": HELP_OPTIONS, "max_content_width": WIDTH}
        super().__init__(*arguments, **settings)
        version_option(self)
        self.places = places or {}

    def add_command(self, command: click.Command, name: str | None = None) -> None:
        # a command's own setting: Click keeps the help option of its first call, which may be one without this group
        command.context_settings["help_option_names"] = HELP_OPTIONS
        super().add_command(version_option(command), name)

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted({*super().list_commands(context), *self.places})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name in self.places and name not in self.commands:
            self.add_command(_imported(self.places[name]), name)
        return super().get_command(context, name)

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


def _imported(place: str) -> click.Command:
    """Returns the command at `module:function`. Raises MissingPackage. No signal interrupts the import."""
    module, _, function = place.partition(":")
    with signals.held():
        try:
            command: click.Command = getattr(importlib.import_module(module), function)
        except ImportError as error:
            raise failures.missing_package(str(error.name)) from error
    return command


def run(program: Program, name: str, arguments: Sequence[str], start: object = None) -> int:
    """Runs one command, or prints the help if there are no arguments. Returns the exit code.

    `name` is how the program is called, `start` the object that its commands receive. Raises the errors of the family,
    with Usage for a command line that cannot be parsed.
    """
    try:
        return program.main([*arguments] or ["--help"], name, standalone_mode=False, obj=start) or 0
    except click.UsageError as error:
        # Click gives no context if the value of an option is missing
        called = " ".join((name, *(each for each in arguments[:1] if each in program.commands)))
        command = error.ctx.command_path if error.ctx is not None else called
        message = _unknown_option(program, error) if isinstance(error, click.NoSuchOption) else _said(error)
        raise Usage(f"{message} (see `{command} --help`)") from error
    except click.ClickException as error:
        raise Usage(_said(error)) from error
    except click.Abort as error:
        raise Interrupted("stopped by Ctrl-C") from error


def _said(error: click.ClickException) -> str:
    """Returns Click's message in the style of the other errors: without a capital and a full stop."""
    message = error.format_message()
    return f"{message[:1].lower()}{message[1:].removesuffix('.')}"


def _unknown_option(program: Program, error: click.NoSuchOption) -> str:
    """Returns the message for an option that the command lacks, with the commands that have it, or with the nearest
    option of its own."""
    name = error.option_name
    context = error.ctx or click.Context(program)
    commands = {each: program.get_command(context, each) for each in program.list_commands(context)}
    others = [each for each, command in commands.items() if command and name in _options(command, context)]
    if others:
        return f"unknown option {name!r}, which {listed(others, 'and')} {'has' if len(others) == 1 else 'have'}"
    # without the dashes, which all options share
    own = {option.lstrip("-"): option for option in _options(context.command, context)}
    near = nearest(name.lstrip("-"), own)
    return f"unknown option {name!r}" + (f"; did you mean {own[near]}?" if near else "")


def _options(command: click.Command, context: click.Context) -> list[str]:
    return [option for parameter in command.get_params(context) for option in parameter.opts if option[:1] == "-"]
