"""Options of the commands that run sessions."""

from __future__ import annotations

import re

from click.testing import CliRunner

from runner.cli import program
from runner.commands import options


def test_every_field_of_the_request_is_an_option_that_is_auto() -> None:
    text = " ".join(CliRunner().invoke(program, ["cell", "--help"]).output.split())
    for name in options.REQUEST_HELP:
        assert re.search(rf"--{name} TEXT", text), name
    assert text.count("[default: auto]") == len(options.REQUEST_HELP)
